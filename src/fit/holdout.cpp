// Hold-out error: the law is fitted again without some runs and predicts them.
// Holding out the largest compute tests extrapolation, random folds test interpolation. In: a fitted law; out: its
// Holdout.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/interrupt.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/statistics.h"
#include "base/units.h"
#include "fit/fit.h"

namespace moebius::fit {

namespace {

constexpr i64 kFoldStarts = 12;        // of each refit
constexpr u64 kFoldStep = 1ull << 40;  // beyond every bootstrap sample's step

// The runs to hold out, one group a refit; empty when it cannot be done.
std::vector<std::vector<i64>> groups_of(const FitOptions& options, const LawFit& fit, std::string& why_not) {
  const i64 n = std::ssize(fit.points);
  std::vector<std::vector<i64>> groups;
  if (options.holdout == "folds") {
    std::vector<i64> order(fit.points.size());
    Rng rng(static_cast<u64>(options.seed), RngStream::bootstrap, kFoldStep);
    rng_shuffle(rng, order.data(), n);
    groups.resize(static_cast<std::size_t>(std::min(options.folds, n)));
    for (i64 i = 0; i < n; ++i)
      groups[static_cast<std::size_t>(i % std::ssize(groups))].push_back(order[static_cast<std::size_t>(i)]);
    return groups;
  }
  if (!std::ranges::all_of(fit.points, [](const LawPoint& p) { return std::isfinite(run_compute(p)); })) {
    why_not = "no hold-out: the compute of the runs is not known (columns flops, or parameters and tokens)";
    return groups;
  }
  const auto compute = [&](std::size_t i) { return run_compute(fit.points[i]); };
  const std::vector<std::size_t> order = order_by(fit.points.size(), compute);
  const i64 held = std::max<i64>(1, static_cast<i64>(std::lround(options.holdout_share * static_cast<double>(n))));
  if (!(compute(order.back()) > compute(order.front()) * (1 + 1e-9))) {
    why_not = "no hold-out by largest compute: all runs have the same compute (use --holdout folds)";
    return groups;
  }
  groups.emplace_back(order.end() - held, order.end());
  return groups;
}

void predict_without(const std::vector<i64>& held, const FitOptions& options, LawFit& fit, records::Holdout& holdout) {
  std::vector<bool> is_held(fit.points.size(), false);
  for (const i64 i : held) is_held[static_cast<std::size_t>(i)] = true;
  std::vector<LawPoint> kept, unseen;
  for (std::size_t i = 0; i < fit.points.size(); ++i) {
    if (!is_held[i]) kept.push_back(fit.points[i]);
  }
  for (const i64 i : held) unseen.push_back(fit.points[static_cast<std::size_t>(i)]);
  const Objective objective(fit.kind, kept, fit.huber_delta, fit.weight_decay);
  const i64 starts = options.holdout == "folds" ? std::min(options.starts, kFoldStarts) : options.starts;
  const std::vector<Minimum> optima = best_optima(objective, kept, starts, 1);
  if (optima.empty()) return;
  std::vector<double> predicted(unseen.size());
  Objective(fit.kind, unseen, fit.huber_delta, 0).predict(optima.front().theta.data(), predicted.data());
  for (std::size_t i = 0; i < unseen.size(); ++i) {
    fit.held_out.push_back(held[i]);
    holdout.runs.push_back(fit.names[static_cast<std::size_t>(held[i])]);
    holdout.errors.push_back(predicted[i] / unseen[i].loss - 1);
  }
}

}  // namespace

void hold_out(const FitOptions& options, LawFit& fit) {
  if (options.holdout == "none") return;
  std::string why_not;
  const std::vector<std::vector<i64>> groups = groups_of(options, fit, why_not);
  if (!why_not.empty()) fit.notes.push_back(why_not);
  records::Holdout holdout;
  holdout.kind = options.holdout;
  Progress progress(fmt::format("hold-out of {}", law_name(fit.kind)), std::ssize(groups));
  i64 done = 0;
  for (const std::vector<i64>& held : groups) {
    interrupt_check("nothing was written");
    progress.update(done++);
    if (std::ssize(fit.points) - std::ssize(held) <= std::ssize(fit.coefficients)) {
      fit.notes.push_back(fmt::format("no hold-out: without {} too few runs are left for the coefficients",
                                      format_plural(std::ssize(held), "held-out run")));
      return;
    }
    predict_without(held, options, fit, holdout);
  }
  const std::vector<double>& errors = holdout.errors;
  if (errors.empty()) return;
  const double n = static_cast<double>(errors.size());
  double sum = 0, squares = 0;
  for (const double e : errors) sum += std::fabs(e);
  for (const double e : errors) squares += (std::fabs(e) - sum / n) * (std::fabs(e) - sum / n);
  holdout.error = sum / n;
  if (errors.size() > 1) holdout.error_se = std::sqrt(squares / (n - 1) / n);
  fit.holdout = std::move(holdout);
}

}  // namespace moebius::fit
