// Laws against each other on the same runs: AIC and hold-out error, and a plain word where the runs cannot tell them apart.
// In: fits of one set of runs; out: Comparison. Laws of different quantities (loss, leverage) are not compared.
#pragma once

#include <string>
#include <vector>

#include "fit/fit.h"

namespace moebius::fit {

struct LawPair {
  i64 a = 0, b = 0;                      // indices into the fits; a has the lower AIC
  double aic_difference = 0;             // of b over a
  double holdout_difference = kMissing;  // mean over runs of abs(error of b) - abs(error of a)
  double holdout_difference_se = kMissing;
  bool distinct = false;
  std::string text;
};

struct Comparison {
  std::vector<i64> order;  // fits by AIC, the best first; fits without an optimum are left out
  std::vector<LawPair> pairs;
  std::string verdict;
};

// Two laws are told apart when AIC differs by 2 or more and the paired difference of held-out errors is beyond twice its
// standard error, both in favour of the same law (AIC alone without a hold-out).
Comparison compare_laws(const std::vector<LawFit>& fits);

}  // namespace moebius::fit
