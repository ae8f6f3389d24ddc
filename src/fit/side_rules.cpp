// Rules beside the loss laws: effective parameters, sparsity, shared experts, one more split of compute.
#include "fit/side_rules.h"

#include <array>
#include <cmath>

#include "base/check.h"
#include "fit/law_terms.h"

namespace moebius::fit {

namespace {

// Of the secondary source, in the letters of its formula.
struct ZhaoCoefficients {
  double e = 0.1577, f = 7.2446, m = 5.1395, n = -3.2363, k = 0.0013, h = 0.0450;
  double a = 38.051, alpha = 0.2383, b = 27129.05, beta = 0.4694, c = 31.096, eps = 1.8182;
};
constexpr ZhaoCoefficients kZhao;

struct KimiPoint {
  double sparsity, ratio;
};
constexpr std::array<KimiPoint, 4> kKimi = {{{8, 1.69}, {16, 1.39}, {32, 1.15}, {48, 1}}};

}  // namespace

double routed_effective_parameters(const std::vector<double>& c, double parameters, double experts) {
  CHECK(c.size() == 6, "the routed law has six coefficients");
  const double lg_experts = std::log10(saturating<double>(experts - 1, c[4], c[5])), lg_one = std::log10(c[4]);
  const double numerator = (c[0] + c[2] * lg_experts) * std::log10(parameters) + c[1] * (lg_experts - lg_one);
  return std::pow(10.0, numerator / (c[0] + c[2] * lg_one));
}

double routed_cutoff_parameters(const std::vector<double>& c) {
  CHECK(c.size() == 6, "the routed law has six coefficients");
  return c[1] < 0 && c[2] > 0 ? std::pow(10.0, -c[1] / c[2]) : kMissing;
}

double kimi_flops_ratio(double sparsity) {
  for (std::size_t i = 1; i < kKimi.size(); ++i) {
    const KimiPoint &left = kKimi[i - 1], &right = kKimi[i];
    if (!(sparsity >= left.sparsity && sparsity <= right.sparsity)) continue;
    const double share = std::log(sparsity / left.sparsity) / std::log(right.sparsity / left.sparsity);
    return left.ratio * std::pow(right.ratio / left.ratio, share);
  }
  return kMissing;
}

double zhao_loss(const ZhaoPoint& p) {
  const ZhaoCoefficients& z = kZhao;
  const double total = std::pow(p.parameters_total, -z.alpha), active = std::pow(p.parameters_active, -z.alpha);
  const double routing =
      z.e * p.experts_active + z.f / p.experts_active + (z.m * p.shared_ratio + z.n) * p.shared_ratio;
  return routing * (total + z.k * active + z.h * p.parameters_active / p.parameters_total) + z.a * total +
         z.b * std::pow(p.tokens, -z.beta) + z.c * active + z.eps;
}

double zhao_best_experts_active() { return std::sqrt(kZhao.f / kZhao.e); }
double zhao_best_shared_ratio() { return -kZhao.n / (2 * kZhao.m); }

LingAllocation wan_allocation(double compute) {
  return {.flops_per_token = 0.0437 * std::pow(compute, 0.5437), .tokens = 22.89 * std::pow(compute, 0.4563)};
}

}  // namespace moebius::fit
