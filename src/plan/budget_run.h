// `moebius plan --compute ...`: the options of a plan for a budget, its text, JSON and files.
// In: parsed options. Out: text and one Json object; with --out, files. Not for the numbers of one model (plan.h).
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
  i64 inference_tokens = -1;  // -1: 10T above 1e22 FLOPs
  std::string skill;
  std::vector<std::string> fit;  // files, or names of published fits
  std::string laws = "all";
  double width_per_layer = 0;
  i64 shapes = 2;
  std::string out;
  void describe(OptionList& list);
  // Whether an option of a plan for a budget is given.
  bool given() const;
};

// The configuration on top of which the options of a plan for a budget are parsed: a vocabulary of 50,304. The two variants
// differ in every field that the plan chooses itself.
model::ModelConfig budget_base(int variant = 0);
// Throws Error unless `key` is empty.
void refuse_shape_option(std::string key);

struct BudgetResult {
  Json json;
  std::string text;
};
BudgetResult run_budget(const BudgetOptions& options, const PlanOptions& plan, const model::ModelConfig& base);

}  // namespace moebius::plan
