// Verdicts of the kinds that compare slopes or hold a metric equal, on studies with planted effects; the gates before a
// verdict and the correction for the number of hypotheses. Trends, peaks and groups: hypothesis_test.cpp.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "fit/hypothesis.h"

namespace moebius::fit {
namespace {

// Four sizes, three seeds: train.a and train.b are powers of the size with noise that is the same for both (a seed's
// luck), train.z falls with the size.
struct Plan {
  double slope_a = -0.3, slope_b = -0.1;  // of ln per doubling
  double luck = 0.2, noise = 0.02;        // standard deviations of ln
  double x_at_equal_z = 0;                // matched: effect of log2 x on train.y beside ln z
};

records::StudyRuns made_study(const Plan& plan) {
  records::StudyRuns study;
  study.study = Json::object();
  Rng rng(3, RngStream::test);
  for (int g = 0; g < 4; ++g) {
    for (int seed = 1; seed <= 3; ++seed) {
      const double luck = plan.luck * rng.next_normal(), z = 3 - 0.2 * g + 0.1 * rng.next_normal();
      records::RunRecords run;
      run.model = "m" + std::to_string(g);
      run.name = run.model + "-s" + std::to_string(seed);
      run.status = records::RunStatus::done;
      run.planned = Json::object({{"seed", seed}});
      run.run = Json::object({{"parameters_total", 1000 * std::exp2(g)}, {"config", Json::object({{"experts", 8}})}});
      run.train_end = Json::object({{"a", std::exp(plan.slope_a * g + luck + plan.noise * rng.next_normal())},
                                    {"b", std::exp(plan.slope_b * g + luck + plan.noise * rng.next_normal())},
                                    {"z", z},
                                    {"y", 2 * std::log(z) + plan.x_at_equal_z * g + 0.01 * rng.next_normal()}});
      study.runs.push_back(std::move(run));
    }
  }
  return study;
}

Hypothesis claim_of(HypothesisKind kind, const std::string& y) {
  Hypothesis h{.id = "h", .text = "t", .kind = kind, .x = "parameters_total", .y = y};
  h.where = h.a = h.b = Json::object();
  return h;
}

TEST(Contrast, PairsTheScoresOfARun) {
  Hypothesis h = claim_of(HypothesisKind::contrast, "ln train.a");
  h.minus = "ln train.b";
  h.upward = false;
  const HypothesisVerdict result = hypothesis_test(made_study({}), h, 0);
  EXPECT_EQ(result.outcome, Outcome::supported) << result.reason;
  EXPECT_NEAR(result.effect.estimate, -0.2, 0.02);
  EXPECT_LT(result.p, 0.01);
  // The slopes alone drown in the seeds' luck: the difference of one run's scores does not.
  EXPECT_LT(result.effect.high - result.effect.low, 0.1);
  Hypothesis alone = claim_of(HypothesisKind::monotone, "ln train.b");
  alone.upward = false;
  EXPECT_EQ(hypothesis_test(made_study({}), alone, 0).outcome, Outcome::unresolved);
  h.upward = true;
  EXPECT_EQ(hypothesis_test(made_study({}), h, 0).outcome, Outcome::refuted);
  EXPECT_EQ(hypothesis_test(made_study({.slope_a = -0.1}), h, 0).outcome, Outcome::unresolved);
}

TEST(Contrast, EqualWithinAMargin) {
  Hypothesis h = claim_of(HypothesisKind::contrast, "ln train.a");
  h.minus = "ln train.b";
  h.margin = 0.1;
  EXPECT_EQ(hypothesis_test(made_study({.slope_a = -0.1}), h, 0).outcome, Outcome::supported);
  EXPECT_EQ(hypothesis_test(made_study({.slope_a = -0.5}), h, 0).outcome, Outcome::refuted);
  h.margin = 0.001;
  EXPECT_EQ(hypothesis_test(made_study({.slope_a = -0.1}), h, 0).outcome, Outcome::unresolved);
}

// A seed that changes the slope itself (all its runs) is one observation, not one for each configuration.
TEST(Contrast, SeedsThatChangeTheSlopeAreCounted) {
  records::StudyRuns study = made_study({.slope_a = -0.1, .noise = 0});
  for (records::RunRecords& run : study.runs) {
    const double tilt = 0.1 * (run.number("seed") - 2), g = std::log2(run.number("parameters_total") / 1000);
    run.train_end.set("a", run.train_end.at("a").as_double() * std::exp(tilt * g));
  }
  Hypothesis h = claim_of(HypothesisKind::contrast, "ln train.a");
  h.minus = "ln train.b";
  const HypothesisVerdict result = hypothesis_test(study, h, 0);
  EXPECT_NEAR(0.5 * (result.effect.high - result.effect.low), 4.3027 * 0.1 / std::sqrt(3.0), 1e-3);
}

TEST(Flat, TheChangePerDoublingLiesWithinTheMargin) {
  Hypothesis h = claim_of(HypothesisKind::flat, "ln train.a");
  h.margin = 0.05;
  EXPECT_EQ(hypothesis_test(made_study({.slope_a = 0.01, .luck = 0.01}), h, 0).outcome, Outcome::supported);
  EXPECT_EQ(hypothesis_test(made_study({.slope_a = -0.3, .luck = 0.01}), h, 0).outcome, Outcome::refuted);
  EXPECT_EQ(hypothesis_test(made_study({.slope_a = 0.01, .luck = 0.5}), h, 0).outcome, Outcome::unresolved);
}

TEST(Matched, WhatIsHeldEqualExplainsNothingElse) {
  Hypothesis h = claim_of(HypothesisKind::matched, "train.y");
  h.at = "train.z";
  const HypothesisVerdict none = hypothesis_test(made_study({}), h, 0);
  EXPECT_EQ(none.outcome, Outcome::unresolved) << none.reason;
  EXPECT_NEAR(none.effect.estimate, 0, 0.02);
  const HypothesisVerdict some = hypothesis_test(made_study({.x_at_equal_z = 0.1}), h, 0);
  EXPECT_EQ(some.outcome, Outcome::supported) << some.reason;
  EXPECT_NEAR(some.effect.estimate, 0.1, 0.02);
  h.at = "parameters_total";  // x itself
  EXPECT_NE(hypothesis_test(made_study({}), h, 0).reason.find("does not vary at equal values"), std::string::npos);
}

TEST(Hypothesis, AnAxisThatDoesNotVaryIsNoTest) {
  for (const HypothesisKind kind : {HypothesisKind::contrast, HypothesisKind::flat, HypothesisKind::matched}) {
    Hypothesis h = claim_of(kind, "train.a");
    h.x = "config.experts";
    h.at = "train.z";
    h.margin = kind == HypothesisKind::flat ? 1 : kUnknown;
    const HypothesisVerdict result = hypothesis_test(made_study({}), h, 0);
    EXPECT_EQ(result.outcome, Outcome::unresolved);
    EXPECT_NE(result.reason.find("x that varies"), std::string::npos) << result.reason;
  }
}

// A record of composition: exact match with its baseline, and a loss.
void add_scores(records::StudyRuns& study, const std::string& skill, double exact_match) {
  for (records::RunRecords& run : study.runs) {
    const double a = run.train_end.at("a").as_double();
    run.evals.push_back(
        {.name = "task",
         .part = "5",
         .kind = "task",
         .skill = skill,
         .tokens = 1e9,
         .fields = Json::object({{"exact_match", exact_match},
                                 {"exact_match_se", 0.02},
                                 {"chance", 0.14},
                                 {"chance_best", 0.36},
                                 {"step_loss", a},
                                 {"task_loss", a}}),
         .measures = {{.name = "exact_match", .main = true},
                      {.name = "step_loss", .higher_is_better = false, .unit = records::Unit::nats_per_token}}});
  }
}

TEST(Gate, LossesOfASkillCountOnlyIfItsScoreBeatsTheBestShortcut) {
  const auto outcome_at = [](const std::string& skill, double exact_match, const std::string& key) {
    records::StudyRuns study = made_study({.luck = 0.01});
    add_scores(study, skill, exact_match);
    Hypothesis h = claim_of(HypothesisKind::monotone, "ln eval.task.5." + key);
    h.upward = false;
    return hypothesis_test(study, h, 0);
  };
  for (const char* key : {"step_loss", "task_loss"}) {
    for (const char* skill : {"composition", "look-up", "addition", "reasoning"}) {
      EXPECT_EQ(outcome_at(skill, 0.5, key).outcome, Outcome::supported) << skill;
      const HypothesisVerdict below = outcome_at(skill, 0.40, key);  // above 0.36, but by two standard errors
      EXPECT_EQ(below.outcome, Outcome::unresolved) << skill;
      EXPECT_NE(below.reason.find("above chance"), std::string::npos) << below.reason;
    }
    EXPECT_EQ(outcome_at("memorisation", 0.1, key).outcome, Outcome::supported);  // not a skill with shortcuts
  }
}

// A contrast needs both of its scores.
TEST(Gate, TheSubtractedScoreCountsToo) {
  records::StudyRuns study = made_study({.luck = 0.01});
  add_scores(study, "composition", 0.38);
  Hypothesis h = claim_of(HypothesisKind::contrast, "ln train.b");
  h.minus = "ln eval.task.5.step_loss";
  EXPECT_NE(hypothesis_test(study, h, 0).reason.find("above chance"), std::string::npos);
}

TEST(Holm, VerdictsOfAPageAreCorrectedForTheirNumber) {
  std::vector<HypothesisVerdict> verdicts(4);
  const double p[] = {0.03, 0.001, 0.5, 0.016};
  for (std::size_t i = 0; i < 4; ++i) {
    verdicts[i].p = p[i];
    verdicts[i].outcome = p[i] <= 0.05 ? Outcome::supported : Outcome::unresolved;
    verdicts[i].reason = "r";
  }
  correct_for_number(verdicts);
  EXPECT_EQ(verdicts[1].outcome, Outcome::supported);   // 0.001 <= 0.05 / 4
  EXPECT_EQ(verdicts[3].outcome, Outcome::supported);   // 0.016 <= 0.05 / 3
  EXPECT_EQ(verdicts[0].outcome, Outcome::unresolved);  // 0.03 > 0.05 / 2
  EXPECT_NE(verdicts[0].reason.find("Holm's correction: 0.025"), std::string::npos) << verdicts[0].reason;
  std::vector<HypothesisVerdict> one = {verdicts[0]};
  one[0].outcome = Outcome::refuted;
  correct_for_number(one);
  EXPECT_EQ(one[0].outcome, Outcome::refuted);  // a hypothesis alone needs no correction
}

}  // namespace
}  // namespace moebius::fit
