// Plans for a budget against the papers' tables, and what is refused.
#include "plan/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/error.h"
#include "fit/optimum.h"
#include "plan/law_fit.h"
#include "plan/rules.h"

namespace moebius::plan {
namespace {

Budget budget_with(double compute, i64 vocab = 50257) {
  Budget budget;
  budget.compute = compute;
  budget.geometry.base.vocab = vocab;
  budget.geometry.width_per_layer = 64;  // the papers' own
  return budget;
}

std::vector<LawFit> fits_with(fit::Law law) { return {published_law_fit(fit::published_default(law))}; }

const Choice& optimum(const std::vector<LawPlan>& plans) { return *plans.front().optimum; }

// 2502.05172, table 1, the column of 32 experts, and the law's optimum for all experts being that column.
TEST(Budget, JointOptimumIsTable1) {
  for (const auto& [compute, active, tokens] :
       {std::tuple{1e20, 669e6, 24.9e9}, std::tuple{1e21, 2.85e9, 58.4e9}, std::tuple{1e22, 12.2e9, 136.9e9}}) {
    const auto plans = plan_budget(budget_with(compute), fits_with(fit::Law::joint));
    EXPECT_EQ(optimum(plans).form.experts, 32);
    EXPECT_NEAR(optimum(plans).numbers.active / active, 1, 0.015);
    EXPECT_NEAR(optimum(plans).tokens / tokens, 1, 0.015);
    EXPECT_TRUE(plans.front().sparsest);
  }
}

// 2502.05172, its table of the best number of experts under a memory (weights and 16k positions of cache in bf16). Nine of
// twelve cells come out of the printed coefficients; in the other three the paper has the neighbouring power of two, which
// by these coefficients loses at most 0.008 nats.
TEST(Budget, JointMemoryTable) {
  struct Cell {
    double compute, gigabytes;
    i64 paper, ours;
  };
  for (const Cell& cell :
       {Cell{1e21, 24, 16, 32}, Cell{1e21, 80, 32, 32}, Cell{1e21, 640, 32, 32}, Cell{1e22, 24, 4, 4},
        Cell{1e22, 80, 16, 16}, Cell{1e22, 640, 32, 32}, Cell{1e23, 24, 1, 1}, Cell{1e23, 80, 8, 4},
        Cell{1e23, 640, 32, 32}, Cell{1e24, 24, 1, 1}, Cell{1e24, 80, 1, 1}, Cell{1e24, 640, 16, 8}}) {
    Budget budget = budget_with(cell.compute);
    budget.memory = cell.gigabytes * 1e9;
    const auto plans = plan_budget(budget, fits_with(fit::Law::joint));
    EXPECT_EQ(optimum(plans).form.experts, cell.ours) << cell.compute << " " << cell.gigabytes;
    EXPECT_LE(memory_bytes(optimum(plans).numbers), budget.memory * 1.0001);
    bool found = false;
    for (const Choice& shape : plans.front().shapes) {
      EXPECT_LE(memory_bytes(shape.numbers), budget.memory);
      if (shape.form.experts != cell.paper) continue;
      found = true;
      EXPECT_NEAR(shape.value, optimum(plans).value, cell.paper == cell.ours ? 0.01 : 0.016);
    }
    EXPECT_TRUE(found);
  }
}

// 2402.07871, table 2, through the whole plan: granularity exact, active parameters and tokens within some per cent.
TEST(Budget, FineGrainedOptimumIsKrajewskisTable2) {
  for (const auto& [compute, active, tokens, granularity] :
       {std::tuple{2.95e18, 1e8, 4.37e9, 8.0}, std::tuple{1.41e21, 3e9, 72.9e9, 16.0},
        std::tuple{6.46e21, 7e9, 137.6e9, 32.0}}) {
    const auto plans = plan_budget(budget_with(compute), fits_with(fit::Law::fine_grained));
    EXPECT_EQ(optimum(plans).form.granularity, granularity);
    EXPECT_EQ(optimum(plans).form.top_k, static_cast<i64>(granularity));
    EXPECT_EQ(optimum(plans).form.experts, 64 * static_cast<i64>(granularity));
    EXPECT_NEAR(optimum(plans).numbers.active_core / active, 1, 0.04);
    EXPECT_NEAR(optimum(plans).tokens / tokens, 1, 0.04);
  }
}

// 2507.17702: FLOPs per token and tokens by its allocation, granularity nearest to 11.3, as sparse as its runs were.
TEST(Budget, LeverageFollowsLingsAllocation) {
  for (const double compute : {1e19, 1e20, 1e21}) {
    const auto plans = plan_budget(budget_with(compute), fits_with(fit::Law::leverage));
    EXPECT_NEAR(optimum(plans).numbers.flops_megatron / (0.1915 * std::pow(compute, 0.5095)), 1, 1e-3);
    EXPECT_NEAR(optimum(plans).tokens / (5.2232 * std::pow(compute, 0.4905)), 1, 2e-3);
    EXPECT_NEAR(optimum(plans).form.granularity, 32.0 / 3, 1e-9);
    EXPECT_TRUE(plans.front().sparsest);
    EXPECT_GT(optimum(plans).value, 1);
  }
}

// 2502.05172: Nact = 2 d V + 13 L d^2, Ntotal = 2 d V + (4 + 9 E) L d^2. 2402.07871: N = 4 d^2 (2 E + 1) a block, 12 d^2 of
// it active, which is 43 times less at E = 64.
TEST(Budget, ParametersAreThePapersFormulas) {
  const Geometry geometry = budget_with(1e20).geometry;
  for (const Form& form : forms_of(fit::Law::joint, "")) {
    const Numbers numbers = numbers_at(form, geometry, 1024);
    const double embedding = 2.0 * 1024 * 50257, block = 16.0 * 1024 * 1024,
                 router = 16.0 * 1024 * (form.experts > 1 ? form.experts : 0);
    EXPECT_NEAR(numbers.active, embedding + 13 * block, 1) << form.experts;
    EXPECT_NEAR(numbers.total, embedding + (4 + 9 * static_cast<double>(form.experts)) * block + router, 1)
        << form.experts;
  }
  for (const Form& form : forms_of(fit::Law::fine_grained, "krajewski-moe-e64")) {
    const Numbers numbers = numbers_at(form, geometry, 1024);
    EXPECT_NEAR(numbers.active_core, 12 * 16.0 * 1024 * 1024, 1) << form.experts;
    EXPECT_NEAR(numbers.total_core / numbers.active_core, 43, 1e-9) << form.experts;
  }
}

// 2502.05172's rule of thumb: of equal total parameters, up to 8 experts beat a dense model when trained on E times the tokens.
// By the printed coefficients that holds near 20 tokens a dense parameter, and no longer for 32 experts.
TEST(Budget, JointRuleOfThumb) {
  const Geometry geometry = budget_with(1e20).geometry;
  const std::vector<double>& c = fit::published_default(fit::Law::joint).values;
  const auto loss = [&](i64 experts, double total) {
    const Form form{.law = fit::Law::joint, .experts = experts, .top_k = 1, .width = 3};
    const auto size = [&](double d) { return numbers_at(form, geometry, d).total; };
    const Numbers numbers = numbers_at(form, geometry, *fit::solve_rising_log(size, total, 64, 1e5));
    return fit::law_value(fit::Law::joint, c, law_point(form, numbers, 20 * total * static_cast<double>(experts)));
  };
  for (const double total : {1e9, 2e9, 5e9, 1e10}) {
    for (const i64 experts : {2, 4, 8}) EXPECT_LT(loss(experts, total), loss(1, total)) << total << " E " << experts;
  }
  EXPECT_GT(loss(32, 1e10), loss(1, 1e10));
}

// 2507.17702, Ling-mini-beta: 20 layers, d 2048, 12 of 384 experts of 384 and one shared, 17.5B with 0.85B active. Our source
// does not give the key heads: with 4 the numbers come out.
TEST(Budget, LingMiniBetaHasItsParameters) {
  Geometry geometry = budget_with(1e20).geometry;
  geometry.width_per_layer = 2048 / 20.0;
  geometry.base.attention.kv_heads = 4;
  Form form{.law = fit::Law::leverage, .experts = 384, .top_k = 12, .shared = 1, .width = 384 / 2048.0};
  form.dense_width = 13 * form.width;
  const model::ModelConfig config = build(form, geometry, 2048);
  EXPECT_EQ(config.layers, 20);
  EXPECT_EQ(config.experts.width, 384);
  const Numbers numbers = numbers_of(config, 4096);
  EXPECT_NEAR(numbers.total_core / 17.5e9, 1, 0.005);
  EXPECT_NEAR(numbers.active_core / 0.85e9, 1, 0.04);
  EXPECT_NEAR(fit::point_density(law_point(form, numbers, 1e12)), 0.034, 5e-4);
}

TEST(Budget, BuiltShapesAreExactAndNearTheOptimum) {
  const auto plans = plan_budget(budget_with(1e21), published_law_fits());
  EXPECT_EQ(plans.size(), static_cast<std::size_t>(fit::kLaws));
  for (const LawPlan& plan : plans) {
    ASSERT_TRUE(plan.optimum.has_value()) << fit::law_name(plan.fit.law);
    ASSERT_FALSE(plan.shapes.empty());
    for (const Choice& shape : plan.shapes) {
      const model::ModelConfig& config = shape.config;
      EXPECT_EQ(config.d_model % 64, 0);
      EXPECT_EQ(config.experts.width % 32, 0);
      EXPECT_EQ(config.attention.heads * config.attention.head_dim, config.d_model);
      EXPECT_TRUE(config.attention.head_dim == 64 || config.attention.head_dim == 128);
      EXPECT_EQ(static_cast<double>(model::count_model(config, 4096).parameters_total), shape.numbers.total);
      const Numbers smooth = numbers_at(shape.form, budget_with(1e21).geometry, static_cast<double>(config.d_model));
      EXPECT_NEAR(smooth.total / shape.numbers.total, 1, 0.06) << config.name;
      EXPECT_NEAR(smooth.active / shape.numbers.active, 1, 0.06) << config.name;
      if (plan.fit.law != fit::Law::routed) {
        EXPECT_NEAR(shape.flops_training / 1e21, 1, 1e-9);
      }
    }
    for (std::size_t i = 1; i < plan.shapes.size(); ++i) {
      const bool leverage = plan.fit.law == fit::Law::leverage;
      EXPECT_LE(leverage ? -plan.shapes[i - 1].value : plan.shapes[i - 1].value,
                leverage ? -plan.shapes[i].value : plan.shapes[i].value);
    }
    if (plan.fit.law != fit::Law::leverage && plan.fit.law != fit::Law::routed) {
      EXPECT_NEAR(plan.shapes.front().value, plan.optimum->value, 0.004) << fit::law_name(plan.fit.law);
    }
  }
}

// A law is followed only where the budget, its optimum and its first shape are inside its range.
TEST(Budget, RecommendsOnlyInsideARange) {
  for (const double compute : {1e18, 1e20, 1e21, 3e22, 1e24, 1e26}) {
    const auto plans = plan_budget(budget_with(compute), published_law_fits());
    bool any = false;
    for (const LawPlan& plan : plans) {
      const Choice& shape = plan.shapes.front();
      any = any || (plan.warnings.empty() &&
                    extrapolation_warnings(plan.fit, law_point(shape.form, shape.numbers, shape.tokens)).empty());
    }
    const LawPlan* law = recommended_law(plans);
    EXPECT_EQ(law != nullptr, any) << compute;
    if (law == nullptr) continue;
    EXPECT_TRUE(law->warnings.empty()) << compute;
    EXPECT_FALSE(law->shapes.front().extrapolated) << compute;
  }
  // abnar: 3e19 to 1e21 FLOPs; the joint law's optimum has more than its 5e9 parameters there.
  const auto inside = plan_budget(budget_with(1e20), published_law_fits());
  ASSERT_NE(recommended_law(inside), nullptr);
  EXPECT_EQ(recommended_law(inside)->fit.law, fit::Law::abnar);
  EXPECT_EQ(recommended_law(plan_budget(budget_with(1e26), published_law_fits())), nullptr);
  EXPECT_EQ(recommended_law(plan_budget(budget_with(1e26), fits_with(fit::Law::joint))), nullptr);
}

// A fit that is not determined is not followed, even inside its range.
TEST(Budget, DoubtfulFitIsNotRecommended) {
  auto fits = fits_with(fit::Law::abnar);
  EXPECT_NE(recommended_law(plan_budget(budget_with(1e20), fits)), nullptr);
  fits.front().warnings.push_back("not determined");
  EXPECT_EQ(recommended_law(plan_budget(budget_with(1e20), fits)), nullptr);
}

// The forms that the page names, enumerated here, at every buildable width: none beats the first shape of the law, and
// no shape of a skill's rule inside the law's range does.
TEST(Budget, AbnarIsTheBestOfItsPage) {
  std::vector<Form> forms = {{.law = fit::Law::abnar, .width = 4}};
  for (const i64 top_k : {1, 2, 4, 8, 16}) {
    for (const i64 share : {2, 4, 8, 16, 32}) {
      if (share * top_k <= 256)
        forms.push_back({.law = fit::Law::abnar, .experts = share * top_k, .top_k = top_k, .width = 2});
    }
  }
  for (const i64 experts : {64, 128, 256, 384})
    forms.push_back({.law = fit::Law::abnar, .experts = experts, .top_k = 8, .shared = 1, .width = 2.0 / 7});
  const LawFit fit = fits_with(fit::Law::abnar).front();
  for (const double compute : {3e19, 3e20, 1e21}) {
    Budget budget = budget_with(compute);
    budget.geometry.width_per_layer = 0;
    double best = 1e9;
    for (const Form& form : forms) {
      for (const i64 d : buildable_widths()) {
        if (d > 4096 || !buildable(form, budget.geometry, d)) continue;
        const Numbers numbers = numbers_of(build(form, budget.geometry, d), budget.geometry.sequence);
        best =
            std::min(best, fit::law_value(fit.law, fit.values, law_point(form, numbers, compute / numbers.flops_6n)));
      }
    }
    const LawPlan plan = plan_budget(budget, {fit}).front();
    EXPECT_DOUBLE_EQ(plan.shapes.front().value, best) << compute;
    for (std::size_t i = 1; i < plan.shapes.size(); ++i) EXPECT_LE(best, plan.shapes[i].value);
    for (const std::string skill : {"reasoning", "memorisation"}) {
      for (const Choice& shape : plan_skill(skill, budget, fit).shapes) {
        EXPECT_TRUE(shape.extrapolated || shape.value >= best) << compute << " " << shape.config.name;
      }
    }
  }
}

// The highest leverage of all forms that the page names; with inference, the fewest FLOPs of all forms and widths.
TEST(Budget, OtherGoalsAreTheBestOfTheirPages) {
  const LawFit ling = fits_with(fit::Law::leverage).front();
  double most = 0;
  const auto add = [&](double granularity, double used, double experts) {
    fit::LawPoint point;
    point.granularity = granularity, point.flops = 1e20;
    point.experts = experts, point.top_k = used - 1, point.experts_shared = 1;
    most = std::max(most, fit::law_value(ling.law, ling.values, point));
  };
  for (const double share : {4, 8, 16, 32, 64, 128}) {
    for (const double granularity : {4.0, 8.0, 32.0 / 3, 16.0}) {
      const double used = std::round(39.0 / 32 * granularity);
      add(granularity, used, std::round(used * share / 8) * 8);
    }
  }
  for (const double experts : {64, 128, 256, 384}) add(7, 9, experts);
  EXPECT_NEAR(optimum(plan_budget(budget_with(1e20), {ling})).value, most, 1e-9);

  Budget budget = budget_with(1e20);
  budget.geometry.width_per_layer = 0;
  budget.inference_tokens = 1e12;
  for (const fit::Law law : {fit::Law::joint, fit::Law::abnar}) {
    const LawPlan plan = plan_budget(budget, fits_with(law)).front();
    double least = 1e300;
    for (const Form& form : forms_of(law, plan.fit.name)) {
      for (const i64 d : buildable_widths()) {
        if (d > 4096 || !buildable(form, budget.geometry, d)) continue;
        const Numbers numbers = numbers_of(build(form, budget.geometry, d), budget.geometry.sequence);
        const auto loss = [&](double t) { return fit::law_value(law, plan.fit.values, law_point(form, numbers, t)); };
        const auto tokens = fit::tokens_for_loss(loss, plan.compute_optimal->value);
        if (tokens) least = std::min(least, numbers.flops_6n * (*tokens + budget.inference_tokens / 3));
      }
    }
    const Choice& first = plan.shapes.front();
    EXPECT_NEAR((first.flops_training + first.flops_inference) / least, 1, 1e-9) << fit::law_name(law);
  }
}

// No model is worse than equal probabilities: a law that says so does not hold there.
TEST(Budget, ImpossibleLossesAreSaid) {
  const LawPlan plan = plan_budget(budget_with(6.4e12, 1024), fits_with(fit::Law::abnar)).front();
  EXPECT_GT(plan.optimum->value, std::log(1024.0));
  EXPECT_NE(plan.warnings.back().find("is above 6.93, that of equal probabilities"), std::string::npos);
}

// 8 of 64 to 384 experts and a shared one are among the forms of both laws that see k / E and no form.
TEST(Budget, ModernFormsAreCandidates) {
  for (const fit::Law law : {fit::Law::abnar, fit::Law::leverage}) {
    const std::vector<Form> forms = forms_of(law, "");
    for (const i64 experts : {64, 128, 256, 384}) {
      const auto at = std::find_if(forms.begin(), forms.end(), [&](const Form& form) {
        return form.experts == experts && form.top_k == 8 && form.shared == 1;
      });
      ASSERT_NE(at, forms.end()) << experts;
      const model::ModelConfig config = build(*at, budget_with(1e21).geometry, 7168);
      EXPECT_EQ(config.experts.width, 2048);  // DeepSeek-V3's and Kimi K2's
      EXPECT_EQ(config.experts.shared_experts, 1);
    }
  }
}

TEST(Budget, AssumedInferenceLeavesLawsThatCannotTrade) {
  Budget budget = budget_with(4e22);
  budget.inference_tokens = kInferenceTokens;
  budget.inference_assumed = true;
  const auto assumed = plan_budget(budget, published_law_fits());
  for (const LawPlan& plan : assumed) {
    ASSERT_TRUE(plan.optimum.has_value()) << fit::law_name(plan.fit.law);
    const bool trades = plan.fit.law != fit::Law::routed && plan.fit.law != fit::Law::leverage;
    EXPECT_EQ(plan.compute_optimal.has_value(), trades) << fit::law_name(plan.fit.law);
    EXPECT_TRUE(!trades || plan.optimum->numbers.active < plan.compute_optimal->numbers.active);
  }
}

// Brute force over every buildable shape of every form, with nothing of the search: no shape beats the plan's first.
TEST(Budget, NoShapeBeatsTheFirst) {
  const Budget budget = budget_with(3e20);
  for (const fit::Law law :
       {fit::Law::chinchilla, fit::Law::fine_grained, fit::Law::abnar, fit::Law::joint, fit::Law::flame}) {
    const auto plans = plan_budget(budget, fits_with(law));
    double best = 1e9;
    for (const Form& form : forms_of(law, plans.front().fit.name)) {
      for (const i64 d : buildable_widths()) {
        if (d > 8192 || !buildable(form, budget.geometry, d)) continue;
        const model::ModelConfig config = build(form, budget.geometry, d);
        Form exact = form;
        exact.granularity = law_granularity(form, config);
        const Numbers numbers = numbers_of(config, budget.geometry.sequence);
        const double tokens = 3e20 / law_flops_per_token(exact, numbers);
        best = std::min(best, fit::law_value(law, plans.front().fit.values, law_point(exact, numbers, tokens)));
      }
    }
    EXPECT_DOUBLE_EQ(plans.front().shapes.front().value, best) << fit::law_name(law);
  }
}

TEST(Budget, InferenceBuysSmallerModelsAtEqualLoss) {
  Budget budget = budget_with(1e21);
  budget.inference_tokens = 1e12;
  const auto plans = plan_budget(budget, published_law_fits());
  for (const LawPlan& plan : plans) {
    if (plan.fit.law == fit::Law::routed || plan.fit.law == fit::Law::leverage) {
      EXPECT_FALSE(plan.reason.empty());
      continue;
    }
    ASSERT_TRUE(plan.optimum && plan.compute_optimal);
    EXPECT_NEAR(plan.optimum->value, plan.compute_optimal->value, 1e-9);
    EXPECT_LT(plan.optimum->numbers.active, plan.compute_optimal->numbers.active);
    EXPECT_GT(plan.optimum->tokens, plan.compute_optimal->tokens);
    EXPECT_LT(plan.optimum->flops_training + plan.optimum->flops_inference,
              plan.compute_optimal->flops_training + plan.compute_optimal->flops_inference);
    for (const Choice& shape : plan.shapes) EXPECT_NEAR(shape.value, plan.optimum->value, 1e-9);
  }
}

TEST(Budget, TokensAloneAndBoth) {
  Budget tokens;
  tokens.tokens = 38e9;  // the joint law, 4 experts: 1e21 FLOPs. Over all experts a smaller budget is enough.
  tokens.geometry.base.vocab = 50257;
  tokens.geometry.width_per_layer = 64;
  const auto alone = plan_budget(tokens, fits_with(fit::Law::joint));
  EXPECT_NEAR(optimum(alone).tokens / 38e9, 1, 1e-3);
  EXPECT_EQ(optimum(alone).form.experts, 32);
  Budget both = budget_with(1e21);
  both.tokens = 100e9;
  const auto shape = plan_budget(both, fits_with(fit::Law::joint));
  EXPECT_NEAR(optimum(shape).numbers.active, 1e21 / 6 / 100e9, 1e5);
  EXPECT_NEAR(shape.front().shapes.front().flops_training / 1e21, 1, 0.15);
  EXPECT_EQ(shape.front().shapes.front().tokens, 100e9);
  Budget memory = tokens;
  memory.memory = 24e9;
  const auto held = plan_budget(memory, fits_with(fit::Law::joint));
  EXPECT_TRUE(optimum(held).memory_binds);
  EXPECT_NEAR(memory_bytes(optimum(held).numbers) / 24e9, 1, 1e-3);
}

TEST(Budget, IntervalsFromSamples) {
  LawFit fit = published_law_fit(fit::published_fit("epoch-2024"));
  EXPECT_EQ(fit.samples.size(), 400u);
  fit.samples.assign(50, fit.values);
  auto plans = plan_budget(budget_with(1e21), {fit});
  ASSERT_TRUE(plans.front().tokens.known);
  EXPECT_DOUBLE_EQ(plans.front().tokens.low, optimum(plans).tokens);
  EXPECT_DOUBLE_EQ(plans.front().tokens.high, optimum(plans).tokens);
  for (std::size_t i = 0; i < 50; ++i)
    fit.samples[i][2] *= 0.5 + 0.02 * static_cast<double>(i);  // B: more means more tokens
  plans = plan_budget(budget_with(1e21), {fit});
  EXPECT_LT(plans.front().tokens.low, optimum(plans).tokens);
  EXPECT_GT(plans.front().tokens.high, optimum(plans).tokens);
  fit.samples.resize(10);
  EXPECT_FALSE(plan_budget(budget_with(1e21), {fit}).front().tokens.known);
}

TEST(Budget, ExtrapolationIsSaid) {
  EXPECT_TRUE(plan_budget(budget_with(1e20), fits_with(fit::Law::chinchilla)).front().warnings.empty());
  const auto far = plan_budget(budget_with(1e25), fits_with(fit::Law::chinchilla));
  ASSERT_FALSE(far.front().warnings.empty());
  EXPECT_NE(far.front().warnings.front().find("outside"), std::string::npos);
}

TEST(Budget, Errors) {
  EXPECT_THROW(plan_budget({}, published_law_fits()), Error);
  EXPECT_THROW(plan_budget(budget_with(1e6), published_law_fits()), Error);  // fits no model
  Budget small = budget_with(1e21);
  small.memory = 1e6;
  EXPECT_THROW(plan_budget(small, published_law_fits()), Error);
  Budget both = budget_with(1e21);
  both.tokens = both.inference_tokens = 1e9;
  EXPECT_THROW(plan_budget(both, published_law_fits()), Error);
}

TEST(Budget, KeyHeadsDivideHeads) {
  Budget budget = budget_with(1e21);
  budget.geometry.base.attention.kv_heads = 4;
  for (const LawPlan& plan : plan_budget(budget, published_law_fits())) {
    for (const Choice& shape : plan.shapes) {
      EXPECT_EQ(shape.config.attention.heads % 4, 0);
      EXPECT_EQ(shape.config.attention.kv_heads, 4);
      const Numbers smooth = numbers_at(shape.form, budget.geometry, shape.numbers.d_model);
      EXPECT_NEAR(smooth.kv_bytes_per_position / shape.numbers.kv_bytes_per_position, 1, 0.06);
    }
  }
}

}  // namespace
}  // namespace moebius::plan
