// TensorBoard event files: the scalars of a run as TensorBoard reads them. In: tag, step, value; out: one file
// `events.out.tfevents.*` for each process that writes into the folder (TensorBoard joins them).
// Format: TFRecord frames (length, masked CRC-32C, bytes, masked CRC-32C) around protocol-buffer messages `Event`, of
// which we need five fields and encode them by hand. Not the source of reports: those read records (records/record.h).
#pragma once

#include <string>
#include <string_view>

#include "base/file.h"
#include "base/types.h"

namespace moebius::records {

// CRC-32C (Castagnoli polynomial, reflected 0x82f63b78), as RFC 3720 has it.
u32 crc32c(std::string_view bytes);

// Single frames, ready to append to a file. Wall times are seconds since 1970.
std::string event_frame_version(double wall_time_s);
// A process resumed the run at `step`: TensorBoard then drops what an earlier process wrote at this step or later.
std::string event_frame_session_start(i64 step, double wall_time_s);

// Appends scalars to one event file of its own. Frames are kept in memory until flush() or 64 KiB, and reach the file
// in whole frames. Steady use allocates nothing.
class EventFile {
 public:
  EventFile() = default;
  // Makes the folder if needed and a new file in it. `step_resumed` >= 0: this process resumes from that step.
  // Throws Error when the folder or file cannot be written.
  explicit EventFile(const std::string& folder, i64 step_resumed = -1);
  ~EventFile();
  EventFile(EventFile&&) noexcept = default;
  EventFile& operator=(EventFile&& other) noexcept;

  // wall_time_s < 0: now. Without a file (default constructed) it does nothing.
  void scalar(std::string_view tag, i64 step, double value, double wall_time_s = -1);
  void flush();
  const std::string& path() const { return path_; }

 private:
  void flush_quietly() noexcept;

  std::string path_;
  AppendFile file_;
  std::string pending_;
};

}  // namespace moebius::records
