// Task laws: from train loss, active FLOPs and tokens per parameter to a task's loss and score. In: runs with scores.
// Out: for each task and measure coefficients with intervals, the error on configurations left out, and a verdict in
// plain words. After arXiv 2508.18672, which compares tasks at equal train loss but prints no formula: the form is ours
// (docs/task-laws.md), with a sigmoid from loss to score as Dubey et al. 2024 (2407.21783) and Bhagia et al. 2024
// (2412.04403) use. Not for turning points (turning_point.h): these laws are monotone in each of their variables.
#pragma once

#include <string>
#include <vector>

#include "fit/task_runs.h"
#include "records/fit_file.h"

namespace moebius::fit {

using records::Sign;
using records::TaskLawPoint;
using records::TaskLink;
using records::TaskTerm;

// How a used term enters the least squares: (x - reference) / scale, or ln(x / reference) / scale.
struct TaskColumn {
  std::string name;
  double reference = 0, scale = 1;
  bool logarithmic = false;
};

// What fit.json says of the law, and the fit in its own coordinates.
struct TaskLaw : records::TaskLaw {
  // Intercept, used columns, a fitted ceiling; covariance of these.
  std::vector<TaskColumn> columns;
  std::vector<double> beta;
  std::vector<std::vector<double>> covariance;
};

// The law at one point; NaN without a fit.
double task_law_value(const TaskLaw& law, double train_loss, double flops, double tpp);

// Links tried: linear and exponential for a loss, the two sigmoids for a score; the one that misses left-out
// configurations least is used (a fitted ceiling must reduce the error by a tenth). Always returns a law, perhaps an
// unfitted one with its verdict.
TaskLaw fit_task_law(const std::vector<TaskRun>& runs, const TaskScore& measure);
std::vector<TaskLaw> fit_task_laws(const std::vector<TaskRun>& runs);

// Least squares through a link for a handful of coefficients (task_least_squares.cpp).
struct LinkFit {
  bool converged = false;
  std::vector<double> beta;                     // of the columns; with sigmoid_ceiling the ceiling last
  std::vector<std::vector<double>> covariance;  // times the residual variance of a row of weight 1
  double squares = 0;                           // weighted sum of squared residuals
};

// y from eta; `ceiling` is used by the sigmoids.
double link_value(TaskLink link, double eta, double floor, double ceiling);

// rows [n][columns], y [n], weight [n]; n at least the number of coefficients. All values finite.
LinkFit fit_link(TaskLink link, const std::vector<std::vector<double>>& rows, const std::vector<double>& y,
                 const std::vector<double>& weight, double floor);

// The law as lines with 95 % bands: score over train loss at the runs' mean FLOPs and TPP, and over FLOPs at their mean
// train loss. A curve is empty when the law lacks its term, or without a fit. The band is that of the law's mean, not
// of one run.
records::TaskCurves task_curves(const TaskLaw& law);

}  // namespace moebius::fit
