// Pairwise comparison of laws. Rules and their reasons: docs/fit.md.
#include "fit/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace moebius::fit {

namespace {

constexpr double kAicLeast = 2;     // Burnham and Anderson's rule of thumb
constexpr double kNoiseErrors = 2;  // standard errors

void holdout_compare(const LawFit& a, const LawFit& b, LawPair& pair) {
  std::map<i64, double> of_a;
  for (std::size_t i = 0; i < a.holdout.runs.size(); ++i) of_a[a.holdout.runs[i]] = std::fabs(a.holdout.errors[i]);
  std::vector<double> differences;
  for (std::size_t i = 0; i < b.holdout.runs.size(); ++i) {
    const auto found = of_a.find(b.holdout.runs[i]);
    if (found != of_a.end()) differences.push_back(std::fabs(b.holdout.errors[i]) - found->second);
  }
  if (differences.size() < 2) return;
  const double n = static_cast<double>(differences.size());
  double mean = 0, squares = 0;
  for (const double d : differences) mean += d / n;
  for (const double d : differences) squares += (d - mean) * (d - mean);
  pair.holdout_difference = mean;
  pair.holdout_difference_se = std::sqrt(squares / (n - 1) / n);
}

void pair_judge(const LawFit& a, const LawFit& b, LawPair& pair) {
  const std::string names = fmt::format("{} and {}", law_name(a.law), law_name(b.law));
  const bool aic_near = pair.aic_difference < kAicLeast;
  const bool held = std::isfinite(pair.holdout_difference);
  const double margin = kNoiseErrors * pair.holdout_difference_se;
  const bool noise = held && std::fabs(pair.holdout_difference) <= margin;
  const bool against = held && !noise && pair.holdout_difference < 0;
  pair.distinct = !aic_near && !noise && !against;
  if (pair.distinct) {
    pair.text =
        fmt::format("{} is better than {}: AIC by {:.1f}{}", law_name(a.law), law_name(b.law), pair.aic_difference,
                    held ? fmt::format(", held-out error by {:.2g} (standard error {:.1g})", pair.holdout_difference,
                                       pair.holdout_difference_se)
                         : ", no hold-out");
    return;
  }
  std::vector<std::string> reasons;
  if (aic_near) reasons.push_back(fmt::format("AIC differs by {:.3g}, less than 2", pair.aic_difference));
  if (noise) {
    reasons.push_back(fmt::format("the held-out errors differ by {:.2g}, within noise (standard error {:.1g})",
                                  pair.holdout_difference, pair.holdout_difference_se));
  }
  if (against) {
    reasons.push_back(fmt::format("AIC is for {}, held-out error for {}", law_name(a.law), law_name(b.law)));
  }
  pair.text = fmt::format("{} cannot be told apart: {}", names, fmt::join(reasons, "; "));
}

}  // namespace

Comparison compare_laws(const std::vector<LawFit>& fits) {
  Comparison comparison;
  for (i64 i = 0; i < std::ssize(fits); ++i) {
    const LawFit& fit = fits[static_cast<std::size_t>(i)];
    if (fit.fitted() && fit.law != Law::leverage) comparison.order.push_back(i);
  }
  std::stable_sort(comparison.order.begin(), comparison.order.end(), [&](i64 a, i64 b) {
    return fits[static_cast<std::size_t>(a)].aic < fits[static_cast<std::size_t>(b)].aic;
  });
  const std::vector<i64>& order = comparison.order;
  std::vector<std::string> equals;
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (std::size_t j = i + 1; j < order.size(); ++j) {
      LawPair pair;
      pair.a = order[i];
      pair.b = order[j];
      const LawFit& a = fits[static_cast<std::size_t>(pair.a)];
      const LawFit& b = fits[static_cast<std::size_t>(pair.b)];
      pair.aic_difference = b.aic - a.aic;
      holdout_compare(a, b, pair);
      pair_judge(a, b, pair);
      if (i == 0 && !pair.distinct) equals.emplace_back(law_name(b.law));
      comparison.pairs.push_back(std::move(pair));
    }
  }
  if (order.size() < 2) {
    comparison.verdict = "nothing to compare: fewer than two laws were fitted";
    return comparison;
  }
  const std::string_view best = law_name(fits[static_cast<std::size_t>(order.front())].law);
  comparison.verdict = equals.empty() ? fmt::format("{} describes the runs best", best)
                                      : fmt::format("the runs cannot tell {} from {}", best, fmt::join(equals, ", "));
  return comparison;
}

}  // namespace moebius::fit
