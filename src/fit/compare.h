// Laws against each other on the same runs: AIC and hold-out error, and a plain word where the runs cannot tell them apart.
// In: fits of one set of runs; out: Comparison. Laws of different quantities (loss, leverage) and laws without a fit are left out.
#pragma once

#include <string>
#include <vector>

#include "fit/fit.h"

namespace moebius::fit {

using records::Comparison;

// Two laws are told apart when AIC differs by 2 or more and the paired difference of held-out errors is beyond twice its
// standard error, both in favour of the same law (AIC alone without a hold-out).
Comparison compare_laws(const std::vector<LawFit>& fits);

}  // namespace moebius::fit
