// Options, fits, laws and tables of a plan for a budget.
#include "plan/budget_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "plan/budget.h"
#include "plan/depth.h"
#include "plan/launch.h"
#include "plan/plan_tables.h"
#include "plan/rules.h"

namespace moebius::plan {

namespace {

constexpr i64 kVocab = 50304;  // the padded GPT-2 and Pythia vocabularies, close to those of the laws' models

std::vector<std::string> law_words() {
  std::vector<std::string> words = {"all"};
  for (i64 i = 0; i < fit::kLaws; ++i) words.emplace_back(fit::law_name(static_cast<fit::Law>(i)));
  return words;
}

Budget budget_of(const BudgetOptions& options, const PlanOptions& plan, const model::ModelConfig& base) {
  Budget budget;
  budget.compute = options.compute;
  budget.tokens = static_cast<double>(plan.tokens);
  budget.inference_assumed = options.inference_tokens < 0 && budget.tokens <= 0 && budget.compute > kInferenceFrom;
  budget.inference_tokens =
      budget.inference_assumed ? kInferenceTokens : std::max(0.0, static_cast<double>(options.inference_tokens));
  if (!options.memory.empty()) {
    const auto bytes = parse_bytes(options.memory);
    if (!bytes || *bytes <= 0) {
      throw Error({.where = "--memory",
                   .what = "not an amount of memory",
                   .wanted = "80GiB, 24GB, ...",
                   .got = options.memory});
    }
    budget.memory = static_cast<double>(*bytes);
  }
  budget.geometry.width_per_layer = options.width_per_layer;
  budget.geometry.sequence = plan.sequence > 0 ? plan.sequence : base.sequence_max;
  budget.geometry.base = base;
  return budget;
}

std::vector<LawFit> fits_of(const BudgetOptions& options) {
  std::vector<LawFit> fits = published_law_fits();
  for (const std::string& given : options.fit) {
    if (given.ends_with(".json") || file_exists(given)) {
      replace_from_file(fits, given);
      continue;
    }
    const LawFit fit = published_law_fit(fit::published_fit(given));
    for (LawFit& old : fits) {
      if (old.law == fit.law) old = fit;
    }
  }
  if (options.laws == "all") return fits;
  const fit::Law law = fit::law_from_name(options.laws);
  std::erase_if(fits, [law](const LawFit& fit) { return fit.law != law; });
  return fits;
}

// The law that decides between the shapes that the skill's rule allows, with the user's fit of it if there is one.
LawFit skill_law(BudgetOptions options) {
  options.laws = fit::law_name(fit::Law::abnar);
  return fits_of(options).front();
}

std::string warnings_text(const std::vector<LawPlan>& plans) {
  std::string text;
  for (const LawPlan& plan : plans) {
    for (const std::string& warning : plan.warnings) text += fmt::format("  {}\n", warning);
  }
  return text.empty()
             ? text
             : "\nwarnings: laws used outside the range of their runs, or coefficients that are not determined\n" +
                   text;
}

}  // namespace

void BudgetOptions::describe(OptionList& list) {
  list.add("compute", &compute, "training FLOPs, as each law counts them", {.unit = "FLOPS", .min = 1, .max = 1e27});
  list.add("memory", &memory, "memory for the weights and 16k cached positions in bf16", {.unit = "80GiB"});
  list.add("inference-tokens", &inference_tokens,
           "tokens processed in inference: minimises training + inference FLOPs at the loss that --compute gives; 0: "
           "training only; -1: 10T above 1e22 training FLOPs, else 0",
           {.unit = "N", .min = -1});
  list.add("skill", &skill, "also apply the rule of the Optimal Sparsity paper for this skill",
           {.choices = {"", "reasoning", "memorisation"}});
  list.add("fit", &fit, "coefficients and samples from moebius fit --out, or a published fit's name (hoffmann-2022)",
           {.unit = "fit.json"});
  list.add("law", &laws, "plan with this law only", {.choices = law_words()});
  list.add("width-per-layer", &width_per_layer,
           "depth of planned shapes: layers = d / this; 0: as published models of that width", {.min = 0, .max = 1024});
  list.add("out", &out, "write plan.json, study.toml, megatron.sh and torchtitan_plan.py of the chosen shape",
           {.unit = "FOLDER"});
  list.add("shapes", &shapes, "number of shapes per law in the table", {.unit = "N", .min = 1, .max = 50});
}

bool BudgetOptions::given() const {
  return compute > 0 || !memory.empty() || inference_tokens >= 0 || !skill.empty() || !fit.empty();
}

model::ModelConfig budget_base(int variant) {
  model::ModelConfig config;
  config.vocab = kVocab;
  if (variant == 0) return config;
  for (i64* field :
       {&config.d_model, &config.layers, &config.attention.heads, &config.attention.head_dim, &config.experts.experts,
        &config.experts.top_k, &config.experts.width, &config.experts.shared_experts,
        &config.experts.dense_layers_first, &config.experts.dense_width, &config.experts.bank_layers}) {
    ++*field;
  }
  config.experts.activation = model::Activation::gelu;
  return config;
}

void refuse_shape_option(std::string key) {
  if (key.empty()) return;
  std::replace(key.begin(), key.end(), '_', '-');
  throw Error({.where = fmt::format("--{}", key),
               .what = "a plan for a budget chooses the shape, so it cannot be given",
               .wanted = "either a budget (--compute, --memory, ...) or a shape",
               .fix = fmt::format("leave out --{}, or the options of the budget", key)});
}

namespace {

// The shape that rates are given for and that --out writes.
struct Chosen {
  const Choice* shape = nullptr;  // null: no law's range contains the budget, and the user named neither law nor skill
  bool recommended = false;       // inside the range of its law or rule
  bool alternatives = true;       // the law compares several forms
  std::string why;
};

Chosen choose_shape(const BudgetOptions& options, const std::vector<LawPlan>& plans,
                    const std::optional<SkillPlan>& skill) {
  if (skill) {
    return {.shape = &skill->shapes.front(),
            .recommended = skill->warnings.empty(),
            .alternatives = true,
            .why = fmt::format("the rule for {} of arXiv 2508.18672{}", options.skill,
                               skill->warnings.empty() ? "" : ", outside its range")};
  }
  if (const LawPlan* law = recommended_law(plans)) {
    return {.shape = &law->shapes.front(),
            .recommended = true,
            .alternatives = forms_of(law->fit.law, law->fit.name).size() > 1,
            .why = fmt::format("the law '{}', inside its range", fit::law_name(law->fit.law))};
  }
  if (options.laws == "all") return {};
  return {.shape = &plans.front().shapes.front(),
          .recommended = false,
          .alternatives = plans.front().shapes.size() > 1,
          .why = fmt::format("the law '{}', outside its range or not determined", options.laws)};
}

constexpr const char* kNoneRecommended =
    "no shape is recommended: the range of no law contains this budget and the shape that the law proposes for it";

// Sets the rates of the chosen shape in the JSON and returns them as text.
std::string add_rates(const Chosen& chosen, const Budget& budget, bool files, Json& json) {
  json.set("chosen", chosen.shape ? choice_json(budget, *chosen.shape) : Json());
  json.set("recommended", chosen.recommended);
  if (chosen.shape == nullptr) {
    for (const char* key : {"rates", "learning_rate", "batch_tokens", "rate_source", "other_rules"})
      json.set(key, Json());
    return fmt::format(
        "\n{}\nthe tables show what the laws give outside their ranges; --law NAME gives the rates of one\n",
        kNoneRecommended);
  }
  const std::vector<RateRule> rules = rate_rules(rate_input(*chosen.shape));
  const Rate rate = choose_rate(rules);
  const std::vector<SideNote> notes = side_notes(*chosen.shape);
  json.set("rates", rates_json(rules));
  json.set("learning_rate", rate.learning_rate);
  json.set("batch_tokens", rate.batch_tokens);
  json.set("rate_source", rate.source);
  json.set("other_rules", side_json(notes));
  std::string text =
      fmt::format("\n{}{}: {}\n  by {}\n", chosen.recommended ? "recommended shape" : "shape for the learning rate",
                  files ? " and files" : "", chosen.shape->config.name, chosen.why);
  if (!chosen.alternatives) text += "  the only form of this law: it was not compared with others\n";
  if (!chosen.recommended) text += "  not a recommendation: see the warnings\n";
  const std::string depth = depth_warning(chosen.shape->numbers.d_model);
  if (budget.geometry.width_per_layer <= 0 && !depth.empty()) text += "  " + depth + "\n";
  return text + rates_text(*chosen.shape, rules) + side_text(notes);
}

std::string write_files(const Chosen& chosen, const Budget& budget, const std::string& folder, Json& json) {
  const Rate rate = choose_rate(rate_rules(rate_input(*chosen.shape)));
  const Launch launch = make_launch(*chosen.shape, rate, budget.geometry.sequence, chosen.why);
  const std::vector<std::string> files = write_launch(launch, folder, json);
  json.set("files", files);
  std::string text =
      fmt::format("\nwritten for {} to {}: {}\n", chosen.shape->config.name, folder, fmt::join(files, ", "));
  if (torchtitan_module(launch).empty()) {
    text += "no torchtitan_plan.py: torchtitan does not support this shape (GELU experts, ...)\n";
  }
  return text;
}

}  // namespace

BudgetResult run_budget(const BudgetOptions& options, const PlanOptions& plan, const model::ModelConfig& base) {
  const Budget budget = budget_of(options, plan, base);
  check_budget(budget);
  const std::vector<LawFit> fits = fits_of(options);
  const std::vector<LawPlan> plans = plan_budget(budget, fits);
  std::optional<SkillPlan> skill;
  if (!options.skill.empty()) skill = plan_skill(options.skill, budget, skill_law(options));
  const Chosen chosen = choose_shape(options, plans, skill);
  if (chosen.shape == nullptr && !options.out.empty()) {
    throw Error(
        {.where = "--out " + options.out,
         .what = kNoneRecommended,
         .fix = "add --law joint (or another law) to write the shape of that law, or leave out --out for the tables"});
  }

  BudgetResult result;
  result.json = Json::object({{"budget", budget_json(budget)}, {"laws", laws_json(budget, plans)}});
  const Disagreement spread = disagreement(plans);
  result.json.set("disagreement", Json::object({{"parameters_active", interval_json(spread.parameters_active)},
                                                {"tokens", interval_json(spread.tokens)},
                                                {"tpp", interval_json(spread.tpp)}}));
  if (skill) result.json.set("skill", skill_json(budget, *skill));
  result.text = budget_text(budget) + laws_text(budget, plans) + shapes_text(budget, plans, options.shapes);
  if (skill) result.text += skill_text(*skill, options.shapes);
  result.text += add_rates(chosen, budget, !options.out.empty(), result.json) + warnings_text(plans);
  if (!options.out.empty()) result.text += write_files(chosen, budget, options.out, result.json);
  return result;
}

}  // namespace moebius::plan
