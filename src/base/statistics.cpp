// Means, fits and the bootstrap.
#include "base/statistics.h"

#include <cmath>

#include "base/check.h"
#include "base/linear_statistics.h"
#include "base/rng.h"

namespace moebius {

namespace {

double or_zero(double se) { return std::isfinite(se) ? se : 0; }

std::vector<double> ranks_of(const std::vector<double>& values) {
  const std::vector<std::size_t> order = order_by(values.size(), [&](std::size_t i) { return values[i]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = 0.5 * static_cast<double>(begin + end - 1);
    begin = end;
  }
  return ranks;
}

double correlation_of(const std::vector<double>& x, const std::vector<double>& y) {
  const double mx = mean_of(x), my = mean_of(y);
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
    xy += (x[i] - mx) * (y[i] - my);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : kUnknown;
}

// The means of every configuration, resampled or as they are.
class Resampler {
 public:
  explicit Resampler(const std::vector<Group>& groups)
      : groups_(groups), x_(groups.size()), y_(groups.size()), x_variance_(groups.size()), y_variance_(groups.size()) {
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const double n = static_cast<double>(groups[g].size());
      for (const Value& value : groups[g]) {
        x_[g] += value.x / n;
        y_[g] += value.y / n;
        x_variance_[g] += or_zero(value.x_se) * or_zero(value.x_se) / n;
        y_variance_[g] += or_zero(value.y_se) * or_zero(value.y_se) / n;
      }
      const double stretch = n > 1 ? std::sqrt(n / (n - 1)) : 0;
      for (const Value& value : groups[g]) {
        if (n > 1) residuals_.push_back({stretch * (value.x - x_[g]), stretch * (value.y - y_[g])});
      }
    }
  }

  const std::vector<double>& x() const { return x_; }
  const std::vector<double>& y() const { return y_; }

  void draw(Rng& rng, std::vector<double>& x, std::vector<double>& y) const {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const double n = static_cast<double>(groups_[g].size());
      double sum_x = 0, sum_y = 0;
      for (std::size_t i = 0; i < groups_[g].size() && !residuals_.empty(); ++i) {
        const Residual& one = residuals_[rng.next_below(residuals_.size())];
        sum_x += one.x;
        sum_y += one.y;
      }
      x[g] = x_[g] + sum_x / n + noise(rng, x_variance_[g]);
      y[g] = y_[g] + sum_y / n + noise(rng, y_variance_[g]);
    }
  }

 private:
  struct Residual {
    double x, y;
  };
  static double noise(Rng& rng, double variance) { return variance > 0 ? std::sqrt(variance) * rng.next_normal() : 0; }

  const std::vector<Group>& groups_;
  std::vector<double> x_, y_;                    // means
  std::vector<double> x_variance_, y_variance_;  // over items
  std::vector<Residual> residuals_;              // of all configurations
};

bool has_noise(const std::vector<Group>& groups) {
  for (const Group& group : groups) {
    if (group.size() > 1) return true;
    for (const Value& value : group) {
      if (or_zero(value.x_se) > 0 || or_zero(value.y_se) > 0) return true;
    }
  }
  return false;
}

}  // namespace

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? kUnknown : sum / static_cast<double>(values.size());
}

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return kUnknown;
  const double at = share * static_cast<double>(sorted.size() - 1);
  const std::size_t below = static_cast<std::size_t>(at), above = std::min(below + 1, sorted.size() - 1);
  const double part = at - static_cast<double>(below);
  return part == 0 ? sorted[below] : sorted[below] + part * (sorted[above] - sorted[below]);
}

double deviation_of(const std::vector<double>& values) {
  if (values.size() < 2) return kUnknown;
  const double mean = mean_of(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

double student_t95(i64 df) { return df <= 0 ? 1.96 : student_t(static_cast<double>(df)); }

double slope_of(const std::vector<double>& x, const std::vector<double>& y) {
  const double mx = mean_of(x), my = mean_of(y);
  double xx = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx);
    xy += (x[i] - mx) * (y[i] - my);
  }
  return xx > 0 ? xy / xx : kUnknown;
}

Parabola parabola_of(const std::vector<double>& x, const std::vector<double>& y) {
  Parabola fit;
  fit.center = mean_of(x);
  const double n = static_cast<double>(x.size());
  double s2 = 0, s3 = 0, s4 = 0, ty = 0, t1y = 0, t2y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double u = x[i] - fit.center;
    s2 += u * u;
    s3 += u * u * u;
    s4 += u * u * u * u;
    ty += y[i];
    t1y += u * y[i];
    t2y += u * u * y[i];
  }
  // Normal equations with sum(u) = 0: eliminate the constant, then a 2 x 2 system in (slope, curvature).
  const double a11 = s2, a12 = s3, a22 = s4 - s2 * s2 / n;
  const double r1 = t1y, r2 = t2y - s2 * ty / n;
  const double determinant = a11 * a22 - a12 * a12;
  if (!(std::fabs(determinant) > 1e-12 * std::fabs(a11 * a22))) return fit;
  fit.slope = (r1 * a22 - a12 * r2) / determinant;
  fit.curvature = (a11 * r2 - a12 * r1) / determinant;
  return fit;
}

double spearman_of(const std::vector<double>& x, const std::vector<double>& y) {
  return correlation_of(ranks_of(x), ranks_of(y));
}

Bootstrap bootstrap(const std::vector<Group>& groups, const Statistic& statistic, u64 test, i64 replicates) {
  Bootstrap result;
  for (const Group& group : groups) CHECK(!group.empty(), "a configuration without runs");
  const Resampler resampler(groups);
  result.estimate = statistic(resampler.x(), resampler.y());
  if (!has_noise(groups) || !std::isfinite(result.estimate)) return result;
  std::vector<double> x(groups.size()), y(groups.size()), draws;
  draws.reserve(static_cast<std::size_t>(replicates));
  Rng rng(0, RngStream::bootstrap, test);
  for (i64 replicate = 0; replicate < replicates; ++replicate) {
    resampler.draw(rng, x, y);
    const double value = statistic(x, y);
    if (std::isfinite(value)) draws.push_back(value);
  }
  if (static_cast<i64>(draws.size()) < replicates / 2) return result;
  std::ranges::sort(draws);
  result.draws = std::move(draws);
  for (const Group& group : groups) result.df += static_cast<double>(group.size()) - 1;
  return result;
}

Interval Bootstrap::interval(double level) const {
  Interval interval{.estimate = estimate};
  if (draws.empty()) return interval;
  const double normal = student_t(std::numeric_limits<double>::infinity(), level);
  const double widen = df > 0 ? student_t(df, level) / normal : 1;
  interval.low = estimate + widen * (percentile(draws, level / 2) - estimate);
  interval.high = estimate + widen * (percentile(draws, 1 - level / 2) - estimate);
  return interval;
}

}  // namespace moebius
