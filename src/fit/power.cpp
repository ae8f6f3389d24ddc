// Simulated studies, and formulas for many seeds.
// In, out: power.h.
#include "fit/power.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/linear_statistics.h"
#include "base/parallel.h"
#include "fit/rise_fall.h"
#include "base/rng.h"

namespace moebius::fit {

namespace {

constexpr i64 kStudiesLinear = 2000, kStudiesPeak = 1000, kStudiesCorrelation = 200;
constexpr i64 kSeedsSimulated = 16;  // more: by a formula
constexpr i64 kReplicatesFew = 400;  // of the bootstrap inside a simulation
constexpr int kBisections = 12;

bool two_groups(HypothesisKind kind) { return kind == HypothesisKind::difference || kind == HypothesisKind::equal; }
bool by_simulated_test(HypothesisKind kind) {
  return kind == HypothesisKind::peak || kind == HypothesisKind::correlation;
}

double level_of(const PowerDesign& design) { return kLevel95 / static_cast<double>(std::max<i64>(1, design.tests)); }

// The weights that the statistic gives to configurations' means.
std::vector<double> weights_of(const PowerDesign& design) {
  if (!two_groups(design.kind)) return slope_weights(design.x);
  const double b = static_cast<double>(std::ranges::count(design.in_b, true));
  const double a = static_cast<double>(design.in_b.size()) - b;
  std::vector<double> weights;
  for (const bool in_b : design.in_b) weights.push_back(in_b ? 1 / b : -1 / a);
  return weights;
}

double norm_of(const std::vector<double>& weights) {
  double squares = 0;
  for (const double weight : weights) squares += weight * weight;
  return std::sqrt(squares);
}

// The effect, or the margin, that one simulated study without effect would just have resolved.
double just_resolved(const PowerDesign& design, const PowerNoise& noise, const std::vector<double>& weights,
                     i64 study) {
  Rng rng(1, RngStream::bootstrap, static_cast<u64>(study));
  std::vector<std::vector<double>> values(weights.size());
  std::vector<double> by_seed(static_cast<std::size_t>(design.seeds));
  for (std::size_t g = 0; g < weights.size(); ++g) {
    for (double& sum : by_seed) {
      values[g].push_back(noise.seed * rng.next_normal());
      sum += weights[g] * values[g].back();
    }
  }
  const double item_se = noise.item * norm_of(weights), seeds = static_cast<double>(design.seeds);
  std::vector<double> numbers(by_seed.size());
  std::iota(numbers.begin(), numbers.end(), 1);
  LinearEstimate estimate = linear_estimate(weights, values, item_se, std::vector(weights.size(), numbers));
  if (design.kind == HypothesisKind::contrast) {
    estimate.seed_errors.push_back({deviation_of(by_seed) / std::sqrt(seeds), seeds - 1});
  }
  const double value = estimate.value + item_se * rng.next_normal(), half = estimate.half(level_of(design));
  return design.margin ? half + std::fabs(value) : half - value;
}

double of_linear(const PowerDesign& design, const PowerNoise& noise) {
  const std::vector<double> weights = weights_of(design);
  if (design.seeds > kSeedsSimulated) {  // the degrees of freedom hardly matter any more
    const double seeds = static_cast<double>(design.seeds), level = level_of(design);
    const double seed_se = norm_of(weights) * noise.seed / std::sqrt(seeds), item_se = norm_of(weights) * noise.item;
    const double df = static_cast<double>(weights.size() - 1) * (seeds - 1), normal = 1e9;
    return std::hypot(student_t(df, level) * seed_se, student_t(normal, level) * item_se) +
           student_t(normal, design.margin ? 1 - kPower : 2 * (1 - kPower)) * std::hypot(seed_se, item_se);
  }
  std::vector<double> needs(kStudiesLinear);
  parallel_for(kStudiesLinear, [&](i64 study, int) {
    needs[static_cast<std::size_t>(study)] = just_resolved(design, noise, weights, study);
  });
  std::ranges::sort(needs);
  return percentile(needs, kPower);
}

// The effect at which `share` reaches the power; share(effect) grows with its effect. Effects in units of the noise.
template <typename Share>
double bisect(const Share& share) {
  double low = 0, high = 1;
  while (share(high) < kPower) {
    low = high;
    high *= 2;
    if (high > 1e4) return kUnknown;
  }
  for (int i = 0; i < kBisections; ++i) {
    const double middle = 0.5 * (low + high);
    (share(middle) < kPower ? low : high) = middle;
  }
  return high;
}

// One simulated study: shape[i] times the effect, and noise of standard deviation 1.
std::vector<Group> draw(const std::vector<double>& x, const std::vector<double>& shape, double effect, i64 seeds,
                        double item, i64 study) {
  Rng rng(1, RngStream::bootstrap, static_cast<u64>(study));
  std::vector<Group> groups(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (i64 seed = 0; seed < seeds; ++seed) {
      groups[i].push_back({x[i], effect * shape[i] + rng.next_normal(), kUnknown, item});
    }
  }
  return groups;
}

template <typename Supports>
double share_of(i64 studies, const Supports& supports) {
  std::vector<char> found(static_cast<std::size_t>(studies));
  parallel_for(studies, [&](i64 study, int) { found[static_cast<std::size_t>(study)] = supports(study); });
  return static_cast<double>(std::ranges::count(found, char{1})) / static_cast<double>(studies);
}

double of_peak(const PowerDesign& design, const PowerNoise& noise) {
  const auto [least, largest] = std::ranges::minmax_element(design.x);
  const double middle = 0.5 * (*least + *largest), half = 0.5 * (*largest - *least);
  std::vector<double> shape;
  for (const double x : design.x) shape.push_back(1 - (x - middle) * (x - middle) / (half * half));
  const SeedMeans points = seed_means(draw(design.x, shape, 0, design.seeds, 0, 0));
  const RiseFallTest test(points.count, points.df, 0);
  return noise.seed * bisect([&](double effect) {
           return share_of(kStudiesPeak, [&](i64 study) {
             const RiseFall found = test.test(seed_means(draw(design.x, shape, effect, design.seeds, 0, study)), 1);
             return found.shape == TurnShape::inside && found.p <= level_of(design);
           });
         });
}

double of_correlation(const PowerDesign& design, const PowerNoise& noise) {
  std::vector<double> place, shape;
  for (std::size_t i = 0; i < design.x.size(); ++i) {
    place.push_back(static_cast<double>(i));
    shape.push_back(static_cast<double>(i) / static_cast<double>(design.x.size() - 1));
  }
  return noise.seed * bisect([&](double effect) {
           return share_of(kStudiesCorrelation, [&](i64 study) {
             const auto groups = draw(place, shape, effect, design.seeds, noise.item / noise.seed, study);
             return bootstrap(groups, spearman_of, static_cast<u64>(study), kReplicatesFew)
                 .interval(level_of(design))
                 .above(0);
           });
         });
}

}  // namespace

const char* power_problem(const PowerDesign& design) {
  if (two_groups(design.kind)) {
    const auto b = std::ranges::count(design.in_b, true);
    return b == 0 || b == static_cast<std::ptrdiff_t>(design.in_b.size()) ? "one of the two groups is empty" : "";
  }
  const std::size_t values = std::set<double>(design.x.begin(), design.x.end()).size();
  if (design.kind == HypothesisKind::contrast && values < 2) return "a contrast needs an x that varies";
  if (design.kind == HypothesisKind::flat && values < 2) return "a change per doubling needs an x that varies";
  if (design.kind == HypothesisKind::matched && values < 2)
    return "a comparison at equal values needs an x that varies";
  if (design.kind == HypothesisKind::monotone && values < 3) return "a trend needs three values of x";
  if (design.kind == HypothesisKind::peak && values < 4) return "a turning point needs four values of x";
  if (design.kind == HypothesisKind::correlation && design.x.size() < 5)
    return "a correlation needs five configurations";
  return "";
}

double smallest_effect(const PowerDesign& design, const PowerNoise& noise) {
  CHECK(noise.seed > 0 && noise.item >= 0 && design.seeds >= 2, "power wants noise and two seeds");
  if (*power_problem(design) != '\0') return kUnknown;
  if (design.kind == HypothesisKind::peak) return of_peak(design, noise);
  if (design.kind == HypothesisKind::correlation) return of_correlation(design, noise);
  if (design.kind == HypothesisKind::matched) return kUnknown;  // depends on the values of what is held equal
  return of_linear(design, noise);
}

i64 seeds_needed(const PowerDesign& design, const PowerNoise& noise, double effect) {
  // With several seeds, a simulated effect shrinks as the square root of their number: simulate once, then extrapolate.
  if (by_simulated_test(design.kind)) {
    const double ratio = smallest_effect(design, noise) / effect;
    if (!(ratio > 0)) return 0;
    const double seeds = std::ceil(static_cast<double>(design.seeds) * std::max(1.0, ratio * ratio));
    return seeds > static_cast<double>(kSeedsMax) ? 0 : static_cast<i64>(seeds);
  }
  PowerDesign more = design;
  const auto enough = [&](i64 seeds) {
    more.seeds = seeds;
    return smallest_effect(more, noise) <= effect;
  };
  i64 low = std::max<i64>(design.seeds, 2) - 1, high = kSeedsMax;
  if (!enough(high)) return 0;
  while (high - low > 1) {
    const i64 middle = low < kSeedsSimulated && high > kSeedsSimulated ? kSeedsSimulated : (low + high) / 2;
    (enough(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace moebius::fit
