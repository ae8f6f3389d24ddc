// Pairwise comparison of laws. Rules and their reasons: docs/fit.md.
#include "fit/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace moebius::fit {

namespace {

using records::ComparedPair;

constexpr double kAicLeast = 2;     // Burnham and Anderson's rule of thumb
constexpr double kNoiseErrors = 2;  // standard errors

void holdout_compare(const LawFit& a, const LawFit& b, ComparedPair& pair) {
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

void pair_judge(const LawFit& a, const LawFit& b, ComparedPair& pair) {
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
    reasons.push_back(fmt::format("AIC favours {}, the held-out error {}", law_name(a.law), law_name(b.law)));
  }
  pair.text = fmt::format("{} cannot be told apart: {}", names, fmt::join(reasons, "; "));
}

}  // namespace

Comparison compare_laws(const std::vector<LawFit>& fits) {
  std::vector<const LawFit*> order;
  for (const LawFit& fit : fits) {
    if (fit.fitted() && fit.law != Law::leverage) order.push_back(&fit);
  }
  std::stable_sort(order.begin(), order.end(), [](const LawFit* a, const LawFit* b) { return a->aic < b->aic; });
  Comparison comparison;
  std::vector<std::string> equals;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const LawFit& a = *order[i];
    comparison.laws.push_back({std::string(law_name(a.law)), a.aic, a.aic - order.front()->aic, a.holdout.error});
    for (std::size_t j = i + 1; j < order.size(); ++j) {
      const LawFit& b = *order[j];
      ComparedPair pair{.a = std::string(law_name(a.law)), .b = std::string(law_name(b.law)), .text = {}};
      pair.aic_difference = b.aic - a.aic;
      holdout_compare(a, b, pair);
      pair_judge(a, b, pair);
      if (i == 0 && !pair.distinct) equals.push_back(pair.b);
      comparison.pairs.push_back(std::move(pair));
    }
  }
  if (order.size() < 2) {
    comparison.verdict = "nothing to compare: fewer than two laws were fitted";
  } else if (equals.empty()) {
    comparison.verdict = fmt::format("{} describes the runs best", comparison.laws.front().law);
  } else {
    comparison.verdict =
        fmt::format("the runs cannot tell {} from {}", comparison.laws.front().law, fmt::join(equals, ", "));
  }
  return comparison;
}

}  // namespace moebius::fit
