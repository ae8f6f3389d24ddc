// Means, fits and the bootstrap.
#include "base/statistics.h"

#include <array>
#include <cmath>

#include "base/check.h"
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
  explicit Resampler(const std::vector<Group>& groups) : groups_(groups), x_(groups.size()), y_(groups.size()) {
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (const Value& value : groups[g]) {
        x_[g] += value.x / static_cast<double>(groups[g].size());
        y_[g] += value.y / static_cast<double>(groups[g].size());
      }
    }
  }

  const std::vector<double>& x() const { return x_; }
  const std::vector<double>& y() const { return y_; }

  void draw(Rng& rng, std::vector<double>& x, std::vector<double>& y) const {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const double n = static_cast<double>(groups_[g].size());
      const double stretch = n > 1 ? std::sqrt(n / (n - 1)) : 0;
      double sum_x = 0, sum_y = 0;
      for (std::size_t i = 0; i < groups_[g].size(); ++i) {
        const Value& value = groups_[g][rng.next_below(groups_[g].size())];
        sum_x += stretch * (value.x - x_[g]) + noise(rng, value.x_se);
        sum_y += stretch * (value.y - y_[g]) + noise(rng, value.y_se);
      }
      x[g] = x_[g] + sum_x / n;
      y[g] = y_[g] + sum_y / n;
    }
  }

 private:
  static double noise(Rng& rng, double se) { return or_zero(se) > 0 ? se * rng.next_normal() : 0; }

  const std::vector<Group>& groups_;
  std::vector<double> x_, y_;
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

double student_t95(i64 df) {
  static constexpr std::array<double, 30> table = {
      12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
      2.120,  2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  if (df <= 0) return 1.96;
  if (df <= 30) return table[static_cast<std::size_t>(df - 1)];
  return 1.96 + 2.5 / static_cast<double>(df);  // within 0.002 of the law beyond 30
}

SeedMean seed_mean(const std::vector<double>& values, const std::vector<double>& item_se) {
  const double mean = mean_of(values);
  if (values.size() > 1) {
    const double n = static_cast<double>(values.size());
    const double half = student_t95(static_cast<i64>(values.size()) - 1) * deviation_of(values) / std::sqrt(n);
    return {interval_around(mean, half), IntervalKind::seeds};
  }
  if (values.size() == 1 && item_se.size() == 1 && std::isfinite(item_se[0]))
    return {interval_around(mean, 1.96 * item_se[0]), IntervalKind::items};
  return {interval_around(mean, kUnknown), IntervalKind::none};
}

Interval difference_of(const std::vector<double>& a, const std::vector<double>& a_se, const std::vector<double>& b,
                       const std::vector<double>& b_se) {
  double half = kUnknown;
  const double na = static_cast<double>(a.size()), nb = static_cast<double>(b.size());
  if (a.size() > 1 && b.size() > 1) {
    const double va = deviation_of(a) * deviation_of(a) / na, vb = deviation_of(b) * deviation_of(b) / nb;
    half = student_t95(static_cast<i64>(a.size() + b.size()) - 2) * std::sqrt(va + vb);
  } else if (a.size() == 1 && b.size() == 1) {
    half = 1.96 * std::sqrt(a_se[0] * a_se[0] + b_se[0] * b_se[0]);
  }
  return interval_around(mean_of(b) - mean_of(a), half);
}

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

Interval bootstrap(const std::vector<Group>& groups, const Statistic& statistic, u64 test, double coverage,
                   i64 replicates) {
  Interval interval;
  for (const Group& group : groups) CHECK(!group.empty(), "a configuration without runs");
  const Resampler resampler(groups);
  interval.estimate = statistic(resampler.x(), resampler.y());
  if (!has_noise(groups) || !std::isfinite(interval.estimate)) return interval;
  std::vector<double> x(groups.size()), y(groups.size()), draws;
  draws.reserve(static_cast<std::size_t>(replicates));
  Rng rng(0, RngStream::bootstrap, test);
  for (i64 replicate = 0; replicate < replicates; ++replicate) {
    resampler.draw(rng, x, y);
    const double value = statistic(x, y);
    if (std::isfinite(value)) draws.push_back(value);
  }
  if (static_cast<i64>(draws.size()) < replicates / 2) return interval;
  std::ranges::sort(draws);
  i64 df = -static_cast<i64>(groups.size());
  for (const Group& group : groups) df += static_cast<i64>(group.size());
  const double widen = student_t95(df) / 1.96;
  interval.low = interval.estimate + widen * (percentile(draws, 0.5 - coverage / 2) - interval.estimate);
  interval.high = interval.estimate + widen * (percentile(draws, 0.5 + coverage / 2) - interval.estimate);
  return interval;
}

}  // namespace moebius
