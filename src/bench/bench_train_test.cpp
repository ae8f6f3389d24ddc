// A measured step of a small model: figures in range, nothing allocated. Slow: the roof needs large buffers.
#include "bench/bench_train.h"

#include <gtest/gtest.h>

namespace moebius::bench {
namespace {

model::ModelConfig small(i64 experts) {
  model::ModelConfig config;
  config.vocab = 512;
  config.d_model = 64;
  config.layers = 3;
  config.experts.experts = experts;
  config.resolve();
  return config;
}

TEST(BenchTrain, MeasuresAStep) {
  BenchTrainOptions options;
  options.sequence = 32;
  options.tokens_per_step = 128;
  options.steps = 2;
  options.steps_warm = 1;
  options.roof_milliseconds = 5;
  std::string text;
  const Json result = bench_train(options, small(8), &text);
  EXPECT_GT(result.at("tokens_per_s").as_double(), 0);
  EXPECT_GT(result.at("mfu").as_double(), 0);
  EXPECT_LT(result.at("mfu").as_double(), 1);
  EXPECT_EQ(result.at("allocations_steady").as_int(), 0);
  EXPECT_NEAR(result.at("flops_per_step").as_double(), 128 * model::count_model(small(8), 32).flops_per_token_mfu, 1);
}

}  // namespace
}  // namespace moebius::bench
