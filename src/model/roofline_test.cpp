// The roofline's counts against numbers worked out by hand, and its FLOPs against MFU's.
#include "model/roofline.h"

#include <gtest/gtest.h>

#include "model/test_model.h"

namespace moebius::model {
namespace {

using kernels::Part;

const StepOperation& find(const std::vector<StepOperation>& operations, Part part, bool backward) {
  for (const StepOperation& one : operations) {
    if (one.part == part && one.backward == backward) return one;
  }
  ADD_FAILURE() << kernels::part_name(part) << " is missing";
  return operations.front();
}

// d 64, 4 heads of 16, 8 experts of 32 units of which 2 work, vocabulary 512; 128 tokens in documents of 64, bf16.
TEST(Roofline, CountsByHand) {
  const auto operations = train_operations(small_model(8, 1), DType::bf16, {128, 64, 1});
  const struct {
    Part part;
    bool backward;
    double flops, bytes;
  } expected[] = {
      {Part::embedding, false, 0, 4 * 64 * (128 + 128)},
      {Part::embedding, true, 0, 4 * 64 * 128},
      {Part::norm, false, 0, 128 * 3 * 2 * 64},
      {Part::norm, true, 0, 128 * 3 * 4 * 64 + 4 * 3 * 64},
      {Part::query_key_value, false, 2 * 128 * 12288, 24576 + 128 * 2 * 192},
      {Part::query_key_value, true, 4 * 128 * 12288, 24576 + 49152 + 128 * 2 * 64},
      {Part::attention, false, 1064960, 128 * (128 + 16)},
      {Part::attention, true, 2129920, 128 * (384 + 16)},
      {Part::output, false, 1048576, 8192 + 128 * 256},
      {Part::output, true, 2097152, 8192 + 16384 + 128 * 128},
      {Part::route, false, 131072, 2048 + 128 * (32 + 16)},
      {Part::route, true, 262144, 2048 + 2048 + 128 * (32 + 16)},
      {Part::experts, false, 3145728, 98304 + 128 * 384},
      {Part::experts, true, 6291456, 98304 + 196608 + 128 * (384 + 128)},
      {Part::combine, false, 0, 128 * 256},
      {Part::head, false, 25165824, 65536 + 131072},
      {Part::optimizer, false, 0, 30 * 131776},
  };
  EXPECT_EQ(operations.size(), std::size(expected));
  for (const auto& row : expected) {
    const StepOperation& one = find(operations, row.part, row.backward);
    EXPECT_DOUBLE_EQ(one.flops, row.flops) << one.name();
    EXPECT_DOUBLE_EQ(one.bytes, row.bytes) << one.name();
  }
}

// With two micro-batches the weights pass twice; their gradient is written, then read and written.
TEST(Roofline, MicroBatchesPassTheWeightsAgain) {
  const auto operations = train_operations(small_model(8, 1), DType::bf16, {128, 64, 2});
  EXPECT_DOUBLE_EQ(find(operations, Part::experts, true).bytes, 2 * 98304 + 3 * 196608 + 128 * (384 + 128));
  EXPECT_DOUBLE_EQ(find(operations, Part::optimizer, false).bytes, 30 * 131776);
}

// Two layers that share a bank read it twice; its gradient is written by one and added to by the other.
TEST(Roofline, LayersShareABank) {
  ModelConfig config = small_model(8, 2);
  config.experts.bank_layers = 2;
  const auto operations = train_operations(config, DType::bf16, {128, 64, 1});
  EXPECT_DOUBLE_EQ(find(operations, Part::experts, false).bytes, 2 * 98304 + 128 * 2 * 384);
  EXPECT_DOUBLE_EQ(find(operations, Part::experts, true).bytes, 2 * 98304 + 3 * 196608 + 128 * 2 * (384 + 128));
}

// One FFN of 64 units, which writes the stream (f32).
TEST(Roofline, DenseLayers) {
  const auto operations = train_operations(small_model(1, 1), DType::bf16, {128, 64, 1});
  EXPECT_DOUBLE_EQ(find(operations, Part::dense_ffn, false).flops, 2 * 128 * 12288);
  EXPECT_DOUBLE_EQ(find(operations, Part::dense_ffn, false).bytes, 24576 + 128 * (384 + 256));
  EXPECT_DOUBLE_EQ(find(operations, Part::dense_ffn, true).bytes, 24576 + 49152 + 128 * (384 + 128));
}

// Fewer choices than experts: those without a token are not read.
TEST(Roofline, ReadsOnlyExpertsWithTokens) {
  const auto operations = train_operations(small_model(64, 1), DType::bf16, {4, 4, 1});
  EXPECT_DOUBLE_EQ(find(operations, Part::experts, false).bytes, 8 * 3 * 64 * 32 * 2 + 4 * 384);
}

TEST(Roofline, CountsTheFlopsOfMfu) {
  for (const i64 experts : {1, 8}) {
    const ModelConfig config = small_model(experts, 3);
    double flops = 0;
    for (const StepOperation& one : train_operations(config, DType::bf16, {4096, 256, 2})) {
      if (one.part != Part::route) flops += one.flops;  // MFU leaves the router out
    }
    EXPECT_NEAR(flops / (4096 * count_model(config, 256).flops_per_token_mfu), 1, 1e-9);
  }
}

TEST(Roofline, TakesTheSlowerOfArithmeticAndMemory) {
  kernels::Roof roof;
  roof.bf16_flops_per_s = 1e12;
  roof.f32_flops_per_s = 1e11;
  roof.dram_bytes_per_s = 1e10;
  EXPECT_DOUBLE_EQ(bound_seconds({Part::experts, false, false, 2e12, 1e10}, DType::bf16, roof), 2);
  EXPECT_DOUBLE_EQ(bound_seconds({Part::experts, false, false, 2e12, 1e10}, DType::f32, roof), 20);
  EXPECT_DOUBLE_EQ(bound_seconds({Part::experts, false, false, 2e12, 5e10}, DType::bf16, roof), 5);
  EXPECT_DOUBLE_EQ(bound_seconds({Part::route, false, true, 1e11, 0}, DType::bf16, roof), 1);
  const std::vector<StepOperation> both = {{Part::experts, false, false, 1e12, 0},
                                           {Part::optimizer, false, false, 0, 1e10}};
  EXPECT_DOUBLE_EQ(roofline_seconds(both, DType::bf16, roof), 2);
}

TEST(Roofline, UnmeasuredFiguresCountForNothing) {
  kernels::Roof roof;
  roof.dram_bytes_per_s = 1e10;
  EXPECT_DOUBLE_EQ(bound_seconds({Part::route, false, true, 1e11, 1e10}, DType::bf16, roof), 1);
}

// Documents of 10 and 30 tokens, half of the pairs each: between whole lengths the count is a straight line.
TEST(Roofline, TakesMeanDocuments) {
  EXPECT_DOUBLE_EQ(document_mean(10 * 10 + 30 * 30, 40), 25);
  EXPECT_EQ(document_mean(0, 0), 0);
  const auto flops = [](double document) {
    const auto operations = train_operations(small_model(8, 1), DType::bf16, {128, document, 1});
    return find(operations, Part::attention, false).flops;
  };
  EXPECT_NEAR(flops(24.5), 0.5 * (flops(24) + flops(25)), 1e-6);
  EXPECT_NEAR(flops(25) * 40, flops(10) * 10 + flops(30) * 30, 1e-3);
}

}  // namespace
}  // namespace moebius::model
