// Published rules beside the loss laws of law.h: what can be asked of a paper but not fitted here, each with its source
// and with what is doubtful about it.
// In: sizes, experts, compute. Out: numbers. Not for laws that `fit` fits (law.h) and not for what a plan trains by
// (plan/rules.h). Golden values: side_rules_test.cpp.
#pragma once

#include <vector>

#include "fit/law.h"
#include "fit/optimum.h"

namespace moebius::fit {

// Clark et al. 2022 (2202.01169), effective parameter count: the parameters of the dense model with the loss of a base of
// `parameters` with `experts`, lg Nbar = ((a + c lg Eh) lg N + b (lg Eh - lg Es)) / (a + c lg Es).
// `coefficients` of the law `routed`.
double routed_effective_parameters(const std::vector<double>& coefficients, double parameters, double experts);
// The base size beyond which more experts bring nothing by that law, 10^(-b/c). c is printed with one or two digits, so
// this meets the paper's 937B, 85B and 83B only roughly: 1000B, 32B and 215B. NaN when experts never stop helping.
double routed_cutoff_parameters(const std::vector<double>& coefficients);

// Kimi team 2025 (2507.20534), sparsity law: training FLOPs for the validation loss 1.5, as a multiple of those at
// `sparsity` 48. Sparsity is experts / experts per token, 8 of them per token and one shared. The report has no closed form:
// its points at 8, 16, 32 and 48 are joined by lines in the two logarithms. NaN outside 8 to 48.
double kimi_flops_ratio(double sparsity);

// Zhao et al. 2025 (2509.23678), loss of a mixture of experts:
// L = (e G + f/G + m S^2 + n S)(1/N^alpha + k/Na^alpha + h Na/N) + a/N^alpha + b/D^beta + c/Na^alpha + eps.
// From a single secondary source, not checked against the paper; no law of `fit` because no runs here say S.
struct ZhaoPoint {
  double parameters_total = kMissing;   // N
  double parameters_active = kMissing;  // Na
  double tokens = kMissing;             // D
  double experts_active = kMissing;     // G: experts that a token uses
  double shared_ratio = kMissing;       // S: the share of the shared ones among them
};
double zhao_loss(const ZhaoPoint& point);
// Best at every size by that law: G* = sqrt(f/e), S* = -n/(2 m). The paper's text: 7 and 0.31.
double zhao_best_experts_active();
double zhao_best_shared_ratio();

// Wan et al. 2026 (2603.21862): FLOPs a token and tokens for C training FLOPs. From a single secondary source, which says
// that C is in EFLOPs; only with C in FLOPs do the two come near Ling's, so that is how they are read here.
LingAllocation wan_allocation(double compute);

}  // namespace moebius::fit
