// One live line on standard error for work longer than a few seconds: what, rate, time left. On a terminal the line is
// rewritten; elsewhere a line is printed now and then. Nothing is printed when the log is quiet.
#pragma once

#include <string>

#include "base/types.h"

namespace moebius {

class Progress {
 public:
  // total <= 0: unknown.
  Progress(std::string what, i64 total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // `detail` is printed at the end of the line. Cheap: prints at most a few times a second.
  void update(i64 done, const std::string& detail = "");
  void finish(const std::string& detail = "");
  double seconds() const;

 private:
  void print(const std::string& line, bool last);
  std::string what_;
  i64 total_;
  i64 start_ns_, printed_ns_ = 0;
  bool terminal_, finished_ = false, line_open_ = false;
};

// From here on this process prints separate lines, each after `name`, even on a terminal, since other processes write
// there too.
void progress_share_terminal(const std::string& name);

// Nanoseconds of a monotonic clock.
i64 clock_ns();

}  // namespace moebius
