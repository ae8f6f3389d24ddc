// Rules that are no loss laws: learning rate and batch by published formulas, and the tokens-per-parameter rule of the
// Optimal Sparsity paper for skills. Each with its source, its range and its caveats. In: a shape and its tokens; a
// budget and a skill. Out: numbers and warnings. Not for laws (budget.h).
#pragma once

#include <string>
#include <vector>

#include "plan/budget.h"

namespace moebius::plan {

struct RateRule {
  std::string name, source, formula;
  double learning_rate = 0;  // peak; 0: not covered by the rule
  double batch_tokens = 0;   // 0: not covered by the rule
  std::string warning;       // outside the rule's range; empty: inside
};
// What the rules read of a model.
struct RateInput {
  double total_core = 0, active_core = 0;  // parameters without embedding, head, router and norms
  double tokens = 0;
  double compute = 0;     // training FLOPs by Megatron's formula
  double experts = 1;     // routed ones
  double activation = 1;  // share of experts that a token uses, shared ones counted
};
RateInput rate_input(const Choice& choice);
// Step Law (2503.04715), joint MoE (2502.05172), Ling (2507.17702).
std::vector<RateRule> rate_rules(const RateInput& input);
// The rule to train by: the first without a warning in the order Ling, joint, Step Law; if all have one, Step Law, the only
// one fitted over size and tokens at once. The batch is the same rule's, or Step Law's when it has none.
struct Rate {
  bool inside = false;  // the rule's range
  double learning_rate = 0, batch_tokens = 0;
  std::string source;
};
Rate choose_rate(const std::vector<RateRule>& rules);
// Bergsma et al. 2025: the weight decay with which AdamW's timescale tau = B / (rate decay D) is 1.084 TPP^-0.527.
double timescale_weight_decay(const Rate& rate, double tokens, double tpp);

// Rules for mixtures of experts that do not influence the plan: Kimi's sparsity law (for 8 to 48 experts for each that
// a token uses), Zhao's best number of active and share of shared experts, Wan's tokens; the last two known from a
// single secondary source each ("second-hand"). Nothing of a dense model.
struct SideNote {
  std::string source, text;
};
std::vector<SideNote> side_notes(const Choice& choice);

// Nakamura et al. 2025 (2508.18672) as a rule. `reasoning`: about 20 training tokens a total parameter, and at equal TPP as
// large a top-k as possible. `memorisation`: as sparse as possible. Among the shapes that the rule allows, the loss of
// `law` (Abnar's, which sees sparsity, size and tokens) decides.
constexpr double kReasoningTpp = 20;
struct SkillPlan {
  std::string skill;
  std::vector<Choice> shapes;  // the rule's pick first
  std::vector<std::string> warnings;
};
SkillPlan plan_skill(const std::string& skill, const Budget& budget, const LawFit& law);
// What the rule says and the evidence for it.
std::string skill_rule_text(const std::string& skill);

std::string rates_text(const Choice& choice, const std::vector<RateRule>& rules);
std::string skill_text(const SkillPlan& plan, i64 shapes);
Json skill_json(const Budget& budget, const SkillPlan& plan);
Json rates_json(const std::vector<RateRule>& rules);
std::string side_text(const std::vector<SideNote>& notes);
Json side_json(const std::vector<SideNote>& notes);

}  // namespace moebius::plan
