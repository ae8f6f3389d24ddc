// One-variable searches for optima under a budget, and published rules beside the laws.
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

struct KimiPoint {
  double sparsity, ratio;
};
constexpr std::array<KimiPoint, 4> kKimi = {{{8, 1.69}, {16, 1.39}, {32, 1.15}, {48, 1}}};

}  // namespace

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
  return {
      .size = least.at, .tokens = tokens(least.at), .loss = least.value, .flops_training = compute, .edge = least.edge};
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
  const double tokens = *tokens_of(least.at), each = frontier.flops_per_token(least.at);
  return Optimum{.size = least.at,
                 .tokens = tokens,
                 .loss = loss,
                 .flops_training = each * tokens,
                 .flops_inference = each * inference_tokens / 3,
                 .edge = least.edge};
}

double fine_grained_flops_per_token(double active_core, double d_model, double layers, double experts) {
  constexpr double kPerParameter = 6, kPerRoute = 14;  // the paper's c_f and c_r
  return kPerParameter * active_core + kPerRoute * d_model * experts * layers;
}

LingAllocation ling_allocation(double compute, bool mixture_of_experts) {
  if (mixture_of_experts) return {0.1915 * std::pow(compute, 0.5095), 5.2232 * std::pow(compute, 0.4905)};
  return {0.0655 * std::pow(compute, 0.5422), 15.2582 * std::pow(compute, 0.4578)};
}

double routed_effective_parameters(const std::vector<double>& c, double parameters, double experts) {
  CHECK(c.size() == 6, "the routed law has six coefficients");
  const double lg_experts = std::log10(saturating(experts - 1, c[4], c[5])), lg_one = std::log10(c[4]);
  const double numerator = (c[0] + c[2] * lg_experts) * std::log10(parameters) + c[1] * (lg_experts - lg_one);
  return std::pow(10.0, numerator / (c[0] + c[2] * lg_one));
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

double zhao_best_experts_active() { return std::sqrt(7.2446 / 0.1577); }
double zhao_best_shared_ratio() { return 3.2363 / (2 * 5.1395); }

LingAllocation wan_allocation(double compute) {
  return {.flops_per_token = 0.0437 * std::pow(compute, 0.5437), .tokens = 22.89 * std::pow(compute, 0.4563)};
}

}  // namespace moebius::fit
