// Which models learning rates are tried for, and the rates between them.
#include "study/study_rates.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/test_folder.h"
#include "study/test_support.h"

namespace moebius::study {
namespace {

StudyPlan plan_of(const std::string& grids) {
  return tiny_plan(test_path("rates.toml"),
                   "name = \"rates\"\ntokens = 1024\nseeds = [1, 2]\n[model]\nlayers = 2\n"
                   "heads = 2\nexpert-width = 32\n" +
                       grids + tiny_data("1.0", "5") +
                       "[train]\nbatch-tokens = 256\n[learning-rate]\nsweep = [1e-3, 4e-3]\n");
}

std::vector<std::string> trials_of(const StudyPlan& plan) {
  std::vector<std::string> models;
  for (const PlannedRun& run : plan.runs) {
    if (run.role != records::RunRole::sweep) continue;
    EXPECT_EQ(run.tokens, 204) << run.name;
    if (models.empty() || models.back() != run.config.name) models.push_back(run.config.name);
  }
  return models;
}

// A loss for each trial such that `best` is the best rate of its model.
std::map<std::string, double> losses_with(const StudyPlan& plan, const std::map<std::string, double>& best) {
  std::map<std::string, double> losses;
  for (const PlannedRun& run : plan.runs) {
    if (run.role != records::RunRole::sweep) continue;
    losses[run.name] = run.learning_rate == best.at(run.config.name) ? 1.0 : 2.0;
  }
  return losses;
}

double rate_of(const StudyPlan& plan, const std::string& model) {
  for (const PlannedRun& run : plan.runs) {
    if (run.role != records::RunRole::sweep && run.model == model) return run.learning_rate;
  }
  return 0;
}

using Names = std::vector<std::string>;

TEST(StudyRates, TrialsAreAtTheCornersOfEachWidth) {
  EXPECT_EQ(trials_of(plan_of("[grid]\nd-model = [32]\nexperts = [1, 4, 16]\ntop-k = [1, 2, 8]\n")),
            (Names{"d32-dense", "d32-E16-k1", "d32-E16-k8"}));
  EXPECT_EQ(trials_of(plan_of("[grid]\nd-model = [32, 64]\nexperts = [8, 16, 32]\ntop-k = [2, 4, 8]\n")),
            (Names{"d32-E8-k2", "d32-E8-k8", "d32-E32-k2", "d32-E32-k8", "d64-E8-k2", "d64-E8-k8", "d64-E32-k2",
                   "d64-E32-k8"}));
  // A cross through E = 8, k = 2: the ends of both arms.
  EXPECT_EQ(trials_of(plan_of("[[grid]]\nd-model = [32]\nexperts = [1, 8, 32]\ntop-k = [2]\n"
                              "[[grid]]\nd-model = [32]\nexperts = [8]\ntop-k = [1, 4, 8]\n")),
            (Names{"d32-dense", "d32-E32-k2", "d32-E8-k1", "d32-E8-k8"}));
}

TEST(StudyRates, ShippedStudiesTuneEveryWidthAndBothEndsOfK) {
  const StudyPlan plan = plan_study(study_load("optimal-sparsity-mini"));
  for (const PlannedRun& run : plan.runs) {
    const auto tried = [&](const auto& wanted) {
      return std::any_of(plan.runs.begin(), plan.runs.end(), [&](const PlannedRun& trial) {
        return trial.role == records::RunRole::sweep && trial.config.d_model == run.config.d_model && wanted(trial);
      });
    };
    EXPECT_TRUE(tried([&](const PlannedRun& t) { return t.config.experts.top_k <= run.config.experts.top_k; }));
    EXPECT_TRUE(tried([&](const PlannedRun& t) { return t.config.experts.top_k >= run.config.experts.top_k; }));
    EXPECT_TRUE(tried([&](const PlannedRun& t) { return t.config.experts.experts <= run.config.experts.experts; }));
    EXPECT_TRUE(tried([&](const PlannedRun& t) { return t.config.experts.experts >= run.config.experts.experts; }));
  }
}

TEST(StudyRates, InterpolatedInLogExpertsAndLogK) {
  StudyPlan plan = plan_of("[[grid]]\nd-model = [32, 64]\nexperts = [2, 8, 32]\ntop-k = [2]\n");
  const std::string rule = choose_learning_rates(
      plan, losses_with(plan, {{"d32-E2-k2", 1e-3}, {"d32-E32-k2", 4e-3}, {"d64-E2-k2", 1e-3}, {"d64-E32-k2", 1e-3}}));
  EXPECT_NEAR(rate_of(plan, "d32-E2-k2"), 1e-3, 1e-12);
  EXPECT_NEAR(rate_of(plan, "d32-E8-k2"), 2e-3, 1e-12);  // between two models: linear in log E
  EXPECT_NEAR(rate_of(plan, "d32-E32-k2"), 4e-3, 1e-12);
  EXPECT_EQ(rate_of(plan, "d64-E8-k2"), 1e-3);  // of its own width
  EXPECT_NE(rule.find("d32-E32-k2 (best 0.004)"), std::string::npos) << rule;
  EXPECT_NE(rule.find("may lie outside"), std::string::npos) << rule;  // all are at an end of two

  plan = plan_of("[[grid]]\nd-model = [32]\nexperts = [16]\ntop-k = [1, 2, 4, 16]\n");
  choose_learning_rates(plan, losses_with(plan, {{"d32-E16-k1", 1e-3}, {"d32-E16-k16", 4e-3}}));
  EXPECT_NEAR(rate_of(plan, "d32-E16-k4"), 2e-3, 1e-12);
  EXPECT_NEAR(rate_of(plan, "d32-E16-k2"), 1e-3 * std::sqrt(2.0), 1e-12);
}

TEST(StudyRates, ATrialWithoutALossIsAnErrorThatNamesTheModel) {
  StudyPlan plan = plan_of("[[grid]]\nd-model = [32]\nexperts = [2, 8]\ntop-k = [2]\n");
  auto losses = losses_with(plan, {{"d32-E2-k2", 1e-3}, {"d32-E8-k2", 1e-3}});
  for (auto& [run, loss] : losses) {
    if (run.find("E8") != std::string::npos) loss = std::nan("");
  }
  try {
    choose_learning_rates(plan, losses);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("no trial of d32-E8-k2 ended with a finite loss"), std::string::npos);
  }
}

}  // namespace
}  // namespace moebius::study
