// A trace is complete, deterministic, and names the first operation that differs.
#include "model/trace.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/test_folder.h"
#include "model/network.h"
#include "model/test_network.h"

namespace moebius::model {
namespace {

using testing_network::make_batch;
using testing_network::make_network;
using testing_network::TestBatch;
using testing_network::Variant;
using testing_network::variants;

// One training pass; nudge adds to one element of the parameter of that name.
std::string traced_pass(const ModelConfig& config, const char* name, const std::string& nudged = "",
                        Recompute recompute = Recompute::none) {
  const auto network = make_network(config, DType::f32, true);
  network->set_recompute(recompute);
  if (!nudged.empty()) {
    Weights& weights = network->weights();
    weights.master_data(weights.find(nudged))[0] += 0.5f;
  }
  const TestBatch batch = make_batch(config.vocab, {9, 21, 6});
  const std::string path = path_join(test_folder(), name);
  const Trace trace(path);
  network->begin_gradient();
  network->train_pass(batch.input(), batch.target_T, 1.0f, 1.0f, {});
  return path;
}

class TraceTest : public testing::TestWithParam<Variant> {};

TEST_P(TraceTest, EqualForEqualWeightsAndAnyThreads) {
  const ModelConfig& config = GetParam().config;
  parallel_set_threads(1);
  const std::string one = traced_pass(config, "one.jsonl");
  parallel_set_threads(3);
  const std::string many = traced_pass(config, "many.jsonl");
  const TraceDifference same = trace_compare(one, many, 0);
  EXPECT_FALSE(same.found) << same.where << ": " << same.what;
  // Every layer has at least two norms, projection, attention, output, FFN in either direction.
  EXPECT_GE(same.lines_equal, 12 * config.layers);
}

TEST_P(TraceTest, NamesTheFirstOperationThatDiffers) {
  const ModelConfig& config = GetParam().config;
  const std::string a = traced_pass(config, "a.jsonl");
  const std::string last = fmt::format("layers.{}.attention.norm", config.layers - 1);
  const TraceDifference d = trace_compare(a, traced_pass(config, "b.jsonl", last), 0);
  ASSERT_TRUE(d.found);
  EXPECT_NE(d.where.find(fmt::format("layer {}, norm forward, y_TD", config.layers - 1)), std::string::npos) << d.where;
  EXPECT_GT(d.lines_equal, 0);
  EXPECT_FALSE(trace_compare(a, a, 0).found);
}

INSTANTIATE_TEST_SUITE_P(Variants, TraceTest, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Trace, RecomputationIsShown) {
  const ModelConfig config = variants().front().config;
  const TraceDifference d = trace_compare(traced_pass(config, "kept.jsonl"),
                                          traced_pass(config, "recomputed.jsonl", "", Recompute::layer), 0);
  ASSERT_TRUE(d.found);
  EXPECT_NE(d.what.find("recompute"), std::string::npos) << d.what;
}

TEST(Trace, ChecksumIgnoresStrideAndStatisticsNanInfinity) {
  const float plain[] = {1, -3, 2, 0.5f};
  const float strided[] = {1, -3, 99, 2, 0.5f, 99};
  const Json a = describe_tensor({"x", {plain, DType::f32, 2, 2, 2}});
  const Json b = describe_tensor({"x", {strided, DType::f32, 2, 2, 3}});
  EXPECT_EQ(a.dump(), b.dump());
  EXPECT_DOUBLE_EQ(a.at("mean").as_double(), 0.125);
  EXPECT_DOUBLE_EQ(a.at("max_abs").as_double(), 3);
  const float bad[] = {1, NAN, INFINITY, 2};
  const Json c = describe_tensor({"x", {bad, DType::f32, 2, 2, 2}});
  EXPECT_EQ(c.at("not_finite").as_int(), 2);
  EXPECT_DOUBLE_EQ(c.at("mean").as_double(), 1.5);
}

TEST(Trace, AToleranceForgivesRoundingAndNothingElse) {
  const std::string a = path_join(test_folder(), "x.jsonl"), b = path_join(test_folder(), "y.jsonl");
  const auto write = [](const std::string& path, float scale) {
    Trace trace(path);
    trace.begin_pass("train");
    const float values[] = {1.0f * scale, 2.0f * scale};
    trace.write(kernels::Part::norm, "forward", 0, 1, {{"y_TD", matrix_of(values, 1, 2)}});
  };
  write(a, 1.0f);
  write(b, 1.001f);
  EXPECT_TRUE(trace_compare(a, b, 0).found);
  EXPECT_TRUE(trace_compare(a, b, 1e-4).found);
  EXPECT_FALSE(trace_compare(a, b, 1e-2).found);
}

TEST(Trace, OtherFilesAreNamed) {
  const std::string path = path_join(test_folder(), "records.jsonl");
  file_write_atomic(path, "{\"type\":\"step\"}\n");
  try {
    trace_compare(path, path, 0);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(e.parts().where.find("line 1"), std::string::npos);
    EXPECT_NE(e.parts().fix.find("--trace"), std::string::npos);
  }
}

}  // namespace
}  // namespace moebius::model
