// Learning rate, batch, weight decay, and the rule for skills.
#include "plan/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/units.h"
#include "fit/optimum.h"

namespace moebius::plan {

namespace {

std::string outside(const char* what, double value, double low, double high) {
  if (value >= low && value <= high) return "";
  return fmt::format("{} {:.4g} ({:.4g} to {:.4g})", what, value, low, high);
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!part.empty()) text += (text.empty() ? "" : "; ") + part;
  }
  return text;
}

RateRule step_law(const RateInput& in) {
  RateRule rule{.name = "Step Law",
                .source = "Li et al. 2025, arXiv 2503.04715",
                .formula = "rate 1.79 N^-0.713 D^0.307, batch 0.58 D^0.571 tokens; N: total without embedding",
                .warning = ""};
  rule.learning_rate = 1.79 * std::pow(in.total_core, -0.713) * std::pow(in.tokens, 0.307);
  rule.batch_tokens = 0.58 * std::pow(in.tokens, 0.571);
  rule.warning = joined({outside("N", in.total_core, 6e7, 1.1e9), outside("D", in.tokens, 2e9, 1e11)});
  return rule;
}

RateRule joint_rule(const RateInput& in) {
  RateRule rule{.name = "joint MoE",
                .source = "Ludziejewski et al. 2025, arXiv 2502.05172",
                .formula = "rate exp(8.39 - 0.81 ln N - 0.25 ln E); N: active without embedding",
                .warning = ""};
  rule.learning_rate = std::exp(8.39 - 0.81 * std::log(in.active_core) - 0.25 * std::log(std::max(1.0, in.experts)));
  const bool top_1 = in.experts <= 1 || in.activation <= 1.0001 / in.experts;
  rule.warning = joined({outside("N", in.active_core, 1e7, 2.7e9), outside("E", in.experts, 1, 32),
                         top_1 ? "" : "its runs are all top-1"});
  return rule;
}

RateRule ling_rule(const RateInput& in) {
  RateRule rule{.name = "Ling",
                .source = "Ling team 2025, arXiv 2507.17702",
                .formula = "rate 1.1576 C^-0.1529, batch 0.0694 C^0.3644 tokens; C: training FLOPs without embedding",
                .warning = ""};
  rule.learning_rate = 1.1576 * std::pow(in.compute, -0.1529);
  rule.batch_tokens = 0.0694 * std::pow(in.compute, 0.3644);
  // Fitted at 7.8 % active experts, checked from 4.7 to 10.9 %.
  rule.warning = joined({outside("active share", in.activation, 0.047, 0.109), outside("C", in.compute, 3e18, 3e20)});
  return rule;
}

// The grid of the paper, by decreasing density: the largest k of each k / E.
std::vector<Form> reasoning_forms() {
  std::vector<Form> forms;
  for (const auto& [experts, top_k] :
       {std::pair<i64, i64>{32, 16}, {64, 16}, {128, 16}, {256, 16}, {256, 8}, {256, 4}, {256, 2}}) {
    forms.push_back({.law = fit::Law::abnar, .experts = experts, .top_k = top_k, .width = 2});
  }
  return forms;
}

std::vector<Form> memorisation_forms() {
  std::vector<Form> forms;
  for (i64 experts = 256; experts >= 8; experts /= 2) {
    forms.push_back({.law = fit::Law::abnar, .experts = experts, .top_k = 2, .width = 2});
  }
  return forms;
}

double tokens_of(const Budget& budget, const Numbers& numbers) {
  return budget.tokens > 0 ? budget.tokens : budget.compute / numbers.flops_6n;
}

Choice skill_choice(const Form& form, const Budget& budget, const LawFit& law, i64 width) {
  Choice choice;
  choice.form = form;
  choice.config = build(form, budget.geometry, width);
  choice.config.name = fmt::format("skill-d{}-L{}-E{}-k{}", width, choice.config.layers, form.experts, form.top_k);
  choice.numbers = numbers_of(choice.config, budget.geometry.sequence);
  choice.tokens = tokens_of(budget, choice.numbers);
  choice.value = fit::law_value(law.law, law.values, law_point(form, choice.numbers, choice.tokens));
  choice.extrapolated = !extrapolation_warnings(law, law_point(form, choice.numbers, choice.tokens)).empty();
  choice.flops_training = choice.numbers.flops_6n * choice.tokens;
  choice.flops_inference = choice.numbers.flops_6n / 3 * budget.inference_tokens;
  return choice;
}

// Of one form, the width closest to the target of the skill; nothing if none is close or fits the memory.
void add_nearest(std::vector<Choice>& shapes, const Form& form, const Budget& budget, const LawFit& law,
                 bool reasoning) {
  double least = reasoning ? std::log(1.5) : 1e300;  // a shape with a TPP below 13 or above 30 is no shape of the rule
  const Choice* kept = nullptr;
  std::vector<Choice> found;
  for (const i64 width : buildable_widths()) {
    if (width > 16384) break;
    if (!buildable(form, budget.geometry, width)) continue;
    const Numbers rough = numbers_at(form, budget.geometry, static_cast<double>(width));
    const double rough_tpp = tokens_of(budget, rough) / rough.total;
    if (reasoning && std::fabs(std::log(rough_tpp / kReasoningTpp)) > 1) continue;
    Choice choice = skill_choice(form, budget, law, width);
    if (budget.memory > 0 && memory_bytes(choice.numbers) > budget.memory) break;
    // Both given: of the widths that the compute allows, the largest.
    if (budget.tokens > 0 && budget.compute > 0 && !reasoning && choice.flops_training > budget.compute) break;
    const double distance =
        reasoning ? std::fabs(std::log(choice.tokens / choice.numbers.total / kReasoningTpp)) : choice.value;
    if (distance >= least) continue;
    least = distance;
    found.assign(1, choice);
    kept = &found.front();
  }
  if (kept != nullptr) shapes.push_back(*kept);
}

void add_warnings(SkillPlan& plan) {
  const Choice& pick = plan.shapes.front();
  const auto number = [](i64 value) { return static_cast<double>(value); };
  const std::string range =
      joined({outside("d", number(pick.config.d_model), 512, 2048),
              outside("layers", number(pick.config.layers), 16, 16), outside("E", number(pick.form.experts), 8, 256),
              outside("k", number(pick.form.top_k), 2, 16), outside("tokens", pick.tokens, 1e11, 1.5e11)});
  if (!range.empty()) {
    plan.warnings.push_back(
        "the rule was observed at d 512 to 2048, 16 layers, 8 to 256 experts, top-2 to top-16 and 125B tokens: outside: " +
        range);
  }
}

}  // namespace

RateInput rate_input(const Choice& choice) {
  RateInput in;
  in.total_core = choice.numbers.total_core;
  in.active_core = choice.numbers.active_core;
  in.tokens = choice.tokens;
  in.compute = choice.numbers.flops_megatron * choice.tokens;
  in.experts = static_cast<double>(choice.form.experts);
  in.activation = static_cast<double>(choice.form.top_k + choice.form.shared) /
                  static_cast<double>(choice.form.experts + choice.form.shared);
  return in;
}

std::vector<RateRule> rate_rules(const RateInput& input) {
  return {step_law(input), joint_rule(input), ling_rule(input)};
}

Rate choose_rate(const std::vector<RateRule>& rules) {
  const RateRule* chosen = &rules.front();
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    if (!rule->warning.empty()) continue;
    chosen = &*rule;
    break;
  }
  const bool borrowed = chosen->batch_tokens <= 0;
  return {.inside = chosen->warning.empty(),
          .learning_rate = chosen->learning_rate,
          .batch_tokens = borrowed ? rules.front().batch_tokens : chosen->batch_tokens,
          .source = chosen->name + (borrowed ? ", batch by " + rules.front().name : "") +
                    (chosen->warning.empty() ? "" : ", outside its range: " + chosen->warning)};
}

double timescale_weight_decay(const Rate& rate, double tokens, double tpp) {
  const double tau = 1.084 * std::pow(tpp, -0.527);  // in shares of the run
  return rate.batch_tokens / (rate.learning_rate * tau * tokens);
}

std::vector<SideNote> side_notes(const Choice& choice) {
  const Form& form = choice.form;
  if (form.experts <= 1) return {};
  std::vector<SideNote> notes;
  const double sparsity = static_cast<double>(form.experts) / static_cast<double>(form.top_k);
  const double ratio = fit::kimi_flops_ratio(sparsity);
  if (std::isfinite(ratio)) {
    notes.push_back({"Kimi team 2025, arXiv 2507.20534",
                     fmt::format("E/k {:.3g} needs {:.2f} times the FLOPs of E/k 8 for the same loss", sparsity,
                                 ratio / fit::kimi_flops_ratio(8)) +
                         (form.top_k == 8 && form.shared == 1
                              ? ""
                              : fmt::format(" (measured with k 8 and one shared expert; the shape has k {} and {})",
                                            form.top_k, form.shared))});
  }
  const i64 active = form.top_k + form.shared;
  notes.push_back({"Zhao et al. 2025, arXiv 2509.23678, secondary source",
                   fmt::format("optimal: {:.1f} active experts, {:.0f} % shared; the shape has {} and {:.0f} %",
                               fit::zhao_best_experts_active(), 100 * fit::zhao_best_shared_ratio(), active,
                               100.0 * static_cast<double>(form.shared) / static_cast<double>(active))});
  const fit::LingAllocation wan = fit::wan_allocation(choice.numbers.flops_megatron * choice.tokens);
  notes.push_back({"Wan et al. 2026, arXiv 2603.21862, secondary source",
                   fmt::format("for this compute {} tokens; the plan has {}", format_count(wan.tokens),
                               format_count(choice.tokens))});
  return notes;
}

SkillPlan plan_skill(const std::string& skill, const Budget& budget, const LawFit& law) {
  const bool reasoning = skill == "reasoning";
  if (!reasoning && budget.compute <= 0 && budget.memory <= 0) {
    throw Error({.where = "--skill memorisation",
                 .what = "--tokens alone does not bound the model: a larger one always memorises more",
                 .fix = "add --compute or --memory"});
  }
  SkillPlan plan;
  plan.skill = skill;
  for (const Form& form : reasoning ? reasoning_forms() : memorisation_forms()) {
    add_nearest(plan.shapes, form, budget, law, reasoning);
  }
  if (plan.shapes.empty()) {
    throw Error({.where = "--skill " + skill,
                 .what = "no shape of the rule's grid fits this budget",
                 .wanted = reasoning ? "a shape with about 20 tokens per total parameter" : "a sparse shape",
                 .fix = "change --compute, --tokens, --memory or --vocab, or leave out --skill"});
  }
  if (reasoning) {
    // Both given: compute decides how dense. Compute alone: the loss law decides, inside its range
    // if it can.
    const bool fixed = budget.tokens > 0 && budget.compute > 0;
    const auto key = [&](const Choice& c) {
      return std::pair(!fixed && c.extrapolated,
                       fixed ? std::fabs(std::log(c.flops_training / budget.compute)) : c.value);
    };
    const auto pick = std::min_element(plan.shapes.begin(), plan.shapes.end(),
                                       [&](const Choice& a, const Choice& b) { return key(a) < key(b); });
    std::rotate(plan.shapes.begin(), pick, pick + 1);
  }
  add_warnings(plan);
  if (!reasoning && budget.memory > 0) {
    plan.warnings.push_back(
        "observed at equal active parameters: if memory limits the total, the rule does not determine the best sparsity");
  }
  return plan;
}

std::string skill_rule_text(const std::string& skill) {
  const std::string evidence =
      "Evidence: a rule of thumb, not a law (Nakamura et al. 2025, arXiv 2508.18672): 65 Mixtral-form models, experts of 2 d, 16 layers, 125B "
      "tokens, one seed each; not tested with shared experts, other token budgets or other forms";
  if (skill == "reasoning") {
    return "reasoning: accuracy peaks near 20 training tokens per TOTAL parameter; at equal TPP a larger top-k is better; at "
           "equal loss more active compute is better. The density is not determined by the rule; the loss law decides below. " +
           evidence;
  }
  return "memorisation: improves with total parameters and falling TPP, so the sparsest shape that fits. " + evidence;
}

}  // namespace moebius::plan
