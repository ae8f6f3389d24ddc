// The dense curve: a scan over the constant, a weighted line for the rest. Then one division per run.
#include "fit/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/units.h"

namespace moebius::fit {

namespace {

constexpr i64 kDenseLeast = 4;         // three coefficients, and one run to see an error by
constexpr double kEqualCompute = 1.1;  // of dense runs within this ratio of each other, only the best one counts
constexpr double kBeyond = 2;          // how far beyond the dense runs the curve is used

bool is_dense_point(const LawPoint& p) { return p.experts <= 1; }

struct LeverageSample {
  double ln_compute, loss;
};

// "Equal loss" means that of a dense model trained as well as its compute allows, so the best run of each compute
// counts.
std::vector<LeverageSample> best_of_each_compute(const std::vector<LawPoint>& points) {
  std::vector<LeverageSample> all, best;
  for (const LawPoint& p : points) all.push_back({std::log(p.flops), p.loss});
  std::ranges::sort(all, [](const LeverageSample& a, const LeverageSample& b) {
    return a.ln_compute != b.ln_compute ? a.ln_compute < b.ln_compute : a.loss < b.loss;
  });
  double group = -INFINITY;
  for (const LeverageSample& sample : all) {
    if (sample.ln_compute - group > std::log(kEqualCompute)) {
      group = sample.ln_compute;
      best.push_back(sample);
    } else if (sample.loss < best.back().loss) {
      best.back() = sample;
    }
  }
  return best;
}

// Line through ln(L - E) over ln C. Its weights make the squares those of ln L: d ln L = (L - E)/L d ln(L - E).
double curve_through(const std::vector<LeverageSample>& samples, double constant, DenseCurve& curve) {
  double sum = 0, sum_x = 0, sum_y = 0, xx = 0, xy = 0;
  const auto weight = [&](const LeverageSample& s) { return std::pow((s.loss - constant) / s.loss, 2); };
  for (const LeverageSample& s : samples) {
    sum += weight(s);
    sum_x += weight(s) * s.ln_compute;
    sum_y += weight(s) * std::log(s.loss - constant);
  }
  for (const LeverageSample& s : samples) {
    const double x = s.ln_compute - sum_x / sum;
    xx += weight(s) * x * x;
    xy += weight(s) * x * (std::log(s.loss - constant) - sum_y / sum);
  }
  curve.constant = constant;
  curve.exponent = -xy / xx;
  curve.scale = std::exp(sum_y / sum + curve.exponent * sum_x / sum);
  double squares = 0;
  for (const LeverageSample& s : samples) squares += std::pow(std::log(curve.loss(std::exp(s.ln_compute)) / s.loss), 2);
  return squares;
}

// ln(best dense loss - E) between far below the best loss and next to it; a constant of 0 is one of the candidates.
DenseCurve curve_of(const std::vector<LeverageSample>& samples) {
  double least = std::numeric_limits<double>::infinity(), most = 0;
  for (const LeverageSample& s : samples) least = std::fmin(least, s.loss), most = std::fmax(most, s.loss);
  DenseCurve best;
  double best_squares = curve_through(samples, 0, best), step = 0.1, middle = 0;
  for (int round = 0; round < 5; ++round) {
    double found = middle;
    for (int i = -60; i <= 60; ++i) {
      const double above = std::exp(middle + step * i) * (most - least);
      DenseCurve curve;
      if (!(above < least) || !(above > 1e-6 * least)) continue;
      const double squares = curve_through(samples, least - above, curve);
      if (!(squares < best_squares)) continue;
      best = curve;
      best_squares = squares;
      found = middle + step * i;
    }
    middle = found;
    step /= 20;
  }
  const double freedom = static_cast<double>(samples.size()) - 3;
  best.rmse_log = std::sqrt(best_squares / freedom);
  return best;
}

Error no_curve(const std::string& where, const std::string& what, const std::string& got) {
  return Error(
      {.where = where,
       .what = what,
       .wanted =
           "the leverage C_dense/C_moe in a column (--column leverage=NAME), or losses of mixtures of experts and of at least "
           "four dense runs (experts 0 or 1) of different flops",
       .got = got,
       .fix = "add dense runs: their loss over compute is what a mixture of experts is compared with"});
}

}  // namespace

double DenseCurve::loss(double compute) const { return constant + scale / std::pow(compute, exponent); }

double DenseCurve::compute_at(double loss) const {
  if (loss <= constant) return std::numeric_limits<double>::infinity();
  return std::pow(scale / (loss - constant), 1 / exponent);
}

DenseCurve dense_curve(const std::vector<LawPoint>& points, const std::string& where) {
  std::vector<LawPoint> dense;
  for (const LawPoint& p : points) {
    if (is_dense_point(p)) dense.push_back(p);
  }
  const std::vector<LeverageSample> samples = best_of_each_compute(dense);
  if (std::ssize(samples) < kDenseLeast) {
    throw no_curve(
        where,
        "the law 'leverage' needs a curve of loss over compute through dense runs, and these runs do not give one",
        dense.empty()
            ? "no dense run"
            : fmt::format("{} of {} different flops", format_plural(std::ssize(dense), "dense run"), samples.size()));
  }
  DenseCurve curve = curve_of(samples);
  curve.points = std::ssize(samples);
  curve.compute_least = std::exp(samples.front().ln_compute);
  curve.compute_most = std::exp(samples.back().ln_compute);
  const double fall = std::log(curve.loss(curve.compute_least) / curve.loss(curve.compute_most));
  if (!(curve.exponent > 0) || !(fall > 2 * curve.rmse_log)) {
    throw no_curve(
        where, "the dense runs' loss does not fall with their compute beyond their scatter",
        fmt::format("a fall of {:.2g} % over all of them, a scatter of {:.2g} %", 100 * fall, 100 * curve.rmse_log));
  }
  return curve;
}

Runs leverage_of_losses(const Runs& runs) {
  const std::string where = runs.where();
  if (runs.measures_loss && runs.has_csv) {
    throw Error(
        {.where = where,
         .what =
             "the law 'leverage' cannot take studies and CSV files together: their granularities have two definitions",
         .fix =
             "write the studies' runs with --write-runs and give the granularity as 2 d_model/d_expert in all files"});
  }
  const DenseCurve curve = dense_curve(runs.points, where);
  std::vector<i64> kept;
  Runs measured = runs;
  std::vector<double> errors;
  i64 mixtures = 0;
  for (i64 i = 0; i < runs.count(); ++i) {
    LawPoint& p = measured.points[static_cast<std::size_t>(i)];
    if (is_dense_point(p)) continue;
    ++mixtures;
    const double dense = curve.compute_at(p.loss);
    if (!(dense <= kBeyond * curve.compute_most && dense >= curve.compute_least / kBeyond)) continue;
    errors.push_back(curve.rmse_log * p.loss / (p.loss - curve.constant) / curve.exponent);
    p.loss = dense / p.flops;
    if (runs.measures_loss) p.granularity /= 2;
    kept.push_back(i);
  }
  if (kept.empty()) {
    throw no_curve(
        where,
        mixtures == 0 ? "no run is a mixture of experts" : "no mixture of experts has a loss that the dense runs reach",
        mixtures == 0 ? format_plural(runs.count(), "dense run")
                      : format_plural(mixtures, "mixture") + " beyond the dense runs' compute");
  }
  std::ranges::sort(errors);
  measured = runs_subset(measured, kept);
  measured.measures_leverage = true;
  measured.measures_loss = false;
  measured.notes.push_back(fmt::format(
      "leverage from losses: dense curve L = {:.4g} + {:.4g}/C^{:.4g} through the best of {} computes ({:.3g} to {:.3g} FLOPs), "
      "scatter {:.2g} %; that is {:.2g} % of the leverage of a run in the middle, common to all, and not in the intervals",
      curve.constant, curve.scale, curve.exponent, curve.points, curve.compute_least, curve.compute_most,
      100 * curve.rmse_log, 100 * errors[errors.size() / 2]));
  if (runs.measures_loss) measured.notes.push_back("granularity 2 d_model/expert_width, as the law defines it");
  const i64 beyond = mixtures - std::ssize(kept);
  if (beyond > 0) {
    measured.notes.push_back(fmt::format(
        "{} of {} mixtures of experts were left out: a dense model of equal loss would need more than {:g} times "
        "the compute of any dense run, or less than half of the least",
        beyond, mixtures, kBeyond));
  }
  return measured;
}

}  // namespace moebius::fit
