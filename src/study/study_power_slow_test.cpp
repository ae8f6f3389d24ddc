// Is the power that a dry run prints the power that the report has? A study is planned, given finished runs with a planted
// effect of the stated size, and judged by the report's own verdicts, many times over.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/file.h"
#include "base/parallel.h"
#include "records/record.h"
#include "base/rng.h"
#include "base/test_folder.h"
#include "fit/hypothesis.h"
#include "study/study_power.h"

namespace moebius::study {
namespace {

constexpr double kNoise = 0.03;
constexpr i64 kStudies = 300;  // 80 % has a standard deviation of 2.3 %

const char* kStudy = R"(
name = "powered"
tokens = 1048576
seeds = [1, 2, 3]
[model]
d-model = 32
layers = 2
heads = 2
expert-width = 32
[grid]
experts = [2, 4, 8, 16, 32, 64]
top-k = [2]
[data]
vocab = 400
sequence = 32
[data.arithmetic]
share = 1.0
[learning-rate]
value = 1e-3
source = "a test"
[[hypotheses]]
id = "slope"
text = "t"
kind = "monotone"
x = "parameters_total"
y = "train.score"
direction = "increase"
[[hypotheses]]
id = "pair"
text = "t"
kind = "difference"
y = "train.score"
direction = "increase"
a = { experts = [2, 4] }
b = { experts = [32, 64] }
[[hypotheses]]
id = "top"
text = "t"
kind = "peak"
x = "tpp"
y = "train.score"
direction = "maximum"
)";

StudyPlan make_plan() {
  const std::string path = test_path("powered.toml");
  file_write_atomic(path, kStudy);
  return plan_study(study_load(path));
}

// The plan's runs, done, with the score truth(run) + noise.
template <typename Truth>
records::StudyRuns finished(const StudyPlan& plan, const Truth& truth, i64 study) {
  Rng rng(71, RngStream::test, static_cast<u64>(study));
  records::StudyRuns records;
  records.study = plan_to_json(plan);
  for (const Json& entry : records.study.at("runs").as_array()) {
    records::RunRecords run;
    run.name = entry.at("name").as_string();
    run.model = entry.at("model").as_string();
    run.planned = entry;
    run.run = Json::object();
    run.status = records::RunStatus::done;
    run.train_end = Json::object({{"score", truth(entry) + kNoise * rng.next_normal()}});
    records.runs.push_back(std::move(run));
  }
  return records;
}

template <typename Truth>
double share_supported(const StudyPlan& plan, std::size_t hypothesis, const Truth& truth) {
  std::vector<char> supported(kStudies);
  parallel_for(kStudies, [&](i64 study, int) {
    const records::StudyRuns records = finished(plan, truth, study);
    const auto hypotheses = fit::hypotheses_parse(records);
    const auto result = fit::hypothesis_test(records, hypotheses.at(hypothesis), static_cast<u64>(study));
    // The dry run's effects are for the first step of Holm's correction over all hypotheses of the study.
    const bool suffices = result.p <= 0.05 / static_cast<double>(hypotheses.size());
    supported[static_cast<std::size_t>(study)] = result.outcome == fit::Outcome::supported && suffices;
  });
  return static_cast<double>(std::count(supported.begin(), supported.end(), char{1})) / kStudies;
}

TEST(StudyPower, TheReportFindsWhatTheDryRunPromises) {
  const StudyPlan plan = make_plan();
  const auto rows = study_power(plan, {}, kNoise);
  ASSERT_EQ(rows.size(), 3u);
  for (const PowerRow& row : rows) ASSERT_EQ(row.problem, "") << row.id;
  const double slope = share_supported(
      plan, 0, [&](const Json& run) { return rows[0].effect * std::log2(run.at("parameters_total").as_double()); });
  EXPECT_NEAR(slope, 0.8, 0.07);
  const double pair = share_supported(
      plan, 1, [&](const Json& run) { return run.at("config").at("experts").as_double() > 16 ? rows[1].effect : 0.0; });
  EXPECT_NEAR(pair, 0.8, 0.07);
  double low = 1e9, high = -1e9;
  for (const PlannedRun& run : plan.runs) {
    low = std::min(low, std::log2(run.tpp()));
    high = std::max(high, std::log2(run.tpp()));
  }
  const double top = share_supported(plan, 2, [&](const Json& run) {
    const double u = (2 * std::log2(run.at("tpp").as_double()) - low - high) / (high - low);
    return rows[2].effect * (1 - u * u);
  });
  EXPECT_NEAR(top, 0.8, 0.07);
  std::printf("supported at the stated effect: slope %.3f, difference %.3f, peak %.3f\n", slope, pair, top);
}

}  // namespace
}  // namespace moebius::study
