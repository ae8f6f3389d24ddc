// Tests of study files, plans and the choice of learning rates.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "study/study_file.h"
#include "study/study_plan.h"

namespace moebius::study {
namespace {

std::string write_study(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + name + ".toml";
  file_write_atomic(path, text);
  return path;
}

const char* kSmall = R"(
name = "small"
tokens = 4096
seeds = [1, 2]
[model]
d-model = 32
layers = 2
heads = 2
expert-width = 32
[grid]
experts = [1, 4, 16]
top-k = [1, 2, 8]
[data]
vocab = 400
sequence = 32
[data.arithmetic]
share = 1.0
problems = 300
arithmetic-items = 10
grades = [0, 1]
grade-weights = [1, 1]
grades-test = [0, 1]
[learning-rate]
sweep = [1e-3, 4e-3]
)";

std::string error_of(const std::string& path) {
  try {
    plan_study(study_load(path));
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(StudyFile, GridLeavesOutWhatCannotBe) {
  const StudySpec spec = study_load(write_study("grid", kSmall));
  std::vector<std::string> names;
  for (const StudyModel& model : spec.models) names.push_back(model.name);
  EXPECT_EQ(names, (std::vector<std::string>{"dense", "E4-k1", "E4-k2", "E16-k1", "E16-k2", "E16-k8"}));
}

TEST(StudyFile, UnknownKeysNameTheNearest) {
  const std::string text = kSmall;
  EXPECT_NE(error_of(write_study("bad1", "tokenz = 3\n" + text)).find("'tokens'"), std::string::npos);
  EXPECT_NE(error_of(write_study("bad2", text + "sweep-token = 3\n")).find("'sweep-tokens'"), std::string::npos);
  std::string model = text;
  model.replace(model.find("d-model"), 7, "d-modle");
  EXPECT_NE(error_of(write_study("bad3", model)).find("'d-model'"), std::string::npos);
  EXPECT_NE(error_of("quik").find("'quick'"), std::string::npos);
}

TEST(StudyFile, ShippedStudiesPlan) {
  for (const std::string& name : study_names()) {
    const StudyPlan plan = plan_study(study_load(name));
    EXPECT_GE(plan.runs.size(), 7u) << name;
  }
}

TEST(StudyPlan, TrialsStandAtTheExtremes) {
  const StudyPlan plan = plan_study(study_load(write_study("trials", kSmall)));
  int trials = 0, runs = 0;
  for (const PlannedRun& run : plan.runs) {
    if (run.role == "sweep") {
      ++trials;
      EXPECT_TRUE(run.config.experts.experts <= 1 || run.config.experts.experts == 16) << run.name;
    } else {
      ++runs;
      EXPECT_EQ(run.learning_rate, 0);
    }
  }
  EXPECT_EQ(trials, 4);
  EXPECT_EQ(runs, 12);
}

TEST(StudyPlan, LearningRatesAreInterpolatedInLogExperts) {
  StudyPlan plan = plan_study(study_load(write_study("rates", kSmall)));
  std::map<std::string, double> losses;
  for (const PlannedRun& run : plan.runs) {
    if (run.role != "sweep") continue;
    const bool dense = run.config.experts.experts <= 1;
    losses[run.name] = (run.learning_rate > 2e-3) == dense ? 2.0 : 1.0;  // dense likes 1e-3, E = 16 likes 4e-3
  }
  const std::string rule = choose_learning_rates(plan, losses);
  EXPECT_NE(rule.find("best 0.001"), std::string::npos);
  for (const PlannedRun& run : plan.runs) {
    if (run.role == "sweep") continue;
    const double wanted = run.model == "dense" ? 1e-3 : run.config.experts.experts == 4 ? 2e-3 : 4e-3;
    EXPECT_NEAR(run.learning_rate, wanted, 1e-9) << run.name;
  }
}

// The overnight study must span tokens per parameter from 1 to 100.
TEST(StudyPlan, OvernightGridSpansTokensPerParameter) {
  const StudyPlan plan = plan_study(study_load("optimal-sparsity-mini"));
  double low = 1e9, high = 0;
  for (const PlannedRun& run : plan.runs) {
    if (run.role != "main") continue;
    low = std::min(low, run.tpp);
    high = std::max(high, run.tpp);
  }
  EXPECT_LE(low, 1.0);
  EXPECT_GE(high, 100.0);
}

}  // namespace
}  // namespace moebius::study
