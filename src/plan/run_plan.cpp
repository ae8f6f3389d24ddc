// moebius plan: a preset or a configuration in, its exact numbers out; or a budget in, models out (budget_run.h).
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
      .summary = "what a model costs; and for a budget, which model: shapes, tokens, rates under every loss law",
      .usage =
          "moebius plan [PRESET] [--tokens N] [--d-model D ...] | plan --compute FLOPS [--memory 80GiB] [--out FOLDER]",
      .reads = "nothing, or the TOML file of --config, or the fit.json of --fit",
      .writes = "nothing, or FOLDER: plan.json, study.toml, megatron.sh, torchtitan_plan.py (--out)",
      .json_keys =
          "of a model: name, label (of the optimal-sparsity family), parameters_total, parameters_active (no router),\n"
          "  parameters_active_router, parameters_active_non_embedding, parameters_embedding, flops_per_token_megatron,\n"
          "  flops_per_token_6n, flops_per_token_mfu, sequence, sparsity, tokens, tpp, flops_megatron, flops_6n,\n"
          "  training_memory {elements; master,copy,gradient,moments,activation,workspace,program,data,total}_bytes,\n"
          "  checkpoint_bytes,\n"
          "  checkpoint_training_bytes, weight_bytes_per_decoded_token, kv_bytes_per_position, config; with --list: presets.\n"
          "  For a budget: budget, laws [{law, fit, source, validity, form, reason, optimum SHAPE, compute_optimal SHAPE,\n"
          "  interval_source, parameters_active_95, parameters_total_95, tokens_95, value_95, experts_95, sparsest,\n"
          "  parameters_effective (routed alone: of the dense model of equal loss), shapes [SHAPE], warnings}],\n"
          "  disagreement {parameters_active, tokens, tpp}, skill {skill, rule, source, shapes, warnings}, chosen SHAPE,\n"
          "  rates [{rule, source, formula, learning_rate, batch_tokens, warning}], learning_rate, batch_tokens,\n"
          "  rate_source, other_rules [{source, text}], files; SHAPE: d_model, layers, experts, shared_experts, top_k,\n"
          "  granularity, parameters_total, parameters_active, tokens, tpp, loss or leverage, flops_training,\n"
          "  flops_inference, flops_formula, memory_bytes, training_bytes, memory_binds, and config of shapes that can be\n"
          "  built",
      .examples =
          "  moebius plan optimal-sparsity-d512-E64-k2\n"
          "  moebius plan mixtral-8x7b --tokens 1T --json\n"
          "  moebius plan --d-model 256 --layers 8 --experts 64 --top-k 4 --expert-width 256 --vocab 8192\n"
          "  moebius plan --compute 1e21 --memory 80GiB --skill reasoning\n"
          "  moebius plan --compute 1e21 --inference-tokens 1T --fit fit.json --out plans/a\n"
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
               .what = fmt::format(
                   "'{}' is a model, and --compute, --memory, --inference-tokens, --skill and --fit ask for one",
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
    if (common.dry_run) budget.out.clear();
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
