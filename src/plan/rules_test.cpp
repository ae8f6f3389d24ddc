// Rate rules at the papers' own numbers, and the rule for skills.
#include "plan/rules.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace moebius::plan {
namespace {

RateInput input_of(double total, double active, double tokens, double compute, double experts, double activation) {
  return {.total_core = total,
          .active_core = active,
          .tokens = tokens,
          .compute = compute,
          .experts = experts,
          .activation = activation};
}

TEST(Rules, PublishedFormulas) {
  const auto rules = rate_rules(input_of(1e9, 1e8, 1e11, 1e20, 8, 0.125));
  ASSERT_EQ(rules.size(), 3u);
  // Step Law by hand: ln 1.79 - 0.713 ln 1e9 + 0.307 ln 1e11 = -6.41764; ln 0.58 + 0.571 ln 1e11 = 13.91771.
  EXPECT_NEAR(std::log(rules[0].learning_rate), -6.41764, 1e-4);
  EXPECT_NEAR(std::log(rules[0].batch_tokens), 13.91771, 1e-4);
  EXPECT_NEAR(rules[1].learning_rate, 8.669e-4, 5e-7);  // 2502.05172: 1e8 active, 8 experts
  EXPECT_EQ(rules[1].batch_tokens, 0);
  // Ling by hand: 1.1576 * 10^-3.058 and 0.0694 * 10^7.288.
  EXPECT_NEAR(rules[2].learning_rate / 1.01287e-3, 1, 1e-4);
  EXPECT_NEAR(rules[2].batch_tokens / 1.346996e6, 1, 1e-3);
}

TEST(Rules, RangesWarn) {
  const auto inside = rate_rules(input_of(1e9, 1e9, 5e10, 1e20, 1, 0.078));
  for (const RateRule& rule : inside) EXPECT_TRUE(rule.warning.empty()) << rule.name << rule.warning;
  const auto outside = rate_rules(input_of(1e11, 1e10, 1e13, 1e24, 256, 0.03));
  for (const RateRule& rule : outside) EXPECT_FALSE(rule.warning.empty()) << rule.name;
  const auto top_2 = rate_rules(input_of(1e9, 1e9, 5e10, 1e20, 16, 0.125));
  EXPECT_NE(top_2[1].warning.find("top-1"), std::string::npos);
}

TEST(Rules, TheRateTakenIsInsideItsRange) {
  const auto rules = rate_rules(input_of(1e9, 1e9, 5e10, 1e20, 1, 0.078));
  EXPECT_EQ(choose_rate(rules).learning_rate, rules[2].learning_rate);
  const auto dense = rate_rules(input_of(1e9, 1e9, 5e10, 1e20, 1, 1));
  EXPECT_EQ(choose_rate(dense).learning_rate, dense[1].learning_rate);
  EXPECT_EQ(choose_rate(dense).batch_tokens, dense[0].batch_tokens);  // the joint rule has no batch
  const auto none = rate_rules(input_of(1e11, 1e10, 1e13, 1e24, 256, 0.03));
  EXPECT_EQ(choose_rate(none).learning_rate, none[0].learning_rate);
  EXPECT_NE(choose_rate(none).source.find("outside"), std::string::npos);
}

TEST(Rules, WeightDecayHasBergsmasTimescale) {
  const Rate rate{.inside = true, .learning_rate = 1e-3, .batch_tokens = 1e6, .source = ""};
  const double decay = timescale_weight_decay(rate, 2e10, 20);
  EXPECT_NEAR(rate.batch_tokens / (rate.learning_rate * decay * 2e10), 1.084 * std::pow(20, -0.527), 1e-12);
}

TEST(Rules, SideNotesSayWhatTheShapeHas) {
  Choice choice;
  choice.form = {.experts = 384, .top_k = 8, .shared = 1};  // Kimi K2's
  choice.numbers.flops_megatron = 1e10;
  choice.tokens = 1e11;
  const auto notes = side_notes(choice);
  ASSERT_EQ(notes.size(), 3u);
  EXPECT_NE(notes[0].text.find("E/k 48 needs 0.59 times"), std::string::npos) << notes[0].text;  // 1 / 1.69
  EXPECT_EQ(notes[0].text.find("measured with"), std::string::npos);
  choice.form.shared = 0;  // not the form of the rule's runs
  EXPECT_NE(side_notes(choice)[0].text.find("measured with k 8 and one shared expert; the shape has k 8 and 0"),
            std::string::npos);
  choice.form.shared = 1;
  EXPECT_NE(notes[1].text.find("optimal: 6.8 active experts, 31 % shared; the shape has 9 and 11 %"),
            std::string::npos);
  EXPECT_NE(notes[2].text.find("87.5B tokens; the plan has 100B"), std::string::npos) << notes[2].text;
  choice.form.top_k = 4;  // E/k 96: beyond the law
  EXPECT_EQ(side_notes(choice).size(), 2u);
  choice.form = {};
  EXPECT_TRUE(side_notes(choice).empty());
}

Budget budget_of(double compute, double tokens) {
  Budget budget;
  budget.compute = compute;
  budget.tokens = tokens;
  budget.geometry.base.vocab = 99584;
  return budget;
}

const LawFit& abnar() {
  static const LawFit fit = published_law_fit(fit::published_default(fit::Law::abnar));
  return fit;
}

TEST(Rules, ReasoningHasTwentyTokensATotalParameter) {
  for (const double compute : {1e20, 1e21, 1e22}) {
    const SkillPlan plan = plan_skill("reasoning", budget_of(compute, 0), abnar());
    for (const Choice& shape : plan.shapes) {
      const double tpp = shape.tokens / shape.numbers.total;
      EXPECT_GT(tpp, kReasoningTpp / 1.5);
      EXPECT_LT(tpp, kReasoningTpp * 1.5);
      EXPECT_NEAR(shape.flops_training / compute, 1, 1e-9);
      EXPECT_EQ(shape.numbers.total, static_cast<double>(model::count_model(shape.config, 4096).parameters_total));
    }
    for (const Choice& shape : plan.shapes) EXPECT_LE(plan.shapes.front().value, shape.value);
  }
}

// The paper's own budget, 125B tokens: its shapes with a TPP near 20 have 6.2B total parameters.
TEST(Rules, ReasoningAtThePapersTokens) {
  const SkillPlan plan = plan_skill("reasoning", budget_of(0, 125e9), abnar());
  for (const Choice& shape : plan.shapes) EXPECT_NEAR(shape.numbers.total / 6.25e9, 1, 0.5);
  EXPECT_GE(plan.shapes.size(), 5u);
}

TEST(Rules, MemorisationIsSparsest) {
  const SkillPlan plan = plan_skill("memorisation", budget_of(1e21, 0), abnar());
  EXPECT_EQ(plan.shapes.front().form.experts, 256);
  for (std::size_t i = 1; i < plan.shapes.size(); ++i) {
    EXPECT_LT(plan.shapes[i - 1].tokens / plan.shapes[i - 1].numbers.total,
              plan.shapes[i].tokens / plan.shapes[i].numbers.total);
  }
  Budget small = budget_of(1e21, 0);
  small.memory = 24e9;
  for (const Choice& shape : plan_skill("memorisation", small, abnar()).shapes)
    EXPECT_LE(memory_bytes(shape.numbers), 24e9);
}

TEST(Rules, BudgetTooSmall) {
  EXPECT_THROW(plan_skill("reasoning", budget_of(1e10, 0), abnar()), Error);
  EXPECT_THROW(plan_skill("memorisation", budget_of(0, 1e11), abnar()), Error);  // nothing bounds the size
  Budget small = budget_of(1e21, 0);
  small.memory = 1e6;
  EXPECT_THROW(plan_skill("memorisation", small, abnar()), Error);
}

}  // namespace
}  // namespace moebius::plan
