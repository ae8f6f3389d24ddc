// What a fit minimises: the Huber loss of a law's residuals over runs, with exact derivatives, fast.
// In: a law, runs; theta, the law's coefficients in the variables of the fit (logarithms of the scale coefficients).
// Out: cost, gradient, residuals, Jacobian. One object is used by one thread at a time. Nothing is allocated by an
// evaluation.
//
// Every law here is ln or linear of a sum of exponentials, and every exponent is linear in theta but for one saturating
// transform: so a law is a table of terms (form_of) and there is one evaluator for all.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "fit/law.h"

namespace moebius::fit {

// One summand theta[coefficient] * sign * column of an exponent; column -1: the constant 1. With `saturated` the column
// is multiplied by ln Eh (ln Ah).
struct FormPart {
  i64 coefficient;
  i64 column;
  double sign = 1;
  bool saturated = false;
};

struct Form {
  Law law;
  std::vector<std::string> columns;  // names; values by form_columns(). ln N is of the first column that the law needs
  std::vector<std::vector<FormPart>> terms;  // the prediction is the sum of their exponentials
  std::vector<bool> is_log;                  // theta = ln of the coefficient
  i64 start_at = -1;                         // theta[start_at] = ln Es, theta[start_at + 1] = ln(Em/Es - 1); -1: none
  double huber_delta = std::numeric_limits<double>::infinity();  // infinity: least squares
  bool log_residual = true;  // ln predicted - ln measured, else predicted - measured
  double weight_decay = 0;   // of theta, in the form of torch: weight_decay * sum theta^2
  i64 count() const { return static_cast<i64>(is_log.size()); }
};
// |ln Es| and |ln(Em/Es - 1)| count up to here; a limit beyond e^60 starts is none.
inline constexpr double kSaturatingMax = 60;

// Objectives with their sources: docs/fit.md.
const Form& form_of(Law law);

// Coefficients as published <-> theta. A scale coefficient must be positive to have a theta (NaN otherwise).
std::vector<double> theta_from_coefficients(Law law, const std::vector<double>& coefficients);
std::vector<double> coefficients_from_theta(Law law, const std::vector<double>& theta);

class Objective {
 public:
  // The points must hold what the law needs. Changes of delta and decay from the form's: --huber-delta, --weight-decay.
  Objective(Law law, const std::vector<LawPoint>& points, double huber_delta, double weight_decay);

  i64 runs() const { return runs_; }
  i64 parameters() const { return form_->count(); }
  const Form& form() const { return *form_; }
  double huber_delta() const { return huber_delta_; }
  double weight_decay() const { return weight_decay_; }

  // A bootstrap sample: run i counts weights[i] times, runs of weight 0 are left out.
  Objective resampled(const std::vector<i64>& weights) const;

  // Sum over the runs, plus the decay. `gradient` may be null. False when the value is not finite.
  bool evaluate(const double* theta, double* cost, double* gradient) const;
  double penalty(const double* theta) const;
  // Predictions (not logarithms) of all runs.
  void predict(const double* theta, double* predicted) const;
  // J^T W J + the decay's part, W the weights of iteratively reweighted least squares for Huber's loss; p x p,
  // row-major. `column_norms` (p): root mean square of each column of J without W.
  void gauss_newton(const double* theta, double* matrix, double* column_norms) const;

 private:
  void saturate(const double* theta) const;
  // Runs [begin, end): exponentials of every term into exp_, their sum into sum_.
  void predict_block(const double* theta, i64 begin, i64 end) const;
  // The part's column of a block, as d exponent / d theta, into part_; without the saturated factor if so wanted.
  void part_column(const FormPart& part, i64 begin, i64 end, bool with_saturated) const;
  // Adds the sum over the block of scale_ * d sum_ / d theta; exp_ is used up.
  void add_gradient(const double* theta, i64 begin, i64 end, double* gradient) const;

  const Form* form_ = nullptr;
  double huber_delta_ = 0, weight_decay_ = 0;
  i64 runs_ = 0;
  std::vector<std::vector<double>> columns_;
  std::vector<double> measured_;                                   // or its logarithm, as the residual wants it
  std::vector<double> weights_;                                    // how often a run counts
  std::vector<double> shifted_;                                    // distinct arguments of the saturating transform
  std::vector<i64> shifted_index_;                                 // of each run
  mutable std::vector<double> level_, level_start_, level_limit_;  // ln Eh and its derivatives, by distinct argument
  mutable std::vector<double> exp_, sum_, scale_, part_, saturated_, slope_;
};

}  // namespace moebius::fit
