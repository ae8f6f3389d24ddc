// Partial regression: x without what z explains.
// In, out: matched.h.
#include "fit/matched.h"

#include <cmath>

namespace moebius::fit {

namespace {

// v minus its least squares line over z; `centred` is z minus its mean, `squares` the sum of its squares.
std::vector<double> without(const std::vector<double>& v, const std::vector<double>& centred, double squares) {
  const double mean = mean_of(v);
  double product = 0;
  for (std::size_t r = 0; r < v.size(); ++r) product += centred[r] * (v[r] - mean);
  const double slope = squares > 0 ? product / squares : 0;
  std::vector<double> rest;
  for (std::size_t r = 0; r < v.size(); ++r) rest.push_back(v[r] - mean - slope * centred[r]);
  return rest;
}

double sum_of_squares(const std::vector<double>& v) {
  double sum = 0;
  for (const double one : v) sum += one * one;
  return sum;
}

}  // namespace

MatchedSlope matched_slope(const std::vector<double>& x, const std::vector<double>& z, const std::vector<double>& y) {
  MatchedSlope out;
  const double runs = static_cast<double>(x.size()), df = runs - 3;
  if (df < 1) {
    out.problem = "a comparison at equal values needs four runs";
    return out;
  }
  std::vector<double> centred = z;
  const double mean = mean_of(z);
  for (double& one : centred) one -= mean;
  const double z_squares = sum_of_squares(centred);
  const std::vector<double> u = without(x, centred, z_squares), rest = without(y, centred, z_squares);
  const double u_squares = sum_of_squares(u);
  const double x_mean = mean_of(x);
  double x_squares = 0;
  for (const double one : x) x_squares += (one - x_mean) * (one - x_mean);
  if (!(u_squares > 1e-6 * x_squares)) {
    out.problem = "x does not vary at equal values: what is held equal determines it";
    return out;
  }
  out.estimate.value = 0;
  for (std::size_t r = 0; r < x.size(); ++r) {
    out.weights.push_back(u[r] / u_squares);
    out.estimate.value += out.weights[r] * y[r];
  }
  double squares = 0, hc3 = 0;
  for (std::size_t r = 0; r < x.size(); ++r) {
    const double residual = rest[r] - out.estimate.value * u[r];
    const double leverage =
        1 / runs + u[r] * u[r] / u_squares + (z_squares > 0 ? centred[r] * centred[r] / z_squares : 0);
    const double scaled = residual / std::max(1 - leverage, 1e-3);
    squares += residual * residual;
    hc3 += out.weights[r] * out.weights[r] * scaled * scaled;
  }
  out.estimate.seed_errors = {{std::sqrt(squares / df / u_squares), df}, {std::sqrt(hc3), df}};
  return out;
}

}  // namespace moebius::fit
