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

#include "report/records_load.h"

namespace moebius::report {

// A number and its standard error over items; NaN where unknown.
struct Measure {
  double value = kUnknown;
  double se = kUnknown;
  bool known() const { return value == value; }
};

// Throws Error when `path` cannot name a metric; `where` says who asked.
void metric_check(const std::string& path, const std::string& where);
Measure metric_of(const RunRecords& run, const std::string& path);

// What guessing reaches: the best guesser's score (`chance_best`) where the task knows one, else one in the number of
// choices. `part_path` is "eval.NAME.PART.".
Measure chance_in(const Json& fields);
Measure chance_of(const RunRecords& run, const std::string& part_path);
// "facts, grade all: accuracy"; "total parameters".
std::string metric_label(const std::string& path);
// Bits, losses and the like: lower is better. Scores: false.
bool metric_is_loss(const std::string& path);

// The evaluations of a study that have records: in the order of study.json, then of appearance.
struct TaskPart {
  std::string name, part, skill;
  std::vector<std::string> scores;  // of acc, exact_match, acc_norm: those that were measured
  bool has_loss = false;            // task_loss
  bool has_bits = false;            // knowledge_bits
  double chance = kUnknown;         // of the first score
  i64 items = 0;
};
std::vector<TaskPart> task_parts(const StudyRecords& study);
// Names and sources of held-out losses.
std::vector<TaskPart> loss_parts(const StudyRecords& study);

// A configuration with all of its seeds, in the order of the study.
struct Point {
  std::string model;
  std::vector<const RunRecords*> runs;
  const RunRecords& first() const { return *runs.front(); }
};
std::vector<Point> points_of(const std::vector<const RunRecords*>& runs);
i64 seeds_min(const std::vector<Point>& points);

}  // namespace moebius::report
