// Fits as JSON and text. The keys are documented in docs/formats.md.
#include "fit/fit_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fit/fit_curves.h"

namespace moebius::fit {

namespace {

// What is not known is null; dump() would print null too, but a reader's find() sees a number then.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

const char* quantity_of(Law law) { return law == Law::leverage ? "leverage" : "loss"; }

Json range_to_json(const LawFit& fit) {
  Json range = Json::object();
  for (const std::string& need : law_needs(fit.law)) {
    double least = INFINITY, largest = -INFINITY;
    for (const LawPoint& p : fit.points) {
      least = std::fmin(least, point_number(p, need));
      largest = std::fmax(largest, point_number(p, need));
    }
    range.set(need, Json::array());
    range.find(need)->push_back(number(least));
    range.find(need)->push_back(number(largest));
  }
  return range;
}

Json coefficients_to_json(const LawFit& fit) {
  Json all = Json::object();
  for (const Coefficient& c : fit.coefficients) {
    all.set(c.name, Json::object({{"value", number(c.value)},
                                  {"low", number(c.low)},
                                  {"high", number(c.high)},
                                  {"determined", c.determined},
                                  {"note", c.note}}));
  }
  return all;
}

Json holdout_to_json(const LawFit& fit) {
  if (fit.holdout.kind.empty()) return nullptr;
  Json names = Json::array();
  for (const i64 run : fit.holdout.runs) names.push_back(fit.names[static_cast<std::size_t>(run)]);
  return Json::object({{"kind", fit.holdout.kind},
                       {"runs", names},
                       {"error", number(fit.holdout.error)},
                       {"error_se", number(fit.holdout.error_se)},
                       {"errors", fit.holdout.errors}});
}

Json residuals_to_json(const LawFit& fit) {
  Json all = Json::array();
  for (std::size_t i = 0; i < fit.predicted.size(); ++i) {
    all.push_back(Json::object({{"run", fit.names[i]},
                                {"measured", fit.points[i].loss},
                                {"predicted", number(fit.predicted[i])},
                                {"compute", number(run_compute(fit.points[i]))}}));
  }
  return all;
}

Json vectors_to_json(const std::vector<std::vector<double>>& vectors) {
  Json all = Json::array();
  for (const std::vector<double>& vector : vectors) all.push_back(Json(vector));
  return all;
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

Json fit_to_json(const LawFit& fit) {
  const bool squares = !std::isfinite(fit.huber_delta);
  std::vector<Json> optima;
  for (const Minimum& m : fit.optima) {
    optima.push_back(
        Json::object({{"objective", m.cost}, {"coefficients", coefficients_from_theta(fit.law, m.theta)}}));
  }
  return Json::object({{"law", law_name(fit.law)},
                       {"formula", law_formula(fit.law)},
                       {"source", law_source(fit.law)},
                       {"meaning", law_meaning(fit.law)},
                       {"quantity", quantity_of(fit.law)},
                       {"objective", fit.fitted() ? Json(fit.optima.front().cost) : Json(nullptr)},
                       {"penalty", fit.penalty},
                       {"residual", form_of(fit.law).log_residual ? "log" : "linear"},
                       {"huber_delta", squares ? Json(nullptr) : Json(fit.huber_delta)},
                       {"weight_decay", fit.weight_decay},
                       {"coefficients", coefficients_to_json(fit)},
                       {"determined", fit.determined},
                       {"verdict", fit.verdict},
                       {"notes", fit.notes},
                       {"holdout_error", number(fit.holdout.error)},
                       {"holdout", holdout_to_json(fit)},
                       {"rmse", number(fit.rmse)},
                       {"rmse_log", number(fit.rmse_log)},
                       {"aic", number(fit.aic)},
                       {"runs", std::ssize(fit.points)},
                       {"range", range_to_json(fit)},
                       {"optima", optima},
                       {"interval_level", kIntervalLevel},
                       {"samples", vectors_to_json(fit.samples)},
                       {"residuals", residuals_to_json(fit)},
                       {"curves", fit_curves(fit)}});
}

Json fits_to_json(const std::vector<LawFit>& fits, const std::vector<SkippedLaw>& skipped,
                  const Comparison& comparison) {
  Json laws = Json::array(), left_out = Json::array(), ranked = Json::array(), pairs = Json::array();
  for (const LawFit& fit : fits) laws.push_back(fit_to_json(fit));
  for (const auto& [law, reason] : skipped)
    left_out.push_back(Json::object({{"law", law_name(law)}, {"reason", reason}}));
  for (const i64 i : comparison.order) {
    const LawFit& fit = fits[static_cast<std::size_t>(i)];
    const double best = fits[static_cast<std::size_t>(comparison.order.front())].aic;
    ranked.push_back(Json::object({{"law", law_name(fit.law)},
                                   {"aic", number(fit.aic)},
                                   {"aic_difference", number(fit.aic - best)},
                                   {"holdout_error", number(fit.holdout.error)}}));
  }
  for (const LawPair& pair : comparison.pairs) {
    pairs.push_back(Json::object({{"a", law_name(fits[static_cast<std::size_t>(pair.a)].law)},
                                  {"b", law_name(fits[static_cast<std::size_t>(pair.b)].law)},
                                  {"aic_difference", number(pair.aic_difference)},
                                  {"holdout_difference", number(pair.holdout_difference)},
                                  {"holdout_difference_se", number(pair.holdout_difference_se)},
                                  {"distinct", pair.distinct},
                                  {"text", pair.text}}));
  }
  return Json::object(
      {{"law", "all"},
       {"laws", laws},
       {"skipped", left_out},
       {"comparison", Json::object({{"laws", ranked}, {"pairs", pairs}, {"verdict", comparison.verdict}})}});
}

Json fit_json_short(const Json& result) {
  Json brief = Json::object();
  for (const auto& [key, value] : result.as_object()) {
    if (key == "samples" || key == "residuals" || key == "curves") continue;
    if (key == "laws" && value.is_array()) {
      Json laws = Json::array();
      for (const Json& law : value.as_array()) laws.push_back(fit_json_short(law));
      brief.set(key, laws);
    } else if (key == "holdout" && value.is_object()) {
      brief.set(
          key,
          Json::object({{"kind", value.at("kind")}, {"error", value.at("error")}, {"error_se", value.at("error_se")}}));
    } else {
      brief.set(key, value);
    }
  }
  return brief;
}

std::string fit_to_text(const LawFit& fit) {
  std::string text = fmt::format("{}: {}\n  {}\n  {}\n", law_name(fit.law), law_formula(fit.law), law_source(fit.law),
                                 law_meaning(fit.law));
  text += fmt::format("verdict: {}\n", fit.verdict);
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

std::string comparison_to_text(const std::vector<LawFit>& fits, const std::vector<SkippedLaw>& skipped,
                               const Comparison& comparison) {
  std::string text = "comparison:\n";
  for (const i64 i : comparison.order) {
    const LawFit& fit = fits[static_cast<std::size_t>(i)];
    text += fmt::format("  {:<13} AIC {:<10.1f} held-out error {}\n", law_name(fit.law), fit.aic,
                        std::isfinite(fit.holdout.error) ? fmt::format("{:.2f} %", 100 * fit.holdout.error) : "-");
  }
  for (const LawPair& pair : comparison.pairs) text += fmt::format("  {}\n", pair.text);
  for (const auto& [law, reason] : skipped) text += fmt::format("  {} was left out: {}\n", law_name(law), reason);
  return text + fmt::format("verdict: {}\n", comparison.verdict);
}

}  // namespace moebius::fit
