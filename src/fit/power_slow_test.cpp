// The stated power against simulation of the very statistics: thousands of studies. The whole way through the report's
// verdicts is study/study_power_slow_test.cpp.
#include <gtest/gtest.h>

#include "fit/rise_fall.h"
#include "base/rng.h"
#include "fit/power.h"

namespace moebius::fit {
namespace {

// Share of simulated studies in which the interval of `statistic` lies above `bound`.
double power_of(const PowerDesign& design, double noise, const Statistic& statistic, const std::vector<double>& truth) {
  constexpr int kStudies = 400;
  int found = 0;
  for (int study = 0; study < kStudies; ++study) {
    Rng rng(61, RngStream::test, static_cast<u64>(study));
    std::vector<Group> groups(truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
      for (i64 seed = 0; seed < design.seeds; ++seed) {
        groups[i].push_back({design.x.empty() ? 0 : design.x[i], truth[i] + noise * rng.next_normal()});
      }
    }
    found += bootstrap(groups, statistic, static_cast<u64>(study), 1000).interval().above(0);
  }
  return static_cast<double>(found) / kStudies;
}

// 80 % of 400 has a standard deviation of 2 %.
constexpr double kTolerance = 0.06;

TEST(Power, SlopeIsFoundAsOftenAsSaid) {
  for (const i64 seeds : {3, 5}) {
    const PowerDesign design{HypothesisKind::monotone, {1, 3, 5, 6}, {}, seeds};
    const double slope = smallest_effect(design, {.seed = 0.04});
    std::vector<double> truth;
    for (const double x : design.x) truth.push_back(slope * x);
    EXPECT_NEAR(power_of(design, 0.04, slope_of, truth), kPower, kTolerance) << seeds;
  }
}

TEST(Power, DifferenceIsFoundAsOftenAsSaid) {
  const PowerDesign design{HypothesisKind::difference, {}, {false, true, true}, 3};
  const double difference = smallest_effect(design, {.seed = 0.04});
  const auto statistic = [](const auto&, const auto& y) { return 0.5 * (y[1] + y[2]) - y[0]; };
  EXPECT_NEAR(power_of(design, 0.04, statistic, {0, difference, difference}), kPower, kTolerance);
}

TEST(Power, MarginIsShownAsOftenAsSaid) {
  const PowerDesign design{HypothesisKind::equal, {}, {false, true}, 4};
  const double margin = smallest_effect(design, {.seed = 1});
  int shown = 0;
  for (int study = 0; study < 400; ++study) {
    Rng rng(62, RngStream::test, static_cast<u64>(study));
    std::vector<Group> groups(2);
    for (Group& group : groups) {
      for (int seed = 0; seed < 4; ++seed) group.push_back({0, rng.next_normal()});
    }
    const Interval interval = bootstrap(
        groups, [](const auto&, const auto& y) { return y[1] - y[0]; }, static_cast<u64>(study), 0.95, 1000);
    shown += interval.above(-margin) && interval.below(margin);
  }
  EXPECT_NEAR(shown / 400.0, kPower, kTolerance);
}

TEST(Power, PeakIsFoundAsOftenAsSaid) {
  const PowerDesign design{HypothesisKind::peak, {0, 1, 2, 3, 4, 5, 6}, {}, 3};
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
  const PowerDesign design{HypothesisKind::correlation, {0, 1, 2, 3, 4, 5}, {}, 3};
  const double change = smallest_effect(design, {.seed = 1});
  std::vector<double> truth;
  for (const double x : design.x) truth.push_back(change * x / 5);
  EXPECT_NEAR(power_of(design, 1, spearman_of, truth), kPower, 0.09);  // itself from 200 simulations
}

}  // namespace
}  // namespace moebius::fit
