// The live line.
#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/units.h"

namespace moebius {

namespace {
constexpr i64 kTerminalPeriod = 200'000'000;
constexpr i64 kPlainPeriod = 15'000'000'000;
std::string name_among_others;  // empty: this process has the terminal for itself
}  // namespace

void progress_share_terminal(const std::string& name) { name_among_others = name + ": "; }

i64 clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Progress::Progress(std::string what, i64 total)
    : what_(std::move(what)),
      total_(total),
      start_ns_(clock_ns()),
      terminal_(name_among_others.empty() && ::isatty(2) == 1) {
  printed_ns_ = terminal_ ? 0 : start_ns_;
}

Progress::~Progress() {
  if (line_open_) std::fputc('\n', stderr);
}

double Progress::seconds() const { return static_cast<double>(clock_ns() - start_ns_) * 1e-9; }

void Progress::update(i64 done, const std::string& detail) {
  const i64 now = clock_ns();
  if (now - printed_ns_ < (terminal_ ? kTerminalPeriod : kPlainPeriod)) return;
  printed_ns_ = now;
  const double elapsed = seconds();
  std::string line = what_;
  if (total_ > 0) {
    const double share = static_cast<double>(done) / static_cast<double>(total_);
    line += fmt::format(" {:5.1f} %", 100 * share);
    // The first steps include the cost of what came before them (an evaluation, the first touch of memory): no estimate
    // from those.
    if (share >= 0.02) line += fmt::format("  {} left", format_seconds(elapsed / share - elapsed));
  } else {
    line += fmt::format(" {}", format_count(static_cast<double>(done)));
  }
  if (!detail.empty()) line += "  " + detail;
  print(line, false);
}

void Progress::finish(const std::string& detail) {
  if (finished_) return;
  finished_ = true;
  // Work that ended before its first line was printed needs no final line.
  if (!line_open_ && seconds() < 3.0) return;
  print(fmt::format("{} done in {}{}{}", what_, format_seconds(seconds()), detail.empty() ? "" : "  ", detail), true);
}

void Progress::print(const std::string& line, bool last) {
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s%s", line.c_str(), last ? "\n" : "");
    line_open_ = !last;
  } else {
    std::fprintf(stderr, "%s%s\n", name_among_others.c_str(), line.c_str());
  }
  std::fflush(stderr);
}

}  // namespace moebius
