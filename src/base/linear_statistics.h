// Linear statistics of configurations' means: weighted sums such as a mean, a difference, a slope or a contrast, with
// intervals. In: one measured value per run, grouped by configuration, a weight for each configuration, and the standard
// error over items. Out: the value with its interval at any level. Not for statistics that are not linear in the means
// (rank correlation): base/statistics.h's bootstrap.
#pragma once

#include <cmath>
#include <vector>

#include "base/statistics.h"

namespace moebius {

constexpr double kLevel95 = 0.05;  // of a 95 % interval

// Student's t beyond which lies the share `level` of the distribution, both tails together; df > 0 may be fractional,
// infinite df is the normal distribution.
double student_t(double df, double level = kLevel95);

// Where an interval comes from: seeds (and items), items alone, or nothing.
enum class IntervalKind { seeds, items, none };

struct LinearEstimate {
  // One estimate of the standard error between seeds. Several may apply; the one with the widest interval counts.
  struct SeedError {
    double se = 0, df = 0;
  };
  double value = kUnknown;
  std::vector<SeedError> seed_errors;  // empty: no configuration has several seeds
  double item_se = kUnknown;           // of the value, over items; NaN: unknown

  IntervalKind kind() const;
  // Half of the interval that excludes a true value with probability `level`: sqrt(seeds^2 + items^2). NaN for kind none.
  double half(double level = kLevel95) const;
  Interval interval(double level = kLevel95) const { return interval_around(value, half(level)); }
};

// What the runs of the configurations vary around.
struct SeedNoise {
  double squares = 0, df = 0;  // sum of squared residuals and their degrees of freedom
  bool paired = false;         // residuals from configuration + seed; else from the configuration alone
};
// values_GR[g]: the runs of configuration g, seeds_GR: their seeds (empty: not known). If all configurations have the
// same seeds, a seed's common effect (its data, its draw of the tasks) is taken out: the residuals are those of the
// additive two-way model, df = (configurations - 1)(seeds - 1). Else df = runs - configurations.
SeedNoise seed_noise(const std::vector<std::vector<double>>& values_GR,
                     const std::vector<std::vector<double>>& seeds_GR);

// The value is sum_g weights_G[g] * mean(values_GR[g]). If the weights sum to 0 and all configurations have the same
// seeds, what a seed does to all of them cancels, and residuals are those of the paired seed_noise; else those of the
// configurations alone. Two standard errors between seeds: (a) pooled: one variance for all configurations (those of
// weight 0 count, too); (b) Welch-Satterthwaite: each configuration with a weight its own variance. (a) has more degrees
// of freedom, (b) holds when the noise differs between configurations; for two configurations with the same seeds both
// are the paired t-test. All seeds answer the same items, so the item noise does not shrink with the number of seeds:
// `item_se` is that of the value.
LinearEstimate linear_estimate(const std::vector<double>& weights_G, const std::vector<std::vector<double>>& values_GR,
                               double item_se, const std::vector<std::vector<double>>& seeds_GR = {});

// The standard error of the value if the items' errors are independent between configurations; se_GR[g]: the runs of
// configuration g, NaN where unknown. NaN if none is known.
double unpaired_item_se(const std::vector<double>& weights_G, const std::vector<std::vector<double>>& se_GR);

// Weights of the least squares slope of y over x; empty if x does not vary.
std::vector<double> slope_weights(const std::vector<double>& x);

// The smallest level for which `holds(level)`, with `holds` true from there on; NaN if it does not hold at 1.
template <typename Holds>
double smallest_level(const Holds& holds) {
  double low = 1e-12, high = 1;
  if (!holds(high)) return kUnknown;
  for (int i = 0; i < 40 && high > 1.001 * low; ++i) {
    const double middle = std::sqrt(low * high);
    (holds(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace moebius
