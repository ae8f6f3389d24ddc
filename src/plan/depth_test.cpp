// The rule for depth against the published models, and where it is extrapolated.
#include "plan/depth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/config.h"
#include "plan/budget.h"

namespace moebius::plan {
namespace {

TEST(Depth, TableHasThePresetsDepths) {
  for (const auto& [preset, model] : {std::pair{"mixtral-8x7b", "Mixtral 8x7B"},
                                      {"mixtral-8x22b", "Mixtral 8x22B"},
                                      {"qwen3-235b-a22b", "Qwen3-235B-A22B"},
                                      {"qwen3-30b-a3b", "Qwen3-30B-A3B"},
                                      {"olmoe-1b-7b", "OLMoE"},
                                      {"deepseek-moe-16b", "DeepSeekMoE 16B"},
                                      {"megrez2-3x7b-a3b", "Megrez2"},
                                      {"flame-moe-38m-100m", "FLAME-MoE 38M"},
                                      {"flame-moe-1.7b-10.3b", "FLAME-MoE 1.7B"},
                                      {"optimal-sparsity-d512-E64-k2", "Optimal Sparsity d512"}}) {
    const model::ModelConfig config = model::preset_config(preset);
    const auto row = std::find_if(published_depths().begin(), published_depths().end(),
                                  [&](const PublishedDepth& depth) { return std::string(depth.model) == model; });
    ASSERT_NE(row, published_depths().end()) << model;
    EXPECT_EQ(row->d_model, config.d_model) << model;
    EXPECT_EQ(row->layers, config.layers) << model;
  }
}

// The line minimises the squares: the residuals of the logarithms are orthogonal to 1 and to ln d.
TEST(Depth, RuleIsTheLeastSquaresLine) {
  double sum = 0, moment = 0;
  for (const PublishedDepth& depth : published_depths()) {
    const double d = static_cast<double>(depth.d_model);
    const double residual = std::log(static_cast<double>(depth.layers) / published_depth(d));
    sum += residual, moment += residual * std::log(d);
    EXPECT_LT(std::fabs(residual), std::log(2.5)) << depth.model;
  }
  EXPECT_NEAR(sum, 0, 1e-9);
  EXPECT_NEAR(moment, 0, 1e-8);
  EXPECT_NEAR(published_depth(1000) / (0.1414 * std::pow(1000, 0.68296)), 1, 1e-3);  // docs/plan.md
}

TEST(Depth, NoPlanIsDeeperThanThePublishedModels) {
  Budget budget;
  budget.geometry.base.vocab = 50304;
  for (const double compute : {3e18, 1e21, 3.3e24, 1e26}) {
    budget.compute = compute;
    for (const LawPlan& plan : plan_budget(budget, published_law_fits())) {
      for (const Choice& shape : plan.shapes) {
        const double d = static_cast<double>(shape.config.d_model), layers = static_cast<double>(shape.config.layers);
        EXPECT_NEAR(layers, std::max(2.0, published_depth(d)), 0.5) << shape.config.name;
        EXPECT_TRUE(d > 16384 || layers <= 126) << shape.config.name;
      }
    }
  }
  budget.geometry.width_per_layer = 64;
  EXPECT_EQ(build({.width = 2}, budget.geometry, 2048).layers, 32);
}

TEST(Depth, ExtrapolationIsSaid) {
  EXPECT_EQ(depth_warning(256), "");
  EXPECT_EQ(depth_warning(16384), "");
  EXPECT_NE(depth_warning(192).find("d 192 is outside 256 to 16384"), std::string::npos);
  EXPECT_NE(depth_warning(20480).find("extrapolated"), std::string::npos);
}

}  // namespace
}  // namespace moebius::plan
