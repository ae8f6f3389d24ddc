// Runs with their task scores, as the task laws and the turning points need them. In: study folders (study.json and the
// runs' records, docs/formats.md). Out: one TaskRun for each run that was trained to the end. Trials of the learning
// rate and trunks are left out. Not for the loss laws, which need no scores.
#pragma once

#include <string>
#include <vector>

#include "base/statistics.h"

namespace moebius::fit {

// One measured number of a task, of the evaluation at the end of the training, over all grades.
struct TaskScore {
  std::string task;     // "facts-recall"; "all" for the mean over a skill's tasks
  std::string skill;    // empty: not given
  std::string measure;  // its name in the record; of means task_loss, or score: (value - chance) / (1 - chance)
  double value = kUnknown, se = kUnknown;  // se: over items
  double chance = 0;                       // what blind guessing reaches; 0 for a loss
  double chance_best = 0;                  // what the best guesser without the question reaches
  i64 tasks = 1;                           // behind a mean
  bool is_loss = false;                    // lower is better
  bool can_be_guessed = false;             // a share of items
};

struct TaskRun {
  std::string name;              // of the run
  std::string model;             // the configuration, shared by its seeds; with several folders "FOLDER: MODEL"
  std::string family;            // what stays when experts are added: "d64 L4 k2 F64, 3,000,000 tokens"
  double train_loss = kUnknown;  // nats a token, mean of the last 5 % of the tokens
  double flops = kUnknown;       // active FLOPs of the training (Megatron's formula)
  double tokens = kUnknown, parameters_total = kUnknown, parameters_active = kUnknown;
  double tpp = kUnknown;  // tokens / total parameters
  std::vector<TaskScore> scores;
};

// Throws Error when a folder is no study's or holds no finished run. Runs that are missing, unfinished or unreadable
// are left out; `left_out` (if given) gets a line on each.
std::vector<TaskRun> task_runs_load(const std::vector<std::string>& folders,
                                    std::vector<std::string>* left_out = nullptr);

// The means over the tasks of each skill that has several: the losses, and the scores above chance. Each task weighs
// the same.
std::vector<TaskScore> skill_means(const std::vector<TaskScore>& scores);

// The distinct (task, skill, measure) triples, in the order of appearance. value and se are unknown.
std::vector<TaskScore> task_measures(const std::vector<TaskRun>& runs);
// nullptr when the run lacks it.
const TaskScore* score_of(const TaskRun& run, const TaskScore& measure);

// The seeds of one configuration.
struct TaskPoint {
  std::string model, family;
  std::vector<const TaskRun*> runs;  // those that have the measure and finite predictors
};
std::vector<TaskPoint> task_points(const std::vector<TaskRun>& runs, const TaskScore& measure);

}  // namespace moebius::fit
