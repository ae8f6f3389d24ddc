// The delta method along a line through the middle of the runs.

#include <algorithm>
#include <cmath>
#include <functional>

#include "fit/task_law.h"

namespace moebius::fit {

namespace {

constexpr int kTaskCurvePoints = 49;

// Standardised coordinates: 1, then the used columns; 0 at their means.
std::vector<double> row_at(const TaskLaw& law, const std::string& column, double x) {
  std::vector<double> row = {1.0};
  for (const TaskColumn& used : law.columns) {
    const double along = used.logarithmic ? std::log(x / used.reference) : x - used.reference;
    row.push_back(used.name == column ? along / used.scale : 0);
  }
  return row;
}

// A band of eta carried through the link, so that it stays between floor and ceiling; a fitted ceiling's own error
// comes in by the derivative of y.
Interval value_at(const TaskLaw& law, const std::vector<double>& row) {
  const bool fitted_ceiling = law.link == TaskLink::sigmoid_ceiling;
  double eta = 0;
  for (std::size_t i = 0; i < row.size(); ++i) eta += law.beta[i] * row[i];
  const auto link = [&](double at, double ceiling) { return link_value(*law.link, at, law.floor, ceiling); };
  const auto half_of = [&](const std::vector<double>& gradient) {
    double square = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      for (std::size_t j = 0; j < gradient.size(); ++j) square += gradient[i] * law.covariance[i][j] * gradient[j];
    }
    return student_t95(law.df) * std::sqrt(std::max(square, 0.0));
  };
  const double value = link(eta, law.ceiling);
  if (!fitted_ceiling) {
    const double half = half_of(row);
    const double one = link(eta - half, law.ceiling), other = link(eta + half, law.ceiling);
    return {value, std::min(one, other), std::max(one, other)};
  }
  constexpr double kStep = 1e-5;
  const double slope = (link(eta + kStep, law.ceiling) - link(eta - kStep, law.ceiling)) / (2 * kStep);
  std::vector<double> gradient;
  for (const double entry : row) gradient.push_back(slope * entry);
  gradient.push_back((link(eta, law.ceiling + kStep) - link(eta, law.ceiling - kStep)) / (2 * kStep));
  const double half = half_of(gradient);
  return {value, std::max(law.floor, value - half), value + half};
}

std::vector<records::CurvePoint> curve_of(const TaskLaw& law, const std::string& column, double TaskLawPoint::*number) {
  std::vector<records::CurvePoint> curve;
  const auto used = std::ranges::find(law.columns, column, &TaskColumn::name);
  if (!law.fitted() || used == law.columns.end() || law.points.empty()) return curve;
  Range range;
  for (const TaskLawPoint& point : law.points) range.add(point.*number);
  const auto [low, high] = range;
  for (int i = 0; i < kTaskCurvePoints; ++i) {
    const double share = i / (kTaskCurvePoints - 1.0);
    const double x = used->logarithmic ? low * std::pow(high / low, share) : low + share * (high - low);
    const Interval value = value_at(law, row_at(law, column, x));
    curve.push_back({.x = x, .y = value.estimate, .low = value.low, .high = value.high});
  }
  return curve;
}

}  // namespace

records::TaskCurves task_curves(const TaskLaw& law) {
  records::TaskCurves curves;
  for (const TaskTerm& term : law.terms) {
    if (term.name == "train_loss") curves.at.train_loss = term.reference;
    if (term.name == "flops") curves.at.flops = term.reference;
    if (term.name == "tpp") curves.at.tpp = term.reference;
  }
  curves.over_train_loss = curve_of(law, "train_loss", &TaskLawPoint::train_loss);
  curves.over_flops = curve_of(law, "flops", &TaskLawPoint::flops);
  return curves;
}

}  // namespace moebius::fit
