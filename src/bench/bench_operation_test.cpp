// The grid's list of shapes, bounds of operations alone against numbers worked out by hand, and one tiny run
// of every operation.
#include "bench/bench_operation.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "model/test_model.h"

namespace moebius::bench {
namespace {

OperationShape tiny(const std::string& name) {
  OperationShape shape;
  shape.name = name;
  shape.tokens = 64;
  shape.sequence = 32;
  shape.outputs = 96;
  shape.config = model::small_model(4, 1);
  return shape;
}

const OperationCall& find(const OperationCase& made, const std::string& direction) {
  for (const OperationCall& call : made.calls) {
    if (call.direction == direction) return call;
  }
  ADD_FAILURE() << direction << " is missing";
  return made.calls.front();
}

TEST(BenchOperation, CountsByHand) {
  const OperationCase linear = make_operation(tiny("linear"), nullptr);
  EXPECT_DOUBLE_EQ(find(linear, "forward").work.flops, 2 * 64 * 64 * 96);
  EXPECT_DOUBLE_EQ(find(linear, "forward").work.bytes, 2 * (64 * 96 + 64 * 64 + 64 * 96));
  EXPECT_DOUBLE_EQ(find(linear, "weight gradient").work.bytes, 2 * (64 * 64 + 64 * 96) + 4 * 64 * 96);
  // Two documents of 32: 528 pairs of query and key each, 2 x 2 FLOPs for each of 64 columns.
  const OperationCase attention = make_operation(tiny("attention"), nullptr);
  EXPECT_DOUBLE_EQ(find(attention, "forward").work.flops, 2 * 528 * 4 * 64);
  EXPECT_DOUBLE_EQ(find(attention, "backward").work.flops, 2 * 2 * 528 * 4 * 64);
  EXPECT_DOUBLE_EQ(find(attention, "forward").work.bytes, 4 * 2 * 64 * 64 + 4 * 64 * 4);
  // All tokens choose experts 1 and 2: the others are not read.
  std::vector<i32> choices;
  for (i64 t = 0; t < 64; ++t) choices.insert(choices.end(), {1, 2});
  const OperationCase experts = make_operation(tiny("experts"), &choices);
  EXPECT_DOUBLE_EQ(experts.load_max_over_mean, 2);
  EXPECT_DOUBLE_EQ(find(experts, "forward").work.flops, 2.0 * 128 * 3 * 64 * 32);
  EXPECT_DOUBLE_EQ(find(experts, "forward").work.bytes, 2 * 2 * 3 * 64 * 32 + 2 * 128 * 3 * 32 + 64 * 64 * (2 + 8));
  const OperationCase head = make_operation(tiny("head"), nullptr);
  EXPECT_DOUBLE_EQ(find(head, "both").work.flops, 6.0 * 64 * 64 * 512);
}

TEST(BenchOperation, EveryOperationRuns) {
  for (const std::string& name : operation_names()) {
    const OperationCase made = make_operation(tiny(name), nullptr);
    EXPECT_FALSE(made.calls.empty()) << name;
    EXPECT_GT(operation_bytes(tiny(name)), 0) << name;
    for (const OperationCall& call : made.calls) {
      call.run();
      EXPECT_GT(call.work.bytes, 0) << name;
    }
  }
  EXPECT_THROW(make_operation(tiny("experst"), nullptr), Error);
}

TEST(BenchGrid, TheSubsetSeesEveryValueOfEveryAxis) {
  BenchTrainOptions common;
  common.precision = "bf16";
  BenchOperationOptions options;
  const auto shapes = grid_shapes(common, options, 1e300);
  std::set<i64> widths, counts, top, units, sequences;
  for (const OperationShape& shape : shapes) {
    if (shape.name == "attention") sequences.insert(shape.sequence);
    if (shape.name != "experts") continue;
    widths.insert(shape.config.d_model);
    counts.insert(shape.config.experts.experts);
    top.insert(shape.config.experts.top_k);
    units.insert(shape.config.experts.width);
    EXPECT_GE(shape.tokens, 512);
  }
  EXPECT_EQ(widths, (std::set<i64>{128, 256, 512, 1024}));
  EXPECT_EQ(counts, (std::set<i64>{8, 16, 32, 64, 128, 256}));
  EXPECT_EQ(top, (std::set<i64>{1, 2, 4, 8, 16}));
  EXPECT_EQ(units, (std::set<i64>{64, 128, 256, 512, 1024, 2048}));
  EXPECT_EQ(sequences, (std::set<i64>{128, 512, 1024, 2048, 4096}));
  EXPECT_LT(shapes.size(), 150u);
  options.full = true;
  EXPECT_GT(grid_shapes(common, options, 1e300).size(), 4 * shapes.size());
  options.weights_max = "1MiB";
  for (const OperationShape& shape : grid_shapes(common, options, 1e300)) {
    EXPECT_TRUE(shape.name != "linear" || 2 * shape.config.d_model * shape.outputs <= 1 << 20) << shape.text();
  }
  options.operations = {"linaer"};
  EXPECT_THROW(grid_shapes(common, options, 1e300), Error);
}

}  // namespace
}  // namespace moebius::bench
