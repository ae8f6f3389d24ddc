// `moebius plan --compute ...`: the options of a plan for a budget, its text, JSON and files.
// In: words already parsed. Out: text and one Json object; with --out, files. Not for one model's numbers (plan.h).
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/options.h"
#include "model/config.h"
#include "plan/plan.h"

namespace moebius::plan {

struct BudgetOptions {
  double compute = 0;
  std::string memory;
  i64 inference_tokens = 0;
  std::string skill;
  std::vector<std::string> fit;  // files, or names of published fits
  std::string laws = "all";
  double width_per_layer = 64;
  i64 shapes = 2;
  std::string out;
  void describe(OptionList& list);
  // Some option of a plan for a budget is given.
  bool asked() const;
};

// The configuration on which the words of a plan for a budget are parsed: a vocabulary of 50,304, and values that no user
// can give in the fields which the plan itself chooses.
model::ModelConfig budget_base();
// The first such option that was given all the same; empty: none.
std::string shape_option_given(const model::ModelConfig& config);
// Throws Error when there is one.
void refuse_shape_options(const model::ModelConfig& config);

struct BudgetResult {
  Json json;
  std::string text;
};
BudgetResult run_budget(const BudgetOptions& options, const PlanOptions& plan, const model::ModelConfig& base);

}  // namespace moebius::plan
