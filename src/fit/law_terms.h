// The loss laws as templates over the number type: `double` for values, a dual number (ceres::Jet or another that has exp,
// log and pow) for exact derivatives. In: coefficients in the order of law_coefficients(), what the law asks of a run.
// Out: the loss in nats a token, or Ling's efficiency leverage. No ranges are checked here; nothing is converted.
#pragma once

#include <cmath>

namespace moebius::fit {

// Clark et al. 2022 (2202.01169), the saturating number of experts: 1/Eh = 1/(E - 1 + 1/(1/Es - 1/Em)) + 1/Em.
// Es at one expert, Em as E grows without bound. The joint law adopts it, Ling applies it to the activation ratio.
template <typename T>
T saturating(const T& shifted, const T& start, const T& limit) {
  const T one(1.0);
  return one / (one / (shifted + one / (one / start - one / limit)) + one / limit);
}

// E + A/N^alpha + B/D^beta (Hoffmann et al. 2022, 2203.15556, equation 2). c = {E, A, B, alpha, beta}.
template <typename T>
T chinchilla_loss(const T* c, const T& parameters, const T& tokens) {
  using std::pow;
  return c[0] + c[1] * pow(parameters, -c[3]) + c[2] * pow(tokens, -c[4]);
}

// c + (g/G^gamma + a)/N^alpha + b/D^beta (Krajewski et al. 2024, 2402.07871, equation 9).
// c = {c, g, gamma, a, alpha, b, beta}.
template <typename T>
T fine_grained_loss(const T* c, const T& parameters, const T& tokens, const T& granularity) {
  using std::pow;
  return c[0] + (c[1] * pow(granularity, -c[2]) + c[3]) * pow(parameters, -c[4]) + c[5] * pow(tokens, -c[6]);
}

// a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e (Abnar et al. 2025, 2501.12370, equation 6).
// c = {a, alpha, b, beta, c, lambda, d, delta, gamma, e}; `density` = 1 - S = K/E.
template <typename T>
T abnar_loss(const T* c, const T& parameters, const T& tokens, const T& density) {
  using std::pow;
  return c[0] * pow(parameters, -c[1]) + c[2] * pow(tokens, -c[3]) + c[4] * pow(density, -c[5]) +
         c[6] * pow(density, -c[7]) * pow(parameters, -c[8]) + c[9];
}

// a Eh^delta Nact^(alpha + gamma ln Eh) + b Eh^omega D^(beta + zeta ln Eh) + c (Ludziejewski et al. 2025, 2502.05172).
// c = {a, alpha, delta, gamma, b, beta, omega, zeta, Es, Em, c}.
template <typename T>
T joint_loss(const T* c, const T& parameters_active, const T& tokens, const T& experts) {
  using std::exp;
  using std::log;
  const T ln_experts = log(saturating<T>(experts - T(1.0), c[8], c[9]));
  const T model = c[2] * ln_experts + (c[1] + c[3] * ln_experts) * log(parameters_active);
  const T data = c[6] * ln_experts + (c[5] + c[7] * ln_experts) * log(tokens);
  return c[0] * exp(model) + c[4] * exp(data) + c[10];
}

// log10 L = a log10 N + b log10 Eh + c log10 N log10 Eh + d (Clark et al. 2022). c = {a, b, c, d, Es, Em}.
template <typename T>
T routed_loss(const T* c, const T& parameters_base, const T& experts) {
  using std::log;
  using std::pow;
  const T per_decade(1.0 / std::log(10.0));
  const T lg_parameters = log(parameters_base) * per_decade;
  const T lg_experts = log(saturating<T>(experts - T(1.0), c[4], c[5])) * per_decade;
  return pow(T(10.0), c[0] * lg_parameters + c[1] * lg_experts + c[2] * lg_parameters * lg_experts + c[3]);
}

// EL = Ah^(a + d lg C + gamma (lb G)^2 + beta lb G), Ah the saturating activation ratio, lg to base 10, lb to base 2
// (Ling team 2025, 2507.17702; the bases are not printed, these give back the text's numbers). c = {a, d, gamma, beta,
// As, Am}.
template <typename T>
T leverage_value(const T* c, const T& activation, const T& granularity, const T& flops) {
  using std::log;
  using std::pow;
  const T lg_flops = log(flops) * T(1.0 / std::log(10.0));
  const T lb_granularity = log(granularity) * T(1.0 / std::log(2.0));
  const T power = c[0] + c[1] * lg_flops + c[2] * lb_granularity * lb_granularity + c[3] * lb_granularity;
  return pow(saturating<T>(activation, c[4], c[5]), power);
}

}  // namespace moebius::fit
