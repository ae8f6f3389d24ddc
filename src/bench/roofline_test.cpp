// The roofline counts the same FLOPs as MFU does.
#include "bench/roofline.h"

#include <gtest/gtest.h>

#include "bench/bench_train.h"

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

TEST(Roofline, CountsTheFlopsOfMfu) {
  kernels::Roof roof;
  roof.bf16_flops_per_s = 1e12;
  roof.dram_bytes_per_s = 1e10;
  for (const i64 experts : {1, 8}) {
    const model::ModelConfig config = small(experts);
    double flops = 0;
    const auto rows = train_roofline(config, DType::bf16, 4096, 256, 2, roof);
    for (const RooflineRow& row : rows) {
      flops += row.flops;
      EXPECT_GE(row.seconds, row.flops / 1e12);
      EXPECT_GE(row.seconds * 1e10, row.bytes * 0.999999);
    }
    EXPECT_NEAR(flops / (4096 * model::count_model(config, 256).flops_per_token_mfu), 1, 1e-9);
    EXPECT_GT(roofline_seconds(rows), 0);
  }
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
