// The one file that sees Ceres and Eigen: L-BFGS in scaled variables, eigenvalues of small matrices.
#include "fit/minimize.h"

#include <ceres/gradient_problem.h>
#include <ceres/gradient_problem_solver.h>
#include <glog/logging.h>

#include <Eigen/Dense>
#include <cmath>
#include <limits>

namespace moebius::fit {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

// Eigenvalues under this share of the largest are raised to it: a flat valley must not make giant steps.
constexpr double kEigenFloor = 1e-9;

// theta = origin + scale * phi, so that the Gauss-Newton matrix in phi is close to the identity: the coefficients of a
// law have correlations up to 0.9999, with which plain L-BFGS is very slow.
Matrix scaling_at(const Objective& objective, const Vector& theta) {
  const i64 p = objective.parameters();
  Matrix hessian(p, p);
  Vector norms(p);
  objective.gauss_newton(theta.data(), hessian.data(), norms.data());
  Vector unit(p);  // first the columns to equal length, so that the floor means the same for all
  for (i64 j = 0; j < p; ++j) unit[j] = hessian(j, j) > 0 ? 1 / std::sqrt(hessian(j, j)) : 1;
  const Matrix balanced = unit.asDiagonal() * hessian * unit.asDiagonal();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(balanced);
  if (solver.info() != Eigen::Success) return unit.asDiagonal();
  const double floor = kEigenFloor * std::max(solver.eigenvalues().maxCoeff(), 1e-300);
  const Vector roots = solver.eigenvalues().cwiseMax(floor).cwiseSqrt().cwiseInverse();
  return unit.asDiagonal() * solver.eigenvectors() * roots.asDiagonal();
}

class Scaled final : public ceres::FirstOrderFunction {
 public:
  Scaled(const Objective& objective, const Vector& origin, const Matrix& scale)
      : objective_(objective), origin_(origin), scale_(scale), theta_(origin.size()), gradient_(origin.size()) {}

  bool Evaluate(const double* phi, double* cost, double* gradient) const override {
    const Eigen::Map<const Vector> at(phi, origin_.size());
    theta_.noalias() = scale_ * at;
    theta_ += origin_;
    if (!objective_.evaluate(theta_.data(), cost, gradient == nullptr ? nullptr : gradient_.data())) return false;
    if (gradient != nullptr) Eigen::Map<Vector>(gradient, origin_.size()).noalias() = scale_.transpose() * gradient_;
    return true;
  }
  int NumParameters() const override { return static_cast<int>(origin_.size()); }

 private:
  const Objective& objective_;
  const Vector& origin_;
  const Matrix& scale_;
  mutable Vector theta_, gradient_;
};

// One run of L-BFGS from `theta`, which it moves; returns the cost there.
double round_of(const Objective& objective, const MinimizeOptions& options, Vector& theta, double cost_before) {
  const Matrix scale = scaling_at(objective, theta);
  ceres::GradientProblem problem(new Scaled(objective, theta, scale));
  ceres::GradientProblemSolver::Options settings;
  settings.line_search_direction_type = ceres::LBFGS;
  settings.max_num_iterations = static_cast<int>(options.iterations_max);
  settings.function_tolerance = 1e-2 * options.tolerance;
  settings.gradient_tolerance = 0;
  settings.parameter_tolerance = 0;
  settings.logging_type = ceres::SILENT;
  settings.minimizer_progress_to_stdout = false;
  ceres::GradientProblemSolver::Summary summary;
  Vector phi = Vector::Zero(theta.size());
  ceres::Solve(settings, problem, phi.data(), &summary);
  const Vector moved = theta + scale * phi;
  double cost = 0;
  if (!objective.evaluate(moved.data(), &cost, nullptr) || !(cost < cost_before)) return cost_before;
  theta = moved;
  return cost;
}

}  // namespace

Minimum minimize(const Objective& objective, const std::vector<double>& start, const MinimizeOptions& options) {
  // Ceres logs failed line searches to glog; they are expected here.
  [[maybe_unused]] static const int quiet = FLAGS_minloglevel = google::GLOG_FATAL;
  Minimum result;
  result.theta = start;
  result.cost = std::numeric_limits<double>::infinity();
  double cost = 0;
  if (!objective.evaluate(start.data(), &cost, nullptr)) return result;
  Vector theta = Eigen::Map<const Vector>(start.data(), std::ssize(start));
  for (i64 round = 0; round < options.rounds_max && !result.converged; ++round) {
    const double next = round_of(objective, options, theta, cost);
    result.converged = cost - next <= options.tolerance * std::fabs(cost);
    cost = next;
  }
  result.cost = cost;
  result.theta.assign(theta.data(), theta.data() + theta.size());
  return result;
}

void eigen_symmetric(const std::vector<double>& matrix, i64 p, std::vector<double>& values,
                     std::vector<double>& vectors) {
  const Eigen::Map<const Matrix> symmetric(matrix.data(), p, p);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(symmetric);
  values.assign(solver.eigenvalues().data(), solver.eigenvalues().data() + p);
  vectors.resize(static_cast<std::size_t>(p * p));
  for (i64 i = 0; i < p; ++i) {
    for (i64 j = 0; j < p; ++j) vectors[static_cast<std::size_t>(i * p + j)] = solver.eigenvectors()(j, i);
  }
}

}  // namespace moebius::fit
