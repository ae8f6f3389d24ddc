// Branches in a study: steps, plan, and a whole tiny study whose branches equal runs that go alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "records/record.h"
#include "base/test_folder.h"
#include "kernels/isa.h"
#include "study/study_runs.h"
#include "study/study_time.h"
#include "study/test_support.h"
#include "train/schedule.h"
#include "train/train_run.h"

namespace moebius::study {
namespace {

train::TrainOptions wsd_options(i64 steps, double decay) {
  train::TrainOptions options;
  options.batch_tokens = 256;
  options.tokens = steps * 256;
  options.sequence = 64;
  options.optimizer.schedule = "wsd";
  options.optimizer.decay_fraction = decay;
  return options;
}

TEST(StudyBranches, DecaysBeginWhereTheyShould) {
  for (const double decay : {0.05, 0.1, 0.2, 0.37, 0.5, 0.9}) {
    for (const i64 steps : {40, 333, 4096}) {
      const train::TrainOptions options = wsd_options(steps, decay);
      const BranchPlan plan = plan_branches({.at = {0.25, 0.5, 1.0}}, options, "test");
      ASSERT_EQ(plan.branches.size(), 3u);
      EXPECT_EQ(plan.trunk_steps, steps);
      EXPECT_EQ(plan.warmup_steps, std::llround(0.02 * static_cast<double>(steps)));
      for (const Branch& branch : plan.branches) {
        EXPECT_EQ(branch.step_begin, std::llround(branch.at * static_cast<double>(steps)));
        train::OptimizerOptions optimizer = options.optimizer;
        optimizer.warmup_steps = plan.warmup_steps;
        const train::Schedule schedule = train::make_schedule(optimizer, branch.steps_total);
        EXPECT_EQ(schedule.total - schedule.decay, branch.step_begin) << decay << " " << steps;
        EXPECT_NEAR(static_cast<double>(schedule.decay), decay * static_cast<double>(branch.steps_total), 0.5001);
        // Before the branch the rates are the trunk's.
        optimizer.schedule = "constant";
        const train::Schedule trunk = train::make_schedule(optimizer, plan.trunk_steps);
        for (i64 step = 0; step <= branch.step_begin; ++step) {
          EXPECT_EQ(train::learning_rate_at(schedule, step), train::learning_rate_at(trunk, step));
        }
      }
    }
  }
}

std::string study_text(const std::string& schedule, const std::string& at) {
  return R"(name = "branched"
tokens = 2048
seeds = [1])" +
         kTinyModel + R"(
[grid]
experts = [2, 4])" +
         tiny_data("1.0", "4") + R"(
[train]
batch-tokens = 256
tensorboard = false
decay-fraction = 0.4
warmup-steps = 1
schedule = ")" +
         schedule + R"("
[learning-rate]
value = 2e-3
source = "a guess"
[evaluate]
at = [0, 0.5, 1.0]
items-max = 2
[branches]
at = )" + at +
         "\n";
}

TEST(StudyBranches, PlanCountsTheTrunkOnce) {
  StudyPlan plan = tiny_plan(test_path("plan.toml"), study_text("wsd", "[1.0, 0.25, 0.5]"));
  ASSERT_EQ(plan.runs.size(), 8u);
  EXPECT_EQ(plan.runs[0].name, "E2-trunk");
  EXPECT_EQ(plan.runs[0].role, records::RunRole::trunk);
  EXPECT_EQ(plan.runs[0].tokens, 2048);
  EXPECT_EQ(plan.runs[0].branch_steps, (std::vector<i64>{2, 4, 8}));
  EXPECT_EQ(plan.runs[1].name, "E2-b25");
  EXPECT_EQ(plan.runs[1].model, "E2-b25");
  EXPECT_EQ(plan.runs[1].role, records::RunRole::main);
  EXPECT_EQ(plan.runs[3].tokens, 13 * 256);  // 8 steps and 5 of decay: round(0.4 * 13)
  EXPECT_EQ(plan.runs[3].tokens_own(), 5 * 256);
  EXPECT_DOUBLE_EQ(plan.runs[3].tpp(), 13.0 * 256 / static_cast<double>(plan.runs[3].counts.parameters_total));
  EXPECT_EQ(tokens_most(plan), 13 * 256);
  estimate_seconds(plan, {{"E2", {1.0, 0, 0}}, {"E4", {1.0, 0, 0}}});
  i64 own = 0;
  for (const PlannedRun& run : plan.runs) own += run.tokens_own();
  EXPECT_NEAR(seconds_of_runs(plan), static_cast<double>(own), 8 * 0.31);  // and each run measures the roof
  EXPECT_EQ(own, 2 * (8 + 1 + 2 + 5) * 256);
}

TEST(StudyBranches, FaultsAreNamed) {
  const std::string folder = test_path("faults");
  const auto error_of = [&](const std::string& text) {
    try {
      tiny_plan(folder + ".toml", text);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(error_of(study_text("cosine", "[0.5]")).find("schedule = \"wsd\""), std::string::npos);
  EXPECT_NE(error_of(study_text("wsd", "[0.5, 0.5]")).find("each once"), std::string::npos);
  EXPECT_NE(error_of(study_text("wsd", "[]")).find("list of branches"), std::string::npos);
  EXPECT_NE(error_of(study_text("wsd", "[0.01]")).find("within the warm-up"), std::string::npos);
  EXPECT_NE(error_of(study_text("wsd", "[0.5]\nin = 3")).find("'at'"), std::string::npos);
}

// The run of options.json with everything but its folder, alone.
std::string train_alone(const std::string& folder, const PlannedRun& run) {
  const Json saved = Json::parse_file(path_join(folder, "runs/" + run.name + "/options.json"));
  train::TrainOptions options;
  OptionList list;
  options.describe(list);
  list.set_from_json(saved.at("train"), "options.json");
  options.sources = data::mixture_sources_from_json(saved.at("sources"), "options.json");
  options.out = path_join(folder, "alone-" + run.name);
  train::TrainHooks hooks;
  hooks.roof = {1e11, 1e10, 1e10, 0, 0};
  train::train_run(options, run.config, hooks);
  return file_read(path_join(options.out, "checkpoint/model.safetensors"));
}

std::vector<i64> evaluated_at(const std::string& folder, const std::string& run) {
  std::vector<i64> tokens;
  for (const Json& record : records::read(path_join(folder, "runs/" + run + "/records.jsonl"), "eval")) {
    if (record.get_string("grade", "") == "all") tokens.push_back(record.at("tokens").as_int());
  }
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

TEST(StudyBranches, BranchesEqualRunsThatGoAlone) {
  log_set_level(LogLevel::warning);
  kernels::isa_select("auto");
  const std::string folder = test_path("study");
  const std::string text = study_text("wsd", "[0.25, 0.5, 1.0]");
  StudyPlan plan = tiny_plan(folder + ".toml", text);
  const StudyResult result = run_study_plan(plan, folder, MOEBIUS_PROGRAM);
  EXPECT_EQ(result.runs_done, 8);
  for (const PlannedRun& run : plan.runs) {
    const std::string out = path_join(folder, "runs/" + run.name);
    if (run.role == records::RunRole::trunk) {
      for (const i64 step : run.branch_steps) {
        EXPECT_FALSE(folder_exists(path_join(out, "branch-" + std::to_string(step))))
            << "its state is no longer wanted";
      }
      continue;
    }
    const Json start = records::read(path_join(out, "records.jsonl"), "run").at(0);
    EXPECT_EQ(start.at("tokens_total").as_int(), run.tokens);
    EXPECT_EQ(start.at("branch_of").as_string(), run.branch_of);
    EXPECT_DOUBLE_EQ(start.at("tpp").as_double(), run.tpp());
    EXPECT_EQ(evaluated_at(folder, run.name).back(), run.tokens);
    EXPECT_EQ(evaluated_at(folder, run.name).size(), 3u) << run.name;  // untrained, half way, at the end
    if (run.config.experts.experts == 4) {
      EXPECT_EQ(train_alone(folder, run), file_read(path_join(out, "checkpoint/model.safetensors"))) << run.name;
    }
  }
  // A branch whose folder is lost needs its trunk again, and says so.
  folder_remove_all(path_join(folder, "runs/E2-b50"));
  StudyPlan again = tiny_plan(folder + ".toml", text);
  try {
    run_study_plan(again, folder, MOEBIUS_PROGRAM);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("train the trunk again"), std::string::npos) << e.what();
  }
  folder_remove_all(path_join(folder, "runs/E2-trunk"));
  EXPECT_EQ(run_study_plan(again, folder, MOEBIUS_PROGRAM).runs_done, 2);
}

}  // namespace
}  // namespace moebius::study
