// The loss laws as formulas. In: coefficients in the order of law_coefficients(), what the law asks of a run.
// Out: the loss in nats a token, or Ling's efficiency leverage. No ranges are checked here; nothing is converted.
#pragma once

#include <cmath>

namespace moebius::fit {

// Clark et al. 2022 (2202.01169), the saturating number of experts: 1/Eh = 1/(E - 1 + 1/(1/Es - 1/Em)) + 1/Em.
// Es at one expert, Em as E grows without bound. The joint law adopts it, Ling applies it to the activation ratio.
inline double saturating(double shifted, double start, double limit) {
  return 1 / (1 / (shifted + 1 / (1 / start - 1 / limit)) + 1 / limit);
}

// E + A/N^alpha + B/D^beta (Hoffmann et al. 2022, 2203.15556, equation 2). c = {E, A, B, alpha, beta}.
inline double chinchilla_loss(const double* c, double parameters, double tokens) {
  return c[0] + c[1] * std::pow(parameters, -c[3]) + c[2] * std::pow(tokens, -c[4]);
}

// c + (g/G^gamma + a)/N^alpha + b/D^beta (Krajewski et al. 2024, 2402.07871, equation 9).
// c = {c, g, gamma, a, alpha, b, beta}.
inline double fine_grained_loss(const double* c, double parameters, double tokens, double granularity) {
  return c[0] + (c[1] * std::pow(granularity, -c[2]) + c[3]) * std::pow(parameters, -c[4]) +
         c[5] * std::pow(tokens, -c[6]);
}

// a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e (Abnar et al. 2025, 2501.12370, equation 6).
// c = {a, alpha, b, beta, c, lambda, d, delta, gamma, e}; `density` = 1 - S = K/E.
inline double abnar_loss(const double* c, double parameters, double tokens, double density) {
  return c[0] * std::pow(parameters, -c[1]) + c[2] * std::pow(tokens, -c[3]) + c[4] * std::pow(density, -c[5]) +
         c[6] * std::pow(density, -c[7]) * std::pow(parameters, -c[8]) + c[9];
}

// a Eh^delta Nact^(alpha + gamma ln Eh) + b Eh^omega D^(beta + zeta ln Eh) + c (Ludziejewski et al. 2025, 2502.05172).
// c = {a, alpha, delta, gamma, b, beta, omega, zeta, Es, Em, c}.
inline double joint_loss(const double* c, double parameters_active, double tokens, double experts) {
  const double ln_experts = std::log(saturating(experts - 1.0, c[8], c[9]));
  const double model = c[2] * ln_experts + (c[1] + c[3] * ln_experts) * std::log(parameters_active);
  const double data = c[6] * ln_experts + (c[5] + c[7] * ln_experts) * std::log(tokens);
  return c[0] * std::exp(model) + c[4] * std::exp(data) + c[10];
}

// log10 L = a log10 N + b log10 Eh + c log10 N log10 Eh + d (Clark et al. 2022). c = {a, b, c, d, Es, Em}.
inline double routed_loss(const double* c, double parameters_base, double experts) {
  const double per_decade = 1.0 / std::log(10.0);
  const double lg_parameters = std::log(parameters_base) * per_decade;
  const double lg_experts = std::log(saturating(experts - 1.0, c[4], c[5])) * per_decade;
  return std::pow(10.0, c[0] * lg_parameters + c[1] * lg_experts + c[2] * lg_parameters * lg_experts + c[3]);
}

// EL = Ah^(a + d lg C + gamma (lb G)^2 + beta lb G), Ah the saturating activation ratio, lg to base 10, lb to base 2
// (Ling team 2025, 2507.17702; the bases are not printed, these give back the text's numbers). c = {a, d, gamma, beta,
// As, Am}.
inline double leverage_value(const double* c, double activation, double granularity, double flops) {
  const double lg_flops = std::log(flops) * (1.0 / std::log(10.0));
  const double lb_granularity = std::log(granularity) * (1.0 / std::log(2.0));
  const double power = c[0] + c[1] * lg_flops + c[2] * lb_granularity * lb_granularity + c[3] * lb_granularity;
  return std::pow(saturating(activation, c[4], c[5]), power);
}

}  // namespace moebius::fit
