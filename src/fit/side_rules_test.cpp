// The rules beside the laws against the papers' own numbers, and against the laws that they were derived from.
#include "fit/optimum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace moebius::fit {
namespace {

double routed_loss_at(const std::vector<double>& c, double parameters, double experts) {
  return law_value(Law::routed, c, {.parameters_active = parameters, .experts = experts});
}

// 2202.01169: a base of 5M with 128 experts of S-BASE is worth about 55M; the printed coefficients give 51.8M.
TEST(SideRules, EffectiveParametersAreTheDenseModelOfEqualLoss) {
  EXPECT_NEAR(routed_effective_parameters(published_fit("clark-s-base").values, 5e6, 128), 51.8e6, 0.05e6);
  for (const char* name : {"clark-s-base", "clark-rl-r", "clark-hash"}) {
    const std::vector<double>& c = published_fit(name).values;
    for (const double parameters : {5e6, 1e8, 1e9}) {
      EXPECT_NEAR(routed_effective_parameters(c, parameters, 1) / parameters, 1, 1e-12) << name;
      const double dense = routed_effective_parameters(c, parameters, 64);
      EXPECT_GT(dense, parameters) << name;
      EXPECT_NEAR(routed_loss_at(c, dense, 1), routed_loss_at(c, parameters, 64), 1e-12) << name;
    }
  }
}

// 2202.01169 prints its dense law as (Nc/N)^0.078 with Nc = 3.568e13. Each router's law has that slope at one expert,
// and its loss within 2 %.
TEST(SideRules, RoutedLawsAtOneExpertAreTheDenseLaw) {
  for (const char* name : {"clark-s-base", "clark-rl-r", "clark-hash"}) {
    const std::vector<double>& c = published_fit(name).values;
    EXPECT_NEAR(-std::log10(routed_loss_at(c, 1e9, 1) / routed_loss_at(c, 1e8, 1)), 0.078, 0.002) << name;
    for (const double parameters : {1.5e7, 1.3e9}) {
      EXPECT_NEAR(routed_loss_at(c, parameters, 1) / std::pow(3.568e13 / parameters, 0.078), 1, 0.02) << name;
    }
  }
}

// 2507.20534: sparsity 48 needs 1.69, 1.39 and 1.15 times fewer FLOPs than 8, 16 and 32.
TEST(SideRules, KimiSparsity) {
  EXPECT_DOUBLE_EQ(kimi_flops_ratio(8), 1.69);
  EXPECT_DOUBLE_EQ(kimi_flops_ratio(16), 1.39);
  EXPECT_DOUBLE_EQ(kimi_flops_ratio(32), 1.15);
  EXPECT_DOUBLE_EQ(kimi_flops_ratio(48), 1);
  // Half way in the logarithm: the geometric mean of the neighbours.
  EXPECT_NEAR(kimi_flops_ratio(std::sqrt(8.0 * 16.0)), std::sqrt(1.69 * 1.39), 1e-12);
  for (double s = 8; s < 47; s += 0.5) EXPECT_GT(kimi_flops_ratio(s), kimi_flops_ratio(s + 0.5));
  for (const double s : {1.0, 7.99, 48.01, kMissing}) EXPECT_TRUE(std::isnan(kimi_flops_ratio(s))) << s;
}

// The paper's text: 7 and 0.31.
TEST(SideRules, ZhaoOptimum) {
  EXPECT_NEAR(zhao_best_experts_active(), 6.78, 0.005);
  EXPECT_NEAR(zhao_best_shared_ratio(), 0.315, 0.0005);
}

// 2603.21862: 22.89 C^0.4563 tokens of 0.0437 C^0.5437 FLOPs; the product is C, and both are near Ling's split.
TEST(SideRules, WanAllocation) {
  for (const double compute : {1e18, 1e20, 1e22}) {
    const LingAllocation split = wan_allocation(compute), ling = ling_allocation(compute, true);
    EXPECT_NEAR(split.flops_per_token * split.tokens / compute, 1, 0.001);
    EXPECT_NEAR(split.tokens / ling.tokens, 0.9, 0.2);
  }
  EXPECT_NEAR(wan_allocation(1e21).tokens / 8.7487e10, 1, 1e-4);
  EXPECT_NEAR(wan_allocation(1e21).flops_per_token / 1.14336e10, 1, 1e-4);
}

}  // namespace
}  // namespace moebius::fit
