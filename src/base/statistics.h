// Means, slopes, rank correlation and bootstrap intervals.
// In: measured values with item-level standard errors, grouped by configuration; out: an estimate and its 95 %
// interval. Deterministic: the bootstrap draws from base/rng.h. Knows nothing of records or pages.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "base/types.h"

namespace moebius {

// A number that was not measured.
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// One run as a test sees it. Standard errors (over items) that are unknown are NaN and count as 0.
struct Value {
  double x = 0, y = 0;
  double x_se = kUnknown, y_se = kUnknown;
};
// The seeds of one configuration.
using Group = std::vector<Value>;

struct Interval {
  double estimate = kUnknown, low = kUnknown, high = kUnknown;
  bool known() const { return low == low && high == high; }
  bool above(double bound) const { return known() && low > bound; }
  bool below(double bound) const { return known() && high < bound; }
};

inline Interval interval_around(double estimate, double half) { return {estimate, estimate - half, estimate + half}; }

// The least and the largest of the numbers that were added; NaN is none.
struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  bool known() const { return low <= high; }
};

// 0 ... count - 1 by rising key(i), equal keys in their order.
template <typename Key>
std::vector<std::size_t> order_by(std::size_t count, const Key& key) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, key);
  return order;
}

double mean_of(const std::vector<double>& values);
// Percentile of sorted values, linear between them; share in [0, 1]. NaN of none.
double percentile(const std::vector<double>& sorted, double share);
// Sample standard deviation (n - 1); NaN for fewer than two.
double deviation_of(const std::vector<double>& values);
// Two-sided 95 % point of Student's t; 1.96 for df <= 0 (no degrees of freedom: the normal distribution of the items).
double student_t95(i64 df);

// Least squares; NaN when x does not vary.
double slope_of(const std::vector<double>& x, const std::vector<double>& y);
struct Parabola {
  double curvature = kUnknown;  // y = a + b u + curvature u^2, u = x - mean(x)
  double slope = kUnknown;      // b
  double center = 0;            // mean(x)
  double vertex() const { return center - slope / (2 * curvature); }
};
Parabola parabola_of(const std::vector<double>& x, const std::vector<double>& y);
// Spearman's rank correlation, ties at their mean rank; NaN when a side does not vary.
double spearman_of(const std::vector<double>& x, const std::vector<double>& y);

// A statistic of the configurations' means.
using Statistic = std::function<double(const std::vector<double>& x, const std::vector<double>& y)>;

// Bootstrap of `statistic` over the configurations' means, for statistics that are not linear in them
// (base/linear_statistics.h has the linear ones). Each of `replicates` replicates gives every configuration as many
// residuals as it has runs, drawn from those of all configurations (deviations from the own mean, scaled by
// sqrt(n/(n-1)); x and y together), and, once for all of its seeds, normal noise of the item-level standard errors. With
// single seeds only the item noise is left, and with no standard errors either the interval is unknown. `test` numbers
// the test within a study: equal inputs give equal intervals.
struct Bootstrap {
  double estimate = kUnknown;
  std::vector<double> draws;  // sorted; empty: unknown
  double df = 0;              // number of runs - number of configurations; 0: only item noise
  // The percentile interval that excludes a true value with probability `level`, widened by t(df)/z, since few seeds
  // make bootstrap intervals too narrow.
  Interval interval(double level = 0.05) const;
};
constexpr i64 kReplicates = 2000;
Bootstrap bootstrap(const std::vector<Group>& groups, const Statistic& statistic, u64 test,
                    i64 replicates = kReplicates);

}  // namespace moebius
