// Task laws: from train loss, active FLOPs and tokens per parameter to a task's loss and score. In: runs with scores.
// Out: for each task and measure coefficients with intervals, the error on configurations left out, and a verdict in
// plain words. After arXiv 2508.18672, which compares tasks at equal train loss but prints no formula: the form is ours
// (docs/task-laws.md), with a sigmoid from loss to score as Dubey et al. 2024 (2407.21783) and Bhagia et al. 2024 (2412.04403)
// use. Not for turning points (turning_point.h): these laws are monotone in each of their variables.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "fit/task_runs.h"

namespace moebius::fit {

// y = eta, exp(eta), or floor + (ceiling - floor) / (1 + exp(-eta)).
enum class TaskLink { linear, exponential, sigmoid, sigmoid_ceiling };
const char* task_link_name(TaskLink link);

enum class TermVerdict { positive, negative, not_determined };
const char* term_verdict_name(TermVerdict verdict);

// One coefficient of eta = intercept + a (train loss - ref) + b ln(flops / ref) + c ln(tpp / ref).
struct TaskTerm {
  std::string name;      // intercept, train_loss, flops, tpp; ceiling
  double reference = 0;  // mean of the train loss; geometric means of FLOPs and TPP
  Interval value;        // 95 %: Student's t over configurations, linearised; unknown when not determined
  TermVerdict verdict = TermVerdict::not_determined;
  std::string note;  // why it is not determined
};

// One configuration against the law.
struct TaskLawPoint {
  std::string model;
  i64 seeds = 0;
  double train_loss = 0, flops = 0, tpp = 0;
  double measured = 0, predicted = 0;
  double left_out = kUnknown;  // predicted by the law that had not seen it
};

// How a used term enters the least squares: (x - reference) / scale, or ln(x / reference) / scale.
struct TaskColumn {
  std::string name;
  double reference = 0, scale = 1;
  bool logarithmic = false;
};

struct TaskLaw {
  TaskScore measure;  // task, skill, measure, chance
  TaskLink link = TaskLink::linear;
  bool fitted = false;
  double floor = 0, ceiling = 1;  // of the sigmoids
  std::vector<TaskTerm> terms;    // intercept, train_loss, flops, tpp; with sigmoid_ceiling also ceiling
  i64 configurations = 0, runs = 0, df = 0;
  double residual = kUnknown;                // of configurations' means around the law, in y; divided by df
  double seed_noise = kUnknown;              // of one run around its configuration's mean
  bool misfit = false;                       // the residual is larger than the seed noise allows (F test, 5 %)
  double holdout_error = kUnknown;           // root mean square over configurations left out one at a time
  double holdout_error_constant = kUnknown;  // the same for the mean of the others
  std::string verdict;                       // begins with "determined", "partly determined" or "not determined"
  std::vector<std::string> notes;
  std::vector<TaskLawPoint> points;
  // The fit in its own coordinates, for task_curves.h: intercept, used columns, a fitted ceiling; covariance of these.
  std::vector<TaskColumn> columns;
  std::vector<double> beta;
  std::vector<std::vector<double>> covariance;
  Json to_json() const;  // docs/formats.md, fit.json
};

// The law at one point; NaN without a fit.
double task_law_value(const TaskLaw& law, double train_loss, double flops, double tpp);

// Links tried: linear and exponential for a loss, the two sigmoids for a score; the one that misses left-out
// configurations least stands (a fitted ceiling must earn a tenth). Always returns a law, perhaps an unfitted one with
// its verdict.
TaskLaw fit_task_law(const std::vector<TaskRun>& runs, const TaskScore& measure);
std::vector<TaskLaw> fit_task_laws(const std::vector<TaskRun>& runs);

}  // namespace moebius::fit
