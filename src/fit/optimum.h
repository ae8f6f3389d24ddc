// Optima of a loss law under a budget: the split of training FLOPs between size and tokens, by a search in one
// variable; the inference-adjusted optimum; Ling's allocation.
// In: a law's coefficients, or what a model of a given size costs and loses. Out: sizes and tokens. Not for shapes that
// can be built (plan) and not for fitting (fit.h). Formulas: docs/plan.md.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "fit/law.h"

namespace moebius::fit {

// Whether a value (> 0) lies among those of the runs, of which the least and the greatest are given. Values up to 0.5 %
// beyond count, too: neither a search nor a shape that can be built meets an end exactly. The one meaning of "among the
// runs", for the optima of curves as for those of a budget.
bool among_runs(double value, double least, double greatest);

// The least value of `f` on [low, high] (both > 0), searched on a logarithmic axis: a scan finds the valley, golden
// section its bottom. Infinite values are walls. `edge`: the least value lies at an end of the range.
struct LogMinimum {
  double at = 0, value = 0;
  bool edge = false;
};
LogMinimum minimise_log(const std::function<double(double)>& f, double low, double high);

// The x in [low, high] (both > 0) at which the rising function `f` reaches `value`; nothing when it does not.
std::optional<double> solve_rising_log(const std::function<double(double)>& f, double value, double low, double high);

// Models of one form, ordered by a size (width, or parameters): what a token costs in training and what is lost.
struct Frontier {
  std::function<double(double size)> flops_per_token;      // forward and backward; rises with size
  std::function<double(double size, double tokens)> loss;  // falls with tokens
  double size_low = 0, size_high = 0;
};
struct Optimum {
  double size = 0, tokens = 0, loss = 0;
  double flops_training = 0, flops_inference = 0;
  bool edge = false;  // the range of sizes, not the law, sets the size
};
// The tokens with which a model reaches `loss`; nothing when it does not. `loss_of` falls with tokens.
std::optional<double> tokens_for_loss(const std::function<double(double tokens)>& loss_of, double loss);

// The lowest loss for this number of training FLOPs.
Optimum optimum_at_compute(const Frontier& frontier, double compute);
// Sardana et al. 2024 (2401.00448), equation 3: the fewest FLOPs of training and inference together,
// F(size) (tokens + inference_tokens / 3), with loss(size, tokens) = loss. For F = 6 N that is 6 N Dtr + 2 N Dinf.
// Nothing when no size of the range reaches the loss.
std::optional<Optimum> optimum_with_inference(const Frontier& frontier, double loss, double inference_tokens);

// Krajewski et al. 2024 (2402.07871): FLOPs per token of `layers` blocks of width d: 6 for each active parameter
// without embedding and router (12 d^2 a block), and 14 d for each of the `experts` = G E for routing, dispatch and
// combination.
double fine_grained_flops_per_token(double active_core, double d_model, double layers, double experts);

// Ling team 2025 (2507.17702): FLOPs per token and tokens for C training FLOPs, both without the embedding.
struct LingAllocation {
  double flops_per_token = 0, tokens = 0;
};
LingAllocation ling_allocation(double compute, bool mixture_of_experts);

// Clark et al. 2022 (2202.01169), effective parameter count: the parameters of the dense model with the loss of a base
// of `parameters` with `experts`, lg Nbar = ((a + c lg Eh) lg N + b (lg Eh - lg Es)) / (a + c lg Es).
// `coefficients` of the law `routed`.
double routed_effective_parameters(const std::vector<double>& coefficients, double parameters, double experts);

// Kimi team 2025 (2507.20534), sparsity law: training FLOPs for the validation loss 1.5, as a multiple of those at
// `sparsity` 48. Sparsity is experts / experts per token, 8 of them per token and one shared. The report has no closed
// form: its points at 8, 16, 32 and 48 are joined by lines in the two logarithms. NaN outside 8 to 48.
double kimi_flops_ratio(double sparsity);

// Zhao et al. 2025 (2509.23678): with G experts that a token uses and a share S of shared ones among them, the loss is
// (e G + f/G + m S^2 + n S) times a term in the sizes, plus terms without G and S. So at every size the best are
// G* = sqrt(f/e), S* = -n/(2 m); the paper's text: 7 and 0.31. From a single secondary source, not checked against the
// paper.
double zhao_best_experts_active();
double zhao_best_shared_ratio();

// Wan et al. 2026 (2603.21862): FLOPs a token and tokens for C training FLOPs. From a single secondary source, which
// says that C is in EFLOPs; only with C in FLOPs do the two come near Ling's, so that is how they are read here.
LingAllocation wan_allocation(double compute);

}  // namespace moebius::fit
