// Linearised errors, the shift caused by the weight decay, inputs that vary only together.
#include "fit/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/statistics.h"

namespace moebius::fit {

namespace {

// A direction with less than this share of the largest eigenvalue of the scaled Gauss-Newton matrix does not exist in
// the
// data: rounding alone gives 1e-16, correlated but determined coefficients 1e-9 and more.
constexpr double kFlatEigenvalue = 1e-13;
constexpr double kFlatPart = 1e-3;  // a coefficient belongs to a flat direction from this component on
constexpr double kTogether = 0.02;  // of ln b around its line over ln a

// (J^T W J)^-1 in theta as its eigenvectors, scaled so that all coefficients move the prediction equally.
struct Inverse {
  std::size_t size = 0;
  std::vector<double> values, vectors, scale, norms;

  double floor() const { return kFlatEigenvalue * values.back(); }
  double entry(std::size_t a, std::size_t b) const {
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
      if (values[i] > floor()) sum += vectors[i * size + a] * vectors[i * size + b] / values[i];
    }
    return sum * scale[a] * scale[b];
  }
};

Inverse inverse_at(const LawFit& fit, double huber_delta) {
  const Objective objective(fit.kind, fit.points, huber_delta, 0);
  Inverse inverse;
  inverse.size = static_cast<std::size_t>(objective.parameters());
  const std::size_t p = inverse.size;
  std::vector<double> matrix(p * p);
  inverse.norms.resize(p);
  objective.gauss_newton(fit.minima.front().theta.data(), matrix.data(), inverse.norms.data());
  for (const double norm : inverse.norms) {
    const double length = norm * std::sqrt(static_cast<double>(fit.points.size()));
    inverse.scale.push_back(length > 0 ? 1 / length : 0);
  }
  for (std::size_t a = 0; a < p; ++a) {
    for (std::size_t b = 0; b < p; ++b) {
      const double scale = inverse.scale[a] * inverse.scale[b];
      double& entry = matrix[a * p + b];
      entry = scale > 0 ? entry * scale : (a == b ? 1.0 : 0.0);
    }
  }
  eigen_symmetric(matrix, objective.parameters(), inverse.values, inverse.vectors);
  return inverse;
}

// Standard deviation of the residuals that the objective knows, with the degrees of freedom that are left.
double residual_deviation(const LawFit& fit, i64 freedom) {
  const double mean = form_of(fit.kind).log_residual ? fit.rmse_log : fit.rmse;
  return mean * std::sqrt(static_cast<double>(fit.points.size()) / static_cast<double>(freedom));
}

// Root mean square distance of ln b from its best line over ln a; infinite when either does not vary.
double line_distance(const std::vector<LawPoint>& points, const std::string& a, const std::string& b) {
  double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
  const double n = static_cast<double>(points.size());
  for (const LawPoint& p : points)
    mean_a += std::log(point_number(p, a)) / n, mean_b += std::log(point_number(p, b)) / n;
  for (const LawPoint& p : points) {
    const double x = std::log(point_number(p, a)) - mean_a, y = std::log(point_number(p, b)) - mean_b;
    aa += x * x, bb += y * y, ab += x * y;
  }
  const double least = n * kTogether * kTogether;  // a spread this small is no lever, and said elsewhere
  if (!(aa > least && bb > least)) return std::numeric_limits<double>::infinity();
  return std::sqrt(std::max(0.0, bb - ab * ab / aa) / n);
}

// The form's columns that hold the logarithm of this number; -1: it is in no column (the experts of the saturating
// laws).
i64 form_column(const Form& form, const std::string& need) {
  const std::string name = need == "tokens"                   ? "ln D"
                           : need == "granularity"            ? "ln G"
                           : need.rfind("parameters", 0) == 0 ? "ln N"
                                                              : "";
  const auto found = std::ranges::find(form.columns, name);
  return found == form.columns.end() ? -1 : found - form.columns.begin();
}

void mark_terms(const Form& form, i64 column, std::vector<bool>& marked) {
  for (const std::vector<FormPart>& term : form.terms) {
    const bool of_column = std::ranges::any_of(term, [column](const FormPart& part) { return part.column == column; });
    for (const FormPart& part : term) {
      if (of_column) marked[static_cast<std::size_t>(part.coefficient)] = true;
    }
  }
}

}  // namespace

Alone alone_at(const LawFit& fit) {
  const std::size_t p = fit.coefficients.size();
  const i64 freedom = std::ssize(fit.points) - std::ssize(fit.coefficients);
  const std::vector<double>& theta = fit.minima.front().theta;
  const Inverse plain = inverse_at(fit, std::numeric_limits<double>::infinity());
  const Inverse robust = fit.weight_decay > 0 ? inverse_at(fit, fit.huber_delta) : plain;
  const double deviation = residual_deviation(fit, freedom), t = student_t95(freedom);
  Alone alone;
  alone.norms = plain.norms;
  alone.flat.assign(p, false);
  for (std::size_t i = 0; i < p; ++i) {
    for (std::size_t j = 0; j < p && !(plain.values[i] > plain.floor()); ++j) {
      if (std::fabs(plain.vectors[i * p + j]) > kFlatPart) alone.flat[j] = true;
    }
  }
  for (std::size_t a = 0; a < p; ++a) {
    alone.half.push_back(t * deviation * std::sqrt(plain.entry(a, a)));
    double pull = 0;
    for (std::size_t b = 0; fit.weight_decay > 0 && b < p; ++b) {
      pull += robust.entry(a, b) * 2 * fit.weight_decay * theta[b];
    }
    alone.pull.push_back(pull);
  }
  return alone;
}

std::vector<Together> levers_together(const LawFit& fit) {
  const Form& form = form_of(fit.kind);
  const std::vector<std::string> needs = law_needs(fit.kind);
  std::vector<Together> pairs;
  for (std::size_t i = 0; i < needs.size(); ++i) {
    for (std::size_t j = i + 1; j < needs.size(); ++j) {
      const i64 a = form_column(form, needs[i]), b = form_column(form, needs[j]);
      if (a < 0 || b < 0 || line_distance(fit.points, needs[i], needs[j]) > kTogether) continue;
      Together pair{.a = needs[i], .b = needs[j], .coefficients = std::vector<bool>(fit.coefficients.size(), false)};
      mark_terms(form, a, pair.coefficients);
      mark_terms(form, b, pair.coefficients);
      pairs.push_back(std::move(pair));
    }
  }
  return pairs;
}

}  // namespace moebius::fit
