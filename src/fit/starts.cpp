// Starts of every law. A grid says which share of the mean loss a term has and how steep it is; the term's scale follows.
#include "fit/starts.h"

#include <algorithm>
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
  const bool total = law == Law::chinchilla || law == Law::fine_grained || law == Law::abnar;
  const double share = 1.0 / static_cast<double>(points.size());
  for (const LawPoint& p : points) {
    means.ln_parameters += share * std::log(total ? p.parameters_total : p.parameters_active);
    means.ln_tokens += share * std::log(p.tokens);
    means.loss += share * p.loss;
    means.loss_least = std::min(means.loss_least, p.loss);
  }
  return means;
}

// What all additive laws share: the constant, and the parts of the rest that model and data have, with their exponents.
struct Split {
  double constant, model, data, alpha, beta;
};

std::vector<Split> splits(const Means& means) {
  std::vector<Split> all;
  for (const double constant : {0.3, 0.6, 0.85}) {
    for (const double model : {0.25, 0.5, 0.75}) {
      for (const double alpha : {0.1, 0.3, 0.6}) {
        for (const double beta : {0.1, 0.3, 0.6}) {
          const double irreducible = constant * means.loss_least, rest = means.loss - irreducible;
          all.push_back({irreducible, model * rest, (1 - model) * rest, alpha, beta});
        }
      }
    }
  }
  return all;
}

void add_epoch_grid(Starts& starts) {
  for (double a = 0; a <= 25; a += 5) {
    for (double b = 0; b <= 25; b += 5) {
      for (double e = -1; e <= 1; e += 0.5) {
        for (double alpha = 0; alpha <= 2; alpha += 0.5) {
          for (double beta = 0; beta <= 2; beta += 0.5) starts.push_back({e, a, b, alpha, beta});
        }
      }
    }
  }
}

void add_chinchilla(const Means& means, Starts& starts) {
  add_epoch_grid(starts);
  for (const Split& s : splits(means)) {
    starts.push_back({std::log(s.constant), std::log(s.model) + s.alpha * means.ln_parameters,
                      std::log(s.data) + s.beta * means.ln_tokens, s.alpha, s.beta});
  }
}

void add_fine_grained(const Means& means, Starts& starts) {
  for (const Split& s : splits(means)) {
    for (const double granular : {0.1, 0.4}) {
      for (const double gamma : {0.3, 0.8}) {
        const double scale = s.alpha * means.ln_parameters;
        starts.push_back({std::log(s.constant), std::log(granular * s.model) + scale, gamma,
                          std::log((1 - granular) * s.model) + scale, s.alpha,
                          std::log(s.data) + s.beta * means.ln_tokens, s.beta});
      }
    }
  }
}

void add_abnar(const Means& means, Starts& starts) {
  for (const Split& s : splits(means)) {
    for (const double sparse : {0.1, 0.3}) {   // share of c/(1-S)^lambda in the constant
      for (const double mixed : {0.2, 0.6}) {  // share of the mixed term in the model's part
        for (const double lambda : {-0.3, 0.1}) {
          for (const double gamma : {0.1, 0.3}) {
            starts.push_back({std::log((1 - mixed) * s.model) + s.alpha * means.ln_parameters, s.alpha,
                              std::log(s.data) + s.beta * means.ln_tokens, s.beta, std::log(sparse * s.constant),
                              lambda, std::log(mixed * s.model) + gamma * means.ln_parameters, 0.1, gamma,
                              std::log((1 - sparse) * s.constant)});
          }
        }
      }
    }
  }
}

void add_joint(const Means& means, Starts& starts) {
  for (const Split& s : splits(means)) {
    for (const double omega : {0.0, 0.5}) {
      for (const double start : {1.2, 3.0}) {
        for (const double limit : {10.0, 200.0}) {
          const double ln_experts = std::log(start) + 0.5;  // somewhere in the middle
          starts.push_back({std::log(s.model) + s.alpha * means.ln_parameters + 0.2 * ln_experts, -s.alpha, -0.2, 0.0,
                            std::log(s.data) + s.beta * means.ln_tokens - omega * ln_experts, -s.beta, omega, 0.0,
                            std::log(start), std::log(limit), std::log(s.constant)});
        }
      }
    }
  }
}

void add_routed(const Means& means, Starts& starts) {
  for (const double a : {-0.05, -0.1, -0.2}) {
    for (const double b : {-0.05, -0.15}) {
      for (const double c : {0.0, 0.01}) {
        for (const double start : {1.2, 2.0, 4.0}) {
          for (const double limit : {10.0, 100.0, 1000.0}) {
            const double d = std::log10(means.loss) - a * means.ln_parameters / std::log(10.0);
            starts.push_back({a, b, c, d, std::log(start), std::log(limit)});
          }
        }
      }
    }
  }
}

void add_leverage(Starts& starts) {
  for (const double a : {0.5, -0.5, -1.0}) {
    for (const double d : {-0.1, 0.0}) {
      for (const double gamma : {0.0, 0.02}) {
        for (const double beta : {-0.1, 0.0}) {
          for (const double start : {1e-3, 1e-2, 1e-1}) {
            for (const double limit : {10.0, 1e6}) {
              starts.push_back({a, d, gamma, beta, std::log(start), std::log(limit)});
            }
          }
        }
      }
    }
  }
}

}  // namespace

std::vector<std::vector<double>> starts_of(Law law, const std::vector<LawPoint>& points) {
  Starts starts;
  for (const PublishedFit& fit : published_fits()) {
    if (fit.law != law) continue;
    const std::vector<double> theta = theta_from_coefficients(law, fit.values);
    if (std::all_of(theta.begin(), theta.end(), [](double t) { return std::isfinite(t); })) starts.push_back(theta);
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
