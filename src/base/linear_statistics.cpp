// Student's t by the incomplete beta function, pooled and Welch-Satterthwaite standard errors.
#include "base/linear_statistics.h"

#include <algorithm>
#include <numbers>

#include "base/check.h"

namespace moebius {

namespace {

constexpr double kNormalDf = 1e7;  // from here on the normal distribution

// Continued fraction of the incomplete beta function (modified Lentz; Numerical Recipes 6.4). Converges for
// x < (a + 1)/(a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto guard = [](double v) { return std::fabs(v) < kTiny ? kTiny : v; };
  double c = 1, d = 1 / guard(1 - (a + b) * x / (a + 1)), h = d;
  for (int m = 1; m <= 500; ++m) {
    const double even = m * (b - m) * x / ((a - 1 + 2 * m) * (a + 2 * m));
    d = 1 / guard(1 + even * d);
    c = guard(1 + even / c);
    h *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 1 + 2 * m));
    d = 1 / guard(1 + odd * d);
    c = guard(1 + odd / c);
    h *= d * c;
    if (std::fabs(d * c - 1) < 1e-15) break;
  }
  return h;
}

// I_x(a, b) with 1 - x given, too, so that neither end loses digits.
double incomplete_beta(double a, double b, double x, double rest) {
  if (x <= 0) return 0;
  if (rest <= 0) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log(rest));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, rest) / b;
}

// Share of Student's t beyond +-t.
double two_tails(double t, double df) {
  if (df >= kNormalDf) return std::erfc(t / std::numbers::sqrt2);
  return incomplete_beta(0.5 * df, 0.5, df / (df + t * t), t * t / (df + t * t));
}

// Residuals of each run around its configuration and, if all configurations have the same seeds (at least two), its seed.
struct Residuals {
  std::vector<std::vector<double>> of_runs;
  bool paired = false;
};

// Rows in the order of their seeds; empty unless all have the same ones.
std::vector<std::vector<double>> by_seed(const std::vector<std::vector<double>>& values,
                                         const std::vector<std::vector<double>>& seeds) {
  std::vector<std::vector<double>> rows;
  std::vector<double> first;
  if (seeds.size() != values.size() || values.size() < 2) return {};
  for (std::size_t g = 0; g < values.size(); ++g) {
    CHECK(values[g].size() == seeds[g].size(), "one seed for each run");
    std::vector<double> row, sorted;
    for (const std::size_t r : order_by(seeds[g].size(), [&](std::size_t i) { return seeds[g][i]; })) {
      sorted.push_back(seeds[g][r]);
      row.push_back(values[g][r]);
    }
    if (g == 0) first = sorted;
    if (sorted != first || sorted.size() < 2 || std::ranges::adjacent_find(sorted) != sorted.end()) return {};
    rows.push_back(std::move(row));
  }
  return rows;
}

Residuals residuals_of(const std::vector<std::vector<double>>& values, const std::vector<std::vector<double>>& seeds) {
  Residuals out{.of_runs = by_seed(values, seeds)};
  out.paired = !out.of_runs.empty();
  if (!out.paired) out.of_runs = values;
  for (std::vector<double>& row : out.of_runs) {
    const double mean = mean_of(row);
    for (double& value : row) value -= mean;
  }
  if (!out.paired) return out;
  for (std::size_t s = 0; s < out.of_runs.front().size(); ++s) {
    double mean = 0;
    for (const std::vector<double>& row : out.of_runs) mean += row[s] / static_cast<double>(out.of_runs.size());
    for (std::vector<double>& row : out.of_runs) row[s] -= mean;
  }
  return out;
}

double sum_of_squares(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

bool sums_to_zero(const std::vector<double>& weights) {
  double sum = 0, size = 0;
  for (const double weight : weights) {
    sum += weight;
    size += std::fabs(weight);
  }
  return std::fabs(sum) <= 1e-9 * size;
}

// Welch-Satterthwaite; only configurations with a weight. Nothing to add unless each has several runs.
void add_welch(const std::vector<double>& weights, const std::vector<std::vector<double>>& values,
               const std::vector<std::vector<double>>& seeds, LinearEstimate& out) {
  std::vector<double> used_weights;
  std::vector<std::vector<double>> used_values, used_seeds;
  for (std::size_t g = 0; g < weights.size(); ++g) {
    if (weights[g] == 0) continue;
    if (values[g].size() < 2) return;
    used_weights.push_back(weights[g]);
    used_values.push_back(values[g]);
    if (!seeds.empty()) used_seeds.push_back(seeds[g]);
  }
  const Residuals residuals = residuals_of(used_values, used_seeds);
  const double groups = static_cast<double>(used_values.size());
  const double share = residuals.paired ? (groups - 1) / groups : 1;  // of a configuration's noise in its residuals
  double variance = 0, terms = 0, df_most = 0;
  for (std::size_t g = 0; g < used_values.size(); ++g) {
    const double n = static_cast<double>(used_values[g].size()), df = n - 1;
    const double part = used_weights[g] * used_weights[g] * sum_of_squares(residuals.of_runs[g]) / (df * share) / n;
    variance += part;
    terms += part * part / df;
    df_most += share * df;
  }
  if (variance > 0) out.seed_errors.push_back({std::sqrt(variance), std::min(variance * variance / terms, df_most)});
}

}  // namespace

double student_t(double df, double level) {
  CHECK(df > 0 && level > 0 && level <= 1, "Student's t needs df > 0 and a level in (0, 1]");
  double low = 0, high = 2;
  while (two_tails(high, df) > level && high < 1e100) {
    low = high;
    high *= 4;
  }
  for (int i = 0; i < 100 && high - low > 1e-13 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (two_tails(middle, df) > level ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

IntervalKind LinearEstimate::kind() const {
  if (!seed_errors.empty()) return IntervalKind::seeds;
  return std::isfinite(item_se) ? IntervalKind::items : IntervalKind::none;
}

double LinearEstimate::half(double level) const {
  if (kind() == IntervalKind::none) return kUnknown;
  double seeds = 0;
  for (const SeedError& error : seed_errors) {
    if (error.se > 0) seeds = std::max(seeds, student_t(error.df, level) * error.se);
  }
  return item_se > 0 ? std::hypot(seeds, student_t(kNormalDf, level) * item_se) : seeds;
}

SeedNoise seed_noise(const std::vector<std::vector<double>>& values_GR,
                     const std::vector<std::vector<double>>& seeds_GR) {
  const Residuals residuals = residuals_of(values_GR, seeds_GR);
  SeedNoise out{.paired = residuals.paired};
  for (const std::vector<double>& row : residuals.of_runs) {
    out.squares += sum_of_squares(row);
    out.df += static_cast<double>(row.size()) - 1;
  }
  const double groups = static_cast<double>(values_GR.size());
  if (out.paired) out.df *= (groups - 1) / groups;
  return out;
}

LinearEstimate linear_estimate(const std::vector<double>& weights_G, const std::vector<std::vector<double>>& values_GR,
                               double item_se, const std::vector<std::vector<double>>& seeds_GR) {
  CHECK(weights_G.size() == values_GR.size(), "one weight for each configuration");
  LinearEstimate out{.value = 0, .seed_errors = {}, .item_se = item_se};
  double weight_squares = 0;
  for (std::size_t g = 0; g < weights_G.size(); ++g) {
    CHECK(!values_GR[g].empty(), "a configuration without runs");
    if (weights_G[g] == 0) continue;
    out.value += weights_G[g] * mean_of(values_GR[g]);
    weight_squares += weights_G[g] * weights_G[g] / static_cast<double>(values_GR[g].size());
  }
  const std::vector<std::vector<double>> seeds =
      sums_to_zero(weights_G) ? seeds_GR : std::vector<std::vector<double>>();
  const SeedNoise noise = seed_noise(values_GR, seeds);
  if (noise.df <= 0) return out;
  out.seed_errors.push_back({std::sqrt(noise.squares / noise.df * weight_squares), noise.df});
  add_welch(weights_G, values_GR, seeds, out);
  return out;
}

double unpaired_item_se(const std::vector<double>& weights_G, const std::vector<std::vector<double>>& se_GR) {
  double squares = 0;
  bool known = false;
  for (std::size_t g = 0; g < weights_G.size(); ++g) {
    double sum = 0;
    for (const double se : se_GR[g]) {
      if (!std::isfinite(se)) continue;
      sum += se * se;
      known = true;
    }
    squares += weights_G[g] * weights_G[g] * sum / static_cast<double>(se_GR[g].size());
  }
  return known ? std::sqrt(squares) : kUnknown;
}

std::vector<double> slope_weights(const std::vector<double>& x) {
  const double mean = mean_of(x);
  double squares = 0;
  for (const double value : x) squares += (value - mean) * (value - mean);
  std::vector<double> weights;
  for (const double value : x) {
    if (squares > 0) weights.push_back((value - mean) / squares);
  }
  return weights;
}

}  // namespace moebius
