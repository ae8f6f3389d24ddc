// Optima of a loss law under a budget: the split of training FLOPs between size and tokens, in closed form where a law has
// one, else by a search in one variable; the inference-adjusted optimum; Ling's allocation.
// In: a law's coefficients, or what a model of a given size costs and loses. Out: sizes and tokens. Not for shapes that
// can be built (plan) and not for fitting (fit.h). Formulas: docs/plan.md.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "fit/law.h"

namespace moebius::fit {

// L = floor + a/N^alpha + b/D^beta: what remains of an additive law when all but size and tokens is held fixed.
struct PowerLaw {
  double floor = 0, a = 0, alpha = 0, b = 0, beta = 0;
  double loss(double parameters, double tokens) const;
};
// Of the laws `chinchilla` and `flame`.
PowerLaw chinchilla_power_law(const std::vector<double>& coefficients);
// Of the joint law at this number of experts: the paper's m, mu, n, nu are a, -alpha, b, -beta (2502.05172, table of reduced
// coefficients).
PowerLaw joint_power_law(const std::vector<double>& coefficients, double experts);

struct Split {
  double parameters = 0, tokens = 0, loss = 0;
};
// The least loss with `flops_per_parameter_token` * N * D = compute (Hoffmann et al. 2022, 2203.15556, equation 4):
// N* = G (C/6)^(beta/(alpha+beta)), G = (alpha a / (beta b))^(1/(alpha+beta)).
Split power_law_split(const PowerLaw& law, double compute, double flops_per_parameter_token = 6);

// Whether a value (> 0) lies among those of the runs, of which the least and the greatest are given. Half a per cent beyond
// still does: neither a search nor a shape that can be built meets an end exactly. The one meaning of "among the runs",
// for the optima of curves as for those of a budget.
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

// Krajewski et al. 2024 (2402.07871): FLOPs per token of `layers` blocks of width d: 6 for each active parameter without
// embedding and router (12 d^2 a block), and 14 d for each of the `experts` = G E for routing, dispatch and combination.
double fine_grained_flops_per_token(double active_core, double d_model, double layers, double experts);

// Ling team 2025 (2507.17702): FLOPs per token and tokens for C training FLOPs, both without the embedding.
struct LingAllocation {
  double flops_per_token = 0, tokens = 0;
};
LingAllocation ling_allocation(double compute, bool mixture_of_experts);
// The granularity with the greatest leverage, 2^(-beta / (2 gamma)); NaN when the parabola opens the other way.
double ling_best_granularity(const std::vector<double>& coefficients);

}  // namespace moebius::fit
