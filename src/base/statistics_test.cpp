// Tests of the statistics against values worked out by hand or with the standard tables.
#include "base/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace moebius {
namespace {

TEST(Statistics, SlopeParabolaSpearman) {
  EXPECT_DOUBLE_EQ(slope_of({0, 1, 2, 3}, {1, 3, 5, 7}), 2);
  EXPECT_TRUE(std::isnan(slope_of({1, 1}, {1, 2})));
  // y = 3 + 2 x - x^2: vertex at 1, curvature -1.
  const Parabola fit = parabola_of({0, 1, 3, 4, 7}, {3, 4, 0, -5, -32});
  EXPECT_NEAR(fit.vertex(), 1, 1e-9);
  EXPECT_NEAR(fit.curvature, -1, 1e-9);
  EXPECT_DOUBLE_EQ(spearman_of({1, 2, 3, 4}, {10, 20, 400, 500}), 1);
  EXPECT_DOUBLE_EQ(spearman_of({1, 2, 3, 4}, {9, 7, 5, 3}), -1);
  // Ranks 1.5, 1.5, 3 against 1, 2, 3: 1.5 / sqrt(1.5 * 2).
  EXPECT_NEAR(spearman_of({5, 5, 8}, {1, 2, 3}), 1.5 / std::sqrt(3.0), 1e-12);
  EXPECT_TRUE(std::isnan(spearman_of({1, 1}, {1, 2})));
}

TEST(Bootstrap, IsDeterministicAndKnowsWhenItKnowsNothing) {
  const std::vector<Group> groups = {{{0, 1.0}, {0, 1.1}}, {{1, 2.0}, {1, 2.1}}, {{2, 3.0}, {2, 2.9}}};
  const Interval first = bootstrap(groups, slope_of, 3).interval(), second = bootstrap(groups, slope_of, 3).interval();
  EXPECT_EQ(first.low, second.low);
  EXPECT_EQ(first.high, second.high);
  EXPECT_TRUE(first.above(0));
  const Interval silent = bootstrap({{{0, 1}}, {{1, 2}}}, slope_of, 3).interval();
  EXPECT_DOUBLE_EQ(silent.estimate, 1);
  EXPECT_FALSE(silent.known());
}

TEST(Bootstrap, SingleSeedsLeaveTheItemNoise) {
  const std::vector<Group> groups = {{{0, 0, kUnknown, 0.3}}, {{1, 1, kUnknown, 0.4}}};
  const Interval interval = bootstrap(groups, slope_of, 1).interval();
  EXPECT_NEAR(interval.high - interval.low, 2 * 1.96 * 0.5, 0.12);
}

// All seeds answer the same items: the items' noise of a configuration with many seeds is that of one run.
TEST(Bootstrap, ItemNoiseDoesNotShrinkWithSeeds) {
  std::vector<Group> groups(2);
  for (int seed = 0; seed < 25; ++seed) {
    groups[0].push_back({0, 0, kUnknown, 0.3});
    groups[1].push_back({1, 1, kUnknown, 0.4});
  }
  const Interval interval = bootstrap(groups, slope_of, 1).interval();
  EXPECT_NEAR(interval.high - interval.low, 2 * 1.96 * 0.5, 0.15);
}

// Three equal seeds at one configuration do not make its mean certain: residuals are pooled.
TEST(Bootstrap, ResidualsArePooled) {
  const std::vector<Group> groups = {{{0, 1}, {0, 1}, {0, 1}}, {{1, 4}, {1, 5}, {1, 6}}};
  const Interval first = bootstrap(
                             groups, [](const auto&, const auto& y) { return y[0]; }, 1)
                             .interval();
  EXPECT_GT(first.high - first.low, 0.5);
}

// About 95 % of the 95 % intervals must contain the true value: 200 studies of 5 configurations with 3 seeds.
TEST(Bootstrap, CoversTheTruth) {
  Rng rng(11, RngStream::test);
  int covered = 0;
  constexpr int kStudies = 200;
  for (int study = 0; study < kStudies; ++study) {
    std::vector<Group> groups;
    for (int point = 0; point < 5; ++point) {
      Group group;
      for (int seed = 0; seed < 3; ++seed)
        group.push_back({static_cast<double>(point), 0.3 * point + rng.next_normal()});
      groups.push_back(group);
    }
    const Interval interval = bootstrap(groups, slope_of, static_cast<u64>(study)).interval();
    covered += interval.low <= 0.3 && interval.high >= 0.3 ? 1 : 0;
  }
  EXPECT_GE(covered, 180);  // 190 expected, standard deviation 3
  EXPECT_LE(covered, 199);
}

}  // namespace
}  // namespace moebius
