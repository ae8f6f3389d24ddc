// From a budget to models: under each law the optimal width, depth, experts, top-k, granularity and tokens, first at a
// continuous width, then as shapes that can be built, ranked by the law.
// In: training FLOPs, tokens, memory, tokens of inference; fits of laws. Out: one LawPlan per law. Not for learning
// rates and rules of thumb (rules.h), nor for files (launch.h). What is minimised in each mode: docs/plan.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fit/law.h"
#include "plan/law_fit.h"
#include "plan/shape.h"

namespace moebius::plan {

// 0: not given.
struct Budget {
  double compute = 0;           // training FLOPs, as each law counts them
  double tokens = 0;            // training tokens
  double memory = 0;            // bytes for weights and the cache of 16k positions in bf16
  double inference_tokens = 0;  // tokens that the model will process after training
  // Assumed, not given by the user: laws that cannot trade training tokens for size are planned for training alone.
  bool inference_assumed = false;
  Geometry geometry;
};
// Throws Error when the parts contradict each other or do not determine a plan.
void check_budget(const Budget& budget);

// One model under one law: at a continuous width, or built.
struct Choice {
  Form form;
  Numbers numbers;
  double tokens = 0;
  double value = 0;  // loss in nats per token; for `leverage`: C_dense / C_moe at equal loss
  double flops_training = 0, flops_inference = 0;  // by the law's formula
  bool memory_binds = false;
  bool extrapolated = false;  // of built shapes: outside the range of the fit whose `value` it has
  model::ModelConfig config;  // of built shapes only
};

struct LawPlan {
  LawFit fit;
  std::string reason;                     // why the law gives no plan; empty: it does
  std::optional<Choice> optimum;          // at a continuous width
  std::optional<Choice> compute_optimal;  // with inference tokens: what training alone would choose, at the same loss
  std::vector<Choice> shapes;             // that can be built, one per form, the best first
  Interval parameters_active, parameters_total, tokens, value, experts;
  bool sparsest = false;              // the optimum is the sparsest of all forms: the law sets no limit to sparsity
  std::vector<std::string> warnings;  // extrapolation, and what the fit says of itself
};

// One plan per fit, in their order. Throws Error when no law gives a plan.
std::vector<LawPlan> plan_budget(const Budget& budget, const std::vector<LawFit>& fits);

// The law to follow: its range contains the optimum for this budget and the first built shape, and its fit has no
// warnings. Of several, the law with the most variables of the shape (joint, abnar, fine-grained, leverage, flame, chinchilla, routed). Null: no law is in its range.
const LawPlan* recommended_law(const std::vector<LawPlan>& plans);

// Above this many training FLOPs the program assumes inference of 10T tokens (docs/plan.md).
constexpr double kInferenceFrom = 1e22, kInferenceTokens = 10e12;

// Over the laws that give a plan: the least and the greatest, and their ratio.
struct Disagreement {
  Interval parameters_active, tokens, tpp;
};
Disagreement disagreement(const std::vector<LawPlan>& plans);

}  // namespace moebius::plan
