// Least squares through a link for a handful of coefficients: Gauss-Newton with damping, and the covariance at the
// optimum. In: rows of numbers, measured values, weights. Out: coefficients or the news that there is no optimum.
// Not for the loss laws, whose objective is Huber's.
#pragma once

#include <vector>

#include "fit/task_law.h"

namespace moebius::fit {

struct LinkFit {
  bool converged = false;
  std::vector<double> beta;                     // of the columns; with sigmoid_ceiling the ceiling last
  std::vector<std::vector<double>> covariance;  // times the residual variance of a row of weight 1
  double squares = 0;                           // weighted sum of squared residuals
};

// y from eta; `ceiling` is used by the sigmoids.
double link_value(TaskLink link, double eta, double floor, double ceiling);

// rows [n][columns], y [n], weight [n]; n at least the number of coefficients. All values finite.
LinkFit fit_link(TaskLink link, const std::vector<std::vector<double>>& rows, const std::vector<double>& y,
                 const std::vector<double>& weight, double floor);

}  // namespace moebius::fit
