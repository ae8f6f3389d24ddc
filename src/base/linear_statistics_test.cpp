// Student's t against tables and closed forms, linear estimates against values worked out by hand, and coverage.
#include "base/linear_statistics.h"

#include <gtest/gtest.h>

#include <limits>
#include <numbers>

#include "base/rng.h"

namespace moebius {
namespace {

TEST(StudentT, TablesAndClosedForms) {
  EXPECT_NEAR(student_t(4), 2.7764451, 1e-6);
  EXPECT_NEAR(student_t(8), 2.3060041, 1e-6);
  EXPECT_NEAR(student_t(120), 1.9799304, 1e-6);
  EXPECT_NEAR(student_t(std::numeric_limits<double>::infinity()), 1.9599640, 1e-6);
  EXPECT_NEAR(student_t(8, 0.01), 3.3553873, 1e-6);
  EXPECT_NEAR(student_t(30, 1e-6), 6.1193, 2e-3);
  for (const double level : {0.5, 0.05, 0.0125, 1e-6}) {
    // df = 1 is Cauchy's, df = 2 has t = (1 - level) sqrt(2 / (1 - (1 - level)^2)).
    EXPECT_NEAR(student_t(1, level) * std::tan(0.5 * std::numbers::pi * level), 1, 1e-9) << level;
    EXPECT_NEAR(student_t(2, level) / ((1 - level) * std::sqrt(2 / (level * (2 - level)))), 1, 1e-9) << level;
  }
  EXPECT_GT(student_t(4.5), student_t(5));  // fractional degrees of freedom
  EXPECT_LT(student_t(4.5), student_t(4));
  EXPECT_NEAR(student_t95(0), 1.96, 1e-9);
}

TEST(LinearEstimate, PooledAndWelch) {
  // Equal variances: pooled df 4; Welch has the same error and df.
  const LinearEstimate equal = linear_estimate({-1, 1}, {{1, 2, 3}, {2, 3, 4}}, kUnknown);
  EXPECT_DOUBLE_EQ(equal.value, 1);
  EXPECT_NEAR(equal.half(), 2.7764451 * std::sqrt(2.0 / 3), 1e-6);
  EXPECT_EQ(equal.kind(), IntervalKind::seeds);
  // Variances 1 and 100: Welch-Satterthwaite's df is near 2, and its interval is the wider one.
  const LinearEstimate unequal = linear_estimate({-1, 1}, {{1, 2, 3}, {0, 10, 20}}, kUnknown);
  const double df = 101.0 * 101.0 / (1 + 100.0 * 100.0) * 2;
  EXPECT_NEAR(unequal.half(), student_t(df) * std::sqrt(101.0 / 3), 1e-9);
  // Seeds that are equal by luck: the pooled deviation of the others counts.
  const LinearEstimate lucky = linear_estimate({1, 0}, {{5, 5, 5}, {1, 2, 3}}, kUnknown);
  EXPECT_NEAR(lucky.half(), student_t(4) * std::sqrt(0.5 / 3), 1e-9);
}

TEST(LinearEstimate, SeedsThatAllConfigurationsHaveArePaired) {
  // Differences by seed 1.0, 1.1, 0.9 however much the seeds differ: the paired t-test, in any order of the runs.
  const LinearEstimate pair =
      linear_estimate({-1, 1}, {{0, 10, 20}, {20.9, 1.0, 11.1}}, kUnknown, {{1, 2, 3}, {3, 1, 2}});
  EXPECT_NEAR(pair.value, 1, 1e-12);
  EXPECT_NEAR(pair.half(), student_t(2) * 0.1 / std::sqrt(3.0), 1e-9);
  // A third configuration adds degrees of freedom: (3 - 1)(3 - 1).
  const SeedNoise noise = seed_noise({{0, 10, 20}, {1, 11.1, 20.9}, {5, 15, 25}}, {{1, 2, 3}, {1, 2, 3}, {1, 2, 3}});
  EXPECT_TRUE(noise.paired);
  EXPECT_DOUBLE_EQ(noise.df, 4);
  EXPECT_NEAR(noise.squares, 0.02 * 2 / 3, 1e-9);
  // Other seeds, or a mean (the seeds' effect does not cancel): not paired.
  EXPECT_GT(linear_estimate({-1, 1}, {{0, 10, 20}, {1, 11, 21}}, kUnknown, {{1, 2, 3}, {1, 2, 4}}).half(), 10);
  EXPECT_GT(linear_estimate({1, 0}, {{0, 10, 20}, {1, 11, 21}}, kUnknown, {{1, 2, 3}, {1, 2, 3}}).half(), 10);
}

TEST(LinearEstimate, ItemNoiseDoesNotShrinkWithSeeds) {
  EXPECT_NEAR(unpaired_item_se({-1, 1}, {{0.03, 0.03, 0.03}, {0.04, 0.04, 0.04}}), 0.05, 1e-12);
  const LinearEstimate items = linear_estimate({-1, 1}, {{0.5}, {0.6}}, 0.05);
  EXPECT_EQ(items.kind(), IntervalKind::items);
  EXPECT_NEAR(items.half(), 1.959964 * 0.05, 1e-6);
  const LinearEstimate both = linear_estimate({-1, 1}, {{1, 2, 3}, {2, 3, 4}}, 0.3);
  EXPECT_NEAR(both.half(), std::hypot(2.7764451 * std::sqrt(2.0 / 3), 1.959964 * 0.3), 1e-6);
  EXPECT_EQ(linear_estimate({-1, 1}, {{1}, {2}}, kUnknown).kind(), IntervalKind::none);
  EXPECT_FALSE(
      linear_estimate({-1, 1}, {{1}, {2}}, unpaired_item_se({-1, 1}, {{kUnknown}, {kUnknown}})).interval().known());
}

TEST(LinearEstimate, SlopeWeightsGiveTheSlope) {
  const std::vector<double> x = {0, 1, 3}, y = {1, 2, 7};
  const LinearEstimate slope = linear_estimate(slope_weights(x), {{1}, {2}, {7}}, kUnknown);
  EXPECT_NEAR(slope.value, slope_of(x, y), 1e-12);
  EXPECT_TRUE(slope_weights({2, 2}).empty());
}

TEST(LinearEstimate, SmallestLevelIsThePValue) {
  const LinearEstimate one = linear_estimate({-1, 1}, {{1, 2, 3}, {4, 5, 6}}, kUnknown);
  const double p = smallest_level([&](double level) { return one.interval(level).above(0); });
  EXPECT_NEAR(student_t(4, p), 3 / std::sqrt(2.0 / 3), 0.01);
  EXPECT_TRUE(std::isnan(smallest_level([&](double level) { return one.interval(level).below(0); })));
}

// Bimodal noise (two modes, 3 standard deviations apart), three seeds, four configurations: the case in which separate
// variances with pooled degrees of freedom covered 75 %.
TEST(LinearEstimate, SlopeCoversTheTruthUnderBimodalNoise) {
  Rng rng(5, RngStream::test);
  int covered = 0;
  constexpr int kStudies = 2000;
  const std::vector<double> weights = slope_weights({0, 1, 2, 3});
  for (int study = 0; study < kStudies; ++study) {
    std::vector<std::vector<double>> values(4);
    for (int g = 0; g < 4; ++g) {
      for (int seed = 0; seed < 3; ++seed) {
        const double mode = rng.next_uniform() < 1.0 / 3 ? 2 : -1;  // mean 0
        values[static_cast<std::size_t>(g)].push_back(0.3 * g + mode + rng.next_normal());
      }
    }
    const Interval slope = linear_estimate(weights, values, kUnknown, {4, {1, 2, 3}}).interval();
    covered += slope.low <= 0.3 && slope.high >= 0.3;
  }
  EXPECT_GE(covered, 0.94 * kStudies);
  EXPECT_LE(covered, 0.985 * kStudies);
}

}  // namespace
}  // namespace moebius
