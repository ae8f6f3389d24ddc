// Metric paths: one text names one number of a run, in hypotheses, axes and tables. docs/report.md lists them.
//   eval.NAME.PART.KEY   the final record of an evaluation (PART: a grade or `all`; for losses the source)
//   train.KEY            the `train_end` record: loss_final, tokens_per_s, seconds, ...
//   load.max_over_mean, load.dead_experts   the last step
//   flops_train          flops_per_token_megatron x tokens
//   config.KEY           the configuration
//   KEY                  the `run` record: parameters_total, tpp, sparsity, ...
#pragma once

#include <string>
#include <vector>

#include "records/run_records.h"

namespace moebius::records {

// A number and its standard error over items; NaN where unknown.
struct Measured {
  double value = kUnknown;
  double se = kUnknown;
  bool known() const { return value == value; }
};

// `key` of an eval record's fields, or of another record.
Measured measured_in(const Json& fields, const std::string& key);
// Throws Error when `path` cannot name a metric; `where` is the place of the path, for the error.
void metric_check(const std::string& path, const std::string& where);
Measured metric_of(const RunRecords& run, const std::string& path);

// The score of guessing: that of the best way to guess (`chance_best`) if the task defines it, else 1 / number of
// choices. `part_path` is "eval.NAME.PART.".
Measured chance_in(const Json& fields);
Measured chance_of(const RunRecords& run, const std::string& part_path);
// "facts, grade all: accuracy"; "total parameters".
std::string metric_label(const std::string& path);
// What "eval.NAME.PART.KEY" measures; nullptr for other paths, and where the run has no such evaluation.
const Measure* measure_at(const RunRecords& run, const std::string& path);

// A score this many standard errors above guessing is not chance.
constexpr double kChanceErrors = 3;
inline bool above_chance(double value, double se, double chance) {
  return value > chance && value - chance >= kChanceErrors * se;
}

}  // namespace moebius::records
