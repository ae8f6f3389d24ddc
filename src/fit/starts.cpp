// Starts of every law. A grid says which share of the mean loss a term has and how steep it is; the term's scale
// follows.
#include "fit/fit.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace moebius::fit {

namespace {

using Starts = std::vector<std::vector<double>>;

struct Means {
  double ln_parameters = 0, ln_tokens = 0, loss = 0, loss_least = 0;
};

Means means_of(Law law, const std::vector<LawPoint>& points) {
  Means means;
  means.loss_least = points.front().loss;
  const std::string size = law_needs(law).front();
  const double share = 1.0 / static_cast<double>(points.size());
  for (const LawPoint& p : points) {
    means.ln_parameters += share * std::log(point_number(p, size));
    means.ln_tokens += share * std::log(p.tokens);
    means.loss += share * p.loss;
    means.loss_least = std::min(means.loss_least, p.loss);
  }
  return means;
}

// Calls visit(numbers) with every choice of one number out of each list; the last list changes fastest.
template <std::size_t N, typename Visit>
void each_choice(const std::array<std::vector<double>, N>& lists, const Visit& visit) {
  std::size_t choices = 1;
  for (const std::vector<double>& list : lists) choices *= list.size();
  for (std::size_t choice = 0; choice < choices; ++choice) {
    std::array<double, N> numbers{};
    std::size_t rest = choice;
    for (std::size_t i = N; i-- > 0; rest /= lists[i].size()) numbers[i] = lists[i][rest % lists[i].size()];
    visit(numbers);
  }
}

// What all additive laws share: the constant, and the parts of the rest that model and data have, with their exponents.
struct Split {
  double constant, model, alpha, beta;
  double ln_data;  // of the scale of the data's part
};

std::vector<Split> splits(const Means& means) {
  std::vector<Split> all;
  const std::vector<double> exponents = {0.1, 0.3, 0.6};
  each_choice<4>({{{0.3, 0.6, 0.85}, {0.25, 0.5, 0.75}, exponents, exponents}}, [&](const auto& n) {
    const double irreducible = n[0] * means.loss_least, rest = means.loss - irreducible;
    all.push_back({irreducible, n[1] * rest, n[2], n[3], std::log((1 - n[1]) * rest) + n[3] * means.ln_tokens});
  });
  return all;
}

void add_chinchilla(const Means& means, Starts& starts) {
  // The grid of Besiroglu et al. 2024.
  const std::vector<double> scales = {0, 5, 10, 15, 20, 25}, exponents = {0, 0.5, 1, 1.5, 2};
  each_choice<5>({{scales, scales, {-1, -0.5, 0, 0.5, 1}, exponents, exponents}}, [&](const auto& n) {
    starts.push_back({n[2], n[0], n[1], n[3], n[4]});
  });
  for (const Split& s : splits(means)) {
    starts.push_back(
        {std::log(s.constant), std::log(s.model) + s.alpha * means.ln_parameters, s.ln_data, s.alpha, s.beta});
  }
}

void add_fine_grained(const Means& means, Starts& starts) {
  for (const Split& s : splits(means)) {
    each_choice<2>({{{0.1, 0.4}, {0.3, 0.8}}}, [&](const auto& n) {
      const auto [granular, gamma] = n;
      const double scale = s.alpha * means.ln_parameters;
      starts.push_back({std::log(s.constant), std::log(granular * s.model) + scale, gamma,
                        std::log((1 - granular) * s.model) + scale, s.alpha, s.ln_data, s.beta});
    });
  }
}

void add_abnar(const Means& means, Starts& starts) {
  for (const Split& s : splits(means)) {
    each_choice<4>({{{0.1, 0.3}, {0.2, 0.6}, {-0.3, 0.1}, {0.1, 0.3}}}, [&](const auto& n) {
      // Shares of c/(1-S)^lambda in the constant, of the mixed term in the model's part.
      const auto [sparse, mixed, lambda, gamma] = n;
      starts.push_back({std::log((1 - mixed) * s.model) + s.alpha * means.ln_parameters, s.alpha, s.ln_data, s.beta,
                        std::log(sparse * s.constant), lambda, std::log(mixed * s.model) + gamma * means.ln_parameters,
                        0.1, gamma, std::log((1 - sparse) * s.constant)});
    });
  }
}

void add_joint(const Means& means, Starts& starts) {
  for (const Split& s : splits(means)) {
    each_choice<3>({{{0.0, 0.5}, {1.2, 3.0}, {10.0, 200.0}}}, [&](const auto& n) {
      const auto [omega, start, limit] = n;
      const double ln_experts = std::log(start) + 0.5;  // somewhere in the middle
      starts.push_back({std::log(s.model) + s.alpha * means.ln_parameters + 0.2 * ln_experts, -s.alpha, -0.2, 0.0,
                        s.ln_data - omega * ln_experts, -s.beta, omega, 0.0, std::log(start), std::log(limit),
                        std::log(s.constant)});
    });
  }
}

void add_routed(const Means& means, Starts& starts) {
  each_choice<5>({{{-0.05, -0.1, -0.2}, {-0.05, -0.15}, {0.0, 0.01}, {1.2, 2.0, 4.0}, {10.0, 100.0, 1000.0}}},
                 [&](const auto& n) {
                   const auto [a, b, c, start, limit] = n;
                   const double d = std::log10(means.loss) - a * means.ln_parameters / std::log(10.0);
                   starts.push_back({a, b, c, d, std::log(start), std::log(limit)});
                 });
}

void add_leverage(Starts& starts) {
  each_choice<6>({{{0.5, -0.5, -1.0}, {-0.1, 0.0}, {0.0, 0.02}, {-0.1, 0.0}, {1e-3, 1e-2, 1e-1}, {10.0, 1e6}}},
                 [&](const auto& n) {
                   starts.push_back({n[0], n[1], n[2], n[3], std::log(n[4]), std::log(n[5])});
                 });
}

}  // namespace

std::vector<std::vector<double>> starts_of(Law law, const std::vector<LawPoint>& points) {
  Starts starts;
  for (const PublishedFit& fit : published_fits()) {
    if (fit.law != law) continue;
    const std::vector<double> theta = theta_from_coefficients(law, fit.values);
    if (std::ranges::all_of(theta, [](double t) { return std::isfinite(t); })) starts.push_back(theta);
  }
  const Means means = means_of(law, points);
  if (law == Law::chinchilla || law == Law::flame) add_chinchilla(means, starts);
  if (law == Law::fine_grained) add_fine_grained(means, starts);
  if (law == Law::abnar) add_abnar(means, starts);
  if (law == Law::joint) add_joint(means, starts);
  if (law == Law::routed) add_routed(means, starts);
  if (law == Law::leverage) add_leverage(starts);
  return starts;
}

}  // namespace moebius::fit
