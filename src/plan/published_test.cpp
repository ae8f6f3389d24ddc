// What a plan proposes for the compute of published models, beside what was trained: the tables of docs/plan.md.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/file.h"
#include "plan/budget.h"
#include "plan/budget_run.h"

namespace moebius::plan {
namespace {

struct Published {
  const char* name;
  double active, total, tokens;
  double compute() const { return 6 * active * tokens; }
};

// Parameters and tokens as the reports state them: arXiv 2409.02060, 2505.09388, 2412.19437, 2507.20534.
constexpr Published kPublished[] = {{"OLMoE", 1.3e9, 6.9e9, 5.1e12},
                                    {"Qwen3-30B-A3B", 3.3e9, 30.5e9, 36e12},
                                    {"DeepSeek-V3", 37e9, 671e9, 14.8e12},
                                    {"Kimi K2", 32.6e9, 1.04e12, 15.5e12}};

// As `moebius plan --compute C` plans it, and with `--inference-tokens 0`.
const std::vector<LawPlan>& plans_of(const Published& model, bool training_only) {
  static std::map<std::pair<double, bool>, std::vector<LawPlan>> made;
  std::vector<LawPlan>& plans = made[{model.compute(), training_only}];
  if (!plans.empty()) return plans;
  Budget budget;
  budget.compute = model.compute();
  budget.geometry.base = budget_base();
  budget.inference_assumed = !training_only;
  budget.inference_tokens = training_only ? 0 : kInferenceTokens;
  return plans = plan_budget(budget, published_law_fits());
}

std::string table(bool training_only) {
  std::string text = "| law |", line = "|---|";
  std::vector<std::string> rows(static_cast<std::size_t>(fit::kLaws));
  for (const Published& model : kPublished) {
    text += fmt::format(" {} |", model.name), line += "---|";
    const auto& plans = plans_of(model, training_only);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Choice& optimum = *plans[i].optimum;
      if (rows[i].empty()) rows[i] = fmt::format("| {} |", fit::law_name(plans[i].fit.law));
      rows[i] += fmt::format(" {:.2g}, {:.2g}, {:.2g} |", optimum.numbers.active / model.active,
                             optimum.numbers.total / model.total, optimum.tokens / model.tokens);
    }
  }
  text += "\n" + line + "\n";
  for (const std::string& row : rows) text += row + "\n";
  return text;
}

TEST(Published, DocsHaveTheRatios) {
  const std::string docs = file_read(MOEBIUS_SOURCE_DIR "/docs/plan.md");
  for (const bool training_only : {false, true}) {
    const std::string expected = table(training_only);
    EXPECT_NE(docs.find(expected), std::string::npos) << "docs/plan.md lacks this table:\n" << expected;
  }
  for (const Published& model : kPublished) {
    const std::string row = fmt::format("| {} | {:.2g} |", model.name, model.compute());
    EXPECT_NE(docs.find(row), std::string::npos) << "docs/plan.md lacks this row: " << row;
  }
}

// These models are beyond the runs of every law: the ratios are no advice, and the plan gives none.
TEST(Published, NoLawIsRecommended) {
  for (const Published& model : kPublished) {
    for (const bool training_only : {false, true})
      EXPECT_EQ(recommended_law(plans_of(model, training_only)), nullptr) << model.name;
  }
}

// Counting inference brings every law that can trade closer to what was trained, in active parameters.
TEST(Published, InferenceIsCloserToPractice) {
  for (const Published& model : kPublished) {
    const auto &with = plans_of(model, false), &without = plans_of(model, true);
    for (std::size_t i = 0; i < with.size(); ++i) {
      if (!with[i].compute_optimal) continue;
      const auto distance = [&](const LawPlan& plan) {
        return std::fabs(std::log(plan.optimum->numbers.active / model.active));
      };
      EXPECT_LT(distance(with[i]), distance(without[i])) << model.name << " " << fit::law_name(with[i].fit.law);
    }
  }
}

}  // namespace
}  // namespace moebius::plan
