// The roofline counts the same FLOPs as MFU does.
#include "bench/roofline.h"

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

}  // namespace
}  // namespace moebius::bench
