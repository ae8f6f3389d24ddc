// Families of runs, groups of equal compute, curves through them.
#include "fit/fit_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "base/units.h"
#include "fit/optimum.h"

namespace moebius::fit {

namespace {

using records::CurvePoint;

constexpr std::size_t kFamilies = 4, kGroups = 10, kPoints = 200;
constexpr int kCurvePoints = 49, kSearchPoints = 241;
constexpr double kSearchBeyond = 100;    // the optimum is looked for in this factor beyond the sizes that were run
constexpr double kOptimumRatioMax = 10;  // of the interval's ends: more is no knowledge
constexpr i64 kSamplesForInterval = 20;  // bootstrap samples; fewer give no interval
constexpr double kEqualComputes = (1 + kEqualCompute) * (1 + kEqualCompute);  // largest ratio in a group
constexpr i64 kSizes = 3;  // different sizes (or sparsities) that make a curve worth drawing

// A fitted law with the coefficients of its best optimum.
struct DrawnLaw {
  const LawFit& fit;
  std::vector<double> best = coefficients_from_theta(fit.kind, fit.minima.front().theta);
  double value(const LawPoint& point) const { return law_value(fit.kind, best, point); }
};

// 95 % of the values that are finite; unknown of too few.
Range band_of(std::vector<double> values) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  if (std::ssize(values) < kSamplesForInterval) return {kMissing, kMissing};
  std::ranges::sort(values);
  return {percentile(values, (1 - kIntervalLevel) / 2), percentile(values, (1 + kIntervalLevel) / 2)};
}

Range band_at(const LawFit& fit, const LawPoint& point) {
  std::vector<double> values;
  for (const std::vector<double>& sample : fit.samples) values.push_back(law_value(fit.kind, sample, point));
  return band_of(std::move(values));
}

// The law at a point, with its band, as a point of a curve over x.
CurvePoint curve_point(const DrawnLaw& law, double x, const LawPoint& point) {
  const Range band = band_at(law.fit, point);
  return {.x = x, .y = law.value(point), .low = band.low, .high = band.high};
}

// y over x, linear between the means at equal x, constant outside.
class Interpolation {
 public:
  void add(double x, double y) {
    auto& [sum, count] = at_[x];
    sum += y;
    count += 1;
  }
  double operator()(double x) const {
    const auto mean = [](const auto& entry) { return entry->second.first / entry->second.second; };
    const auto above = at_.lower_bound(x);
    if (above == at_.end()) return mean(std::prev(at_.end()));
    if (above == at_.begin()) return mean(above);
    const auto below = std::prev(above);
    const double share = (x - below->first) / (above->first - below->first);
    return mean(below) + share * (mean(above) - mean(below));
  }

 private:
  std::map<double, std::pair<double, double>> at_;
};

std::vector<double> log_grid(double low, double high, int count) {
  std::vector<double> grid;
  for (int i = 0; i < count; ++i) grid.push_back(low * std::pow(high / low, i / (count - 1.0)));
  return grid;
}

// Evenly thinned to at most kPoints.
std::vector<std::size_t> thinned(const std::vector<std::size_t>& all) {
  if (all.size() <= kPoints) return all;
  std::vector<std::size_t> few;
  for (std::size_t i = 0; i < kPoints; ++i) few.push_back(all[i * all.size() / kPoints]);
  return few;
}

// ---- IsoFLOP

// The size that the law takes: empty when it does not weigh a size against tokens.
std::string size_column(Law law) {
  const std::vector<std::string> needs = law_needs(law);
  return std::ranges::find(needs, "tokens") == needs.end() ? "" : needs.front();
}

// Runs that differ in size and tokens alone, as the law sees them.
struct Family {
  std::string name;
  LawPoint like;  // experts, top_k and granularity of all of them
  std::vector<std::size_t> runs;
  Interpolation ln_flops_per_size;  // ln(compute / (size tokens)) over ln size
  Range sizes, tokens;
};

std::string family_name(const LawPoint& p, bool grains) {
  std::string name = !(p.experts > 1) ? (p.experts == p.experts ? "dense" : "all runs")
                                      : fmt::format("E = {:g}, k = {:g}", p.experts, p.top_k);
  if (p.experts_shared > 0) name += fmt::format(", s = {:g}", p.experts_shared);
  if (grains) name += fmt::format(", G = {:.3g}", p.granularity);
  return name;
}

std::vector<Family> families_of(const LawFit& fit, const std::string& size) {
  std::map<std::array<double, 4>, Family> by_key;
  const auto known = [](double value) { return std::isfinite(value) ? value : -1; };
  for (std::size_t i = 0; i < fit.points.size(); ++i) {
    const LawPoint& p = fit.points[i];
    const double x = point_number(p, size), compute = run_compute(p);
    if (!(x > 0) || !(p.tokens > 0) || !(compute > 0)) continue;
    const bool grains = fit.kind == Law::fine_grained && std::isfinite(p.granularity);
    const double granularity = grains ? std::round(p.granularity * 100) : -1;
    Family& family = by_key[{known(point_number(p, "experts")), known(point_number(p, "top_k")),
                             point_number(p, "experts_shared"), granularity}];
    if (family.runs.empty()) family.like = p, family.name = family_name(p, grains);
    family.runs.push_back(i);
    family.ln_flops_per_size.add(std::log(x), std::log(compute / (x * p.tokens)));
    family.sizes.add(x);
    family.tokens.add(p.tokens);
  }
  std::vector<Family> families;
  for (auto& [key, family] : by_key) families.push_back(std::move(family));
  std::ranges::stable_sort(families, [](const Family& a, const Family& b) { return a.runs.size() > b.runs.size(); });
  return families;
}

LawPoint at_size(const Family& family, double size, double compute) {
  LawPoint p = family.like;
  p.parameters_total = p.parameters_active = size;  // a law takes one of them
  p.tokens = compute / (size * std::exp(family.ln_flops_per_size(std::log(size))));
  p.flops = compute;
  return p;
}

// The least loss over the size; nothing (NaN) when it lies at an end of the search.
double best_size(Law law, const std::vector<double>& coefficients, const Family& family, double compute) {
  const std::vector<double> grid =
      log_grid(family.sizes.low / kSearchBeyond, family.sizes.high * kSearchBeyond, kSearchPoints);
  std::vector<double> losses;
  for (const double size : grid) losses.push_back(law_value(law, coefficients, at_size(family, size, compute)));
  const auto least = std::ranges::min_element(losses);
  if (!std::isfinite(*least) || least == losses.begin() || least + 1 == losses.end()) return kMissing;
  // The vertex of the parabola through the three lowest points, in ln size.
  const double left = *(least - 1) - *least, right = *(least + 1) - *least;
  const double shift = left + right > 0 ? 0.5 * (left - right) / (left + right) : 0;
  return grid[static_cast<std::size_t>(least - losses.begin())] * std::exp(shift * std::log(grid[1] / grid[0]));
}

// Why an optimum does not lie among the runs; empty: it does.
std::string outside_runs(const Family& family, const LawPoint& at, double size) {
  const auto outside = [](const char* of, double value, const Range& runs) -> std::string {
    if (among_runs(value, runs.low, runs.high)) return "";
    return fmt::format("{0} {1} are outside the range of the runs, {2} to {3}", format_count(value), of,
                       format_count(runs.low), format_count(runs.high));
  };
  const std::string sizes = outside("parameters", size, family.sizes);
  return sizes.empty() ? outside("tokens", at.tokens, family.tokens) : sizes;
}

records::Optimum optimum_of(const DrawnLaw& law, const Family& family, double compute) {
  const LawFit& fit = law.fit;
  const double best = best_size(fit.kind, law.best, family, compute);
  std::vector<double> sizes;
  for (const std::vector<double>& sample : fit.samples) sizes.push_back(best_size(fit.kind, sample, family, compute));
  const i64 without = std::ranges::count_if(sizes, [](double s) { return !std::isfinite(s); });
  const Range band = band_of(sizes);
  std::string why;
  if (!fit.verdict.known()) {
    why = "the law itself is not determined by these runs";
  } else if (!std::isfinite(best)) {
    why = "the loss has no minimum within a factor of 100 of the sizes that were run";
  } else if (!std::isfinite(band.low) || 20 * without > std::ssize(sizes)) {
    why = sizes.empty() ? "without bootstrap samples its interval is not known"
                        : fmt::format("{} of {} bootstrap samples have no optimum", without, sizes.size());
  } else if (band.high / band.low >= kOptimumRatioMax) {
    why = fmt::format("its interval, {} to {}, spans a factor of {:.0f}", format_count(band.low),
                      format_count(band.high), band.high / band.low);
  } else {
    why = outside_runs(family, at_size(family, best, compute), best);
  }
  const bool determined = why.empty();
  const LawPoint at = at_size(family, determined ? best : family.sizes.low, compute);
  const bool leaves = !among_runs(band.low, family.sizes.low, family.sizes.high) ||
                      !among_runs(band.high, family.sizes.low, family.sizes.high);
  records::Optimum optimum;
  optimum.size = {determined ? best : kMissing, band.low, band.high};
  optimum.determined = determined;
  if (!determined) {
    optimum.verdict = "not determined: " + why;
    return optimum;
  }
  optimum.tokens = at.tokens;
  optimum.loss = law.value(at);
  optimum.verdict = leaves ? "determined; its interval extends beyond the sizes that were run" : "determined";
  return optimum;
}

records::IsoflopGroup isoflop_of(const DrawnLaw& law, const Family& family, const std::string& column,
                                 const std::vector<std::size_t>& runs, double compute) {
  const LawFit& fit = law.fit;
  records::IsoflopGroup group{.family = family.name,
                              .compute = compute,
                              .size_column = column,
                              .runs = std::ssize(runs),
                              .points = {},
                              .curve = {},
                              .optimum = optimum_of(law, family, compute)};
  Range drawn = runs.empty() ? family.sizes : Range();
  for (const std::size_t i : runs) drawn.add(point_number(fit.points[i], column));
  for (const std::size_t i : thinned(runs)) {
    const LawPoint& p = fit.points[i];
    group.points.push_back({.run = fit.names[i], .x = point_number(p, column), .y = p.loss, .tokens = p.tokens});
  }
  if (fit.verdict.known()) {
    for (const double size : log_grid(drawn.low / 1.3, drawn.high * 1.3, kCurvePoints)) {
      const LawPoint p = at_size(family, size, compute);
      group.curve.push_back(curve_point(law, size, p));
      group.curve.back().tokens = p.tokens;
    }
  }
  return group;
}

double geometric_mean(const std::vector<double>& values, const std::vector<std::size_t>& chosen) {
  double sum = 0;
  for (const std::size_t i : chosen) sum += std::log(values[i]);
  return std::exp(sum / static_cast<double>(chosen.size()));
}

std::vector<double> computes_of(const LawFit& fit) {
  std::vector<double> computes;
  for (const LawPoint& p : fit.points) computes.push_back(run_compute(p));
  return computes;
}

// Groups of at least kSizes different sizes at equal compute; by compute.
std::vector<std::pair<double, std::vector<std::size_t>>> equal_compute(const LawFit& fit, const Family& family,
                                                                       const std::string& column) {
  const std::vector<double> computes = computes_of(fit);
  std::vector<std::pair<double, std::vector<std::size_t>>> groups;
  for (const std::vector<std::size_t>& window : value_windows(computes, family.runs, kEqualComputes)) {
    std::set<double> sizes;
    for (const std::size_t i : window) sizes.insert(point_number(fit.points[i], column));
    if (std::ssize(sizes) >= kSizes && groups.size() < kGroups)
      groups.emplace_back(geometric_mean(computes, window), window);
  }
  std::ranges::stable_sort(groups, {}, [](const auto& one) { return one.first; });
  return groups;
}

void isoflop_add(const DrawnLaw& law, records::LawCurves& curves) {
  const LawFit& fit = law.fit;
  std::string& note = curves.isoflop_note;
  const std::string column = size_column(fit.kind);
  if (column.empty()) {
    note = "the law has no trade-off between size and tokens";
  } else if (std::vector<Family> families = families_of(fit, column); families.empty()) {
    note = "no run has a size, tokens and compute";
  } else {
    const Family& largest = families.front();
    std::size_t shown = 0;
    for (const Family& family : families) {
      const auto groups = equal_compute(fit, family, column);
      if (groups.empty() || ++shown > kFamilies) continue;
      for (const auto& [compute, runs] : groups)
        curves.isoflop.push_back(isoflop_of(law, family, column, runs, compute));
    }
    if (shown == 0 && largest.sizes.high > 1.2 * largest.sizes.low) {
      Range ends;
      for (const std::size_t i : largest.runs) ends.add(run_compute(fit.points[i]));
      std::set<double> computes = {ends.low, std::sqrt(ends.low * ends.high), ends.high};
      if (ends.high < 1.5 * ends.low) computes = {ends.high};
      for (const double compute : computes) curves.isoflop.push_back(isoflop_of(law, largest, column, {}, compute));
      note = fmt::format(
          "fewer than {} sizes at equal compute (within {:.0f} %): the curves are drawn at the smallest, middle and "
          "largest compute of the runs, without points",
          kSizes, 100 * kEqualCompute);
    } else if (shown == 0) {
      note = "the runs of a family all have one size";
    }
  }
}

// ---- sparsity

bool knows_sparsity(Law law) { return law == Law::abnar || law == Law::joint || law == Law::routed; }

bool is_dense(const LawPoint& p) { return !(p.experts > 1); }

// Experts for each active one, 1 / (1 - sparsity); shared ones count in both.
double spread_of(const LawPoint& p) { return 1 / point_density(p); }

CurvePoint sparsity_point(const LawFit& fit, std::size_t i) {
  const LawPoint& p = fit.points[i];
  return {.run = fit.names[i],
          .x = 1 - point_density(p),
          .y = p.loss,
          .experts = point_number(p, "experts"),
          .top_k = point_number(p, "top_k")};
}

// The law between the group's mixtures of experts: all that varies with E varies linearly in E / k there.
std::vector<CurvePoint> sparsity_curve(const DrawnLaw& law, const std::vector<std::size_t>& moe, double tokens) {
  const LawFit& fit = law.fit;
  std::vector<CurvePoint> curve;
  if (!fit.verdict.known()) return curve;
  Interpolation total, active, granularity;
  Range spreads;
  for (const std::size_t i : moe) {
    const double spread = spread_of(fit.points[i]);
    total.add(spread, fit.points[i].parameters_total);
    active.add(spread, fit.points[i].parameters_active);
    granularity.add(spread, fit.points[i].granularity);
    spreads.add(spread);
  }
  const double shared = point_number(fit.points[moe.front()], "experts_shared");
  for (const double spread : log_grid(spreads.low, spreads.high, kCurvePoints)) {
    LawPoint p = fit.points[moe.front()];
    p.experts = spread * (p.top_k + shared) - shared;
    p.parameters_total = total(spread);
    p.parameters_active = active(spread);
    p.granularity = granularity(spread);
    p.tokens = tokens;
    curve.push_back(curve_point(law, 1 - 1 / spread, p));
    curve.back().experts = p.experts;
  }
  return curve;
}

struct SparsityGroup {
  double compute = 0, tokens = 0, top_k = 0;
  std::vector<std::size_t> moe, dense;
};

// Mixtures of experts of one k and one number of shared experts at equal compute and equal tokens, with the dense runs
// that belong to them.
std::vector<SparsityGroup> sparsity_groups(const LawFit& fit) {
  std::map<std::pair<double, double>, std::vector<std::size_t>> by_k;
  const std::vector<double> computes = computes_of(fit);
  std::vector<double> tokens;
  for (std::size_t i = 0; i < fit.points.size(); ++i) {
    const LawPoint& p = fit.points[i];
    tokens.push_back(p.tokens);
    if (!is_dense(p) && p.top_k > 0 && computes[i] > 0 && tokens[i] > 0)
      by_k[{p.top_k, point_number(p, "experts_shared")}].push_back(i);
  }
  std::vector<SparsityGroup> groups;
  for (const auto& [used, runs] : by_k) {
    for (const auto& equal : value_windows(computes, runs, kEqualComputes)) {
      for (const auto& window : value_windows(tokens, equal, 1.05)) {
        std::set<double> spreads;
        for (const std::size_t i : window) spreads.insert(spread_of(fit.points[i]));
        if (std::ssize(spreads) < kSizes) continue;
        SparsityGroup group{geometric_mean(computes, window), geometric_mean(tokens, window), used.first, window, {}};
        for (std::size_t i = 0; i < fit.points.size(); ++i) {
          const bool equal_to = std::fabs(std::log(computes[i] / group.compute)) <= std::log(1 + kEqualCompute) &&
                                std::fabs(std::log(tokens[i] / group.tokens)) <= std::log(1.05);
          if (is_dense(fit.points[i]) && equal_to) group.dense.push_back(i);
        }
        groups.push_back(std::move(group));
      }
    }
  }
  std::ranges::stable_sort(groups, [](const auto& a, const auto& b) { return a.moe.size() > b.moe.size(); });
  if (groups.size() > kGroups) groups.resize(kGroups);
  std::ranges::stable_sort(groups, [](const auto& a, const auto& b) {
    return a.top_k != b.top_k ? a.top_k < b.top_k : a.compute < b.compute;
  });
  return groups;
}

void sparsity_add(const DrawnLaw& law, records::LawCurves& curves) {
  const LawFit& fit = law.fit;
  std::string& note = curves.sparsity_note;
  if (!knows_sparsity(fit.kind)) {
    note = "the law has no sparsity term";
  } else {
    for (const SparsityGroup& group : sparsity_groups(fit)) {
      records::SparsityGroup& shown = curves.sparsity.emplace_back();
      shown.family = fmt::format("k = {:g}", group.top_k);
      shown.compute = group.compute;
      shown.tokens = group.tokens;
      shown.runs = std::ssize(group.moe) + std::ssize(group.dense);
      for (const auto* runs : {&group.dense, &group.moe}) {
        for (const std::size_t i : thinned(*runs)) shown.points.push_back(sparsity_point(fit, i));
      }
      shown.curve = sparsity_curve(law, group.moe, group.tokens);
    }
    if (curves.sparsity.empty()) {
      note = fmt::format("fewer than {} numbers of experts at the same k, tokens and compute (within {:.0f} %)", kSizes,
                         100 * kEqualCompute);
    }
  }
}

}  // namespace

std::vector<std::vector<std::size_t>> value_windows(const std::vector<double>& values, std::vector<std::size_t> order,
                                                    double ratio) {
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return values[i]; });
  std::vector<std::vector<std::size_t>> windows;
  while (!order.empty()) {
    std::size_t begin = 0, end = 0, best_begin = 0, best_count = 0;
    for (begin = 0; begin < order.size(); ++begin) {
      while (end < order.size() && values[order[end]] <= ratio * values[order[begin]]) ++end;
      if (end - begin > best_count) best_begin = begin, best_count = end - begin;
    }
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(best_begin);
    const auto last = first + static_cast<std::ptrdiff_t>(best_count);
    windows.emplace_back(first, last);
    order.erase(first, last);
    // Once the largest window has one value, all others do, too: 10,000 values must not take 10,000 scans.
    if (best_count > 1) continue;
    for (const std::size_t i : order) windows.push_back({i});
    break;
  }
  return windows;
}

records::LawCurves fit_curves(const LawFit& fit) {
  records::LawCurves curves;
  if (!fit.fitted()) {
    curves.isoflop_note = curves.sparsity_note = fit.verdict.text;
    return curves;
  }
  const DrawnLaw law{fit};
  isoflop_add(law, curves);
  sparsity_add(law, curves);
  for (const LawPoint& point : fit.points) {
    const Range band = band_at(fit, point);
    curves.predicted.push_back({band.low, band.high});
  }
  return curves;
}

}  // namespace moebius::fit
