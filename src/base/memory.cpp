// Numbers from /proc/self/status, /proc/meminfo and /sys/fs/cgroup. The peak is VmHWM and not getrusage's ru_maxrss:
// that one remembers the process that forked us.
// In, out: memory.h.
#include "base/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <string>

#include "base/file.h"

namespace moebius {

namespace {

// The first whole number in `text` after `key`; -1 when there is none ("max").
i64 number_after(const std::string& text, const std::string& key) {
  std::size_t at = text.find(key);
  if (at == std::string::npos) return -1;
  at = text.find_first_not_of(" \t", at + key.size());
  if (at == std::string::npos) return -1;
  i64 value = -1;
  std::from_chars(text.data() + at, text.data() + text.size(), value);
  return value;
}

i64 number_in_file(const std::string& path, const std::string& key) {
  return file_exists(path) ? number_after(file_read(path), key) : -1;
}

i64 status_bytes(const std::string& key) { return std::max<i64>(0, number_in_file("/proc/self/status", key)) * 1024; }

}  // namespace

i64 memory_resident() { return status_bytes("VmRSS:"); }
i64 memory_peak() { return status_bytes("VmHWM:"); }

bool memory_peak_reset() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5\n" << std::flush;
  return file.good();
}

i64 memory_available() {
  i64 available = std::numeric_limits<i64>::max();
  const i64 kib = number_in_file("/proc/meminfo", "MemAvailable:");
  if (kib > 0) available = kib * 1024;
  const i64 limit = number_in_file("/sys/fs/cgroup/memory.max", "");
  const i64 used = number_in_file("/sys/fs/cgroup/memory.current", "");
  if (limit > 0 && used >= 0) available = std::min(available, std::max<i64>(0, limit - used));
  return available;
}

}  // namespace moebius
