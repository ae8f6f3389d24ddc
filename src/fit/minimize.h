// L-BFGS on an objective (Ceres' line-search minimiser), in variables scaled by the Gauss-Newton matrix at the start.
// In: an objective, a start; out: an optimum. Also the eigenvalues of small symmetric matrices, for the same library.
// The only folder-wide user of Ceres and Eigen is minimize.cpp.
#pragma once

#include <vector>

#include "fit/objective.h"

namespace moebius::fit {

struct MinimizeOptions {
  i64 iterations_max = 200;  // of one round
  i64 rounds_max = 6;        // each with a new scaling, until a round gains less than `tolerance` of the value
  double tolerance = 1e-10;
};

struct Minimum {
  double cost = 0;
  std::vector<double> theta;
  bool converged = false;  // the last round gained next to nothing
};

// Never worse than the start. A start whose value is not finite comes back with an infinite cost.
Minimum minimize(const Objective& objective, const std::vector<double>& start, const MinimizeOptions& options);

// Eigenvalues (ascending) and eigenvectors (row i belongs to value i) of a symmetric p x p matrix, row-major.
void eigen_symmetric(const std::vector<double>& matrix, i64 p, std::vector<double>& values,
                     std::vector<double>& vectors);

}  // namespace moebius::fit
