// The sentences of a report, made from the numbers by rules (docs/report.md): what was done, what the numbers show,
// what they do not show. In: StudyRecords; out: sentences and the table of spreads. Plain text, no HTML.
#pragma once

#include <string>
#include <vector>

#include "report/records_load.h"

namespace moebius::report {

// How far the configurations differ in one measure.
struct Spread {
  std::string measure, best, worst;  // best and worst configuration with their values
  Interval difference;               // worst to best
  i64 pairs = 0, pairs_within_noise = 0, pairs_unknown = 0;
};

// One task's distance from chance: of the best configuration, in standard errors over items.
struct OffChance {
  std::string task, part, score, model;
  double value = kUnknown, se = kUnknown, chance = kUnknown;
  double distance() const { return (value - chance) / se; }
};

// What a page begins with, a sentence or a few each.
struct Answer {
  std::string asked;  // the study's question; empty: none
  std::string found;  // the resolved hypotheses with their effects
  std::string open;   // the unresolved ones with their reasons, and the limits of the runs
};
Answer answer_build(const StudyRecords& study);

// Learning-rate trials are no runs of the study's comparison, and counted apart.
struct RunCounts {
  i64 runs = 0, runs_done = 0, trials = 0, trials_done = 0;
};
RunCounts run_counts(const StudyRecords& study);

struct Summary {
  std::vector<std::string> done, shows, shows_not;
  std::vector<Spread> spreads;
  std::vector<OffChance> off_chance;  // one for each task and score, at its whole
};

Summary summary_build(const StudyRecords& study);

// "0.6123", "12.3", "0.00412": four significant digits.
std::string number_text(double value);
// "0.570 +- 0.020": as many digits as the standard error needs; without one, number_text; "-" when unknown.
std::string measure_text(const Measured& measure);
// "0.0123 [0.0100, 0.0150]" or "0.0123 (no interval)".
std::string interval_text(const Interval& interval);
std::string joined(const std::vector<std::string>& words);  // "a, b and c"

}  // namespace moebius::report
