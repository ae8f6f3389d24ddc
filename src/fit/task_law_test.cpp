// Task laws on runs with planted coefficients: they come back, their intervals cover, and what the runs cannot say is
// not reported.
#include "fit/task_law.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace moebius::fit {
namespace {

struct Plan {
  std::vector<double> widths = {1, 2, 4}, experts = {4, 8, 16, 32};
  i64 seeds = 3;
  double noise = 0.02;
  u64 number = 1;
  std::string measure = "task_loss";
  double chance = 0;
};

// eta = -0.5 + 0.8 (L - 3) - 0.3 ln(F) + 0.2 ln(TPP), in y by `link`; the train loss has a part of its own.
template <typename Y>
std::vector<TaskRun> planted(const Plan& plan, const Y& y_of) {
  Rng rng(41, RngStream::test, plan.number);
  std::vector<TaskRun> runs;
  for (const double width : plan.widths) {
    for (const double experts : plan.experts) {
      const double own = 0.15 * rng.next_normal();
      for (i64 seed = 0; seed < plan.seeds; ++seed) {
        TaskRun run;
        run.model = "w" + std::to_string(width) + " E" + std::to_string(experts);
        run.name = run.model + " s" + std::to_string(seed);
        run.family = "w" + std::to_string(width);
        run.flops = width * width;
        run.tpp = 100 / (width * width * experts);
        run.parameters_total = width * width * experts;
        run.train_loss = 3 - 0.2 * std::log(width) - 0.1 * std::log(experts) + own;
        const double eta = -0.5 + 0.8 * (run.train_loss - 3) - 0.3 * std::log(run.flops) + 0.2 * std::log(run.tpp);
        run.scores = {{"task", "reasoning", plan.measure, y_of(eta) + plan.noise * rng.next_normal(), 0.005,
                       plan.chance, plan.chance, 1, plan.measure == "task_loss", plan.measure != "task_loss"}};
        runs.push_back(run);
      }
    }
  }
  return runs;
}

double sigmoid(double eta) { return 1 / (1 + std::exp(-eta)); }
const auto kSigmoid = [](double eta) { return 0.1 + 0.9 * sigmoid(-2 * eta); };

const TaskTerm& term(const TaskLaw& law, const std::string& name) {
  for (const TaskTerm& one : law.terms) {
    if (one.name == name) return one;
  }
  throw std::runtime_error("no term " + name);
}

TEST(TaskLaw, LinearLossComesBack) {
  const auto runs = planted({.number = 2}, [](double eta) { return 3 + eta; });
  const TaskLaw law = fit_task_laws(runs).at(0);
  EXPECT_EQ(law.verdict.text, "determined") << law.verdict.text;
  EXPECT_EQ(law.configurations, 12);
  EXPECT_EQ(law.runs, 36);
  EXPECT_NEAR(term(law, "train_loss").value.estimate, 0.8, 0.1);
  EXPECT_NEAR(term(law, "flops").value.estimate, -0.3, 0.05);
  EXPECT_NEAR(term(law, "tpp").value.estimate, 0.2, 0.05);
  EXPECT_EQ(term(law, "flops").sign, Sign::negative);
  EXPECT_NEAR(law.seed_noise, 0.02, 0.008);
  EXPECT_FALSE(law.misfit);
  EXPECT_LT(law.holdout_error, 0.1 * law.holdout_error_constant);
  const TaskRun& run = runs[5];
  EXPECT_NEAR(task_law_value(law, run.train_loss, run.flops, run.tpp), run.scores[0].value, 0.08);
}

TEST(TaskLaw, ExponentialLossChoosesItsLink) {
  const TaskLaw law = fit_task_laws(planted({.noise = 0.005}, [](double eta) { return std::exp(eta); })).at(0);
  EXPECT_EQ(law.link, TaskLink::exponential);
  EXPECT_NEAR(term(law, "train_loss").value.estimate, 0.8, 0.1);
}

TEST(TaskLaw, SigmoidScoreHasFloorAndCeiling) {
  const TaskLaw law = fit_task_laws(planted({.noise = 0.01, .measure = "acc", .chance = 0.1}, kSigmoid)).at(0);
  EXPECT_EQ(law.link, TaskLink::sigmoid);
  EXPECT_EQ(law.floor, 0.1);
  EXPECT_NEAR(term(law, "train_loss").value.estimate, -1.6, 0.25);
  EXPECT_NEAR(term(law, "flops").value.estimate, 0.6, 0.1);
  // A score that stays under 0.6 however good the model is.
  const Plan wide{.widths = {1, 2, 4, 8, 16}, .experts = {2, 4, 8, 32, 128}, .noise = 0.005, .measure = "acc"};
  const TaskLaw low = fit_task_laws(planted(wide, [](double eta) { return 0.6 * sigmoid(-2 * eta); })).at(0);
  EXPECT_EQ(low.link, TaskLink::sigmoid_ceiling);
  EXPECT_NEAR(low.ceiling, 0.6, 0.02);
}

TEST(TaskLaw, WhatDoesNotVaryIsNotDetermined) {
  const TaskLaw one_width =
      fit_task_laws(planted({.widths = {2}, .experts = {2, 4, 8, 16, 32, 64, 128}}, [](double eta) {
        return 3 + eta;
      })).at(0);
  EXPECT_EQ(term(one_width, "flops").sign, Sign::not_determined);
  EXPECT_NE(one_width.verdict.text.find("partly determined: not flops (all runs have the same value)"),
            std::string::npos)
      << one_width.verdict.text;
  // Train loss an exact function of tokens per parameter: told apart by nothing.
  auto runs = planted({.widths = {2}, .experts = {2, 4, 8, 16, 32, 64, 128}}, [](double eta) { return 3 + eta; });
  for (TaskRun& run : runs) run.train_loss = 3 + 0.1 * std::log(run.tpp);
  const TaskLaw collinear = fit_task_laws(runs).at(0);
  EXPECT_NE(term(collinear, "tpp").note.find("is collinear with train_loss"), std::string::npos);
  EXPECT_TRUE(std::isnan(term(collinear, "tpp").value.estimate));
}

TEST(TaskLaw, FewRunsChanceAndNoiseAreNotDetermined) {
  const auto verdict = [](const Plan& plan, const auto& y) {
    return fit_task_laws(planted(plan, y)).at(0).verdict.text;
  };
  const auto linear = [](double eta) { return 3 + eta; };
  EXPECT_EQ(verdict({.widths = {1, 2}, .experts = {4, 8}}, linear).rfind("not determined: 4 configurations for", 0),
            0u);
  EXPECT_EQ(verdict({.widths = {1}, .experts = {4}}, linear).rfind("not determined: fewer than two", 0), 0u);
  EXPECT_NE(verdict({.noise = 0.01, .measure = "acc", .chance = 0.5}, [](double) { return 0.5; }).find("guessing"),
            std::string::npos);
  EXPECT_EQ(verdict({.noise = 0.3}, [](double) { return 3.0; }).rfind("not determined", 0), 0u);
  EXPECT_EQ(verdict({.noise = 0, .measure = "exact_match"}, [](double) { return 0.0; }).rfind("not determined", 0), 0u);
}

TEST(TaskLaw, MisfitIsSaid) {
  const TaskLaw law =
      fit_task_laws(planted({.noise = 0.005}, [](double eta) { return 3 + eta + 0.5 * std::sin(6 * eta); })).at(0);
  EXPECT_TRUE(law.misfit);
}

TEST(TaskLaw, SkillsHaveMeansOfTheirTasks) {
  const std::vector<TaskScore> scores = {{"a", "reasoning", "acc", 0.55, 0.03, 0.1, 0.2, 1, false, true},
                                         {"b", "reasoning", "exact_match", 0.3, 0.04, 0, 0, 1, false, true},
                                         {"a", "reasoning", "task_loss", 2.0, 0.1, 0, 0, 1, true, false},
                                         {"b", "reasoning", "task_loss", 1.0, kUnknown, 0, 0, 1, true, false},
                                         {"c", "memorisation", "acc", 0.7, 0.01, 0.5, 0.5, 1, false, true},
                                         {"c", "memorisation", "knowledge_share", 0.4, 0.01, 0, 0, 1, false, false}};
  const auto means = skill_means(scores);
  ASSERT_EQ(means.size(), 2u);  // memorisation has one task: its own law is the skill's
  EXPECT_EQ(means[0].measure, "score");
  EXPECT_EQ(means[0].tasks, 2);
  EXPECT_NEAR(means[0].value, (0.5 + 0.3) / 2, 1e-12);
  EXPECT_NEAR(means[0].se, std::sqrt(0.03 * 0.03 / 0.81 + 0.04 * 0.04) / 2, 1e-12);
  EXPECT_NEAR(means[0].chance_best, 0.1 / 0.9 / 2, 1e-12);
  EXPECT_EQ(means[0].chance, 0);
  EXPECT_NEAR(means[1].value, 1.5, 1e-12);
  EXPECT_NEAR(means[1].se, 0.05, 1e-12);
}

// Of 95 % intervals about 95 % hold the planted value: 300 studies, three slopes each.
TEST(TaskLaw, IntervalsCover) {
  int covered = 0, linear = 0, misfits = 0;
  for (u64 study = 0; study < 300; ++study) {
    Plan plan{.noise = 0.05, .number = 100 + study, .measure = "acc", .chance = 0.1};
    const TaskScore acc{"task", "reasoning", "acc", kUnknown, kUnknown, 0.1, 0.1, 1, false, true};
    const TaskLaw law = fit_task_law(planted(plan, kSigmoid), acc);
    misfits += law.misfit;
    if (law.link != TaskLink::sigmoid) continue;
    const double truth[] = {-1.6, 0.6, -0.4};
    for (int i = 0; i < 3; ++i) {
      const Interval& value = law.terms[static_cast<std::size_t>(i + 1)].value;
      covered += value.low <= truth[i] && value.high >= truth[i];
      ++linear;
    }
  }
  EXPECT_GT(linear, 700);
  EXPECT_NEAR(static_cast<double>(covered) / linear, 0.95, 0.025);
  EXPECT_LE(misfits, 27);  // 15 expected at most: 5 % of 300, standard deviation 3.8
}

// The derivatives of the least squares are right where the optimum is: no step of any coefficient makes it better.
TEST(LeastSquares, OptimumIsAMinimum) {
  const std::vector<std::vector<double>> rows = {{1, -1.5}, {1, -0.5}, {1, 0}, {1, 0.7}, {1, 1.6}, {1, 2.2}};
  const std::vector<double> y = {0.12, 0.22, 0.35, 0.5, 0.61, 0.66}, weight = {1, 2, 1, 1, 3, 1};
  for (const TaskLink link : {TaskLink::linear, TaskLink::exponential, TaskLink::sigmoid, TaskLink::sigmoid_ceiling}) {
    const LinkFit fit = fit_link(link, rows, y, weight, 0.1);
    ASSERT_TRUE(fit.converged) << records::enum_name(link);
    for (std::size_t i = 0; i < fit.beta.size(); ++i) {
      for (const double step : {-1e-3, 1e-3}) {
        std::vector<double> beta = fit.beta;
        beta[i] += step;
        double squares = 0;
        for (std::size_t r = 0; r < y.size(); ++r) {
          const double top = link == TaskLink::sigmoid_ceiling ? beta.back() : 1;
          const double rest = y[r] - link_value(link, beta[0] + beta[1] * rows[r][1], 0.1, top);
          squares += weight[r] * rest * rest;
        }
        EXPECT_GT(squares, fit.squares) << records::enum_name(link) << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace moebius::fit
