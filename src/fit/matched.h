// Does x change y where z is equal? Least squares of y on z and x over runs; the coefficient of x with its interval. In:
// one x, z and y per run (x and z in the scale of the regression). Out: the coefficient, its standard errors and the
// weights of the runs in it. Not for predicting y.
#pragma once

#include <string>
#include <vector>

#include "base/linear_statistics.h"

namespace moebius::fit {

struct MatchedSlope {
  std::string problem;          // why there is no coefficient; empty: the rest holds
  std::vector<double> weights;  // of each run: the coefficient is sum weights[r] y[r]
  // Without item errors. Two standard errors: one variance for all runs (classical), and each run its own squared
  // residual (HC3: MacKinnon and White 1985, doi 10.1016/0304-4076(85)90158-7), both with df = runs - 3.
  LinearEstimate estimate;
};

// The runs' z is taken as it was measured: the result says how y moves with x among runs that reached the same z.
MatchedSlope matched_slope(const std::vector<double>& x, const std::vector<double>& z, const std::vector<double>& y);

}  // namespace moebius::fit
