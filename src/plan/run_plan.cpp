// moebius plan: a preset or a configuration in, its exact numbers out. It reads and writes no file but --config.
#include "plan/run_plan.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/stage.h"
#include "plan/budget_run.h"
#include "plan/plan.h"

namespace moebius::plan {

namespace {

const StageHelp& help() {
  static const StageHelp text = {
      .name = "plan",
      .summary = "parameters, FLOPs, tokens per parameter and memory of a model",
      .usage = "moebius plan [PRESET] [--tokens N] [--sequence N] [--d-model D ...]",
      .reads = "nothing, or the TOML file of --config",
      .writes = "nothing",
      .json_keys =
          "name, label (of the optimal-sparsity family), parameters_total, parameters_active (no router),\n"
          "  parameters_active_router, parameters_active_non_embedding, parameters_embedding, flops_per_token_megatron,\n"
          "  flops_per_token_6n, flops_per_token_mfu, sequence, sparsity, tokens, tpp, flops_megatron, flops_6n,\n"
          "  training_memory {copy,master,moments,gradient,activation,total}_bytes, checkpoint_bytes,\n"
          "  checkpoint_training_bytes, weight_bytes_per_decoded_token, kv_bytes_per_position, config; with --list: presets",
      .examples =
          "  moebius plan optimal-sparsity-d512-E64-k2\n"
          "  moebius plan mixtral-8x7b --tokens 1T --json\n"
          "  moebius plan --d-model 256 --layers 8 --experts 64 --top-k 4 --expert-width 256 --vocab 8192\n"
          "  moebius plan --list"};
  return text;
}

// Parses the words over a configuration; the preset's name may stand in the words, in --preset or in the file.
StageCommon parse(const std::vector<std::string>& words, PlanOptions& options, BudgetOptions& budget,
                  model::ModelConfig& config) {
  OptionList list;
  options.describe(list);
  budget.describe(list);
  config.describe(list);
  std::vector<std::string> positional;
  const StageCommon common = stage_parse(help(), list, words, &positional, 1);
  if (!positional.empty()) options.preset = positional[0];
  return common;
}

// The options of a budget ask for a plan; so does --tokens alone, without a model.
bool asks_for_budget(const std::vector<std::string>& words, PlanOptions options, BudgetOptions budget) {
  if (!budget.asked() && options.tokens <= 0) return false;
  if (options.preset.empty()) {
    if (budget.asked()) return true;
    model::ModelConfig config = budget_base();
    parse(words, options, budget, config);
    return shape_option_given(config).empty();
  }
  if (!budget.asked()) return false;
  throw Error({.where = "moebius plan",
               .what = fmt::format("'{}' is a model, and --compute, --memory, --inference-tokens, --skill and --fit ask for one",
                                   options.preset),
               .fix = "give either a model or a budget"});
}

}  // namespace

int run_plan(const std::vector<std::string>& words) {
  PlanOptions options;
  BudgetOptions budget;
  model::ModelConfig config;
  StageCommon common = parse(words, options, budget, config);
  if (options.list) {
    const std::vector<std::string> names = model::preset_names();
    stage_print(common, Json::object({{"presets", names}}), fmt::format("{}\n", fmt::join(names, "\n")));
    return 0;
  }
  if (asks_for_budget(words, options, budget)) {
    config = budget_base();
    common = parse(words, options, budget, config);
    refuse_shape_options(config);
    const BudgetResult result = run_budget(budget, options, config);
    stage_print(common, result.json, result.text);
    return 0;
  }
  if (!options.preset.empty()) {
    config = model::preset_config(options.preset);
    common = parse(words, options, budget, config);  // the preset is the default, flags and file change it
  }
  config.resolve();
  const Plan plan = make_plan(config, options);
  stage_print(common, plan_to_json(plan), plan_to_text(plan));
  return 0;
}

}  // namespace moebius::plan
