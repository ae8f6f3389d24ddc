// The laws as tables of terms, with the objective that each paper fitted, and the variables of the fit.
#include "fit/objective.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moebius::fit {

namespace {

constexpr double kLogMax = 700;  // so that a coefficient that ran away stays a number

std::vector<Form> forms() {
  std::vector<Form> all = {
      // theta = {ln E, ln A, ln B, alpha, beta}
      {.law = Law::chinchilla,
       .columns = {"ln N", "ln D"},
       .terms = {{{0, -1}}, {{1, -1}, {3, 0, -1}}, {{2, -1}, {4, 1, -1}}},
       .is_log = {true, true, true, false, false},
       .huber_delta = 1e-3},
      // theta = {ln c, ln g, gamma, ln a, alpha, ln b, beta}
      {.law = Law::fine_grained,
       .columns = {"ln N", "ln D", "ln G"},
       .terms = {{{0, -1}}, {{1, -1}, {2, 2, -1}, {4, 0, -1}}, {{3, -1}, {4, 0, -1}}, {{5, -1}, {6, 1, -1}}},
       .is_log = {true, true, false, true, false, true, false},
       .huber_delta = 0.1,
       .log_residual = false,
       .weight_decay = 5e-4},
      // theta = {ln a, alpha, ln b, beta, ln c, lambda, ln d, delta, gamma, ln e}
      {.law = Law::abnar,
       .columns = {"ln N", "ln D", "ln (1-S)"},
       .terms = {{{0, -1}, {1, 0, -1}},
                 {{2, -1}, {3, 1, -1}},
                 {{4, -1}, {5, 2, -1}},
                 {{6, -1}, {7, 2, -1}, {8, 0, -1}},
                 {{9, -1}}},
       .is_log = {true, false, true, false, true, false, true, false, false, true},
       .huber_delta = 1e-3},
      // theta = {ln a, alpha, delta, gamma, ln b, beta, omega, zeta, ln Es, ln(Em/Es - 1), ln c}
      {.law = Law::joint,
       .columns = {"ln N", "ln D"},
       .terms = {{{0, -1}, {1, 0}, {2, -1, 1, true}, {3, 0, 1, true}},
                 {{4, -1}, {5, 1}, {6, -1, 1, true}, {7, 1, 1, true}},
                 {{10, -1}}},
       .is_log = {true, false, false, false, true, false, false, false, true, true, true},
       .start_at = 8,
       .huber_delta = 0.01,
       .weight_decay = 1e-5},
      // theta = {a, b, c, d, ln Es, ln(Em/Es - 1)}; ln L = a ln N + b ln Eh + c ln N ln Eh / ln 10 + d ln 10
      {.law = Law::routed,
       .columns = {"ln N", "ln N / ln 10", "ln 10"},
       .terms = {{{0, 0}, {1, -1, 1, true}, {2, 1, 1, true}, {3, 2}}},
       .is_log = {false, false, false, false, true, true},
       .start_at = 4},
      // theta = {a, d, gamma, beta, ln As, ln(Am/As - 1)}
      {.law = Law::leverage,
       .columns = {"lg C", "(lb G)^2", "lb G"},
       .terms = {{{0, -1, 1, true}, {1, 0, 1, true}, {2, 1, 1, true}, {3, 2, 1, true}}},
       .is_log = {false, false, false, false, true, true},
       .start_at = 4},
  };
  all.push_back(all.front());  // FLAME: the same over active parameters
  all.back().law = Law::flame;
  return all;
}

}  // namespace

const Form& form_of(Law law) {
  static const std::vector<Form> all = forms();
  const auto at = std::ranges::find(all, law, &Form::law);
  CHECK(at != all.end(), "every law has a form");
  return *at;
}

std::vector<double> theta_from_coefficients(Law law, const std::vector<double>& coefficients) {
  const Form& form = form_of(law);
  CHECK(static_cast<i64>(coefficients.size()) == form.count(), "as many coefficients as the law has");
  std::vector<double> theta = coefficients;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    if (form.is_log[i]) theta[i] = std::log(coefficients[i]);
  }
  if (form.start_at >= 0) {
    const std::size_t at = static_cast<std::size_t>(form.start_at);
    theta[at + 1] = std::log(coefficients[at + 1] / coefficients[at] - 1);
  }
  return theta;
}

std::vector<double> coefficients_from_theta(Law law, const std::vector<double>& theta) {
  const Form& form = form_of(law);
  CHECK(static_cast<i64>(theta.size()) == form.count(), "as many variables as the law has coefficients");
  std::vector<double> coefficients = theta;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    if (form.is_log[i]) coefficients[i] = std::exp(std::clamp(theta[i], -kLogMax, kLogMax));
  }
  if (form.start_at >= 0) {
    const std::size_t at = static_cast<std::size_t>(form.start_at);
    coefficients[at + 1] =
        coefficients[at] * (1 + std::exp(std::clamp(theta[at + 1], -kSaturatingMax, kSaturatingMax)));
  }
  return coefficients;
}

}  // namespace moebius::fit
