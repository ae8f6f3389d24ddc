// A whole tiny study: run, taken up again, refused when its file was changed.
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "records/record.h"
#include "base/test_folder.h"
#include "kernels/isa.h"
#include "study/study_runs.h"
#include "study/test_support.h"

namespace moebius::study {
namespace {

const std::string kTrials = "sweep = [1e-3, 4e-3]\nsweep-tokens = 512";

StudyPlan make_plan(const std::string& folder, const std::string& tokens, const std::string& seeds = "[1]",
                    const std::string& rates = kTrials) {
  return tiny_plan(folder + ".toml", "name = \"tiny\"\ntokens = " + tokens + "\nseeds = " + seeds + kTinyModel + R"(
[[models]]
name = "dense"
experts = 1
[[models]]
name = "E4"
experts = 4)" + tiny_data("0.6", "5") + R"(
[data.facts]
share = 0.4
people = 8
exposures = [4]
[train]
batch-tokens = 256
tensorboard = false
[learning-rate]
)" + rates + R"(
[evaluate]
at = [0, 1.0]
items-max = 5
)");
}

TEST(StudyRun, RunsOnceAndRefusesAnother) {
  log_set_level(LogLevel::warning);
  kernels::isa_select("auto");
  const std::string folder = test_path("study");
  StudyPlan plan = make_plan(folder, "1024");
  const StudyResult first = run_study_plan(plan, folder);
  EXPECT_EQ(first.runs_done, 6);
  EXPECT_EQ(first.runs_skipped, 0);
  EXPECT_TRUE(file_exists(first.report));
  for (const PlannedRun& run : plan.runs) {
    EXPECT_GT(run.learning_rate, 0) << run.name;
    const auto records = records::read(path_join(folder, "runs/" + run.name + "/records.jsonl"), "train_end");
    EXPECT_EQ(records.size(), 1u) << run.name;
  }
  // Both generated tasks were scored, untrained and trained.
  const auto evals = records::read(path_join(folder, "runs/E4/records.jsonl"), "eval");
  int facts = 0, arithmetic = 0;
  for (const Json& eval : evals) {
    facts += eval.get_string("name", "") == "facts-recall" && eval.get_string("grade", "") == "all";
    arithmetic += eval.get_string("name", "") == "arithmetic" && eval.get_string("grade", "") == "all";
  }
  EXPECT_EQ(facts, 2);
  EXPECT_EQ(arithmetic, 2);

  double roofline = 0, wall = 0;
  for (const Json& done : records::read(path_join(folder, "records.jsonl"), "run_done")) {
    roofline += done.at("roofline_seconds").as_double();
    wall += done.at("wall_seconds").as_double();
  }
  EXPECT_GT(roofline, 0);
  EXPECT_NEAR(first.roofline_ratio(), roofline / (wall + first.idle_seconds), 1e-9);
  EXPECT_LT(first.train_seconds, first.wall_seconds);

  StudyPlan again = make_plan(folder, "1024");
  const StudyResult second = run_study_plan(again, folder);
  EXPECT_EQ(second.runs_done, 0);
  EXPECT_EQ(second.runs_skipped, 6);

  StudyPlan other = make_plan(folder, "2048");
  EXPECT_THROW(run_study_plan(other, folder), Error);
}

TEST(StudyRun, SideBySideTheSameBits) {
  log_set_level(LogLevel::warning);
  parallel_set_threads(2);
  std::vector<std::map<std::string, std::string>> weights(2);
  for (i64 jobs : {1, 2}) {
    const std::string folder = test_path("jobs" + std::to_string(jobs));
    StudyPlan plan = make_plan(folder, "512", "[1]", "value = 2e-3\nsource = \"a guess\"");
    plan.jobs = jobs;
    const StudyResult result = run_study_plan(plan, folder);
    EXPECT_EQ(result.runs_done, 2);
    EXPECT_EQ(parallel_threads(), 2);
    for (const PlannedRun& run : plan.runs) {
      const Json end = records::read(path_join(folder, "runs/" + run.name + "/records.jsonl"), "train_end").at(0);
      weights[static_cast<std::size_t>(jobs - 1)][run.name] =
          file_read(path_join(end.at("checkpoint").as_string(), "model.safetensors")) + end.at("loss_final").dump();
    }
  }
  parallel_set_threads(0);
  EXPECT_EQ(weights[0].size(), 2u);
  EXPECT_EQ(weights[0], weights[1]);
}

TEST(StudyRun, FurtherSeedsBeginOnlyWhereThereIsTime) {
  log_set_level(LogLevel::warning);
  const std::string folder = test_path("study");
  StudyPlan plan = make_plan(folder, "512", "[1, 2, 3]\nseeds-minutes = 1e-6");
  EXPECT_EQ(run_study_plan(plan, folder).runs_done, 6);  // four trials, two models with their first seed
  i64 left_out = 0;
  const Json study = Json::parse_file(path_join(folder, "study.json"));
  for (const Json& run : study.at("runs").as_array()) left_out += run.get_bool("left_out", false);
  EXPECT_EQ(left_out, 4);
  EXPECT_FALSE(file_exists(path_join(folder, "runs/E4-s2")));
  // More minutes, the same study: only what was left out runs.
  plan = make_plan(folder, "512", "[1, 2, 3]\nseeds-minutes = 1000");
  const StudyResult more = run_study_plan(plan, folder);
  EXPECT_EQ(more.runs_done, 4);
  EXPECT_EQ(more.runs_skipped, 6);
  for (const PlannedRun& run : plan.runs) EXPECT_FALSE(run.left_out) << run.name;
}

}  // namespace
}  // namespace moebius::study
