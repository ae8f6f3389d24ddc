// Frames and messages of TensorBoard's event files, encoded by hand.
#include "records/event_file.h"

#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>

#include "base/error.h"

namespace moebius::records {

namespace {

constexpr i64 kPendingBytesMax = 64 * 1024;

constexpr std::array<u32, 256> crc_table() {
  std::array<u32, 256> table{};
  for (u32 byte = 0; byte < 256; ++byte) {
    u32 crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}

constexpr std::array<u32, 256> kCrcTable = crc_table();

// TFRecord stores checksums rotated and shifted, since a checksum over data that holds its own checksum is weak.
u32 crc_masked(std::string_view bytes) {
  const u32 crc = crc32c(bytes);
  return std::rotr(crc, 15) + 0xa282ead8u;
}

void put_fixed(std::string& out, u64 value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

void put_varint(std::string& out, u64 value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// Protocol-buffer wire types.
enum class Wire : u64 { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void put_key(std::string& out, u64 field, Wire wire) { put_varint(out, (field << 3) | static_cast<u64>(wire)); }

void put_double(std::string& out, u64 field, double value) {
  put_key(out, field, Wire::fixed64);
  put_fixed(out, std::bit_cast<u64>(value), 8);
}

void put_float(std::string& out, u64 field, float value) {
  put_key(out, field, Wire::fixed32);
  put_fixed(out, std::bit_cast<u32>(value), 4);
}

void put_int(std::string& out, u64 field, i64 value) {
  put_key(out, field, Wire::varint);
  put_varint(out, static_cast<u64>(value));
}

void put_bytes(std::string& out, u64 field, std::string_view bytes) {
  put_key(out, field, Wire::bytes);
  put_varint(out, bytes.size());
  out += bytes;
}

void put_frame(std::string& out, std::string_view message) {
  const std::size_t begin = out.size();
  put_fixed(out, message.size(), 8);
  put_fixed(out, crc_masked(std::string_view(out).substr(begin, 8)), 4);
  out += message;
  put_fixed(out, crc_masked(message), 4);
}

std::string frame_of(std::string_view message) {
  std::string frame;
  put_frame(frame, message);
  return frame;
}

// Messages in messages; their memory is kept, since a run writes this many times and should not allocate for it.
void put_scalar_frame(std::string& out, std::string_view tag, i64 step, float value, double wall_time_s) {
  thread_local std::string entry, summary, event;
  for (std::string* message : {&entry, &summary, &event}) message->clear();
  put_bytes(entry, 1, tag);
  put_float(entry, 2, value);
  put_bytes(summary, 1, entry);
  put_double(event, 1, wall_time_s);
  put_int(event, 2, step);
  put_bytes(event, 5, summary);
  put_frame(out, event);
}

double wall_time_now_s() {
  timeval now;
  ::gettimeofday(&now, nullptr);
  return static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_usec);
}

// A name that no other process and no earlier file of this process has.
std::string event_file_name(double wall_time_s) {
  static std::atomic<int> count{0};
  char host[256] = "host";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  return fmt::format("events.out.tfevents.{:010}.{}.{}.{}", static_cast<i64>(wall_time_s), host, ::getpid(), count++);
}

}  // namespace

u32 crc32c(std::string_view bytes) {
  u32 crc = ~0u;
  for (const char c : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<u8>(c)) & 0xff];
  return ~crc;
}

// Event: 1 wall_time, 2 step, 3 file_version, 5 summary, 7 session_log. SessionLog: 1 status (START = 1).
// Summary: 1 value. Summary.Value: 1 tag, 2 simple_value.
std::string event_frame_version(double wall_time_s) {
  std::string event;
  put_double(event, 1, wall_time_s);
  put_bytes(event, 3, "brain.Event:2");
  return frame_of(event);
}

std::string event_frame_session_start(i64 step, double wall_time_s) {
  std::string session, event;
  put_int(session, 1, 1);
  put_double(event, 1, wall_time_s);
  put_int(event, 2, step);
  put_bytes(event, 7, session);
  return frame_of(event);
}

EventFile::EventFile(const std::string& folder, i64 step_resumed) {
  const double now_s = wall_time_now_s();
  folder_make(folder);
  path_ = path_join(folder, event_file_name(now_s));
  file_ = AppendFile(path_);
  pending_.reserve(kPendingBytesMax + 4096);
  pending_ = event_frame_version(now_s);
  if (step_resumed >= 0) pending_ += event_frame_session_start(step_resumed, now_s);
  flush();
}

EventFile::~EventFile() { flush_quietly(); }

EventFile& EventFile::operator=(EventFile&& other) noexcept {
  if (this == &other) return *this;
  flush_quietly();
  path_ = std::move(other.path_);
  file_ = std::move(other.file_);
  pending_ = std::move(other.pending_);
  return *this;
}

void EventFile::flush_quietly() noexcept {
  try {
    flush();
  } catch (const Error&) {
    // A destructor cannot report errors; records.jsonl has the same scalars.
  }
}

void EventFile::scalar(std::string_view tag, i64 step, double value, double wall_time_s) {
  if (!file_.is_open()) return;
  put_scalar_frame(pending_, tag, step, static_cast<float>(value), wall_time_s < 0 ? wall_time_now_s() : wall_time_s);
  if (static_cast<i64>(pending_.size()) >= kPendingBytesMax) flush();
}

void EventFile::flush() {
  if (!file_.is_open() || pending_.empty()) return;
  file_.append(pending_);
  pending_.clear();
}

}  // namespace moebius::records
