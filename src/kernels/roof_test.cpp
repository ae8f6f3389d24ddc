// The measured roof is sane on every set: positive, bf16 at least f32, memory only when requested.
#include "kernels/roof.h"

#include <gtest/gtest.h>

#include "base/parallel.h"

namespace moebius::kernels {
namespace {

TEST(Roof, EverySetHasOne) {
  for (const Isa isa : isa_all_supported()) {
    const Roof roof = roof_measure(isa, 1, RoofMemory::none);
    EXPECT_GT(roof.f32_flops_per_s, 1e8) << isa_name(isa);
    EXPECT_GE(roof.bf16_flops_per_s, roof.f32_flops_per_s) << isa_name(isa);
    EXPECT_EQ(roof.dram_bytes_per_s, 0) << isa_name(isa);
  }
}

TEST(Roof, MemoryIsReadByEveryThread) {
  const int threads = parallel_threads();
  parallel_set_threads(3);
  const Roof roof = roof_measure(isa_best(), 1, RoofMemory::all);
  EXPECT_GT(roof.l2_bytes_per_s, 0);
  EXPECT_GT(roof.l3_bytes_per_s, 0);
  EXPECT_GT(roof.dram_bytes_per_s, 0);
  const Roof dram = roof_measure(isa_best(), 1, RoofMemory::dram);
  EXPECT_EQ(dram.l2_bytes_per_s, 0);
  EXPECT_EQ(dram.l3_bytes_per_s, 0);
  EXPECT_GT(dram.dram_bytes_per_s, 0);
  parallel_set_threads(threads);
}

TEST(Roof, MeanIsFigureByFigure) {
  const Roof mean = roof_mean({1, 2, 3, 4, 5}, {3, 6, 9, 12, 15});
  EXPECT_DOUBLE_EQ(mean.bf16_flops_per_s, 2);
  EXPECT_DOUBLE_EQ(mean.f32_flops_per_s, 4);
  EXPECT_DOUBLE_EQ(mean.dram_bytes_per_s, 6);
  EXPECT_DOUBLE_EQ(mean.l2_bytes_per_s, 8);
  EXPECT_DOUBLE_EQ(mean.l3_bytes_per_s, 10);
}

TEST(Roof, JsonHasWhatWasMeasured) {
  const Json all = roof_json({1, 2, 3, 4, 5});
  EXPECT_EQ(all.at("isa").as_string(), isa_name(isa_current()));
  EXPECT_EQ(all.at("threads").as_int(), parallel_threads());
  EXPECT_DOUBLE_EQ(all.at("bf16_flops_per_s").as_double(), 1);
  EXPECT_DOUBLE_EQ(all.at("f32_flops_per_s").as_double(), 2);
  EXPECT_DOUBLE_EQ(all.at("dram_bytes_per_s").as_double(), 3);
  EXPECT_DOUBLE_EQ(all.at("l2_bytes_per_s").as_double(), 4);
  EXPECT_DOUBLE_EQ(all.at("l3_bytes_per_s").as_double(), 5);
  const Json dram = roof_json({1, 2, 3, 0, 0});
  EXPECT_TRUE(dram.contains("dram_bytes_per_s"));
  EXPECT_FALSE(dram.contains("l2_bytes_per_s") || dram.contains("l3_bytes_per_s"));
}

}  // namespace
}  // namespace moebius::kernels
