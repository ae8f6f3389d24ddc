// Learning rates at known steps.
#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moebius::train {
namespace {

// Optimal Sparsity (2508.18672): peak 4e-4, 2000 steps of warm-up, cosine to 4e-5 at step 29,803.
TEST(Schedule, CosineOfOptimalSparsity) {
  OptimizerOptions options;
  options.learning_rate = 4e-4;
  options.warmup_steps = 2000;
  options.final_fraction = 0.1;
  const Schedule schedule = make_schedule(options, 29803);
  EXPECT_DOUBLE_EQ(learning_rate_at(schedule, 0), 0);
  EXPECT_DOUBLE_EQ(learning_rate_at(schedule, 1000), 2e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(schedule, 2000), 4e-4);
  EXPECT_NEAR(learning_rate_at(schedule, 2000 + 27803 / 2), 2.2e-4, 2e-8);
  EXPECT_NEAR(learning_rate_at(schedule, 29803), 4e-5, 1e-18);
}

TEST(Schedule, WarmupStableDecay) {
  OptimizerOptions options;
  options.schedule = "wsd";
  options.learning_rate = 1e-2;
  options.warmup_fraction = 0.1;
  options.decay_fraction = 0.2;
  options.final_fraction = 0;
  const Schedule linear = make_schedule(options, 1000);
  EXPECT_EQ(linear.warmup, 100);
  EXPECT_EQ(linear.decay, 200);
  EXPECT_DOUBLE_EQ(learning_rate_at(linear, 50), 5e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(linear, 100), 1e-2);
  EXPECT_DOUBLE_EQ(learning_rate_at(linear, 800), 1e-2);
  EXPECT_DOUBLE_EQ(learning_rate_at(linear, 900), 5e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(linear, 1000), 0);
  options.decay_shape = "1-sqrt";
  const Schedule root = make_schedule(options, 1000);
  EXPECT_DOUBLE_EQ(learning_rate_at(root, 850), 1e-2 * (1 - std::sqrt(0.25)));
  EXPECT_DOUBLE_EQ(learning_rate_at(root, 1000), 0);
}

TEST(Schedule, ConstantAndShortRuns) {
  OptimizerOptions options;
  options.schedule = "constant";
  options.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(learning_rate_at(make_schedule(options, 5), 1), options.learning_rate);
  EXPECT_DOUBLE_EQ(learning_rate_at(make_schedule(options, 5), 5), options.learning_rate);
  // A run of one step, all of it warm-up, still learns.
  options.schedule = "cosine";
  options.warmup_steps = 1;
  EXPECT_DOUBLE_EQ(learning_rate_at(make_schedule(options, 1), 1), options.learning_rate);
}

}  // namespace
}  // namespace moebius::train
