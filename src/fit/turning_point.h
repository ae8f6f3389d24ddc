// Turning points of task scores: does a score rise and then fall in tokens per parameter, in total parameters or in the
// train loss, while experts are added and all else stays? In: runs with scores. Out: for each task, measure, family and
// x the test of base/rise_fall.h, corrected for the number of tests, and a verdict in plain words.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/rise_fall.h"
#include "fit/task_runs.h"

namespace moebius::fit {

struct TurningPoint {
  TaskScore measure;
  std::string direction;         // maximum (scores), minimum (losses)
  std::string x;                 // tpp, parameters_total, train_loss
  std::string family;            // runs that differ in the number of experts alone
  RiseFall test;                 // x of tpp and parameters_total is their log2
  double p_adjusted = kUnknown;  // Holm over the distinct tests of all tasks, families and x
  i64 tests = 0;                 // how many these were
  i64 seeds = 0;                 // fewest at any configuration
  SeedMeans means;               // the points that were tested, x in its own unit
  bool found = false;            // p_adjusted <= 0.05
  std::string verdict;           // "found: ...", "none: ..." or "not determined: ..."
  Json to_json() const;          // docs/formats.md, fit.json
};

// Families of at least four configurations; others give no entry. Two x that put the configurations in the same order
// (or the reverse) are one test: it looks at the order alone.
std::vector<TurningPoint> find_turning_points(const std::vector<TaskRun>& runs);

}  // namespace moebius::fit
