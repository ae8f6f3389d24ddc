// Filling the structs of fit.json, and sentences.
// In, out: fit_output.h.
#include "fit/fit_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fit/fit_curves.h"

namespace moebius::fit {

namespace {

std::vector<records::ColumnRange> ranges_of(const LawFit& fit) {
  std::vector<records::ColumnRange> ranges;
  for (const std::string& need : law_needs(fit.law)) {
    double least = INFINITY, largest = -INFINITY;
    for (const LawPoint& p : fit.points) {
      least = std::fmin(least, point_number(p, need));
      largest = std::fmax(largest, point_number(p, need));
    }
    ranges.push_back({need, {least, largest}});
  }
  return ranges;
}

std::optional<records::Holdout> holdout_of(const LawFit& fit) {
  if (fit.holdout.kind.empty()) return std::nullopt;
  records::Holdout holdout{fit.holdout.kind, {}, fit.holdout.errors, fit.holdout.error, fit.holdout.error_se};
  for (const i64 run : fit.holdout.runs) holdout.runs.push_back(fit.names[static_cast<std::size_t>(run)]);
  return holdout;
}

std::string coefficient_line(const Coefficient& c) {
  std::string interval;
  if (std::isfinite(c.low)) interval = fmt::format("{:.4g} to {:.4g}", c.low, c.high);
  if (c.determined) return fmt::format("  {:<6} {:<12.6g} {}\n", c.name, c.value, interval);
  const std::string more = interval.empty() ? "" : fmt::format(" ({})", interval);
  return fmt::format("  {:<6} not determined: {}{}\n", c.name, c.note, more);
}

// Where the law is furthest off, and whether its errors lean with the compute.
std::string residual_lines(const LawFit& fit) {
  std::vector<std::size_t> order(fit.predicted.size());
  std::iota(order.begin(), order.end(), 0);
  const auto relative = [&](std::size_t i) { return fit.predicted[i] / fit.points[i].loss - 1; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return std::fabs(relative(a)) > std::fabs(relative(b)); });
  std::string text = fmt::format("residuals: root mean square {:.4g} ({:.2g} of ln); largest:", fit.rmse, fit.rmse_log);
  for (std::size_t i = 0; i < std::min<std::size_t>(3, order.size()); ++i) {
    text += fmt::format("{} {} {:+.2f} %", i == 0 ? "" : ",", fit.names[order[i]], 100 * relative(order[i]));
  }
  text += '\n';
  std::vector<std::size_t> by_compute(order.size());
  std::iota(by_compute.begin(), by_compute.end(), 0);
  std::stable_sort(by_compute.begin(), by_compute.end(), [&](std::size_t a, std::size_t b) {
    return run_compute(fit.points[a]) < run_compute(fit.points[b]);
  });
  const std::size_t n = by_compute.size();
  if (n < 9 || !std::isfinite(run_compute(fit.points.front()))) return text;
  text += "  mean error by compute, thirds:";
  for (std::size_t third = 0; third < 3; ++third) {
    const std::size_t begin = third * n / 3, end = (third + 1) * n / 3;
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += relative(by_compute[i]);
    text += fmt::format("{} {:+.2f} %", third == 0 ? "" : ",", 100 * sum / static_cast<double>(end - begin));
  }
  return text + "\n";
}

}  // namespace

records::FittedLaw fitted_law(const LawFit& fit) {
  records::FittedLaw record;
  record.law = law_name(fit.law);
  record.formula = law_formula(fit.law);
  record.source = law_source(fit.law);
  record.meaning = law_meaning(fit.law);
  record.quantity = fit.law == Law::leverage ? "leverage" : "loss";
  if (fit.fitted()) record.objective = fit.optima.front().cost;
  record.penalty = fit.penalty;
  record.residual = form_of(fit.law).log_residual ? "log" : "linear";
  record.huber_delta = fit.huber_delta;  // infinite for least squares, null in the file
  record.weight_decay = fit.weight_decay;
  record.coefficients = fit.coefficients;
  record.determined = fit.determined();
  record.verdict = fit.verdict;
  record.notes = fit.notes;
  record.holdout = holdout_of(fit);
  record.rmse = fit.rmse;
  record.rmse_log = fit.rmse_log;
  record.aic = fit.aic;
  record.runs = std::ssize(fit.points);
  record.range = ranges_of(fit);
  for (const Minimum& m : fit.optima) record.optima.push_back({m.cost, coefficients_from_theta(fit.law, m.theta)});
  record.interval_level = kIntervalLevel;
  record.samples = fit.samples;
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
  std::string text = fmt::format("{}: {}\n  {}\n  {}\n", law_name(fit.law), law_formula(fit.law), law_source(fit.law),
                                 law_meaning(fit.law));
  text += fmt::format("verdict: {}\n", fit.verdict.text);
  if (fit.fitted()) {
    for (const Coefficient& c : fit.coefficients) text += coefficient_line(c);
    const std::string delta =
        std::isfinite(fit.huber_delta) ? fmt::format("Huber delta {:g}", fit.huber_delta) : "least squares";
    text += fmt::format("objective: {:.8g} over {} runs ({}, {} residuals{}), AIC {:.1f}\n", fit.optima.front().cost,
                        fit.points.size(), delta, form_of(fit.law).log_residual ? "log" : "linear",
                        fit.weight_decay > 0 ? fmt::format(", weight decay {:g}", fit.weight_decay) : "", fit.aic);
    text += residual_lines(fit);
  }
  if (!fit.holdout.kind.empty()) {
    const bool known = fit.holdout.error_se == fit.holdout.error_se;  // one run alone has no standard error
    text += fmt::format("hold-out ({}, {} run{}): mean error {:.2f} %{}\n", fit.holdout.kind, fit.holdout.runs.size(),
                        fit.holdout.runs.size() == 1 ? "" : "s", 100 * fit.holdout.error,
                        known ? fmt::format(" (standard error {:.2f} %)", 100 * fit.holdout.error_se) : "");
  }
  for (const std::string& note : fit.notes) text += fmt::format("note: {}\n", note);
  return text;
}

std::string comparison_to_text(const std::vector<SkippedLaw>& skipped, const Comparison& comparison) {
  std::string text = "comparison:\n";
  for (const records::RankedLaw& one : comparison.laws) {
    text += fmt::format("  {:<13} AIC {:<10.1f} held-out error {}\n", one.law, one.aic,
                        std::isfinite(one.holdout_error) ? fmt::format("{:.2f} %", 100 * one.holdout_error) : "-");
  }
  for (const records::ComparedPair& pair : comparison.pairs) text += fmt::format("  {}\n", pair.text);
  for (const SkippedLaw& one : skipped) text += fmt::format("  {} was left out: {}\n", one.law, one.reason);
  return text + fmt::format("verdict: {}\n", comparison.verdict);
}

}  // namespace moebius::fit
