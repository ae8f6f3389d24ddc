// The steps of a fit: starts -> optima -> bootstrap -> hold-out -> verdict.
#include "fit/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/interrupt.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/rng.h"
#include "fit/runs.h"

namespace moebius::fit {

namespace {

constexpr i64 kScreenRuns = 512;  // the starts are compared on no more runs than this
constexpr i64 kFinalists = 8;     // optima of the screening that are followed on all runs
constexpr i64 kSampleBatch = 16;  // bootstrap samples between two looks at Ctrl-C
constexpr const char* kNothingLost = "nothing was written; running the command again gives the same numbers";

// Every Nth run, so that a table sorted by size keeps its range.
Objective screening_sample(const Objective& objective) {
  if (objective.runs() <= kScreenRuns) return objective;
  std::vector<i64> weights(static_cast<std::size_t>(objective.runs()), 0);
  for (i64 i = 0; i < kScreenRuns; ++i) weights[static_cast<std::size_t>(i * objective.runs() / kScreenRuns)] = 1;
  return objective.resampled(weights);
}

std::vector<Minimum> minimize_all(const Objective& objective, const std::vector<std::vector<double>>& starts,
                                  const MinimizeOptions& options) {
  std::vector<Minimum> minima(starts.size());
  parallel_for(std::ssize(starts), [&](i64 task, int) {
    const Objective own = objective;  // scratch space; NOLINT(performance-unnecessary-copy-initialization)
    minima[static_cast<std::size_t>(task)] = minimize(own, starts[static_cast<std::size_t>(task)], options);
  });
  std::ranges::stable_sort(minima, {}, &Minimum::cost);
  return minima;
}

// Starts ordered by the objective there; the order of the list where equal.
std::vector<std::vector<double>> starts_ranked(const Objective& objective, std::vector<std::vector<double>> starts,
                                               i64 count) {
  constexpr i64 kChunk = 64;
  std::vector<double> costs(starts.size(), std::numeric_limits<double>::infinity());
  parallel_for(parallel_chunks(std::ssize(starts), kChunk), [&](i64 chunk, int) {
    const Objective own = objective;  // as above; NOLINT(performance-unnecessary-copy-initialization)
    for (i64 i = chunk * kChunk; i < std::min<i64>((chunk + 1) * kChunk, std::ssize(starts)); ++i) {
      double cost = 0;
      if (own.evaluate(starts[static_cast<std::size_t>(i)].data(), &cost, nullptr))
        costs[static_cast<std::size_t>(i)] = cost;
    }
  });
  std::vector<std::vector<double>> chosen;
  for (const std::size_t i : order_by(starts.size(), [&](std::size_t at) { return costs[at]; })) {
    if (std::ssize(chosen) == count || !std::isfinite(costs[i])) break;
    chosen.push_back(std::move(starts[i]));
  }
  return chosen;
}

bool same_place(const Minimum& a, const Minimum& b) {
  for (std::size_t i = 0; i < a.theta.size(); ++i) {
    if (std::fabs(a.theta[i] - b.theta[i]) > 1e-3 * (1 + std::fabs(a.theta[i]))) return false;
  }
  return true;
}

// The best `count`, different ones first; sorted input.
std::vector<Minimum> spread(const std::vector<Minimum>& minima, i64 count) {
  std::vector<Minimum> chosen, others;
  for (const Minimum& minimum : minima) {
    if (!std::isfinite(minimum.cost)) continue;
    const bool known = std::ranges::any_of(chosen, [&](const Minimum& m) { return same_place(m, minimum); });
    (known ? others : chosen).push_back(minimum);
  }
  if (std::ssize(chosen) > count) chosen.resize(static_cast<std::size_t>(count));
  for (const Minimum& other : others) {
    if (std::ssize(chosen) < count) chosen.push_back(other);
  }
  std::ranges::stable_sort(chosen, {}, &Minimum::cost);
  return chosen;
}

std::vector<std::vector<double>> thetas(const std::vector<Minimum>& minima) {
  std::vector<std::vector<double>> all;
  for (const Minimum& minimum : minima) all.push_back(minimum.theta);
  return all;
}

// A sample's runs, drawn with replacement; a pure function of seed and sample.
std::vector<i64> sample_weights(i64 runs, i64 seed, i64 sample) {
  Rng rng(static_cast<u64>(seed), RngStream::bootstrap, static_cast<u64>(sample));
  std::vector<i64> weights(static_cast<std::size_t>(runs), 0);
  for (i64 i = 0; i < runs; ++i) ++weights[static_cast<std::size_t>(rng.next_below(static_cast<u64>(runs)))];
  return weights;
}

void bootstrap(const Objective& objective, const FitOptions& options, LawFit& fit) {
  std::vector<std::vector<double>> found(static_cast<std::size_t>(options.bootstrap));
  Progress progress(fmt::format("bootstrap of {}", law_name(fit.kind)), options.bootstrap);
  const MinimizeOptions minimize_options = {.iterations_max = 100, .rounds_max = 3, .tolerance = 1e-7};
  for (i64 begin = 0; begin < options.bootstrap; begin += kSampleBatch) {
    interrupt_check(kNothingLost);
    parallel_for(std::min(kSampleBatch, options.bootstrap - begin), [&](i64 task, int) {
      const Objective sample = objective.resampled(sample_weights(objective.runs(), options.seed, begin + task));
      Minimum best;
      best.cost = std::numeric_limits<double>::infinity();
      for (const Minimum& optimum : fit.minima) {
        Minimum minimum = minimize(sample, optimum.theta, minimize_options);
        if (minimum.cost < best.cost) best = std::move(minimum);
      }
      if (std::isfinite(best.cost))
        found[static_cast<std::size_t>(begin + task)] = coefficients_from_theta(fit.kind, best.theta);
    });
    progress.update(std::min(begin + kSampleBatch, options.bootstrap));
  }
  progress.finish();
  for (std::vector<double>& sample : found) {
    if (!sample.empty()) fit.samples.push_back(std::move(sample));
  }
}

void residual_numbers(LawFit& fit) {
  double squares = 0, squares_log = 0;
  for (std::size_t i = 0; i < fit.points.size(); ++i) {
    const double error = fit.predicted[i] - fit.points[i].loss,
                 error_log = std::log(fit.predicted[i] / fit.points[i].loss);
    squares += error * error;
    squares_log += error_log * error_log;
  }
  const double n = static_cast<double>(fit.points.size());
  fit.rmse = std::sqrt(squares / n);
  fit.rmse_log = std::sqrt(squares_log / n);
  fit.aicc = aicc_of(fit.rmse_log, std::ssize(fit.points), std::ssize(law_coefficients(fit.kind)));
}

}  // namespace

void FitOptions::describe(OptionList& list) {
  list.add("bootstrap", &bootstrap, "bootstrap samples for the intervals; 0: no intervals",
           {.unit = "N", .min = 0, .max = 100000});
  list.add("holdout", &holdout, "which runs are held out and predicted",
           {.choices = {"largest-compute", "folds", "none"}});
  list.add("holdout-share", &holdout_share, "share of the runs that largest-compute holds out",
           {.min = 0.01, .max = 0.5});
  list.add("folds", &folds, "number of parts of --holdout folds", {.unit = "N", .min = 2, .max = 100});
  list.add("starts", &starts, "starting points that are optimised, the best ones of the law's grid",
           {.unit = "N", .min = 1, .max = 100000});
  list.add("huber-delta", &huber_delta, "where the Huber loss becomes linear; below 0: as published", {.min = -1});
  list.add("weight-decay", &weight_decay, "of the coefficients; below 0: as published", {.min = -1});
  list.add("seed", &seed, "of samples, folds and synthetic runs", {.min = 0});
}

double aicc_of(double rmse_log, i64 runs, i64 coefficients) {
  const double n = static_cast<double>(runs), k = static_cast<double>(coefficients + 1), rest = n - k - 1;
  if (rest <= 0) return std::numeric_limits<double>::infinity();
  return n * 2 * std::log(std::max(rmse_log, 1e-300)) + 2 * k + 2 * k * (k + 1) / rest;
}

std::vector<Minimum> best_optima(const Objective& objective, const std::vector<LawPoint>& points, i64 starts,
                                 i64 count) {
  const Objective screen = screening_sample(objective);
  const std::vector<std::vector<double>> chosen =
      starts_ranked(screen, starts_of(objective.form().law, points), starts);
  interrupt_check(kNothingLost);
  std::vector<Minimum> minima =
      minimize_all(screen, chosen, {.iterations_max = 100, .rounds_max = 3, .tolerance = 1e-8});
  interrupt_check(kNothingLost);
  minima = spread(minima, kFinalists);
  return spread(minimize_all(objective, thetas(minima), {}), count);
}

LawFit fit_law(const Runs& all, Law law, const FitOptions& options) {
  Runs runs = runs_usable(all, law);
  if (law == Law::leverage && !runs.measures_leverage && runs_lack(runs, law).empty()) runs = leverage_of_losses(runs);
  LawFit fit;
  fit.kind = law;
  fit.notes = runs.notes;
  fit.names = runs.names;
  fit.points = runs_for_law(runs, law);
  fit.huber_delta = options.huber_delta < 0 ? form_of(law).huber_delta : options.huber_delta;
  fit.weight_decay = options.weight_decay < 0 ? form_of(law).weight_decay : options.weight_decay;
  for (const std::string& name : law_coefficients(law)) fit.coefficients.push_back({.name = name});
  const Objective objective(law, fit.points, fit.huber_delta, fit.weight_decay);
  if (std::ssize(fit.points) > std::ssize(fit.coefficients))
    fit.minima = best_optima(objective, fit.points, options.starts, 3);
  if (!fit.fitted()) {
    judge_too_few(fit);
    return fit;
  }
  const std::vector<double>& theta = fit.minima.front().theta;
  fit.penalty = objective.penalty(theta.data());
  fit.predicted.resize(fit.points.size());
  objective.predict(theta.data(), fit.predicted.data());
  residual_numbers(fit);
  bootstrap(objective, options, fit);
  hold_out(options, fit);
  judge(objective, fit);
  fit.determined = fit.verdict.knowledge == Knowledge::determined;
  return fit;
}

}  // namespace moebius::fit
