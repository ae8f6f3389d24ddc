// What a fit looks like when drawn: IsoFLOP curves with their optimum, sparsity against loss at fixed compute, intervals
// of the predictions. In: a fitted law with its runs and bootstrap samples. Out: the `curves` of a law
// in fit.json, which `report` draws as they are, since it computes no laws. Not for optima under a budget (optimum.h, plan).
#pragma once

#include <string>
#include <vector>

#include "fit/fit.h"

namespace moebius::fit {

// Runs whose computes lie within this share of each other's middle count as equal.
inline constexpr double kEqualCompute = 0.15;
// Fewer bootstrap samples than this give no interval.
inline constexpr i64 kSamplesForInterval = 20;

// An optimum is determined when the law is (at least partly), its interval spans less than a factor of 10 and it lies
// among the runs (its size and its tokens, optimum.h); else its value is null and its verdict says why.
records::LawCurves fit_curves(const LawFit& fit);

// Groups of indices whose `values` (positive) lie within a factor `ratio` of each other: the window that holds most
// values first, ties to the least value, until nothing is left. Indices in a group rise with their value.
std::vector<std::vector<std::size_t>> value_windows(const std::vector<double>& values, double ratio);

}  // namespace moebius::fit
