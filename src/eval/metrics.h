// From item scores to the numbers of a record: means with standard errors, per grade and over all items.
// Standard error = sample standard deviation / sqrt(n), as in lm-evaluation-harness. Not for held-out text.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "eval/task.h"

namespace moebius::eval {

struct Mean {
  double mean = std::numeric_limits<double>::quiet_NaN();  // NaN when there is nothing to average
  double se = std::numeric_limits<double>::quiet_NaN();    // of one value there is none
  i64 n = 0;
};
Mean mean_of(const std::vector<double>& values);

// sum(numerators) / sum(denominators) and the standard error of this ratio over independent pairs (linearised).
Mean ratio_of(const std::vector<double>& numerators, const std::vector<double>& denominators);

// One object for each grade (in order of appearance), then one for "all": grade, items, chance, the scores with their _se
// (null where a single item has none), and `measures`: what each score means.
std::vector<Json> summarise(const TaskSpec& spec, const std::vector<EvalItem>& items,
                            const std::vector<ItemScores>& scores);

// Throws Error when the task's `measure` is unknown, or `better` or `unit` (empty: not given) contradict it.
void check_task_measure(const TaskSpec& spec, const std::string& better, const std::string& unit);

}  // namespace moebius::eval
