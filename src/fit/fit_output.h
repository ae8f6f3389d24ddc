// A fit as the structs of fit.json (records/fit_file.h) and as text for people: coefficients, curves to draw, laws
// against each other. In: fits; out: structs, text. Nothing in either depends on threads or time.
#pragma once

#include <string>
#include <vector>

#include "fit/fit.h"

namespace moebius::fit {

using records::Comparison;
using records::SkippedLaw;

// Laws of different quantities (loss, leverage) and laws without a fit are left out.
// Two laws are told apart when AICc differs by 2 or more and the paired difference of held-out errors is beyond twice
// its standard error, both in favour of the same law. Laws that are not determined, or without a hold-out, are not ranked.
Comparison compare_laws(const std::vector<LawFit>& fits);

records::FittedLaw fitted_law(const LawFit& fit);
// The form of `--law all`.
records::LossLaws fitted_laws(const std::vector<LawFit>& fits, const std::vector<SkippedLaw>& skipped,
                              const Comparison& comparison);

// Coefficients with intervals or "not determined", hold-out, verdict, the worst residuals.
std::string fit_to_text(const LawFit& fit);
std::string comparison_to_text(const std::vector<SkippedLaw>& skipped, const Comparison& comparison);

// Runs whose computes lie within this share of each other's middle count as equal.
inline constexpr double kEqualCompute = 0.15;

// The curves of a fit: IsoFLOP curves with their optimum, sparsity against loss at fixed compute, intervals of the
// predictions. `report` draws them as they are, since it computes no laws. An optimum is determined when the law is (at
// least partly), its interval spans less than a factor of 10 and it lies among the runs (its size and its tokens,
// optimum.h); else its value is null and its verdict says why.
records::LawCurves fit_curves(const LawFit& fit);

// The indices `chosen` in groups whose `values` (positive) lie within a factor `ratio` of each other: the window that
// holds most values first, ties to the least value, until nothing is left. Indices in a group rise with their value.
std::vector<std::vector<std::size_t>> value_windows(const std::vector<double>& values, std::vector<std::size_t> chosen,
                                                    double ratio);

}  // namespace moebius::fit
