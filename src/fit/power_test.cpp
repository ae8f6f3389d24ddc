// The smallest effects against numbers from elsewhere and against each other. Simulations of the stated power are in
// power_slow_test.cpp.
#include "fit/power.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"

namespace moebius::fit {
namespace {

TEST(Power, PublishedPilotsSmallestEffect) {
  // Facts of the replication pilot of 2508.18672: three seeds, seed noise 0.033 to 0.058 of the task loss, "smallest
  // detectable effect about 0.12" between two configurations: the same size from our rule.
  const PowerDesign pair{HypothesisKind::difference, {}, {false, true}, 3};
  EXPECT_NEAR(smallest_effect(pair, {.seed = 0.042}), 0.12, 0.015);
}

TEST(Power, MoreSeedsForLess) {
  PowerDesign design{HypothesisKind::monotone, {0, 1, 2, 3}, {}, 3};
  const PowerNoise noise{.seed = 0.05};
  const double now = smallest_effect(design, noise);
  EXPECT_EQ(seeds_needed(design, noise, now), 3);
  const i64 half = seeds_needed(design, noise, now / 2);
  EXPECT_GE(half, 9);  // four times the seeds, less what the degrees of freedom give back
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
