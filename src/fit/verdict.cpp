// Which coefficients the data determine, and what to tell the user when they do not. Rules: docs/fit.md.
// In: a fitted law with its bootstrap samples; out: its coefficients with intervals, its verdict and notes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "fit/fit.h"

namespace moebius::fit {

namespace {

constexpr double kVariesLeast = 1.05;  // high/low of a column: less says nothing about its term
constexpr double kVanished = 1e-7;  // a coefficient that moves the prediction by less than this share does not matter
constexpr double kScaleRatioMax = 100;    // high/low of scales: two orders of magnitude
constexpr double kExponentRatioMax = 10;  // high/low of exponents
constexpr i64 kFreedomLeast =
    2;  // runs - coefficients; with one, three in five of the verdicts were wrong in a simulation
constexpr double kAloneWider = 2;  // the bootstrap interval is used unless the linearised one is this many times wider

// "all runs have the same parameters_total", or hardly different ones, for every input of the law.
std::vector<std::string> levers_missing(const LawFit& fit) {
  std::vector<std::string> lines;
  for (const std::string& need : law_needs(fit.kind)) {
    Range values;
    for (const LawPoint& p : fit.points) values.add(point_number(p, need));
    if (values.low == values.high) {
      lines.push_back(fmt::format("all runs have the same {} ({})", need, values.low));
    } else if (values.high < kVariesLeast * values.low) {
      lines.push_back(
          fmt::format("all runs have nearly the same {} ({:.4g} to {:.4g})", need, values.low, values.high));
    }
  }
  return lines;
}

// Differences between the runs in something that the law assumes to be equal.
std::vector<std::string> scope_left(const LawFit& fit) {
  std::vector<std::string> lines;
  if (fit.kind == Law::fine_grained) {
    std::set<double> rates;
    for (const LawPoint& p : fit.points) {
      if (p.experts > 0 && p.granularity > 0) rates.insert(p.experts / p.granularity);
    }
    if (rates.size() > 1) {
      lines.push_back(
          fmt::format("this law holds at one expansion rate (experts/granularity), and the runs have {} to {}",
                      *rates.begin(), *rates.rbegin()));
    }
  }
  if (fit.kind == Law::routed) {
    Range tokens;
    for (const LawPoint& p : fit.points) tokens.add(p.tokens);
    if (tokens.high > 1.01 * tokens.low) {
      lines.push_back(
          fmt::format("this law has no token term, and the runs saw {} to {} tokens: it does not separate them",
                      tokens.low, tokens.high));
    }
  }
  return lines;
}

void interval_set(const LawFit& fit, std::size_t index, Coefficient& coefficient) {
  std::vector<double> values;
  for (const std::vector<double>& sample : fit.samples) values.push_back(sample[index]);
  std::ranges::sort(values);
  coefficient.low = percentile(values, (1 - kIntervalLevel) / 2);
  coefficient.high = percentile(values, (1 + kIntervalLevel) / 2);
}

void interval_judge(bool is_scale, Coefficient& coefficient) {
  const double low = coefficient.low, high = coefficient.high;
  if (!std::isfinite(low) || !std::isfinite(high)) {
    coefficient.note = "its interval is not finite";
  } else if (low <= 0 && high >= 0) {
    coefficient.note = "its interval includes zero";
  } else {
    const double ratio = std::fmax(low / high, high / low);
    if (ratio >= (is_scale ? kScaleRatioMax : kExponentRatioMax)) {
      coefficient.note = fmt::format("its interval spans a factor of {:.0f}", std::fmin(ratio, 1e6));
      if (ratio > 1e6) coefficient.note = "its interval spans more than a factor of a million";
    }
  }
  coefficient.determined = coefficient.note.empty();
}

// Half the interval's width in theta; 0 without an interval.
double half_width(bool is_log, const Coefficient& c) {
  if (!std::isfinite(c.low) || !std::isfinite(c.high)) return 0;
  return is_log ? 0.5 * std::log(c.high / c.low) : 0.5 * (c.high - c.low);
}

// A second look at a coefficient that its bootstrap interval calls determined: what do the runs say without the weight
// decay, linearised, with the degrees of freedom that are left?
void alone_judge(const LawFit& fit, const Alone& alone, std::size_t i, Coefficient& c) {
  const bool is_log = form_of(fit.kind).is_log[i];
  const double half = half_width(is_log, c), theta = fit.minima.front().theta[i], error = alone.half[i];
  const auto value = [is_log](double t) { return is_log ? std::exp(std::clamp(t, -700.0, 700.0)) : t; };
  if (std::ssize(fit.points) - std::ssize(fit.coefficients) < kFreedomLeast) {
    c.note = "one run more than coefficients is too few to judge the noise by";
  } else if (std::fabs(alone.pull[i]) > (half > 0 ? half : error)) {
    c.note = "the weight decay determines it, not the runs: without the decay it would leave its interval";
  } else if (error > kAloneWider * half) {
    Coefficient wide{.name = c.name, .value = c.value, .low = value(theta - error), .high = value(theta + error)};
    interval_judge(is_log, wide);
    if (half > 0) {  // then this is the interval to give
      c.low = std::fmin(c.low, wide.low);
      c.high = std::fmax(c.high, wide.high);
    }
    if (wide.determined) return;
    const char* why = half == 0              ? "with errors linearised at the optimum"
                      : fit.weight_decay > 0 ? "with errors linearised at the optimum, without the weight decay"
                                             : "with errors linearised at the optimum, wider than the bootstrap's";
    c.note = fmt::format("{}, {}", why, wide.note);
  }
  c.determined = c.note.empty();
}

void coefficients_judge(const LawFit& fit, std::vector<Coefficient>& coefficients) {
  const Alone alone = alone_at(fit);
  const std::vector<Together> pairs = levers_together(fit);
  const std::vector<double> best = coefficients_from_theta(fit.kind, fit.minima.front().theta);
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    Coefficient& coefficient = coefficients[i];
    if (alone.flat[i]) {
      coefficient.note = "the runs contain nothing that determines it";
      continue;
    }
    coefficient.value = best[i];
    if (!fit.samples.empty()) interval_set(fit, i, coefficient);
    for (const Together& pair : pairs) {
      if (pair.coefficients[i]) coefficient.note = fmt::format("{} and {} move together", pair.a, pair.b);
    }
    if (!coefficient.note.empty()) continue;
    if (alone.norms[i] < kVanished * *std::ranges::max_element(alone.norms)) {
      coefficient.note = "its term has vanished from the prediction";
      continue;
    }
    coefficient.determined = true;
    if (!fit.samples.empty()) interval_judge(form_of(fit.kind).is_log[i], coefficient);
    if (coefficient.determined) alone_judge(fit, alone, i, coefficient);
  }
}

std::string names_where(const LawFit& fit, bool (*wanted)(const Coefficient&)) {
  std::vector<std::string> names;
  for (const Coefficient& c : fit.coefficients) {
    if (wanted(c)) names.push_back(c.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// A law that explains no more than the mean of ln loss does, by AIC without the correction for few runs, which would
// refuse every law with few degrees of freedom before its coefficients are judged one by one.
bool explains_nothing(const LawFit& fit) {
  double mean = 0, squares = 0;
  const double n = static_cast<double>(fit.points.size());
  for (const LawPoint& p : fit.points) mean += std::log(p.loss) / n;
  for (const LawPoint& p : fit.points) squares += std::pow(std::log(p.loss) - mean, 2);
  const double gain = 2 * n * std::log(std::sqrt(squares / n) / std::max(fit.rmse_log, 1e-300));
  return gain <= 2 * (static_cast<double>(law_coefficients(fit.kind).size()) - 1);
}

void notes_add(const Objective& objective, LawFit& fit) {
  if (!fit.minima.front().converged) {
    fit.notes.push_back("the search stopped in a flat valley: nearby coefficients fit equally well");
  }
  if (fit.samples.empty())
    fit.notes.push_back(
        "no bootstrap: intervals are missing, and the verdict rests on errors linearised at the optimum");
  const double cost = fit.minima.front().cost;
  if (objective.weight_decay() > 0 && fit.penalty > kDecayMuch * cost) {
    fit.notes.push_back(
        fmt::format("the published weight decay is {:.0f} % of the objective and pulls the coefficients towards zero; "
                    "--weight-decay 0 fits without it",
                    100 * fit.penalty / cost));
  }
  for (std::size_t i = 1; cost > 0 && i < fit.minima.size(); ++i) {
    if (fit.minima[i].cost > cost * (1 + 1e-3)) continue;
    const std::vector<double> other = coefficients_from_theta(fit.kind, fit.minima[i].theta);
    bool apart = false;
    for (std::size_t j = 0; j < other.size(); ++j) {
      const Coefficient& c = fit.coefficients[j];
      apart = apart || (c.determined && std::fabs(other[j] / c.value - 1) > 0.1);
    }
    if (!apart) continue;
    fit.notes.push_back(fmt::format("another optimum with other coefficients is worse by only {:.2g} %",
                                    100 * (fit.minima[i].cost / cost - 1)));
    break;
  }
}

}  // namespace

void judge_too_few(LawFit& fit) {
  const i64 n = std::ssize(fit.points), p = std::ssize(fit.coefficients);
  const std::string why = n < p    ? fmt::format("fewer runs ({}) than coefficients ({})", n, p)
                          : n == p ? fmt::format("as many runs as coefficients ({}): none is left to judge the fit", n)
                                   : "the objective is not finite at any starting point";
  for (Coefficient& coefficient : fit.coefficients) coefficient.note = why;
  fit.verdict = Verdict(Knowledge::none, why);
}

void judge(const Objective& objective, LawFit& fit) {
  coefficients_judge(fit, fit.coefficients);
  for (const std::string& line : levers_missing(fit)) fit.notes.push_back(line);
  for (const std::string& line : scope_left(fit)) fit.notes.push_back(line);
  for (const Together& pair : levers_together(fit)) {
    fit.notes.push_back(fmt::format(
        "{} follows {} in these runs (a line in the logarithms, within 2 %): their terms cannot be told apart; "
        "vary one of them alone",
        pair.b, pair.a));
  }
  notes_add(objective, fit);
  const i64 p = std::ssize(fit.coefficients);
  const i64 good = std::ranges::count_if(fit.coefficients, [](const Coefficient& c) { return c.determined; });
  const std::string flat = names_where(fit, [](const Coefficient& c) { return std::isnan(c.value); });
  const std::string loose = names_where(fit, [](const Coefficient& c) { return !c.determined; });
  if (!flat.empty()) {
    const std::vector<std::string> reasons = levers_missing(fit);
    fit.verdict = Verdict(Knowledge::none, fmt::format("the runs cannot tell {} apart{}{}", flat,
                                                       reasons.empty() ? "" : ": ", fmt::join(reasons, "; ")));
  } else if (explains_nothing(fit)) {
    const std::string why = "the law explains the runs no better than their mean does";
    for (Coefficient& c : fit.coefficients) {
      c.determined = false;
      c.note = why;
    }
    fit.verdict = Verdict(Knowledge::none, why);
  } else if (good == 0) {
    fit.verdict = Verdict(Knowledge::none, "no coefficient's interval is narrow enough to mean anything");
  } else if (good < p) {
    fit.verdict = Verdict(Knowledge::partly, fmt::format("not {}", loose));
  } else if (fit.samples.empty()) {
    fit.verdict = Verdict(Knowledge::determined, "at the optimum, without intervals");
  } else {
    fit.verdict = Verdict(Knowledge::determined, fmt::format("all {} coefficients, within the intervals given", p));
  }
}

}  // namespace moebius::fit
