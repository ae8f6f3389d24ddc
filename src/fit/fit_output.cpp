// Filling the structs of fit.json, sentences, and the pairwise comparison of laws (rules and their reasons:
// docs/fit.md).
#include "fit/fit_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/units.h"

namespace moebius::fit {

namespace {

std::vector<records::ColumnRange> ranges_of(const LawFit& fit) {
  std::vector<records::ColumnRange> ranges;
  for (const std::string& need : law_needs(fit.kind)) {
    Range range;
    for (const LawPoint& p : fit.points) range.add(point_number(p, need));
    ranges.push_back({need, {range.low, range.high}});
  }
  return ranges;
}

std::string coefficient_line(const Coefficient& c) {
  std::string interval;
  if (std::isfinite(c.low)) interval = fmt::format("{:.4g} to {:.4g}", c.low, c.high);
  if (c.determined) return fmt::format("  {:<6} {:<12.6g} {}\n", c.name, c.value, interval);
  const std::string more = interval.empty() ? "" : fmt::format(" ({})", interval);
  return fmt::format("  {:<6} not determined: {}{}\n", c.name, c.note, more);
}

// The largest residuals of the law, and whether its errors have a trend over compute.
std::string residual_lines(const LawFit& fit) {
  const std::size_t n = fit.predicted.size();
  const auto relative = [&](std::size_t i) { return fit.predicted[i] / fit.points[i].loss - 1; };
  const std::vector<std::size_t> order = order_by(n, [&](std::size_t i) { return -std::fabs(relative(i)); });
  std::string text = fmt::format("residuals: root mean square {:.4g} ({:.2g} of ln); largest:", fit.rmse, fit.rmse_log);
  for (std::size_t i = 0; i < std::min<std::size_t>(3, n); ++i) {
    text += fmt::format("{} {} {:+.2f} %", i == 0 ? "" : ",", fit.names[order[i]], 100 * relative(order[i]));
  }
  text += '\n';
  if (n < 9 || !std::isfinite(run_compute(fit.points.front()))) return text;
  const auto by_compute = order_by(n, [&](std::size_t i) { return run_compute(fit.points[i]); });
  text += "  mean error by compute, thirds:";
  for (std::size_t third = 0; third < 3; ++third) {
    const std::size_t begin = third * n / 3, end = (third + 1) * n / 3;
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += relative(by_compute[i]);
    text += fmt::format("{} {:+.2f} %", third == 0 ? "" : ",", 100 * sum / static_cast<double>(end - begin));
  }
  return text + "\n";
}

using records::ComparedPair;

constexpr double kAiccLeast = 2;    // Burnham and Anderson's rule of thumb
constexpr double kNoiseErrors = 2;  // standard errors

void holdout_compare(const LawFit& a, const LawFit& b, ComparedPair& pair) {
  std::map<i64, double> of_a;
  for (std::size_t i = 0; i < a.held_out.size(); ++i) of_a[a.held_out[i]] = std::fabs(a.holdout->errors[i]);
  std::vector<double> differences;
  for (std::size_t i = 0; i < b.held_out.size(); ++i) {
    const auto found = of_a.find(b.held_out[i]);
    if (found != of_a.end()) differences.push_back(std::fabs(b.holdout->errors[i]) - found->second);
  }
  if (differences.size() < 2) return;
  const double n = static_cast<double>(differences.size());
  double mean = 0, squares = 0;
  for (const double d : differences) mean += d / n;
  for (const double d : differences) squares += (d - mean) * (d - mean);
  pair.holdout_difference = mean;
  pair.holdout_difference_se = std::sqrt(squares / (n - 1) / n);
}

void pair_judge(const LawFit& a, const LawFit& b, ComparedPair& pair) {
  const std::string names = fmt::format("{} and {}", law_name(a.kind), law_name(b.kind));
  const bool aicc_near = pair.aicc_difference < kAiccLeast;
  const bool held = std::isfinite(pair.holdout_difference);
  std::vector<std::string> reasons;
  for (const LawFit* law : {&a, &b}) {
    if (!law->determined) reasons.push_back(fmt::format("{} is not determined by these runs", law_name(law->kind)));
  }
  if (!held) reasons.push_back("no runs were held out");
  if (!reasons.empty()) {
    pair.text = fmt::format("{} are not ranked: {}", names, fmt::join(reasons, "; "));
    return;
  }
  const double margin = kNoiseErrors * pair.holdout_difference_se;
  const bool noise = std::fabs(pair.holdout_difference) <= margin;
  const bool against = !noise && pair.holdout_difference < 0;
  pair.distinct = !aicc_near && !noise && !against;
  if (pair.distinct) {
    pair.text = fmt::format("{} is better than {}: AICc by {:.1f}, held-out error by {:.2g} (standard error {:.1g})",
                            law_name(a.kind), law_name(b.kind), pair.aicc_difference, pair.holdout_difference,
                            pair.holdout_difference_se);
    return;
  }
  if (aicc_near) reasons.push_back(fmt::format("AICc differs by {:.3g}, less than 2", pair.aicc_difference));
  if (noise) {
    reasons.push_back(fmt::format("the held-out errors differ by {:.2g}, within noise (standard error {:.1g})",
                                  pair.holdout_difference, pair.holdout_difference_se));
  }
  if (against) {
    reasons.push_back(fmt::format("AICc favours {}, the held-out error {}", law_name(a.kind), law_name(b.kind)));
  }
  pair.text = fmt::format("{} cannot be told apart: {}", names, fmt::join(reasons, "; "));
}

}  // namespace

records::FittedLaw fitted_law(const LawFit& fit) {
  records::FittedLaw record = fit;
  record.law = law_name(fit.kind);
  record.formula = law_formula(fit.kind);
  record.source = law_source(fit.kind);
  record.meaning = law_meaning(fit.kind);
  record.quantity = fit.kind == Law::leverage ? "leverage" : "loss";
  if (fit.fitted()) record.objective = fit.minima.front().cost;
  record.residual = form_of(fit.kind).log_residual ? "log" : "linear";
  record.runs = std::ssize(fit.points);
  record.range = ranges_of(fit);
  for (const Minimum& m : fit.minima) record.optima.push_back({m.cost, coefficients_from_theta(fit.kind, m.theta)});
  record.interval_level = kIntervalLevel;
  for (std::size_t i = 0; i < fit.predicted.size(); ++i) {
    record.residuals.push_back({fit.names[i], fit.points[i].loss, fit.predicted[i], run_compute(fit.points[i])});
  }
  record.curves = fit_curves(fit);
  return record;
}

records::LossLaws fitted_laws(const std::vector<LawFit>& fits, const std::vector<SkippedLaw>& skipped,
                              const Comparison& comparison) {
  records::LossLaws record;
  record.form = records::LawsForm::all;
  for (const LawFit& fit : fits) record.laws.push_back(fitted_law(fit));
  record.skipped = skipped;
  record.comparison = comparison;
  return record;
}

std::string fit_to_text(const LawFit& fit) {
  std::string text = fmt::format("{}: {}\n  {}\n  {}\n", law_name(fit.kind), law_formula(fit.kind),
                                 law_source(fit.kind), law_meaning(fit.kind));
  text += fmt::format("verdict: {}\n", fit.verdict.text);
  if (fit.fitted()) {
    for (const Coefficient& c : fit.coefficients) text += coefficient_line(c);
    const std::string delta =
        std::isfinite(fit.huber_delta) ? fmt::format("Huber delta {:g}", fit.huber_delta) : "least squares";
    text += fmt::format("objective: {:.8g} over {} ({}, {} residuals{}), AICc {:.1f}\n", fit.minima.front().cost,
                        format_plural(std::ssize(fit.points), "run"), delta,
                        form_of(fit.kind).log_residual ? "log" : "linear",
                        fit.weight_decay > 0 ? fmt::format(", weight decay {:g}", fit.weight_decay) : "", fit.aicc);
    text += residual_lines(fit);
  }
  if (fit.holdout) {
    const records::Holdout& held = *fit.holdout;
    const bool known = held.error_se == held.error_se;  // one run alone has no standard error
    text += fmt::format("hold-out ({}, {}): mean error {:.2f} %{}\n", held.kind,
                        format_plural(std::ssize(held.runs), "run"), 100 * held.error,
                        known ? fmt::format(" (standard error {:.2f} %)", 100 * held.error_se) : "");
  }
  for (const std::string& note : fit.notes) text += fmt::format("note: {}\n", note);
  return text;
}

std::string comparison_to_text(const std::vector<SkippedLaw>& skipped, const Comparison& comparison) {
  std::string text = "comparison:\n";
  for (const records::RankedLaw& one : comparison.laws) {
    text += fmt::format("  {:<13} AICc {:<10.1f} held-out error {}\n", one.law, one.aicc,
                        std::isfinite(one.holdout_error) ? fmt::format("{:.2f} %", 100 * one.holdout_error) : "-");
  }
  for (const records::ComparedPair& pair : comparison.pairs) text += fmt::format("  {}\n", pair.text);
  for (const SkippedLaw& one : skipped) text += fmt::format("  {} was left out: {}\n", one.law, one.reason);
  return text + fmt::format("verdict: {}\n", comparison.verdict);
}

Comparison compare_laws(const std::vector<LawFit>& fits) {
  std::vector<const LawFit*> order;
  for (const LawFit& fit : fits) {
    if (fit.fitted() && fit.kind != Law::leverage) order.push_back(&fit);
  }
  std::ranges::stable_sort(order, {}, &LawFit::aicc);
  Comparison comparison;
  std::vector<std::string> ranked, equals;  // determined laws with a hold-out; those that the first is not better than
  for (std::size_t i = 0; i < order.size(); ++i) {
    const LawFit& a = *order[i];
    comparison.laws.push_back({std::string(law_name(a.kind)), a.aicc, a.aicc - order.front()->aicc, a.holdout_error()});
    if (a.determined && a.holdout) ranked.emplace_back(law_name(a.kind));
    for (std::size_t j = i + 1; j < order.size(); ++j) {
      const LawFit& b = *order[j];
      ComparedPair pair{.a = std::string(law_name(a.kind)), .b = std::string(law_name(b.kind)), .text = {}};
      pair.aicc_difference = b.aicc - a.aicc;
      holdout_compare(a, b, pair);
      pair_judge(a, b, pair);
      if (ranked.size() == 1 && ranked[0] == pair.a && b.determined && b.holdout && !pair.distinct)
        equals.push_back(pair.b);
      comparison.pairs.push_back(std::move(pair));
    }
  }
  if (order.size() < 2) {
    comparison.verdict = "nothing to compare: fewer than two laws were fitted";
  } else if (ranked.empty()) {
    comparison.verdict = "no law is ranked: none is determined by these runs and predicted runs that were held out";
  } else if (ranked.size() == 1) {
    comparison.verdict =
        fmt::format("{} is the only law that these runs determine; the others are not ranked", ranked[0]);
  } else if (equals.empty()) {
    comparison.verdict = fmt::format("{} describes the runs best among the laws that they determine", ranked[0]);
  } else {
    comparison.verdict = fmt::format("the runs cannot tell {} from {}", ranked[0], fmt::join(equals, ", "));
  }
  if (!ranked.empty() && ranked[0] != comparison.laws.front().law) {
    comparison.verdict +=
        fmt::format("; {} has the lowest AICc, but these runs do not determine it", comparison.laws.front().law);
  }
  return comparison;
}

}  // namespace moebius::fit
