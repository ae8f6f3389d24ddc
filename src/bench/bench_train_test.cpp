// A measured step of a small model on real text: the keys that scripts read, figures in range, the routing replayed.
// Slow: a vocabulary is trained and the roof needs large buffers.
#include "bench/bench_train.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/test_folder.h"
#include "bench/real_text.h"
#include "model/test_model.h"

namespace moebius::bench {
namespace {

BenchTrainOptions tiny_options() {
  BenchTrainOptions options;
  options.precision = "bf16";
  options.sequence = 32;
  options.tokens_per_step = 256;
  options.repeats = 2;
  options.steps = 2;
  options.steps_warm = 2;
  options.roof_milliseconds = 2;
  options.corpus = {std::string(MOEBIUS_SOURCE_DIR) + "/corpora/wikitext2_valid.txt.gz"};
  return options;
}

class BenchTrain : public testing::Test {
 protected:
  void SetUp() override { folder_ = test_folder(); }
  std::string folder_;
};

TEST_F(BenchTrain, MeasuresAStep) {
  BenchTrainOptions options = tiny_options();
  std::string text;
  const Json result = bench_train(options, model::small_model(8, 2), &text);
  for (const char* key : {"tokens_per_s", "roof_flops_per_s", "roofline_ratio", "mfu", "peak_memory_bytes"}) {
    EXPECT_GT(result.at(key).as_double(), 0) << key;
  }
  EXPECT_LT(result.at("mfu").as_double(), 1);
  EXPECT_EQ(result.at("allocations_steady").as_int(), 0);
  EXPECT_NEAR(result.at("flops_per_step").as_double(),
              256 * model::count_model(model::small_model(8, 2), 32).flops_per_token_mfu, 1);
  EXPECT_GE(result.at("load_max_over_mean").as_double(), 1);
  double parts = 0;
  i64 bounded = 0;
  for (const Json& row : result.at("operations").as_array()) {
    parts += row.at("share").as_double();
    bounded += row.contains("time_over_bound") ? 1 : 0;
  }
  EXPECT_NEAR(parts, 1, 0.2);  // medians of two repeats
  EXPECT_EQ(bounded, 17);
  EXPECT_GT(result.at("operations_share").as_double(), 0.5);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 120u);
    at = end + 1;
  }
}

TEST_F(BenchTrain, ReplaysARecordedRouting) {
  BenchTrainOptions options = tiny_options();
  options.record_routing = folder_ + "/routing.json";
  options.warm_tokens = 64;
  options.micro_batch_tokens = 128;
  std::string text;
  const Json first = bench_train(options, model::small_model(8, 2), &text);
  options.routing = options.record_routing;
  options.record_routing = "";
  const Json second = bench_train(options, model::small_model(8, 2), &text);
  EXPECT_EQ(first.at("load_max_over_mean").as_double(), second.at("load_max_over_mean").as_double());
  EXPECT_EQ(second.at("routing").at("steps").as_int(), 2);
  EXPECT_THROW(bench_train(options, model::small_model(16, 2), &text), Error);
  file_write_atomic(options.routing, "{\"kind\": \"other\"}");
  EXPECT_THROW(RoutingRecord::load(options.routing), Error);
}

TEST_F(BenchTrain, MeasuresAnotherNumberOfThreadsBeside) {
  BenchTrainOptions options = tiny_options();
  options.threads_beside = 1;
  options.recompute = "layer";
  std::string text;
  const int threads = parallel_threads();
  const Json result = bench_train(options, model::small_model(8, 2), &text);
  EXPECT_EQ(parallel_threads(), threads);
  const Json& beside = result.at("beside");
  EXPECT_EQ(beside.at("threads").as_int(), 1);
  EXPECT_GT(beside.at("speedup").as_double(), 0);
  EXPECT_NEAR(
      beside.at("speedup_over_roof").as_double(),
      beside.at("speedup").as_double() / beside.at("speedup_roof").as_double(),
      0.5 * beside.at("speedup_over_roof").as_double());  // a quotient of medians is not the median of quotients
  EXPECT_EQ(result.at("allocations_steady").as_int(), 0);
  EXPECT_NE(text.find("with 1 threads"), std::string::npos);
}

TEST_F(BenchTrain, CountsTheLoad) {
  RoutingRecord record{.tokens = 4, .top_k = 1, .experts = 2, .steps = 1, .expert_LTK = {{0, 0, 0, 1}, {0, 1, 0, 1}}};
  EXPECT_DOUBLE_EQ(record.max_over_mean_worst(), 1.5);
  EXPECT_DOUBLE_EQ(record.max_over_mean(), 1.25);
}

TEST_F(BenchTrain, SeesWhetherTheLoadHasSettled) {
  const auto curve = [](i64 steps, double third, double fourth) {
    std::vector<double> load(static_cast<std::size_t>(steps), 9.0);
    for (i64 i = steps / 2; i < steps; ++i) load[static_cast<std::size_t>(i)] = i < 3 * steps / 4 ? third : fourth;
    return load;
  };
  EXPECT_TRUE(load_settled(curve(100, 2.0, 1.95)));
  EXPECT_FALSE(load_settled(curve(100, 4.0, 3.0)));
  EXPECT_FALSE(load_settled(curve(60, 2.0, 2.0)));
}

TEST_F(BenchTrain, ADenseModelHasNoRouting) {
  std::string text;
  const Json result = bench_train(tiny_options(), model::small_model(1, 2), &text);
  EXPECT_EQ(result.find("routing"), nullptr);
  EXPECT_GT(result.at("roofline_ratio").as_double(), 0);
}

}  // namespace
}  // namespace moebius::bench
