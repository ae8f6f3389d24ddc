// How often the rise-and-fall test reports a turning point that does not exist, and how often it finds one that does,
// next to two tests that assume a curve: slopes of a parabola at both ends (Lind and Mehlum 2010) and two lines broken
// at the best point (Simonsohn 2018). Prints the table of docs/task-laws.md. Slow: thousands of simulated studies.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "base/parallel.h"
#include "fit/rise_fall.h"
#include "base/rng.h"

namespace moebius::fit {
namespace {

constexpr i64 kStudies = 2000;
constexpr int kSeeds = 3;

struct Curve {
  const char* name;
  double (*y)(double u);  // u in [0, 1]
  double (*noise)(double u) = [](double) { return 1.0; };
};

// Each rises by 1 at most; noise is 1 / signal.
const Curve kMonotone[] = {
    {"flat", [](double) { return 0.0; }},
    {"line", [](double u) { return u; }},
    {"saturating", [](double u) { return 1 - std::exp(-6 * u); }},
    {"saturating at once", [](double u) { return 1 - std::exp(-15 * u); }},
    {"logarithm", [](double u) { return std::log(1 + 50 * u) / std::log(51.0); }},
    {"sigmoid", [](double u) { return 1 / (1 + std::exp(-14 * (u - 0.4))); }},
    {"step", [](double u) { return u > 0.35 ? 1.0 : 0.0; }},
    {"convex", [](double u) { return u * u * u; }},
    {"valley", [](double u) { return 4 * (u - 0.4) * (u - 0.4); }},
    {"plateau, valley, plateau", [](double u) { return u > 0.35 && u < 0.65 ? -2.0 : 0.0; }},
};
const Curve kUneven = {"saturating, noise 1 to 3", [](double u) { return 1 - std::exp(-6 * u); },
                       [](double u) { return 1 + 2 * u; }};
const Curve kPeaked[] = {
    {"parabola, peak in the middle", [](double u) { return 4 * u * (1 - u); }},
    {"parabola, peak at 0.7", [](double u) { return 1 - (u - 0.7) * (u - 0.7) / 0.49; }},
    {"slow rise, steep fall", [](double u) { return u < 0.7 ? u / 0.7 : 1 - (u - 0.7) / 0.3; }},
};

std::vector<Group> draw(const Curve& curve, int points, double noise, Rng& rng) {
  std::vector<Group> groups;
  for (int i = 0; i < points; ++i) {
    const double u = static_cast<double>(i) / (points - 1);
    Group group;
    for (int seed = 0; seed < kSeeds; ++seed) {
      group.push_back({u, curve.y(u) + noise * curve.noise(u) * rng.next_normal()});
    }
    groups.push_back(group);
  }
  return groups;
}

// One side of 5 %: both slopes must pass.
double one_sided_t95(i64 df) { return 1.645 + 1.6 / static_cast<double>(df) + 1.5 / static_cast<double>(df * df); }

// Least squares of y on the columns, all runs as single observations; t of each coefficient (2 or 3 columns).
std::vector<double> t_values(const std::vector<std::vector<double>>& rows, const std::vector<double>& y,
                             double* at_ends) {
  const std::size_t p = rows[0].size(), n = y.size();
  std::vector<std::vector<double>> a(p, std::vector<double>(2 * p));
  std::vector<double> b(p);
  for (std::size_t i = 0; i < p; ++i) a[i][p + i] = 1;
  for (std::size_t r = 0; r < n; ++r) {
    for (std::size_t i = 0; i < p; ++i) {
      b[i] += rows[r][i] * y[r];
      for (std::size_t j = 0; j < p; ++j) a[i][j] += rows[r][i] * rows[r][j];
    }
  }
  for (std::size_t c = 0; c < p; ++c) {  // Gauss-Jordan: the matrix is small and positive definite
    const double pivot = a[c][c];
    for (double& value : a[c]) value /= pivot;
    for (std::size_t r = 0; r < p; ++r) {
      const double factor = a[r][c];
      for (std::size_t j = 0; r != c && j < 2 * p; ++j) a[r][j] -= factor * a[c][j];
    }
  }
  std::vector<double> beta(p);
  double rest = 0;
  for (std::size_t i = 0; i < p; ++i) {
    for (std::size_t j = 0; j < p; ++j) beta[i] += a[i][p + j] * b[j];
  }
  for (std::size_t r = 0; r < n; ++r) {
    double fitted = 0;
    for (std::size_t i = 0; i < p; ++i) fitted += rows[r][i] * beta[i];
    rest += (y[r] - fitted) * (y[r] - fitted);
  }
  const double s2 = rest / static_cast<double>(n - p);
  std::vector<double> t(p);
  for (std::size_t i = 0; i < p; ++i) t[i] = beta[i] / std::sqrt(s2 * a[i][p + i]);
  if (at_ends != nullptr) {  // columns 1, u, u^2: slopes at u = 0 and u = 1
    at_ends[0] = t[1];
    at_ends[1] = (beta[1] + 2 * beta[2]) / std::sqrt(s2 * (a[1][p + 1] + 4 * a[1][p + 2] + 4 * a[2][p + 2]));
  }
  return t;
}

bool parabola_claims(const std::vector<Group>& groups) {
  std::vector<std::vector<double>> rows;
  std::vector<double> y;
  for (const Group& group : groups) {
    for (const Value& value : group) {
      rows.push_back({1, value.x, value.x * value.x});
      y.push_back(value.y);
    }
  }
  double ends[2];
  t_values(rows, y, ends);
  const double bound = one_sided_t95(static_cast<i64>(y.size()) - 3);
  return ends[0] > bound && ends[1] < -bound;
}

// Two separate lines, broken at the best inner point, which both hold.
bool two_lines_claim(const std::vector<Group>& groups) {
  const SeedMeans means = seed_means(groups);
  std::size_t best = 1;
  for (std::size_t i = 2; i + 1 < means.y.size(); ++i) {
    if (means.y[i] > means.y[best]) best = i;
  }
  for (const bool left : {true, false}) {
    std::vector<std::vector<double>> rows;
    std::vector<double> y;
    for (const Group& group : groups) {
      if (left ? group[0].x > means.x[best] + 1e-9 : group[0].x < means.x[best] - 1e-9) continue;
      for (const Value& value : group) {
        rows.push_back({1, value.x});
        y.push_back(value.y);
      }
    }
    const double t = t_values(rows, y, nullptr)[1];
    if (!((left ? t : -t) >= one_sided_t95(static_cast<i64>(y.size()) - 2))) return false;
  }
  return true;
}

struct Rates {
  double rise_fall = 0, parabola = 0, two_lines = 0, holds_peak = 0;
};

// Shares of kStudies studies that report a maximum; holds_peak: of these, those whose interval holds `peak`.
Rates measure(const Curve& curve, int points, double noise, double peak) {
  std::vector<double> count(static_cast<std::size_t>(points), kSeeds);
  const RiseFallTest test(count, static_cast<i64>(points) * (kSeeds - 1), 7);
  std::vector<std::array<int, 4>> claims(kStudies);
  parallel_for(kStudies, [&](i64 study, int) {
    Rng rng(31, RngStream::test, static_cast<u64>(study));
    const std::vector<Group> groups = draw(curve, points, noise, rng);
    const RiseFall found = test.test(seed_means(groups), 1);
    const bool inside = found.shape == TurnShape::inside;
    claims[static_cast<std::size_t>(study)] = {inside, parabola_claims(groups), two_lines_claim(groups),
                                               inside && found.at.low <= peak && found.at.high >= peak};
  });
  Rates rates;
  for (const auto& claim : claims) {
    rates.rise_fall += static_cast<double>(claim[0]) / kStudies;
    rates.parabola += static_cast<double>(claim[1]) / kStudies;
    rates.two_lines += static_cast<double>(claim[2]) / kStudies;
    rates.holds_peak += static_cast<double>(claim[3]) / kStudies;
  }
  rates.holds_peak /= std::max(rates.rise_fall, 1e-9);
  return rates;
}

void print_row(const Curve& curve, int points, double noise, const Rates& rates) {
  std::printf("| %-28s | %2d | %4.2f | %5.1f | %5.1f | %5.1f |", curve.name, points, noise, 100 * rates.rise_fall,
              100 * rates.parabola, 100 * rates.two_lines);
}

// 5 % of 2,000 studies is 100 with a standard deviation of 9.7: 128 is three of them away.
constexpr double kRateMax = 0.064;

TEST(RiseFallRates, FalseAlarmsStayUnderTheLevel) {
  std::printf("| curve | points | noise | rise-and-fall | parabola, both ends | two lines |, reported in %%\n");
  double worst = 0;
  for (const int points : {6, 12}) {
    for (const double noise : {0.05, 0.3}) {
      for (const Curve& curve : kMonotone) {
        const Rates rates = measure(curve, points, noise, 0);
        print_row(curve, points, noise, rates);
        std::printf("\n");
        EXPECT_LE(rates.rise_fall, kRateMax) << curve.name << ", " << points << " points, noise " << noise;
        worst = std::max(worst, rates.rise_fall);
      }
    }
  }
  std::printf("largest rate of false alarms of the rise-and-fall test: %.1f %%\n", 100 * worst);
  // Unequal noise is outside of what the test promises; the rate is shown, and must not run away.
  const Rates uneven = measure(kUneven, 6, 0.1, 0);
  print_row(kUneven, 6, 0.1, uneven);
  std::printf("\n");
  EXPECT_LE(uneven.rise_fall, 0.15);
}

TEST(RiseFallRates, PlantedPeaksAreFoundAndLieInTheInterval) {
  std::printf(
      "| curve | points | noise | rise-and-fall | parabola, both ends | two lines | interval holds the peak |\n");
  const double peaks[] = {0.5, 0.7, 0.7};
  for (const int points : {6, 12}) {
    for (const double noise : {0.1, 0.3, 0.6}) {
      for (std::size_t i = 0; i < std::size(kPeaked); ++i) {
        const Rates rates = measure(kPeaked[i], points, noise, peaks[i]);
        print_row(kPeaked[i], points, noise, rates);
        std::printf(" %5.1f |\n", 100 * rates.holds_peak);
        if (noise < 0.2 && i != 1) {  // that one falls by 0.18 alone
          EXPECT_GE(rates.rise_fall, 0.95) << kPeaked[i].name;
        }
        if (rates.rise_fall > 0.2) {
          EXPECT_GE(rates.holds_peak, 0.93) << kPeaked[i].name;
        }
      }
    }
  }
}

}  // namespace
}  // namespace moebius::fit
