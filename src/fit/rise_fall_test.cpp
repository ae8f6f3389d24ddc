// Tests of the rise-and-fall test: planted peaks come back, other curves do not, and what is not known is not reported.
// The rates of false alarms over many curves are in rise_fall_rates_test.cpp.
#include "fit/rise_fall.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace moebius::fit {
namespace {

template <typename Curve>
std::vector<Group> planted(const Curve& curve, int points, int seeds, double noise, u64 number) {
  Rng rng(21, RngStream::test, number);
  std::vector<Group> groups;
  for (int i = 0; i < points; ++i) {
    Group group;
    for (int seed = 0; seed < seeds; ++seed) {
      group.push_back({static_cast<double>(i), curve(i) + noise * rng.next_normal()});
    }
    groups.push_back(group);
  }
  return groups;
}

TEST(RiseFall, MeansAreSortedJoinedAndPooled) {
  const SeedMeans means = seed_means({{{2, 5}, {2, 7}}, {{1, 1}, {1, 3}, {1, kUnknown}}, {{2, 9}}});
  EXPECT_EQ(means.x, (std::vector<double>{1, 2}));
  EXPECT_EQ(means.y, (std::vector<double>{2, 7}));
  EXPECT_EQ(means.count, (std::vector<double>{2, 3}));
  EXPECT_EQ(means.df, 2);
  EXPECT_DOUBLE_EQ(means.deviation, std::sqrt(2.0));  // both pairs deviate by 1 from their means: (2 + 2) / 2
}

TEST(RiseFall, PlantedPeakComesBack) {
  const auto curve = [](double x) { return -0.05 * (x - 3.2) * (x - 3.2); };
  const RiseFall maximum = rise_fall(planted(curve, 8, 3, 0.03, 1), 1, 0);
  EXPECT_EQ(maximum.shape, TurnShape::inside);
  EXPECT_LT(maximum.p, 0.01);
  EXPECT_NEAR(maximum.at.estimate, 3.2, 0.5);
  EXPECT_LE(maximum.at.low, 3.2);
  EXPECT_GE(maximum.at.high, 3.2);
  EXPECT_GT(maximum.rise, 0);
  // The same data as a minimum, upside down.
  const auto valley = [&](double x) { return -curve(x); };
  const RiseFall minimum = rise_fall(planted(valley, 8, 3, 0.03, 1), -1, 0);
  EXPECT_EQ(minimum.shape, TurnShape::inside);
  // A valley is no peak: two best ends.
  EXPECT_NE(rise_fall(planted(valley, 8, 3, 0.03, 1), 1, 0).shape, TurnShape::inside);
}

TEST(RiseFall, MonotoneCurvesHaveTheirBestAtAnEnd) {
  const RiseFall up = rise_fall(planted([](double x) { return x; }, 6, 3, 0.1, 2), 1, 0);
  EXPECT_EQ(up.shape, TurnShape::high_end);
  EXPECT_FALSE(up.at.known());
  EXPECT_EQ(rise_fall(planted([](double x) { return -x; }, 6, 3, 0.1, 3), 1, 0).shape, TurnShape::low_end);
  // Saturating: rises, then nothing. Where the best point is cannot be said.
  const RiseFall flat_end = rise_fall(planted([](double x) { return 1 - std::exp(-2 * x); }, 8, 3, 0.1, 4), 1, 0);
  EXPECT_EQ(flat_end.shape, TurnShape::not_determined);
  EXPECT_GT(flat_end.p, 0.05);
}

TEST(RiseFall, TwoPeaksAreSeveral) {
  const double y[] = {0, 5, 0, 0, 5, 0};
  EXPECT_EQ(rise_fall(planted([&](int i) { return y[i]; }, 6, 3, 0.1, 5), 1, 0).shape, TurnShape::several);
}

TEST(RiseFall, ClaimsNothingWithoutNoiseOrPoints) {
  const auto curve = [](double x) { return -(x - 3) * (x - 3); };
  const RiseFall one_seed = rise_fall(planted(curve, 7, 1, 0.1, 6), 1, 0);
  EXPECT_EQ(one_seed.shape, TurnShape::not_determined);
  EXPECT_TRUE(std::isnan(one_seed.p));
  EXPECT_EQ(rise_fall(planted(curve, 3, 3, 0.1, 7), 1, 0).shape, TurnShape::not_determined);
  EXPECT_EQ(rise_fall({}, 1, 0).shape, TurnShape::not_determined);
  // Equal seeds at every point: a score that is at its floor.
  EXPECT_EQ(rise_fall(planted([](double) { return 0.0; }, 6, 3, 0, 8), 1, 0).shape, TurnShape::not_determined);
}

TEST(RiseFall, ManyPointsAreJoined) {
  const auto curve = [](double x) { return -1e-3 * (x - 70) * (x - 70); };
  const std::vector<Group> groups = planted(curve, 200, 2, 0.5, 9);
  EXPECT_EQ(seed_means(groups).x.size(), kPointsMax);
  const RiseFall result = rise_fall(groups, 1, 0);
  EXPECT_EQ(result.shape, TurnShape::inside);
  EXPECT_NEAR(result.at.estimate, 70, 5);
}

// The law of the largest difference for two points with known noise is that of a half normal: P(max(0, t) > c).
TEST(RiseFall, LawOfTwoPointsIsNormal) {
  const RiseFallTest test({3, 3}, 0, 1);
  EXPECT_NEAR(test.critical(0.05), 1.645, 0.08);
  EXPECT_NEAR(test.critical(0.25), 0.674, 0.06);
  // With four degrees of freedom Student's t: 2.132.
  EXPECT_NEAR(RiseFallTest({3, 3}, 4, 1).critical(0.05), 2.132, 0.15);
}

}  // namespace
}  // namespace moebius::fit
