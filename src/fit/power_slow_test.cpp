// The stated power against simulation of the very statistics: thousands of studies. The whole way through the report's
// verdicts is study/study_power_slow_test.cpp.
#include <gtest/gtest.h>

#include <numeric>

#include "base/linear_statistics.h"
#include "base/rng.h"
#include "fit/rise_fall.h"
#include "fit/power.h"

namespace moebius::fit {
namespace {

// 80 % of 400 studies has a standard deviation of 2 %.
constexpr int kStudiesOfPower = 400;
constexpr double kTolerance = 0.06;

// values[i][seed] around truth[i].
std::vector<std::vector<double>> study_of(const std::vector<double>& truth, i64 seeds, double noise, int study) {
  Rng rng(61, RngStream::test, static_cast<u64>(study));
  std::vector<std::vector<double>> values(truth.size());
  for (std::size_t i = 0; i < truth.size(); ++i) {
    for (i64 seed = 0; seed < seeds; ++seed) values[i].push_back(truth[i] + noise * rng.next_normal());
  }
  return values;
}

// Share of simulated studies for whose interval of the weighted sum `holds`; all configurations have the same seeds.
template <typename Holds>
double share_of(const std::vector<double>& weights, i64 seeds, double noise, const std::vector<double>& truth,
                const Holds& holds) {
  int found = 0;
  std::vector<double> numbers(static_cast<std::size_t>(seeds));
  std::iota(numbers.begin(), numbers.end(), 1);
  for (int study = 0; study < kStudiesOfPower; ++study) {
    const auto values = study_of(truth, seeds, noise, study);
    found += holds(linear_estimate(weights, values, kUnknown, std::vector(weights.size(), numbers)).interval());
  }
  return static_cast<double>(found) / kStudiesOfPower;
}

bool above_zero(const Interval& interval) { return interval.above(0); }

TEST(Power, SlopeIsFoundAsOftenAsSaid) {
  for (const i64 seeds : {3, 5}) {
    const PowerDesign design{.kind = HypothesisKind::monotone, .x = {1, 3, 5, 6}, .in_b = {}, .seeds = seeds};
    const double slope = smallest_effect(design, {.seed = 0.04});
    std::vector<double> truth;
    for (const double x : design.x) truth.push_back(slope * x);
    EXPECT_NEAR(share_of(slope_weights(design.x), seeds, 0.04, truth, above_zero), kPower, kTolerance) << seeds;
  }
}

TEST(Power, DifferenceIsFoundAsOftenAsSaid) {
  const PowerDesign design{.kind = HypothesisKind::difference, .x = {}, .in_b = {false, true, true}, .seeds = 3};
  const double difference = smallest_effect(design, {.seed = 0.04});
  EXPECT_NEAR(share_of({-1, 0.5, 0.5}, 3, 0.04, {0, difference, difference}, above_zero), kPower, kTolerance);
}

TEST(Power, MarginIsShownAsOftenAsSaid) {
  const PowerDesign design{.kind = HypothesisKind::equal, .x = {}, .in_b = {false, true}, .seeds = 4, .margin = true};
  const double margin = smallest_effect(design, {.seed = 1});
  const auto within = [&](const Interval& interval) { return interval.above(-margin) && interval.below(margin); };
  EXPECT_NEAR(share_of({-1, 1}, 4, 1, {0, 0}, within), kPower, kTolerance);
}

TEST(Power, PeakIsFoundAsOftenAsSaid) {
  const PowerDesign design{.kind = HypothesisKind::peak, .x = {0, 1, 2, 3, 4, 5, 6}, .in_b = {}, .seeds = 3};
  const double height = smallest_effect(design, {.seed = 0.1});
  int found = 0;
  RiseFallTests test(5);
  for (int study = 0; study < 400; ++study) {
    Rng rng(63, RngStream::test, static_cast<u64>(study));
    std::vector<Group> groups;
    for (const double x : design.x) {
      groups.emplace_back();
      for (int seed = 0; seed < 3; ++seed) {
        groups.back().push_back({x, height * (1 - (x - 3) * (x - 3) / 9) + 0.1 * rng.next_normal()});
      }
    }
    found += test(seed_means(groups), 1).shape == TurnShape::inside;
  }
  EXPECT_NEAR(found / 400.0, kPower, kTolerance);
}

TEST(Power, CorrelationIsFoundAsOftenAsSaid) {
  const PowerDesign design{.kind = HypothesisKind::correlation, .x = {0, 1, 2, 3, 4, 5}, .in_b = {}, .seeds = 3};
  const double change = smallest_effect(design, {.seed = 1});
  std::vector<double> truth;
  for (const double x : design.x) truth.push_back(change * x / 5);
  int found = 0;
  for (int study = 0; study < kStudiesOfPower; ++study) {
    const auto values = study_of(truth, 3, 1, study);
    std::vector<Group> groups(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      for (const double y : values[i]) groups[i].push_back({design.x[i], y});
    }
    found += bootstrap(groups, spearman_of, static_cast<u64>(study), 1000).interval().above(0);
  }
  EXPECT_NEAR(static_cast<double>(found) / kStudiesOfPower, kPower, 0.09);  // itself from 200 simulations
}

}  // namespace
}  // namespace moebius::fit
