// moebius plan: from a preset, a config.json or options to exact numbers; or from a budget to models (budget_run.h).
#include "plan/run_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/stage.h"
#include "plan/budget_run.h"
#include "plan/plan.h"

namespace moebius::plan {

namespace {

const StageHelp& help() {
  static const StageHelp text = {
      .name = "plan",
      .summary = "what a model costs; or, for a budget, which model to train: shapes, tokens and learning rates",
      .usage =
          "moebius plan [PRESET | config.json | FOLDER] [--tokens N] [--d-model D ...]\n"
          "       moebius plan --compute FLOPS [--memory 80GiB] [--out FOLDER]",
      .reads = "a Hugging Face config.json, the TOML file of --config, the fit.json of --fit; nothing for a preset",
      .writes = "nothing, or FOLDER: plan.json, study.toml, megatron.sh, torchtitan_plan.py (--out)",
      .json_keys =
          "for a model: name, label (of the optimal-sparsity family), parameters_total, parameters_active (no router),\n"
          "  parameters_active_router, parameters_active_non_embedding, parameters_embedding, tie_word_embeddings,\n"
          "  flops_per_token_megatron, flops_per_token_6n, flops_per_token_mfu, sequence, sparsity, tokens, tpp, flops_megatron, flops_6n,\n"
          "  training_memory {elements; master,copy,gradient,moments,activation,workspace,program,data,total}_bytes,\n"
          "  checkpoint_bytes,\n"
          "  checkpoint_training_bytes, weight_bytes_per_decoded_token, kv_bytes_per_position, config; with --list: presets.\n"
          "  For a budget: budget, laws [{law, fit, source, validity, form, reason, optimum SHAPE, compute_optimal SHAPE,\n"
          "  interval_source, parameters_active_95, parameters_total_95, tokens_95, value_95, experts_95, sparsest,\n"
          "  parameters_effective (routed only: of the dense model of equal loss), shapes [SHAPE], warnings}],\n"
          "  disagreement {parameters_active, tokens, tpp}, skill {skill, rule, source, shapes, warnings}, chosen SHAPE or null,\n"
          "  recommended (chosen is inside the range of its law or rule),\n"
          "  rates [{rule, source, formula, learning_rate, batch_tokens, warning}], learning_rate, batch_tokens,\n"
          "  rate_source, other_rules [{source, text}], files; SHAPE: d_model, layers, experts, shared_experts, top_k,\n"
          "  granularity, parameters_total, parameters_active, tokens, tpp, loss or leverage, flops_training,\n"
          "  flops_inference, flops_formula, memory_bytes, training_bytes, memory_binds; config and in_range, of\n"
          "  a concrete shape",
      .examples =
          "  moebius plan optimal-sparsity-d512-E64-k2\n"
          "  moebius plan mixtral-8x7b --tokens 1T --json\n"
          "  moebius plan Mixtral-8x7B-v0.1/config.json\n"
          "  moebius plan --d-model 256 --layers 8 --experts 64 --top-k 4 --expert-width 256 --vocab 8192\n"
          "  moebius plan --compute 1e21 --memory 80GiB --skill reasoning\n"
          "  moebius plan --compute 1e21 --inference-tokens 1T --fit fit.json --out plans/a\n"
          "  moebius plan --list"};
  return text;
}

// Parses the words on top of a configuration. The preset may be the first word, --preset or a key of the TOML file.
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

// The option that sets a shape, if there is one: parsed on top of two bases that differ in every such field, it is the
// field that is equal afterwards.
std::string shape_option_given(const std::vector<std::string>& words) {
  Json parsed[2];
  for (int i = 0; i < 2; ++i) {
    PlanOptions options;
    BudgetOptions budget;
    model::ModelConfig config = budget_base(i);
    parse(words, options, budget, config);
    parsed[i] = config.to_json();
  }
  const Json base = budget_base(0).to_json(), other = budget_base(1).to_json();
  for (const auto& [key, value] : base.as_object()) {
    if (value != other.at(key) && parsed[0].at(key) == parsed[1].at(key)) return key;
  }
  return "";
}

// Whether a plan for a budget is wanted: an option of a budget is given, or --tokens alone without a model.
bool wants_budget(const std::vector<std::string>& words, const PlanOptions& options, const BudgetOptions& budget) {
  if (options.preset.empty()) return budget.given() || (options.tokens > 0 && shape_option_given(words).empty());
  if (!budget.given()) return false;
  throw Error({.where = "moebius plan",
               .what = fmt::format("both a model ('{}') and a budget are given", options.preset),
               .wanted = "a model, or a budget (--compute, --memory, --inference-tokens, --skill, --fit)",
               .fix = "give either a model or a budget"});
}

bool is_preset(const std::string& name) {
  const std::vector<std::string> names = model::preset_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A preset, or the configuration of a Hugging Face model: a config.json or the folder that contains it, perhaps with
// embedding and head in one matrix.
model::ModelConfig named_model(const std::string& name, bool& tied) {
  if (is_preset(name)) return model::preset_config(name);
  if (name.ends_with(".toml")) {
    throw Error({.where = name,
                 .what = "a TOML file is an option file, not a model",
                 .fix = fmt::format("run moebius plan --config {}", name)});
  }
  const bool path = name.ends_with(".json") || name.find('/') != std::string::npos;
  if (path || file_exists(name) || folder_exists(name)) {
    const std::string folder = checkpoint_of(name, "config.json");
    tied = model::load_tied_embeddings(folder);
    return model::load_config(folder);
  }
  return model::preset_config(name);
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
  if (wants_budget(words, options, budget)) {
    refuse_shape_option(shape_option_given(words));
    config = budget_base();
    common = parse(words, options, budget, config);
    if (common.dry_run) budget.out.clear();
    const BudgetResult result = run_budget(budget, options, config);
    stage_print(common, result.json, result.text);
    return 0;
  }
  bool tied = false;
  if (!options.preset.empty()) {
    config = named_model(options.preset, tied);
    common = parse(words, options, budget, config);  // options and TOML file change the named model
  }
  config.resolve();
  const Plan plan = make_plan(config, options, tied);
  stage_print(common, plan_to_json(plan), plan_to_text(plan));
  return 0;
}

}  // namespace moebius::plan
