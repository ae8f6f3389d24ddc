// From item scores to the numbers of a record: means with standard errors, per grade and for all.
// Standard error = sample standard deviation / sqrt(n), as lm-evaluation-harness has it. Not for held-out text.
#pragma once

#include <string>
#include <vector>

#include "eval/task.h"

namespace moebius::eval {

struct Mean {
  double mean = 0;
  double se = 0;  // 0 when n < 2
  i64 n = 0;
};
Mean mean_of(const std::vector<double>& values);

// sum(a) / sum(b) and the standard error of this ratio over independent pairs (linearised).
Mean ratio_of(const std::vector<double>& numerators, const std::vector<double>& denominators);

// One object for each grade (in order of appearance), then one for "all": grade, items, chance and the scores with _se.
std::vector<Json> summarise(const TaskSpec& spec, const std::vector<EvalItem>& items,
                            const std::vector<ItemScores>& scores);

}  // namespace moebius::eval
