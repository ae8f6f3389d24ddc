// Standard errors of the linear statistics; simulation for the two tests that have none.
#include "fit/power.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/parallel.h"
#include "fit/rise_fall.h"
#include "base/rng.h"

namespace moebius::fit {

namespace {

constexpr i64 kStudiesPeak = 1000, kStudiesCorrelation = 200;
constexpr i64 kReplicatesFew = 400;  // of the bootstrap inside a simulation
constexpr int kBisections = 12;

// 80 % point of Student's t, within 0.005 of the tables.
double student_t80(double df) { return 0.8416 + 0.36 / df + 0.17 / (df * df); }
constexpr double kNormal90 = 1.2816;

bool two_groups(HypothesisKind kind) { return kind == HypothesisKind::difference || kind == HypothesisKind::equal; }

// sqrt of the sum of squared weights that the statistic gives to configurations' means.
double weight_norm(const PowerDesign& design) {
  if (two_groups(design.kind)) {
    const double b = static_cast<double>(std::ranges::count(design.in_b, true));
    return std::sqrt(1 / b + 1 / (static_cast<double>(design.in_b.size()) - b));
  }
  const double mean = mean_of(design.x);
  double squares = 0;
  for (const double x : design.x) squares += (x - mean) * (x - mean);
  return 1 / std::sqrt(squares);
}

double configurations(const PowerDesign& design) {
  return static_cast<double>(two_groups(design.kind) ? design.in_b.size() : design.x.size());
}

double by_law_of_t(const PowerDesign& design, const PowerNoise& noise) {
  const double seeds = static_cast<double>(design.seeds);
  const double df = configurations(design) * (seeds - 1);
  const double error = weight_norm(design) * std::sqrt((noise.seed * noise.seed + noise.item * noise.item) / seeds);
  const double t = student_t95(static_cast<i64>(df));
  return error * (t + (design.kind == HypothesisKind::equal ? kNormal90 : student_t80(df)));
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
             return found.shape == TurnShape::inside;
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
             return bootstrap(groups, spearman_of, static_cast<u64>(study), 0.95, kReplicatesFew).above(0);
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
  return by_law_of_t(design, noise);
}

i64 seeds_needed(const PowerDesign& design, const PowerNoise& noise, double effect) {
  // With several seeds, a simulated effect shrinks as the square root of their number: simulate once, then extrapolate.
  if (design.kind == HypothesisKind::peak || design.kind == HypothesisKind::correlation) {
    const double ratio = smallest_effect(design, noise) / effect;
    if (!(ratio > 0)) return 0;
    const double seeds = std::ceil(static_cast<double>(design.seeds) * std::max(1.0, ratio * ratio));
    return seeds > static_cast<double>(kSeedsMax) ? 0 : static_cast<i64>(seeds);
  }
  PowerDesign more = design;
  for (more.seeds = std::max<i64>(design.seeds, 2); more.seeds <= kSeedsMax; ++more.seeds) {
    if (smallest_effect(more, noise) <= effect) return more.seeds;
  }
  return 0;
}

}  // namespace moebius::fit
