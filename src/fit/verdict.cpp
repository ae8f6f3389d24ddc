// Which coefficients the data determine, and what to tell the user when they do not. Rules: docs/fit.md.
// In: a fitted law with its bootstrap samples; out: its coefficients with intervals, its verdict and notes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "fit/fit.h"

namespace moebius::fit {

namespace {

// A direction with less than this share of the largest eigenvalue of the scaled Gauss-Newton matrix does not exist in the
// data: rounding alone gives 1e-16, correlated but determined coefficients 1e-9 and more.
constexpr double kFlatEigenvalue = 1e-13;
constexpr double kFlatPart = 1e-3;        // a coefficient belongs to a flat direction from this component on
constexpr double kVanished = 1e-7;        // a coefficient that moves the prediction by less than this share has no say
constexpr double kScaleRatioMax = 100;    // high/low of scales: two orders of magnitude
constexpr double kExponentRatioMax = 10;  // high/low of exponents

// Which coefficients lie in a flat direction at the best optimum (no weight decay, all runs count in full).
std::vector<bool> flat_coefficients(const LawFit& fit, std::vector<double>& norms) {
  const Objective plain(fit.law, fit.points, std::numeric_limits<double>::infinity(), 0);
  const i64 p = plain.parameters();
  std::vector<double> matrix(static_cast<std::size_t>(p * p));
  norms.resize(static_cast<std::size_t>(p));
  plain.gauss_newton(fit.optima.front().theta.data(), matrix.data(), norms.data());
  const double runs = static_cast<double>(fit.points.size());
  for (i64 a = 0; a < p; ++a) {
    for (i64 b = 0; b < p; ++b) {
      const double scale = norms[static_cast<std::size_t>(a)] * norms[static_cast<std::size_t>(b)] * runs;
      double& entry = matrix[static_cast<std::size_t>(a * p + b)];
      entry = scale > 0 ? entry / scale : (a == b ? 1.0 : 0.0);
    }
  }
  std::vector<double> values, vectors;
  eigen_symmetric(matrix, p, values, vectors);
  std::vector<bool> flat(static_cast<std::size_t>(p), false);
  for (i64 i = 0; i < p; ++i) {
    if (values[static_cast<std::size_t>(i)] > kFlatEigenvalue * values.back()) continue;
    for (i64 j = 0; j < p; ++j) {
      if (std::fabs(vectors[static_cast<std::size_t>(i * p + j)]) > kFlatPart) flat[static_cast<std::size_t>(j)] = true;
    }
  }
  return flat;
}

// "all runs have the same parameters_total", for every number that the law asks for.
std::vector<std::string> levers_missing(const LawFit& fit) {
  std::vector<std::string> lines;
  for (const std::string& need : law_needs(fit.law)) {
    std::set<double> values;
    for (const LawPoint& p : fit.points) values.insert(point_number(p, need));
    if (values.size() == 1) lines.push_back(fmt::format("all runs have the same {} ({})", need, *values.begin()));
  }
  return lines;
}

// Where the runs differ in something that the law holds to be equal.
std::vector<std::string> scope_left(const LawFit& fit) {
  std::vector<std::string> lines;
  if (fit.law == Law::fine_grained) {
    std::set<double> rates;
    for (const LawPoint& p : fit.points) {
      if (p.experts > 0 && p.granularity > 0) rates.insert(p.experts / p.granularity);
    }
    if (rates.size() > 1) {
      lines.push_back(fmt::format("this law holds at one expansion rate (experts/granularity), and the runs have {} to {}", *rates.begin(),
                                  *rates.rbegin()));
    }
  }
  if (fit.law == Law::routed) {
    double least = INFINITY, largest = 0;
    for (const LawPoint& p : fit.points) {
      least = std::fmin(least, p.tokens);
      largest = std::fmax(largest, p.tokens);
    }
    if (largest > 1.01 * least) {
      lines.push_back(fmt::format("this law knows no tokens, and the runs saw {} to {}: it mixes them up", least, largest));
    }
  }
  return lines;
}

void interval_set(const LawFit& fit, std::size_t index, Coefficient& coefficient) {
  std::vector<double> values;
  for (const std::vector<double>& sample : fit.samples) values.push_back(sample[index]);
  std::sort(values.begin(), values.end());
  coefficient.low = percentile(values, (1 - kIntervalLevel) / 2);
  coefficient.high = percentile(values, (1 + kIntervalLevel) / 2);
}

void interval_judge(bool is_scale, Coefficient& coefficient) {
  const double low = coefficient.low, high = coefficient.high;
  if (!std::isfinite(low) || !std::isfinite(high)) {
    coefficient.note = "its interval is not finite";
  } else if (low <= 0 && high >= 0) {
    coefficient.note = "its interval holds zero";
  } else {
    const double ratio = std::fmax(low / high, high / low);
    if (ratio >= (is_scale ? kScaleRatioMax : kExponentRatioMax)) {
      coefficient.note = fmt::format("its interval spans a factor of {:.0f}", std::fmin(ratio, 1e6));
      if (ratio > 1e6) coefficient.note = "its interval spans more than a factor of a million";
    }
  }
  coefficient.determined = coefficient.note.empty();
}

void coefficients_judge(const LawFit& fit, std::vector<Coefficient>& coefficients) {
  std::vector<double> norms;
  const std::vector<bool> flat = flat_coefficients(fit, norms);
  const std::vector<double> best = coefficients_from_theta(fit.law, fit.optima.front().theta);
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    Coefficient& coefficient = coefficients[i];
    if (flat[i]) {
      coefficient.note = "the runs hold nothing that would determine it";
      continue;
    }
    coefficient.value = best[i];
    if (!fit.samples.empty()) interval_set(fit, i, coefficient);
    if (norms[i] < kVanished * *std::max_element(norms.begin(), norms.end())) {
      coefficient.note = "its term has vanished from the prediction";
    } else if (fit.samples.empty()) {
      coefficient.determined = true;
    } else {
      interval_judge(form_of(fit.law).is_log[i], coefficient);
    }
  }
}

std::string names_where(const LawFit& fit, bool (*wanted)(const Coefficient&)) {
  std::vector<std::string> names;
  for (const Coefficient& c : fit.coefficients) {
    if (wanted(c)) names.push_back(c.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// A law that explains no more than the mean of ln loss does.
bool explains_nothing(const LawFit& fit) {
  double mean = 0, squares = 0;
  const double n = static_cast<double>(fit.points.size());
  for (const LawPoint& p : fit.points) mean += std::log(p.loss) / n;
  for (const LawPoint& p : fit.points) squares += std::pow(std::log(p.loss) - mean, 2);
  return fit.aic >= aic_of(std::sqrt(squares / n), std::ssize(fit.points), 1);
}

void notes_add(const Objective& objective, LawFit& fit) {
  if (!fit.optima.front().converged) {
    fit.notes.push_back("the search ended in a flat valley before it settled: nearby coefficients fit equally well");
  }
  if (fit.samples.empty()) fit.notes.push_back("no bootstrap: intervals are missing, and the verdict knows only the optimum");
  const double cost = fit.optima.front().cost;
  if (objective.weight_decay() > 0 && fit.penalty > 0.1 * cost) {
    fit.notes.push_back(fmt::format("the published weight decay is {:.0f} % of the objective and pulls the coefficients towards zero; "
                                    "--weight-decay 0 fits without it", 100 * fit.penalty / cost));
  }
  for (std::size_t i = 1; cost > 0 && i < fit.optima.size(); ++i) {
    if (fit.optima[i].cost > cost * (1 + 1e-3)) continue;
    const std::vector<double> other = coefficients_from_theta(fit.law, fit.optima[i].theta);
    bool apart = false;
    for (std::size_t j = 0; j < other.size(); ++j) {
      const Coefficient& c = fit.coefficients[j];
      apart = apart || (c.determined && std::fabs(other[j] / c.value - 1) > 0.1);
    }
    if (!apart) continue;
    fit.notes.push_back(fmt::format("another optimum with other coefficients is worse by only {:.2g} %", 100 * (fit.optima[i].cost / cost - 1)));
    break;
  }
}

}  // namespace

void judge_too_few(LawFit& fit) {
  const i64 n = std::ssize(fit.points), p = std::ssize(fit.coefficients);
  const std::string why =
      n < p    ? fmt::format("fewer runs ({}) than coefficients ({})", n, p)
      : n == p ? fmt::format("as many runs as coefficients ({}): none is left to judge the fit by", n)
               : "the objective is finite at no start";
  for (Coefficient& coefficient : fit.coefficients) coefficient.note = why;
  fit.verdict = "not determined: " + why;
}

void judge(const Objective& objective, LawFit& fit) {
  coefficients_judge(fit, fit.coefficients);
  for (const std::string& line : levers_missing(fit)) fit.notes.push_back(line);
  for (const std::string& line : scope_left(fit)) fit.notes.push_back(line);
  notes_add(objective, fit);
  const i64 p = std::ssize(fit.coefficients);
  const i64 good = std::count_if(fit.coefficients.begin(), fit.coefficients.end(), [](const Coefficient& c) { return c.determined; });
  const std::string flat = names_where(fit, [](const Coefficient& c) { return std::isnan(c.value); });
  const std::string loose = names_where(fit, [](const Coefficient& c) { return !c.determined; });
  fit.determined = good == p;
  if (!flat.empty()) {
    const std::vector<std::string> reasons = levers_missing(fit);
    fit.verdict = fmt::format("not determined: the runs cannot tell {} apart{}{}", flat, reasons.empty() ? "" : ": ",
                              fmt::join(reasons, "; "));
  } else if (explains_nothing(fit)) {
    const std::string why = "the law explains the runs no better than their mean does";
    fit.determined = false;
    for (Coefficient& c : fit.coefficients) {
      c.determined = false;
      c.note = why;
    }
    fit.verdict = "not determined: " + why;
  } else if (good == 0) {
    fit.verdict = "not determined: no coefficient's interval is narrow enough to mean anything";
  } else if (good < p) {
    fit.verdict = fmt::format("partly determined: not {}", loose);
  } else if (fit.samples.empty()) {
    fit.verdict = "determined as far as the optimum shows (no intervals)";
  } else {
    fit.verdict = fmt::format("determined: all {} coefficients, within the intervals given", p);
  }
}

}  // namespace moebius::fit
