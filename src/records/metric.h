// Metric paths: one text names one number of a run, in hypotheses, axes and tables. docs/report.md lists them.
//   eval.NAME.PART.KEY   the final record of an evaluation (PART: a grade or `all`; for losses the source)
//   train.KEY            the `train_end` record: loss_final, tokens_per_s, seconds, ...
//   load.max_over_mean, load.dead_experts   the last step
//   flops_train          flops_per_token_megatron x tokens
//   config.KEY           the configuration
//   KEY                  the `run` record: parameters_total, tpp, sparsity, ...
//   ln PATH              the natural logarithm of one of these
#pragma once

#include <optional>
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
// "ln PATH" is the logarithm of PATH, and its standard error that of PATH over the value (first order).
bool metric_is_log(const std::string& path);
std::string metric_plain(const std::string& path);  // without the "ln "
// "eval.NAME.PART.KEY" cut at its first and last dot: names and parts may hold dots themselves. Nothing when it is
// another path, or a piece is missing.
struct EvalPath {
  std::string test;  // "NAME.PART"
  std::string key;
};
std::optional<EvalPath> eval_path(const std::string& path);
// Throws Error when `path` cannot name a metric; `where` is the place of the path, for the error.
void metric_check(const std::string& path, const std::string& where);
Measured metric_of(const RunRecords& run, const std::string& path);

// The score of guessing: that of the best way to guess (`chance_best`) if the task defines it, else 1 / number of
// choices. `part_path` is "eval.NAME.PART.".
Measured chance_in(const Json& fields);
Measured chance_of(const RunRecords& run, const std::string& part_path);
// "facts, grade all: accuracy"; "total parameters".
std::string metric_label(const std::string& path);
// What "eval.NAME.PART.KEY" (or "ln " of it) measures; nullptr for other paths, and where the run has no such evaluation.
const Measure* measure_at(const RunRecords& run, const std::string& path);

// A score this many standard errors above guessing is not chance.
constexpr double kChanceErrors = 3;
inline bool above_chance(double value, double se, double chance) {
  return value > chance && value - chance >= kChanceErrors * se;
}

}  // namespace moebius::records
