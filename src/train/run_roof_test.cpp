// The roofline that a run reports: against the step's operations counted by themselves, with documents of several lengths,
// over resumed runs and branches, and without the time of evaluations.
#include "train/run_roof.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "train/test_support.h"

namespace moebius::train {
namespace {

const kernels::Roof kRoof{1e12, 1e11, 1e10, 0, 0};

double by_operations(double tokens, double document, i64 micro_batches) {
  return model::roofline_seconds(
      model::train_operations(testing::tiny_config(), DType::bf16, {tokens, document, micro_batches}), DType::bf16,
      kRoof);
}

TEST(RunRoof, IsTheSumOfItsSteps) {
  const RunRoof roof(testing::tiny_config(), DType::bf16, 2, kRoof);
  StepReport report;
  report.tokens = 128;
  report.squares = 4 * 32 * 32;
  StepsWork work;
  EXPECT_EQ(roof.roofline_seconds(work), 0);
  for (int i = 0; i < 3; ++i) work.add(report);
  EXPECT_NEAR(roof.roofline_seconds(work), 3 * by_operations(128, 32, 2), 1e-15);
}

// Documents of 8 and 24 tokens have 36 + 300 pairs of query and key, twice of 16 only 272.
TEST(RunRoof, CountsDocumentsByTheirPairs) {
  const kernels::Roof slow{1, 1, 0, 0, 0};  // seconds are FLOPs
  const model::ModelConfig config = testing::tiny_config();
  const RunRoof roof(config, DType::bf16, 1, slow);
  const auto flops = [&](double squares) {
    StepReport report;
    report.tokens = 32;
    report.squares = squares;
    StepsWork work;
    work.add(report);
    return roof.roofline_seconds(work);
  };
  const double pair =
      12.0 * 32 * static_cast<double>(config.layers);  // 6 forward and backward for scores, 6 for values
  EXPECT_NEAR(flops(8 * 8 + 24 * 24) - flops(2 * 16 * 16), (300 + 36 - 272) * pair, 1);
}

TEST(RunRoof, GivenOnesAreNotMeasured) {
  RunRoof given(testing::tiny_config(), DType::f32, 1, kRoof);
  given.measure_again();
  EXPECT_EQ(given.flops_per_s(), 1e11);
  RunRoof measured(testing::tiny_config(), DType::bf16, 1, {});
  EXPECT_GT(measured.flops_per_s(), 1e8);
  EXPECT_GT(measured.roof().dram_bytes_per_s, 0);
}

// The batches of tiny_run have no padding.
TEST(RunRoof, RunsReportItAndResumedOnesToo) {
  const std::string whole_folder = testing::fresh_folder("roof_whole"), cut_folder = testing::fresh_folder("roof_cut");
  const TrainResult whole = testing::tiny_run(testing::tiny_options(whole_folder, 8), testing::fixed_roof());
  EXPECT_NEAR(whole.totals.roofline_seconds, 8 * by_operations(128, 16, 2),
              1e-9);  // bytes bind, whatever the documents are
  EXPECT_GT(whole.totals.wall_seconds, whole.totals.seconds);
  EXPECT_DOUBLE_EQ(whole.roofline_ratio(), whole.totals.roofline_seconds / whole.totals.seconds);
  EXPECT_DOUBLE_EQ(whole.roofline_ratio_wall(), whole.totals.roofline_seconds / whole.totals.wall_seconds);

  TrainOptions options = testing::tiny_options(cut_folder, 8);
  options.checkpoint_steps = 3;
  TrainHooks stop = testing::fixed_roof();
  stop.evaluates = [](i64 step, i64) { return step == 5; };
  stop.evaluate = [](model::Network&, i64, i64) -> std::vector<Json> { throw Error({.what = "stopped"}); };
  EXPECT_THROW(testing::tiny_run(options, stop), Error);
  const TrainResult resumed = testing::tiny_run(options, testing::fixed_roof());
  EXPECT_NEAR(resumed.totals.roofline_seconds, whole.totals.roofline_seconds, 1e-9 * whole.totals.roofline_seconds);
  const TrainResult again = testing::tiny_run(options, testing::fixed_roof());
  EXPECT_TRUE(again.skipped);
  EXPECT_EQ(again.totals.roofline_seconds, resumed.totals.roofline_seconds);
  EXPECT_EQ(again.totals.wall_seconds, resumed.totals.wall_seconds);
  double sum = 0;
  for (const Json& step : records::read(path_join(whole_folder, "records.jsonl"), "step")) {
    sum += step.at("roofline_ratio").as_double() * static_cast<double>(step.at("step_ns").as_int()) * 1e-9;
  }
  EXPECT_NEAR(sum, whole.totals.roofline_seconds, 0.01 * whole.totals.roofline_seconds);
}

TEST(RunRoof, EvaluationsAreNoTrainingTime) {
  TrainHooks hooks = testing::fixed_roof();
  hooks.evaluates = [](i64 step, i64) { return step == 0 || step == 2 || step == 4; };
  hooks.evaluate = [](model::Network&, i64, i64) {
    ::usleep(300'000);
    return std::vector<Json>();
  };
  const TrainResult result =
      testing::tiny_run(testing::tiny_options(testing::fresh_folder("roof_evaluated"), 4), hooks);
  EXPECT_LT(result.totals.wall_seconds, 0.3 + result.totals.seconds);
}

}  // namespace
}  // namespace moebius::train
