// Reading and writing records, and the description of the machine that they carry.
#include "records/record.h"

#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"

namespace moebius::records {

namespace {

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // an unfinished last line is not a record
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// Returns the number of lines that stay.
i64 cut_broken_tail(const std::string& path) {
  if (!file_exists(path)) return 0;
  const std::string text = file_read(path);
  const i64 lines = std::ranges::count(text, '\n');
  if (text.empty() || text.back() == '\n') return lines;
  const std::size_t end = text.rfind('\n');
  if (::truncate(path.c_str(), end == std::string::npos ? 0 : static_cast<off_t>(end + 1)) != 0) {
    throw_system_error(path, "cutting off a broken last line", errno);
  }
  return lines;
}

std::string cpu_name() {
  if (!file_exists("/proc/cpuinfo")) return "unknown";
  const std::string text = file_read("/proc/cpuinfo");
  const std::size_t key = text.find("model name");
  if (key == std::string::npos) return "unknown";
  const std::size_t colon = text.find(": ", key);
  return text.substr(colon + 2, text.find('\n', colon) - colon - 2);
}

}  // namespace

RecordWriter::RecordWriter(const std::string& path) {
  count_ = cut_broken_tail(path);
  file_ = AppendFile(path);
}

void RecordWriter::write(const std::string& type, const Json& fields) {
  if (!file_.is_open()) return;
  Json record = Json::object({{"type", type}, {"time", time_utc_now()}});
  for (const auto& [key, value] : fields.as_object()) record.as_object().emplace_back(key, value);
  file_.append(record.dump() + "\n");
  ++count_;
}

void RecordWriter::sync() {
  if (file_.is_open()) file_.sync();
}

std::vector<Json> read(const std::string& path, const std::string& type) {
  std::vector<Json> records;
  i64 number = 0;
  for (const std::string& line : split_lines(file_read(path))) {
    ++number;
    Json record = Json::parse(line, fmt::format("{}, line {}", path, number));
    if (type.empty() || record.get_string("type", "") == type) records.push_back(std::move(record));
  }
  return records;
}

void filter(const std::string& path, const std::vector<bool>& keep) {
  const auto lines = split_lines(file_read(path));
  CHECK(lines.size() == keep.size(), "one flag a record");
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (keep[i]) text += lines[i] + "\n";
  }
  file_write_atomic(path, text);
}

std::string time_utc_now() {
  timeval now;
  ::gettimeofday(&now, nullptr);
  std::tm parts;
  ::gmtime_r(&now.tv_sec, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_usec / 1000);
}

Json machine_describe() {
  const i64 pages = ::sysconf(_SC_PHYS_PAGES);
  const i64 page_bytes = ::sysconf(_SC_PAGESIZE);
  return Json::object({{"cpu", cpu_name()},
                       {"cores", parallel_cores_available()},
                       {"memory_bytes", pages * page_bytes},
                       {"compiler", fmt::format("gcc {}.{}", __GNUC__, __GNUC_MINOR__)},
                       {"version", "0.1.0"}});
}

}  // namespace moebius::records
