// Does y rise and then fall as x grows? A test whose false positive rate is below its level for every curve that does
// not: flat, monotone, saturating, U-shaped. In: seeds of configurations along x. Out: a p-value, and where the
// turning point can be. No curve is assumed, so nothing is said about the peak's form. Numbers: docs/task-laws.md.
#pragma once

#include <array>
#include <vector>

#include "base/statistics.h"
#include "records/fit_file.h"

namespace moebius::fit {

// Means along x: sorted, equal x (to 1e-9) put together, neighbours joined beyond kPointsMax. The seeds of all
// configurations give one pooled standard deviation with df = runs - configurations degrees of freedom.
constexpr std::size_t kPointsMax = 48;
struct SeedMeans {
  std::vector<double> x, y, count;  // [points]; count: runs in a mean
  double deviation = kUnknown;      // of one run around its configuration's mean
  i64 df = 0;
  bool noise_known() const { return deviation == deviation && deviation > 0; }
};
// Values that are not finite are left out.
SeedMeans seed_means(const std::vector<Group>& groups);

using records::TurnShape;

struct RiseFall {
  TurnShape shape = TurnShape::not_determined;
  double p = kUnknown;                      // of rise and fall together
  double p_end = kUnknown;                  // low_end, high_end: of every other place of the best value
  double rise = kUnknown, fall = kUnknown;  // of the most convincing three blocks: their differences, in y
  Interval at;                              // of the turning point in x, 95 %; known only when the shape is `inside`
  i64 points = 0;
};

// Blocks are runs of 1, 2, 4, ... neighbouring points; t(A, B) is the difference of two blocks' means in its standard
// errors. Statistic: max over blocks A before B before C of min(t(A, B), t(C, B)). If y is quasi-convex in x (monotone
// or U-shaped), then for every triple A or C is at least as high as B in truth, so the statistic is at most a maximum
// of differences caused by noise alone, whose distribution is known: that of the largest difference of two ordered
// blocks of a flat curve. p is the tail of this distribution, from `kNullDraws` draws of normal noise; it holds for
// equal seed noise at all points. The set of possible peaks holds every point b for which neither a fall before b nor a
// rise after it is beyond the 95 % point of the same distribution (test inversion); the interval ends at the neighbours
// of the set, because a continuous curve's peak lies within one step of its best point. Related: two lines (Simonsohn
// 2018, doi 10.1177/2515245918805755), slopes at both ends (Lind and Mehlum 2010), order-restricted inference
// (Robertson, Wright and Dykstra 1988).
constexpr i64 kNullDraws = 4000;
class RiseFallTest {
 public:
  // For designs with these counts and degrees of freedom; the distribution is simulated once. Streams:
  // RngStream::bootstrap, step `number`.
  RiseFallTest(std::vector<double> count, i64 df, u64 number);
  // Whether the data have this design.
  bool fits(const SeedMeans& means) const { return means.count == count_ && means.df == df_; }
  // sign 1: a maximum is looked for; -1: a minimum. `means` must have the design's counts and a known noise.
  RiseFall test(const SeedMeans& means, double sign) const;
  // The value that the largest of the differences exceeds with this probability.
  double critical(double level) const;

 private:
  struct Block {
    std::size_t begin, end;  // points
    double count;
  };
  template <typename Visit>
  void each_pair(const std::vector<double>& block_means, Visit&& visit) const;
  std::vector<double> block_means(const std::vector<double>& y) const;
  double largest_fall(const std::vector<double>& block_means) const;
  bool may_peak_at(std::size_t point, const std::vector<double>& block_means, double bound) const;
  // The first and the last point of the set of possible peaks at this level; first > last: none.
  std::array<std::size_t, 2> peak_set(const SeedMeans& means, const std::vector<double>& block_means,
                                      double level) const;
  void locate(const SeedMeans& means, const std::vector<double>& block_means, double sign, RiseFall& result) const;

  std::vector<double> count_;
  i64 df_;
  std::vector<Block> blocks_;     // by begin, then by length
  std::vector<double> null_law_;  // sorted
};

// Both steps for one set of data. Fewer than four points, or no known noise: not determined.
RiseFall rise_fall(const std::vector<Group>& groups, double sign, u64 number);

// The same for many sets of data: the distribution of each design is simulated once.
class RiseFallTests {
 public:
  explicit RiseFallTests(u64 number) : number_(number) {}
  RiseFall operator()(const SeedMeans& means, double sign);

 private:
  u64 number_;
  std::vector<RiseFallTest> designs_;
};

}  // namespace moebius::fit
