// Closed forms and one-variable searches for optima under a budget.
#include "fit/optimum.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "fit/law_terms.h"

namespace moebius::fit {

namespace {

constexpr int kScanPoints = 64;
constexpr int kGoldenSteps = 48;  // the valley shrinks by 0.618 a step: to 1e-10 of the scan's spacing
constexpr int kBisectSteps = 60;
constexpr double kTokensLow = 1.0, kTokensHigh = 1e20;

}  // namespace

double PowerLaw::loss(double parameters, double tokens) const {
  return floor + a * std::pow(parameters, -alpha) + b * std::pow(tokens, -beta);
}

PowerLaw chinchilla_power_law(const std::vector<double>& c) {
  CHECK(c.size() == 5, "E, A, B, alpha, beta");
  return {.floor = c[0], .a = c[1], .alpha = c[3], .b = c[2], .beta = c[4]};
}

PowerLaw joint_power_law(const std::vector<double>& c, double experts) {
  CHECK(c.size() == 11, "the joint law has eleven coefficients");
  const double ln_experts = std::log(saturating<double>(experts - 1, c[8], c[9]));
  return {.floor = c[10],
          .a = c[0] * std::exp(c[2] * ln_experts),
          .alpha = -(c[1] + c[3] * ln_experts),
          .b = c[4] * std::exp(c[6] * ln_experts),
          .beta = -(c[5] + c[7] * ln_experts)};
}

Split power_law_split(const PowerLaw& law, double compute, double flops_per_parameter_token) {
  const double product = compute / flops_per_parameter_token;  // N D
  const double sum = law.alpha + law.beta;
  const double ratio = std::pow(law.alpha * law.a / (law.beta * law.b), 1 / sum);
  Split split;
  split.parameters = ratio * std::pow(product, law.beta / sum);
  split.tokens = product / split.parameters;
  split.loss = law.loss(split.parameters, split.tokens);
  return split;
}

bool among_runs(double value, double least, double greatest) {
  constexpr double kSlack = 1.005;
  return value >= least / kSlack && value <= greatest * kSlack;
}

LogMinimum minimise_log(const std::function<double(double)>& f, double low, double high) {
  CHECK(low > 0 && high >= low, "a range on a logarithmic axis");
  const double from = std::log(low), step = (std::log(high) - from) / (kScanPoints - 1);
  const auto at = [&](double x) { return f(std::exp(x)); };
  int best = 0;
  std::array<double, kScanPoints> values{};
  for (int i = 0; i < kScanPoints; ++i) {
    values[static_cast<std::size_t>(i)] = at(from + step * i);
    if (values[static_cast<std::size_t>(i)] < values[static_cast<std::size_t>(best)]) best = i;
  }
  double left = from + step * std::max(best - 1, 0), right = from + step * std::min(best + 1, kScanPoints - 1);
  const double golden = (std::sqrt(5.0) - 1) / 2;
  double x1 = right - golden * (right - left), x2 = left + golden * (right - left);
  double f1 = at(x1), f2 = at(x2);
  for (int i = 0; i < kGoldenSteps; ++i) {
    // Equal (also two walls): keep the side of the scan's best point.
    const bool keep_left = f1 < f2 || (f1 == f2 && from + step * best < x2);
    if (keep_left) {
      right = x2, x2 = x1, f2 = f1;
      x1 = right - golden * (right - left), f1 = at(x1);
    } else {
      left = x1, x1 = x2, f1 = f2;
      x2 = left + golden * (right - left), f2 = at(x2);
    }
  }
  LogMinimum minimum;
  minimum.at = std::exp(f1 < f2 ? x1 : x2);
  minimum.value = std::min(f1, f2);
  const double scanned = values[static_cast<std::size_t>(best)];
  if (!(minimum.value < scanned)) {  // the end of the range, or a valley against a wall
    minimum.at = std::exp(from + step * best);
    minimum.value = scanned;
  }
  minimum.edge = best == 0 || best == kScanPoints - 1;
  return minimum;
}

std::optional<double> solve_rising_log(const std::function<double(double)>& f, double value, double low, double high) {
  if (!(f(low) <= value) || !(f(high) >= value)) return std::nullopt;
  double left = std::log(low), right = std::log(high);
  for (int i = 0; i < kBisectSteps; ++i) {
    const double middle = 0.5 * (left + right);
    (f(std::exp(middle)) < value ? left : right) = middle;
  }
  return std::exp(0.5 * (left + right));
}

std::optional<double> tokens_for_loss(const std::function<double(double)>& loss_of, double loss) {
  return solve_rising_log([&](double tokens) { return -loss_of(tokens); }, -loss, kTokensLow, kTokensHigh);
}

Optimum optimum_at_compute(const Frontier& frontier, double compute) {
  const auto tokens = [&](double size) { return compute / frontier.flops_per_token(size); };
  const LogMinimum least = minimise_log([&](double size) { return frontier.loss(size, tokens(size)); },
                                        frontier.size_low, frontier.size_high);
  Optimum optimum;
  optimum.size = least.at;
  optimum.tokens = tokens(least.at);
  optimum.loss = least.value;
  optimum.flops_training = compute;
  optimum.edge = least.edge;
  return optimum;
}

std::optional<Optimum> optimum_with_inference(const Frontier& frontier, double loss, double inference_tokens) {
  const auto tokens_of = [&](double size) {
    return tokens_for_loss([&](double tokens) { return frontier.loss(size, tokens); }, loss);
  };
  const auto flops = [&](double size) {
    const auto tokens = tokens_of(size);
    if (!tokens) return std::numeric_limits<double>::infinity();
    return frontier.flops_per_token(size) * (*tokens + inference_tokens / 3);
  };
  const LogMinimum least = minimise_log(flops, frontier.size_low, frontier.size_high);
  if (!std::isfinite(least.value)) return std::nullopt;
  Optimum optimum;
  optimum.size = least.at;
  optimum.tokens = *tokens_of(least.at);
  optimum.loss = loss;
  optimum.flops_training = frontier.flops_per_token(least.at) * optimum.tokens;
  optimum.flops_inference = frontier.flops_per_token(least.at) * inference_tokens / 3;
  optimum.edge = least.edge;
  return optimum;
}

double fine_grained_flops_per_token(double active_core, double d_model, double layers, double experts) {
  constexpr double kPerParameter = 6, kPerRoute = 14;  // the paper's c_f and c_r
  return kPerParameter * active_core + kPerRoute * d_model * experts * layers;
}

LingAllocation ling_allocation(double compute, bool mixture_of_experts) {
  if (mixture_of_experts) return {0.1915 * std::pow(compute, 0.5095), 5.2232 * std::pow(compute, 0.4905)};
  return {0.0655 * std::pow(compute, 0.5422), 15.2582 * std::pow(compute, 0.4578)};
}

double ling_best_granularity(const std::vector<double>& c) {
  CHECK(c.size() == 6, "the leverage law has six coefficients");
  // Ah < 1: the leverage is greatest where the power gamma x^2 + beta x is least.
  return c[2] > 0 ? std::exp2(-c[3] / (2 * c[2])) : kMissing;
}

}  // namespace moebius::fit
