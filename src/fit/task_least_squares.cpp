// Normal equations of few unknowns, solved by Cholesky's factors.
#include "fit/task_law.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moebius::fit {

namespace {

using RowMatrix = std::vector<std::vector<double>>;

// Solves a x = b for a symmetric positive definite a; false when it is not.
bool solve(RowMatrix a, std::vector<double> b, std::vector<double>& x) {
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = a[i][j];
      for (std::size_t k = 0; k < j; ++k) sum -= a[i][k] * a[j][k];
      if (i == j) {
        if (!(sum > 1e-12 * std::max(a[i][i], 1e-300))) return false;
        a[i][i] = std::sqrt(sum);
      } else {
        a[i][j] = sum / a[j][j];
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k][i] * b[k];
    b[i] /= a[i][i];
  }
  x = std::move(b);
  return true;
}

bool invert(const RowMatrix& a, RowMatrix& inverse) {
  inverse.assign(a.size(), std::vector<double>(a.size()));
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::vector<double> unit(a.size()), column;
    unit[i] = 1;
    if (!solve(a, unit, column)) return false;
    for (std::size_t j = 0; j < a.size(); ++j) inverse[j][i] = column[j];
  }
  return true;
}

double sigmoid(double eta) { return 1 / (1 + std::exp(-eta)); }

struct Problem {
  TaskLink link;
  const RowMatrix& rows;
  const std::vector<double>& y;
  const std::vector<double>& weight;
  double floor;

  std::size_t columns() const { return rows.front().size(); }
  std::size_t unknowns() const { return columns() + (link == TaskLink::sigmoid_ceiling ? 1 : 0); }

  double ceiling(const std::vector<double>& beta) const { return link == TaskLink::sigmoid_ceiling ? beta.back() : 1; }

  double eta(const std::vector<double>& beta, std::size_t row) const {
    double sum = 0;
    for (std::size_t i = 0; i < columns(); ++i) sum += beta[i] * rows[row][i];
    return sum;
  }

  double squares(const std::vector<double>& beta) const {
    double sum = 0;
    for (std::size_t r = 0; r < y.size(); ++r) {
      const double rest = y[r] - link_value(link, eta(beta, r), floor, ceiling(beta));
      sum += weight[r] * rest * rest;
    }
    return sum;
  }

  // J^T W J and J^T W (y - f).
  void normal(const std::vector<double>& beta, RowMatrix& jtj, std::vector<double>& gradient) const {
    jtj.assign(unknowns(), std::vector<double>(unknowns()));
    gradient.assign(unknowns(), 0);
    std::vector<double> slope(unknowns());
    for (std::size_t r = 0; r < y.size(); ++r) {
      const double at = eta(beta, r), value = link_value(link, at, floor, ceiling(beta));
      double by_eta = 1;
      if (link == TaskLink::exponential) by_eta = value;
      if (link == TaskLink::sigmoid || link == TaskLink::sigmoid_ceiling) {
        by_eta = (ceiling(beta) - floor) * sigmoid(at) * (1 - sigmoid(at));
      }
      for (std::size_t i = 0; i < columns(); ++i) slope[i] = by_eta * rows[r][i];
      if (link == TaskLink::sigmoid_ceiling) slope.back() = sigmoid(at);
      for (std::size_t i = 0; i < unknowns(); ++i) {
        gradient[i] += weight[r] * slope[i] * (y[r] - value);
        for (std::size_t j = 0; j < unknowns(); ++j) jtj[i][j] += weight[r] * slope[i] * slope[j];
      }
    }
  }

  // Least squares of the link's inverse, values kept off the ends.
  std::vector<double> start() const {
    const double top = *std::ranges::max_element(y);
    const double ceiling = link == TaskLink::sigmoid_ceiling ? std::min(1.0, std::max(top, floor) + 0.05) : 1;
    std::vector<double> target;
    for (const double value : y) {
      if (link == TaskLink::linear) {
        target.push_back(value);
      } else if (link == TaskLink::exponential) {
        target.push_back(std::log(std::max(value, 1e-6)));
      } else {
        const double share = std::clamp((value - floor) / (ceiling - floor), 0.02, 0.98);
        target.push_back(std::log(share / (1 - share)));
      }
    }
    RowMatrix jtj;
    std::vector<double> gradient, beta(columns());
    Problem{TaskLink::linear, rows, target, weight, 0}.normal(beta, jtj, gradient);
    if (!solve(jtj, gradient, beta)) beta.assign(columns(), 0);
    if (link == TaskLink::sigmoid_ceiling) beta.push_back(ceiling);
    return beta;
  }
};

}  // namespace

double link_value(TaskLink link, double eta, double floor, double ceiling) {
  switch (link) {
    case TaskLink::linear: return eta;
    case TaskLink::exponential: return std::exp(eta);
    case TaskLink::sigmoid:
    case TaskLink::sigmoid_ceiling: return floor + (ceiling - floor) * sigmoid(eta);
  }
  return kUnknown;
}

LinkFit fit_link(TaskLink link, const std::vector<std::vector<double>>& rows, const std::vector<double>& y,
                 const std::vector<double>& weight, double floor) {
  CHECK(!rows.empty() && rows.size() == y.size() && y.size() == weight.size(), "rows, values and weights go together");
  const Problem problem{link, rows, y, weight, floor};
  LinkFit fit;
  fit.beta = problem.start();
  fit.squares = problem.squares(fit.beta);
  RowMatrix jtj;
  std::vector<double> gradient, step;
  double damping = 1e-3;
  for (int iteration = 0; iteration < 200 && damping < 1e12; ++iteration) {
    problem.normal(fit.beta, jtj, gradient);
    RowMatrix damped = jtj;
    for (std::size_t i = 0; i < damped.size(); ++i) damped[i][i] += damping * std::max(damped[i][i], 1e-12);
    if (!solve(damped, gradient, step)) return fit;
    std::vector<double> next = fit.beta;
    for (std::size_t i = 0; i < next.size(); ++i) next[i] += step[i];
    const double squares = problem.squares(next);
    const bool allowed = link != TaskLink::sigmoid_ceiling || (next.back() > floor && next.back() <= 1);
    if (!allowed || !(squares <= fit.squares)) {
      damping *= 10;
      continue;
    }
    const bool still = fit.squares - squares <= 1e-13 * (fit.squares + 1e-300);
    fit.beta = std::move(next);
    fit.squares = squares;
    damping = std::max(damping / 10, 1e-12);
    if (still) break;
  }
  problem.normal(fit.beta, jtj, gradient);
  // Far out on a sigmoid nothing moves any more: scores that are all at the floor have no optimum.
  for (std::size_t i = 0; i < problem.columns(); ++i) {
    if (!std::isfinite(fit.beta[i]) || std::fabs(fit.beta[i]) > 1e3) return fit;
  }
  fit.converged = invert(jtj, fit.covariance);
  return fit;
}

}  // namespace moebius::fit
