// Records: one JSON object per line; stages report their measurements only as records. Every record carries "type" and
// "time" (UTC). Reports are made from records alone. Not for messages to people (base/log.h).
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace moebius::records {

class RecordWriter {
 public:
  RecordWriter() = default;
  // Appends to `path`; a broken last line left by a crash is cut off first.
  explicit RecordWriter(const std::string& path);
  // Writes {"type": type, "time": now, ...fields}.
  void write(const std::string& type, const Json& fields);
  void sync();
  i64 count() const { return count_; }  // records in the file

 private:
  AppendFile file_;
  i64 count_ = 0;
};

// All records of a file, in order; with `type`, only those. A broken last line is ignored (a crash may leave one);
// a broken line elsewhere is an Error with its number.
std::vector<Json> read(const std::string& path, const std::string& type = "");

// Drops every record of `path` for which keep[i] is false (used on resume to forget what came after the checkpoint).
void filter(const std::string& path, const std::vector<bool>& keep);

std::string time_utc_now();  // 2026-01-31T12:00:00.123Z

// What made a measurement: processor, cores, memory, compiler, version. For records and reports.
Json machine_describe();

}  // namespace moebius::records
