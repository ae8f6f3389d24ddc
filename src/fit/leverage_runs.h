// Ling's efficiency leverage out of losses: a curve of the dense runs' loss over compute, and for each mixture of experts the
// compute at which that curve has its loss, divided by its own (arXiv 2507.17702: EL = C_dense/C_moe at equal loss).
// In: runs with losses; out: runs whose measured quantity is the leverage, for the law `leverage`. Not for fitting that law (fit.h).
#pragma once

#include <string>
#include <vector>

#include "fit/runs.h"

namespace moebius::fit {

// L = E + A/C^alpha through the best dense run of each compute, least squares of ln L.
struct DenseCurve {
  double constant = kMissing, scale = kMissing, exponent = kMissing;
  double rmse_log = kMissing;                                // of ln L, with the degrees of freedom that are left
  double compute_least = kMissing, compute_most = kMissing;  // of the dense runs
  i64 points = 0;
  double loss(double compute) const;
  double compute_at(double loss) const;  // infinite for a loss that the curve never reaches
};

// Throws Error with `where` when there are fewer than four dense runs of different compute, or when their loss does not fall with it.
DenseCurve dense_curve(const std::vector<LawPoint>& points, const std::string& where);

// The mixtures of experts of `runs` with `loss` = leverage and notes on the curve and on what was left out: runs whose equal dense model
// would need more than twice the largest (or less than half of the least) compute of a dense run. Throws Error when nothing is left.
// Of studies the granularity is halved (theirs is 4 d/d_expert, Ling's 2 d/d_expert).
Runs leverage_of_losses(const Runs& runs);

}  // namespace moebius::fit
