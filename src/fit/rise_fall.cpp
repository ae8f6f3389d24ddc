// The statistic over ordered blocks, its distribution under noise, and the set of possible peaks.
#include "fit/rise_fall.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/linear_statistics.h"
#include "base/rng.h"

namespace moebius::fit {

namespace {

constexpr double kLevel = 0.05;
constexpr std::size_t kPointsMin = 4;

struct Point {
  double x = 0, sum = 0, count = 0;
};

// Each point for which joins(its number, the last one kept) holds is joined to that one.
template <typename Joins>
std::vector<Point> joined_where(const std::vector<Point>& points, const Joins& joins) {
  std::vector<Point> joined;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (joined.empty() || !joins(i, joined.back())) {
      joined.push_back(points[i]);
      continue;
    }
    Point& into = joined.back();
    into.x = (into.x * into.count + points[i].x * points[i].count) / (into.count + points[i].count);
    into.sum += points[i].sum;
    into.count += points[i].count;
  }
  return joined;
}

// Sorted by x, equal x joined; then neighbours joined evenly down to kPointsMax.
std::vector<Point> join_points(std::vector<Point> points) {
  std::ranges::sort(points, {}, &Point::x);
  points = joined_where(points, [&](std::size_t i, const Point& last) {
    return std::fabs(points[i].x - last.x) <= 1e-9 * std::max(1.0, std::fabs(points[i].x));
  });
  const std::size_t size = points.size();
  if (size <= kPointsMax) return points;
  return joined_where(
      points, [&](std::size_t i, const Point&) { return i * kPointsMax / size == (i - 1) * kPointsMax / size; });
}

}  // namespace

SeedMeans seed_means(const std::vector<Group>& groups) {
  std::vector<Point> points;
  double squares = 0;
  SeedMeans means;
  for (const Group& group : groups) {
    Point point;
    std::vector<double> ys;
    for (const Value& value : group) {
      if (!std::isfinite(value.x) || !std::isfinite(value.y)) continue;
      point.x += value.x;
      point.sum += value.y;
      point.count += 1;
      ys.push_back(value.y);
    }
    if (ys.empty()) continue;
    point.x /= point.count;
    points.push_back(point);
    if (ys.size() > 1) squares += deviation_of(ys) * deviation_of(ys) * static_cast<double>(ys.size() - 1);
    means.df += static_cast<i64>(ys.size()) - 1;
  }
  if (means.df > 0) means.deviation = std::sqrt(squares / static_cast<double>(means.df));
  for (const Point& point : join_points(std::move(points))) {
    means.x.push_back(point.x);
    means.y.push_back(point.sum / point.count);
    means.count.push_back(point.count);
  }
  return means;
}

RiseFallTest::RiseFallTest(std::vector<double> count, i64 df, u64 number) : count_(std::move(count)), df_(df) {
  const std::size_t points = count_.size();
  for (std::size_t begin = 0; begin < points; ++begin) {
    for (std::size_t length = 1; begin + length <= points; length *= 2) {
      double sum = 0;
      for (std::size_t i = begin; i < begin + length; ++i) sum += count_[i];
      blocks_.push_back({begin, begin + length, sum});
    }
  }
  Rng rng(0, RngStream::bootstrap, number);
  std::vector<double> noise(points);
  null_law_.reserve(kNullDraws);
  for (i64 draw = 0; draw < kNullDraws; ++draw) {
    for (std::size_t i = 0; i < points; ++i) noise[i] = rng.next_normal() / std::sqrt(count_[i]);
    double squares = 0;
    for (i64 i = 0; i < df_; ++i) {
      const double normal = rng.next_normal();
      squares += normal * normal;
    }
    const double deviation = df_ > 0 ? std::sqrt(squares / static_cast<double>(df_)) : 1.0;
    null_law_.push_back(largest_fall(block_means(noise)) / deviation);
  }
  std::ranges::sort(null_law_);
}

std::vector<double> RiseFallTest::block_means(const std::vector<double>& y) const {
  std::vector<double> means;
  means.reserve(blocks_.size());
  for (const Block& block : blocks_) {
    double sum = 0;
    for (std::size_t i = block.begin; i < block.end; ++i) sum += count_[i] * y[i];
    means.push_back(sum / block.count);
  }
  return means;
}

// visit(first, second, t): two blocks, the first wholly before the second; t: how far the first is above it, in
// standard errors of unit noise.
template <typename Visit>
void RiseFallTest::each_pair(const std::vector<double>& block_means, Visit&& visit) const {
  for (std::size_t a = 0; a < blocks_.size(); ++a) {
    for (std::size_t b = blocks_.size(); b-- > 0 && blocks_[b].begin >= blocks_[a].end;) {
      visit(a, b, (block_means[a] - block_means[b]) / std::sqrt(1 / blocks_[a].count + 1 / blocks_[b].count));
    }
  }
}

double RiseFallTest::largest_fall(const std::vector<double>& block_means) const {
  double largest = 0;
  each_pair(block_means, [&](std::size_t, std::size_t, double t) { largest = std::max(largest, t); });
  return largest;
}

double RiseFallTest::critical(double level) const {
  const double at = (1 - level) * static_cast<double>(null_law_.size());
  return null_law_[std::min(null_law_.size() - 1, static_cast<std::size_t>(at))];
}

bool RiseFallTest::may_peak_at(std::size_t point, const std::vector<double>& block_means, double bound) const {
  bool may = true;
  each_pair(block_means, [&](std::size_t a, std::size_t b, double t) {
    const bool before = blocks_[b].end <= point + 1, after = blocks_[a].begin >= point;
    may = may && !(before && t > bound) && !(after && -t > bound);
  });
  return may;
}

std::array<std::size_t, 2> RiseFallTest::peak_set(const SeedMeans& means, const std::vector<double>& block_means,
                                                  double level) const {
  const double bound = critical(level) * means.deviation;
  std::array<std::size_t, 2> set = {means.x.size(), 0};
  for (std::size_t i = 0; i < means.x.size(); ++i) {
    if (!may_peak_at(i, block_means, bound)) continue;
    set[0] = std::min(set[0], i);
    set[1] = i;
  }
  return set;
}

// The interval of the turning point, and the estimate: the vertex of a parabola through the interval's points,
// or the best point where that makes no sense.
void RiseFallTest::locate(const SeedMeans& means, const std::vector<double>& block_means, double sign,
                          RiseFall& result) const {
  const std::size_t points = means.x.size();
  const auto [first, last] = peak_set(means, block_means, kLevel);
  if (first == points) {
    result.shape = TurnShape::several;
    return;
  }
  if (result.p > kLevel) {
    if (last == 0) result.shape = TurnShape::low_end;
    if (first + 1 == points) result.shape = TurnShape::high_end;
    if (result.shape == TurnShape::not_determined) return;
    const auto same = [&](double level) {
      const auto set = peak_set(means, block_means, std::min(level, kLevel));
      return set[0] == first && set[1] == last;
    };
    result.p_end = std::max(smallest_level(same), 1 / static_cast<double>(kNullDraws + 1));
    return;
  }
  result.shape = TurnShape::inside;
  const std::size_t begin = first > 0 ? first - 1 : 0, end = std::min(last + 1, points - 1);
  const std::vector<double> x(means.x.begin() + static_cast<std::ptrdiff_t>(begin),
                              means.x.begin() + static_cast<std::ptrdiff_t>(end) + 1);
  std::vector<double> y;
  for (std::size_t i = begin; i <= end; ++i) y.push_back(sign * means.y[i]);
  const Parabola parabola = parabola_of(x, y);
  const double vertex = parabola.vertex();
  const bool sensible = parabola.curvature < 0 && vertex >= x.front() && vertex <= x.back();
  const auto best = std::ranges::max_element(y) - y.begin();
  result.at = {sensible ? vertex : x[static_cast<std::size_t>(best)], x.front(), x.back()};
}

RiseFall RiseFallTest::test(const SeedMeans& means, double sign) const {
  CHECK(means.count == count_ && means.noise_known(), "the test is made for one design with known noise");
  std::vector<double> y;
  for (const double value : means.y) y.push_back(sign * value);
  const std::vector<double> averages = block_means(y);
  // How far each block is above the best-chosen block before it and after it.
  std::vector<double> rise(blocks_.size(), -1e300), fall(blocks_.size(), -1e300);
  std::vector<double> rise_by(blocks_.size(), 0), fall_by(blocks_.size(), 0);
  each_pair(averages, [&](std::size_t a, std::size_t b, double t) {
    if (-t > rise[b]) {
      rise[b] = -t;
      rise_by[b] = averages[b] - averages[a];
    }
    if (t > fall[a]) {
      fall[a] = t;
      fall_by[a] = averages[a] - averages[b];
    }
  });
  RiseFall result;
  result.points = static_cast<i64>(count_.size());
  double statistic = -1e300;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    if (std::min(rise[b], fall[b]) <= statistic) continue;
    statistic = std::min(rise[b], fall[b]);
    result.rise = rise_by[b];
    result.fall = fall_by[b];
  }
  const auto above =
      null_law_.end() - std::lower_bound(null_law_.begin(), null_law_.end(), statistic / means.deviation);
  result.p = static_cast<double>(above + 1) / static_cast<double>(kNullDraws + 1);
  locate(means, averages, sign, result);
  return result;
}

RiseFall rise_fall(const std::vector<Group>& groups, double sign, u64 number) {
  return RiseFallTests(number)(seed_means(groups), sign);
}

RiseFall RiseFallTests::operator()(const SeedMeans& means, double sign) {
  if (means.x.size() < kPointsMin || !means.noise_known()) {
    RiseFall nothing;
    nothing.points = static_cast<i64>(means.x.size());
    return nothing;
  }
  auto at = std::ranges::find_if(designs_, [&](const RiseFallTest& test) { return test.fits(means); });
  if (at == designs_.end()) at = designs_.emplace(at, means.count, means.df, number_);
  return at->test(means, sign);
}

}  // namespace moebius::fit
