// Which terms the runs can determine, the fit over configurations, its error on those left out, and the verdict.
#include "fit/task_law.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fit/rise_fall.h"
#include "records/metric.h"

namespace moebius::fit {

namespace {

using records::Knowledge;
using records::Verdict;

constexpr double kVaries = 1e-6;  // a term whose values differ by less holds nothing
constexpr double kOwnShare =
    1e-3;  // of a term's variance that earlier terms must leave, or the two cannot be told apart
constexpr double kCeilingGain = 0.9;  // a fitted ceiling must leave less than this share of the error
constexpr i64 kDfMin = 2;

struct ParameterColumn : TaskColumn {
  std::vector<double> values;  // over points: standardised
  std::string problem;         // why it is left out; empty: used
};

struct Sample {
  std::vector<TaskLawPoint> points;
  std::vector<double> y, weight;
  std::vector<ParameterColumn> columns;  // train_loss, flops, tpp
};

double mean_over(const TaskPoint& point, double TaskRun::*number) {
  double sum = 0;
  for (const TaskRun* run : point.runs) sum += run->*number;
  return sum / static_cast<double>(point.runs.size());
}

ParameterColumn column_of(const std::string& name, const std::vector<TaskLawPoint>& points,
                          double TaskLawPoint::*number, bool logarithmic) {
  ParameterColumn column{{name, 0, 1, logarithmic}, {}, ""};
  for (const TaskLawPoint& p : points) column.values.push_back(logarithmic ? std::log(p.*number) : p.*number);
  const double mean = mean_of(column.values), deviation = deviation_of(column.values);
  column.reference = logarithmic ? std::exp(mean) : mean;
  column.scale = deviation;
  if (!(deviation > kVaries * std::max(1.0, std::fabs(mean)))) {
    column.problem = "all runs have the same value";
    return column;
  }
  for (double& value : column.values) value = (value - mean) / deviation;
  return column;
}

// Takes what earlier columns explain out of each column; one that is explained away is left out.
void mark_collinear(std::vector<ParameterColumn>& columns) {
  std::vector<std::pair<std::string, std::vector<double>>> basis;  // orthonormal
  for (ParameterColumn& column : columns) {
    if (!column.problem.empty()) continue;
    std::vector<double> rest = column.values;
    double whole = 0, left = 0;
    for (const double value : rest) whole += value * value;
    std::string names;
    for (const auto& [name, direction] : basis) {
      double along = 0;
      for (std::size_t i = 0; i < rest.size(); ++i) along += rest[i] * direction[i];
      for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= along * direction[i];
      names += (names.empty() ? "" : " and ") + name;
    }
    for (const double value : rest) left += value * value;
    if (left < kOwnShare * whole) {
      column.problem = fmt::format("is collinear with {} in these runs: their effects cannot be separated", names);
      continue;
    }
    for (double& value : rest) value /= std::sqrt(left);
    basis.emplace_back(column.name, std::move(rest));
  }
}

Sample sample_of(const std::vector<TaskPoint>& points, const TaskScore& measure) {
  Sample sample;
  for (const TaskPoint& point : points) {
    TaskLawPoint row;
    row.model = point.model;
    row.seeds = static_cast<i64>(point.runs.size());
    row.measured = 0;
    row.train_loss = mean_over(point, &TaskRun::train_loss);
    row.flops = mean_over(point, &TaskRun::flops);
    row.tpp = mean_over(point, &TaskRun::tpp);
    for (const TaskRun* run : point.runs) row.measured += score_of(*run, measure)->value;
    row.measured /= static_cast<double>(row.seeds);
    sample.y.push_back(row.measured);
    sample.weight.push_back(static_cast<double>(row.seeds));
    sample.points.push_back(std::move(row));
  }
  sample.columns = {column_of("train_loss", sample.points, &TaskLawPoint::train_loss, false),
                    column_of("flops", sample.points, &TaskLawPoint::flops, true),
                    column_of("tpp", sample.points, &TaskLawPoint::tpp, true)};
  mark_collinear(sample.columns);
  return sample;
}

std::vector<std::vector<double>> rows_of(const Sample& sample) {
  std::vector<std::vector<double>> rows(sample.y.size(), {1.0});
  for (const ParameterColumn& column : sample.columns) {
    if (!column.problem.empty()) continue;
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].push_back(column.values[i]);
  }
  return rows;
}

double predict(TaskLink link, const std::vector<double>& beta, const std::vector<double>& row, double floor) {
  double eta = 0;
  for (std::size_t i = 0; i < row.size(); ++i) eta += beta[i] * row[i];
  return link_value(link, eta, floor, link == TaskLink::sigmoid_ceiling ? beta.back() : 1);
}

// Predictions for each configuration by the law of the others; NaN where that law has no optimum.
std::vector<double> left_out_of(TaskLink link, const Sample& sample, double floor) {
  const auto rows = rows_of(sample);
  std::vector<double> predictions(rows.size(), kUnknown);
  for (std::size_t out = 0; out < rows.size(); ++out) {
    auto fewer = rows;
    std::vector<double> y = sample.y, weight = sample.weight;
    const auto at = static_cast<std::ptrdiff_t>(out);
    fewer.erase(fewer.begin() + at);
    y.erase(y.begin() + at);
    weight.erase(weight.begin() + at);
    const LinkFit fit = fit_link(link, fewer, y, weight, floor);
    if (fit.converged) predictions[out] = predict(link, fit.beta, rows[out], floor);
  }
  return predictions;
}

double error_of(const std::vector<double>& predicted, const std::vector<double>& measured) {
  double sum = 0;
  for (std::size_t i = 0; i < predicted.size(); ++i) sum += (predicted[i] - measured[i]) * (predicted[i] - measured[i]);
  return std::sqrt(sum / static_cast<double>(predicted.size()));
}

// The mean of the others is y + n (mean - y) / (n - 1).
double constant_error(const std::vector<double>& y) {
  const double n = static_cast<double>(y.size());
  return deviation_of(y) * std::sqrt(n / (n - 1));
}

struct Candidate {
  TaskLink link = TaskLink::linear;
  LinkFit fit;
  std::vector<double> left_out;
  double error = kUnknown;
};

Candidate candidate_of(TaskLink link, const Sample& sample, double floor) {
  Candidate candidate;
  candidate.link = link;
  const auto rows = rows_of(sample);
  const std::size_t unknowns = rows.front().size() + (link == TaskLink::sigmoid_ceiling ? 1 : 0);
  if (sample.y.size() < unknowns + kDfMin) return candidate;
  candidate.fit = fit_link(link, rows, sample.y, sample.weight, floor);
  if (!candidate.fit.converged) return candidate;
  candidate.left_out = left_out_of(link, sample, floor);
  candidate.error = error_of(candidate.left_out, sample.y);
  return candidate;
}

// The best link, by the error on configurations left out; an error that is not known loses.
Candidate choose_link(const Sample& sample, const TaskScore& measure) {
  const bool loss = measure.is_loss;
  Candidate simple = candidate_of(loss ? TaskLink::linear : TaskLink::sigmoid, sample, measure.chance);
  Candidate other = candidate_of(loss ? TaskLink::exponential : TaskLink::sigmoid_ceiling, sample, measure.chance);
  const double wanted = loss ? 1.0 : kCeilingGain;
  const bool better =
      other.fit.converged && (!simple.fit.converged || other.error < wanted * simple.error || std::isnan(simple.error));
  return better && !std::isnan(other.error) ? other : simple;
}

Sign sign_of(const Interval& value) {
  if (value.above(0)) return Sign::positive;
  if (value.below(0)) return Sign::negative;
  return Sign::not_determined;
}

// Coefficients in the units of the header, from those of standardised columns.
void set_terms(TaskLaw& law, const Sample& sample, const LinkFit& fit) {
  const double variance = fit.squares / static_cast<double>(law.df);
  const double spread = student_t95(law.df) * std::sqrt(variance);
  law.beta = fit.beta;
  law.covariance = fit.covariance;
  for (std::vector<double>& row : law.covariance) {
    for (double& entry : row) entry *= variance;
  }
  const auto interval = [&](std::size_t i, double scale) {
    const double half = spread * std::sqrt(fit.covariance[i][i]) / scale;
    const double value = fit.beta[i] / scale;
    return interval_around(value, half);
  };
  law.terms.push_back({"intercept", kUnknown, interval(0, 1), Sign::not_determined, ""});
  std::size_t used = 0;
  for (const ParameterColumn& column : sample.columns) {
    TaskTerm term{column.name, column.reference, {}, Sign::not_determined, column.problem};
    if (column.problem.empty()) {
      term.value = interval(++used, column.scale);
      law.columns.push_back(column);
      if (sign_of(term.value) == Sign::not_determined) term.note = "the interval includes zero";
    }
    law.terms.push_back(std::move(term));
  }
  if (law.link == TaskLink::sigmoid_ceiling) {
    law.ceiling = fit.beta.back();
    law.terms.push_back({"ceiling", kUnknown, interval(fit.beta.size() - 1, 1), Sign::not_determined, ""});
  }
  for (TaskTerm& term : law.terms) term.sign = sign_of(term.value);
}

// Seed noise of the points, and whether the law misses their means by more than it allows. The 95 % point of F is
// taken from its normal approximation (Paulson 1942), within 3 % of the tables for 2 and more degrees of freedom.
double f_point95(double df1, double df2) {
  const double a = 2 / (9 * df1), b = 2 / (9 * df2), z = 1.645;
  const double square = (1 - b) * (1 - b) - z * z * b;
  if (square <= 0) return std::numeric_limits<double>::infinity();
  const double root =
      ((1 - a) * (1 - b) + z * std::sqrt(a * (1 - b) * (1 - b) + b * (1 - a) * (1 - a) - z * z * a * b)) / square;
  return root * root * root;
}

void set_noise(TaskLaw& law, const TaskScore& measure, const std::vector<TaskPoint>& points, double squares) {
  std::vector<Group> groups;
  for (const TaskPoint& point : points) {
    Group group;
    for (const TaskRun* run : point.runs) group.push_back({0, score_of(*run, measure)->value});
    groups.push_back(std::move(group));
  }
  const SeedMeans means = seed_means(groups);
  law.seed_noise = means.deviation;
  if (!means.noise_known()) return;
  const double ratio = squares / static_cast<double>(law.df) / (means.deviation * means.deviation);
  law.misfit = ratio > f_point95(static_cast<double>(law.df), static_cast<double>(means.df));
}

// A score that is not clearly above guessing for any configuration says nothing about models.
bool at_chance(const std::vector<TaskPoint>& points, const TaskScore& measure) {
  if (measure.is_loss) return false;
  for (const TaskPoint& point : points) {
    double sum = 0, se = 0;
    for (const TaskRun* run : point.runs) {
      const TaskScore* score = score_of(*run, measure);
      sum += score->value;
      se += std::isfinite(score->se) ? score->se : 0;
    }
    const double n = static_cast<double>(point.runs.size());
    if (records::above_chance(sum / n, se / n, measure.chance_best)) return false;
  }
  return true;
}

void set_verdict(TaskLaw& law) {
  std::vector<std::string> open;
  i64 slopes = 0;
  for (const TaskTerm& term : law.terms) {
    if (!term.is_slope()) continue;
    if (!term.determined()) {
      open.push_back(fmt::format("{} ({})", term.name, term.note));
    } else {
      ++slopes;
    }
  }
  if (!(law.holdout_error < law.holdout_error_constant)) {
    law.verdict =
        Verdict(Knowledge::none, "the law predicts left-out configurations no better than the mean of the others does");
  } else if (slopes == 0) {
    law.verdict = Verdict(Knowledge::none, fmt::format("{}", fmt::join(open, "; ")));
  } else if (!open.empty()) {
    law.verdict = Verdict(Knowledge::partly, fmt::format("not {}", fmt::join(open, "; not ")));
  } else {
    law.verdict = Verdict(Knowledge::determined);
  }
  if (law.misfit)
    law.notes.push_back("the configurations deviate from the law by more than seed noise: the form is too simple");
  if (std::isnan(law.seed_noise))
    law.notes.push_back("one seed: the intervals rest on the configurations' residuals alone");
}

TaskLaw not_fitted(TaskLaw law, const std::string& why) {
  law.verdict = Verdict(Knowledge::none, why);
  return law;
}

}  // namespace

double task_law_value(const TaskLaw& law, double train_loss, double flops, double tpp) {
  if (!law.fitted()) return kUnknown;
  double eta = 0;
  for (const TaskTerm& term : law.terms) {
    if (!std::isfinite(term.value.estimate)) continue;
    if (term.name == "intercept") eta += term.value.estimate;
    if (term.name == "train_loss") eta += term.value.estimate * (train_loss - term.reference);
    if (term.name == "flops") eta += term.value.estimate * std::log(flops / term.reference);
    if (term.name == "tpp") eta += term.value.estimate * std::log(tpp / term.reference);
  }
  return link_value(*law.link, eta, law.floor, law.ceiling);
}

TaskLaw fit_task_law(const std::vector<TaskRun>& runs, const TaskScore& measure) {
  TaskLaw law;
  law.task = measure.task;
  law.skill = measure.skill;
  law.measure = measure.measure;
  law.tasks = measure.tasks;
  if (!measure.is_loss) law.floor = measure.chance;
  const std::vector<TaskPoint> points = task_points(runs, measure);
  law.configurations = static_cast<i64>(points.size());
  for (const TaskPoint& point : points) law.runs += static_cast<i64>(point.runs.size());
  if (points.size() < 2) return not_fitted(std::move(law), "fewer than two configurations have this measure");
  Sample sample = sample_of(points, measure);
  law.points = sample.points;
  if (at_chance(points, measure)) {
    return not_fitted(std::move(law), "no configuration is three standard errors above guessing");
  }
  const i64 unknowns = static_cast<i64>(rows_of(sample).front().size());
  if (law.configurations < unknowns + kDfMin) {
    const std::string reason = fmt::format("{} configurations for {} coefficients; {} are needed", law.configurations,
                                           unknowns, unknowns + kDfMin);
    return not_fitted(std::move(law), reason);
  }
  const Candidate chosen = choose_link(sample, measure);
  if (!chosen.fit.converged)
    return not_fitted(std::move(law), "the fit did not converge: no curve of this form fits these values");
  law.link = chosen.link;
  if (!measure.is_loss) law.ceiling = 1;
  law.df = law.configurations - static_cast<i64>(chosen.fit.beta.size());
  const double weight_mean = mean_of(sample.weight);
  law.residual = std::sqrt(chosen.fit.squares / weight_mean / static_cast<double>(law.df));
  set_terms(law, sample, chosen.fit);
  set_noise(law, measure, points, chosen.fit.squares);
  law.holdout_error = chosen.error;
  law.holdout_error_constant = constant_error(sample.y);
  for (std::size_t i = 0; i < law.points.size(); ++i) {
    TaskLawPoint& point = law.points[i];
    point.predicted = task_law_value(law, point.train_loss, point.flops, point.tpp);
    point.left_out = chosen.left_out[i];
  }
  law.curves = task_curves(law);
  set_verdict(law);
  return law;
}

std::vector<TaskLaw> fit_task_laws(const std::vector<TaskRun>& runs) {
  std::vector<TaskLaw> laws;
  for (const TaskScore& measure : task_measures(runs)) laws.push_back(fit_task_law(runs, measure));
  return laws;
}

}  // namespace moebius::fit
