// The smallest effects against numbers from elsewhere and against each other. Simulations of the stated power are in
// power_slow_test.cpp.
#include "fit/power.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"

namespace moebius::fit {
namespace {

// Two configurations with the same three seeds: the paired t-test. 0.194 and 0.327 come from an independent simulation of
// 400,000 pairs: the 80 % point of t(0.975, 2) s / sqrt(3) minus the mean (at 5 %, and for one of two hypotheses).
TEST(Power, PairedTTest) {
  PowerDesign pair{.kind = HypothesisKind::difference, .x = {}, .in_b = {false, true}, .seeds = 3};
  EXPECT_NEAR(smallest_effect(pair, {.seed = 0.042}), 0.194, 0.006);
  pair.tests = 2;
  EXPECT_NEAR(smallest_effect(pair, {.seed = 0.05}), 0.327, 0.01);
}

// The seeds of a configuration answer the same items: their noise is a floor that no number of seeds lowers.
TEST(Power, SeedsDoNotReduceTheItemNoise) {
  const PowerDesign pair{.kind = HypothesisKind::difference, .x = {}, .in_b = {false, true}, .seeds = 3};
  const double least = (1.96 + 0.8416) * std::sqrt(2.0) * 0.05;
  EXPECT_EQ(seeds_needed(pair, {.seed = 0.05, .item = 0.05}, 0.99 * least), 0);
  const i64 seeds = seeds_needed(pair, {.seed = 0.05, .item = 0.05}, 1.05 * least);
  EXPECT_GT(seeds, 8);
  EXPECT_LT(seeds, 40);
}

// A margin must be wider than half the interval, whatever the estimate; a contrast also counts its seeds one by one.
TEST(Power, MarginsAndContrasts) {
  PowerDesign slope{.kind = HypothesisKind::flat, .x = {0, 1, 2, 3}, .in_b = {}, .seeds = 3};
  const double effect = smallest_effect(slope, {.seed = 1});
  slope.margin = true;
  const double margin = smallest_effect(slope, {.seed = 1});
  EXPECT_GT(margin, 0.9 * effect);
  slope.margin = false;
  slope.kind = HypothesisKind::contrast;
  EXPECT_GT(smallest_effect(slope, {.seed = 1}), 1.2 * effect);
  EXPECT_STREQ(power_problem({.kind = HypothesisKind::contrast, .x = {1, 1}, .in_b = {}}),
               "a contrast needs an x that varies");
}

TEST(Power, MoreSeedsForLess) {
  PowerDesign design{HypothesisKind::monotone, {0, 1, 2, 3}, {}, 3};
  const PowerNoise noise{.seed = 0.05};
  const double now = smallest_effect(design, noise);
  EXPECT_EQ(seeds_needed(design, noise, now), 3);
  const i64 half = seeds_needed(design, noise, now / 2);
  EXPECT_GE(half, 7);  // four times the seeds, less what the degrees of freedom give back
  EXPECT_LE(half, 12);
  design.seeds = half;
  EXPECT_LE(smallest_effect(design, noise), now / 2);
  design.seeds = half - 1;
  EXPECT_GT(smallest_effect(design, noise), now / 2);
  EXPECT_EQ(seeds_needed(design, noise, now / 1000), 0);
  // Noise of the items counts on top.
  EXPECT_GT(smallest_effect(design, {.seed = 0.05, .item = 0.05}), 1.3 * smallest_effect(design, noise));
}

TEST(Power, OneThreadEqualsMany) {
  const PowerDesign peak{HypothesisKind::peak, {0, 1, 2, 3, 4}, {}, 3};
  parallel_set_threads(1);
  const double one = smallest_effect(peak, {.seed = 1});
  parallel_set_threads(4);
  EXPECT_EQ(smallest_effect(peak, {.seed = 1}), one);
  parallel_set_threads(0);
}

TEST(Power, DesignsThatCannotBeTested) {
  EXPECT_STREQ(power_problem({HypothesisKind::monotone, {1, 1, 2}, {}, 3}), "a trend needs three values of x");
  EXPECT_STREQ(power_problem({HypothesisKind::peak, {1, 2, 3}, {}, 3}), "a turning point needs four values of x");
  EXPECT_STREQ(power_problem({HypothesisKind::difference, {}, {true, true}, 3}), "one of the two groups is empty");
  EXPECT_TRUE(std::isnan(smallest_effect({HypothesisKind::correlation, {1, 2}, {}, 3}, {.seed = 1})));
}

}  // namespace
}  // namespace moebius::fit
