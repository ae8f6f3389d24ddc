// The tests of hypotheses, one per kind, and the correction for their number. In, out: hypothesis.h.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fit/compared.h"
#include "fit/hypothesis.h"
#include "fit/hypothesis_runs.h"
#include "fit/matched.h"
#include "fit/power.h"
#include "fit/rise_fall.h"

namespace moebius::fit {

namespace {

using records::metric_label;
using records::StudyRuns;

std::string score_label(const Hypothesis& h) {
  return h.minus.empty() ? metric_label(h.y) : fmt::format("{} minus {}", metric_label(h.y), metric_label(h.minus));
}

// False with the reason when these runs cannot test the hypothesis, however many seeds they have.
bool testable(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result) {
  result.reason = power_problem({.kind = h.kind, .x = tested.x, .in_b = tested.in_b});
  return result.reason.empty();
}

// Verdict from an interval that should lie above 0 (sign = 1) or below (sign = -1).
Outcome by_sign(const Interval& effect, double sign) {
  if (sign > 0 ? effect.above(0) : effect.below(0)) return Outcome::supported;
  if (sign > 0 ? effect.below(0) : effect.above(0)) return Outcome::refuted;
  return Outcome::unresolved;
}

// Verdict from an interval that should lie within +-margin.
Outcome by_margin(const Interval& effect, double margin) {
  if (effect.above(-margin) && effect.below(margin)) return Outcome::supported;
  return effect.above(margin) || effect.below(-margin) ? Outcome::refuted : Outcome::unresolved;
}

// Effect, verdict and p from the interval at each level.
template <typename IntervalAt>
void judge(const Hypothesis& h, const IntervalAt& interval_at, HypothesisVerdict& result) {
  const auto decide = [&](double level) {
    const Interval effect = interval_at(level);
    return h.has_margin() ? by_margin(effect, h.margin) : by_sign(effect, h.upward ? 1 : -1);
  };
  result.effect = interval_at(kLevel95);
  result.outcome = decide(kLevel95);
  result.p = smallest_level([&](double level) { return decide(level) != Outcome::unresolved; });
  const std::string margin = fmt::format("{:g}", h.margin);
  switch (result.outcome) {
    case Outcome::supported:
      result.reason = h.has_margin() ? "the interval lies within the margin of " + margin
                                     : "the whole interval is on the predicted side of zero";
      return;
    case Outcome::refuted:
      result.reason = h.has_margin() ? "the whole interval lies beyond the margin of " + margin
                                     : "the whole interval is on the opposite side of zero";
      return;
    case Outcome::unresolved:
      result.reason = h.has_margin() ? "the interval reaches across the margin of " + margin
                                     : "the interval includes zero: the effect is within noise";
      return;
  }
}

void judge_linear(const Hypothesis& h, const LinearEstimate& effect, HypothesisVerdict& result) {
  judge(
      h, [&](double level) { return effect.interval(level); }, result);
}

// A slope over x: linear in the means if x is the same for all seeds of a configuration, else by the bootstrap.
bool x_is_fixed(const TestedRuns& tested) {
  return std::ranges::all_of(tested.groups, [](const Group& group) {
    return std::ranges::all_of(group, [&](const Value& value) {
      return std::fabs(value.x - group.front().x) <= 1e-9 * std::max(1.0, std::fabs(value.x)) && !(value.x_se > 0);
    });
  });
}

void judge_slope(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result, u64 number) {
  if (!x_is_fixed(tested)) {
    const Bootstrap slope = bootstrap(tested.groups, slope_of, number);
    return judge(
        h, [&](double level) { return slope.interval(level); }, result);
  }
  const std::vector<double> weights = slope_weights(tested.x);
  LinearEstimate effect = tested.linear(weights);
  if (h.kind == HypothesisKind::contrast) {
    if (const auto by_seed = tested.error_by_seed(weights)) effect.seed_errors.push_back(*by_seed);
  }
  judge_linear(h, effect, result);
}

// A monotone hypothesis fails where a single step between neighbours goes against it beyond noise (Bonferroni over
// steps).
void judge_steps(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result) {
  const double sign = h.upward ? 1 : -1;
  const auto order = order_by(tested.x.size(), [&](std::size_t g) { return tested.x[g]; });
  const double steps = static_cast<double>(std::max<std::size_t>(1, order.size() - 1));
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    if (tested.x[order[i]] == tested.x[order[i + 1]]) continue;
    std::vector<double> weights(tested.x.size());
    weights[order[i]] = -1;
    weights[order[i + 1]] = 1;
    const LinearEstimate step = tested.linear(weights);
    const auto against = [&](double level) { return by_sign(step.interval(level / steps), sign) == Outcome::refuted; };
    if (!against(kLevel95)) continue;
    const std::string from = tested.models[order[i]], to = tested.models[order[i + 1]];
    result.outcome = Outcome::refuted;
    result.p = smallest_level(against);
    result.reason =
        fmt::format("not monotone: the step from {} to {} goes in the opposite direction beyond noise", from, to);
    return;
  }
}

void test_slope(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result, u64 number) {
  result.effect_name = fmt::format("{}: change per doubling of {}", score_label(h), metric_label(h.x));
  if (!testable(tested, h, result)) return;
  judge_slope(tested, h, result, number);
  if (h.kind == HypothesisKind::monotone && result.outcome == Outcome::supported) judge_steps(tested, h, result);
}

// y may have its turning point inside the range, at an end, or nowhere that the data can tell (rise_fall.h).
void test_peak(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result, u64 number) {
  const char* extremum = h.upward ? "maximum" : "minimum";
  result.effect_name = fmt::format("{} at which {} has its {}", metric_label(h.x), metric_label(h.y), extremum);
  if (!testable(tested, h, result)) return;
  const double sign = h.upward ? 1 : -1;
  const RiseFall turn = rise_fall(tested.groups, sign, number);
  result.p = turn.p;
  switch (turn.shape) {
    case TurnShape::inside:
      result.effect = {std::exp2(turn.at.estimate), std::exp2(turn.at.low), std::exp2(turn.at.high)};
      result.outcome = Outcome::supported;
      result.reason =
          fmt::format("it has a turning point inside the range; both sides are beyond noise (p = {:.2g})", turn.p);
      return;
    case TurnShape::low_end:
    case TurnShape::high_end:
      result.outcome = Outcome::refuted;
      result.p = turn.p_end;
      result.reason = fmt::format("the {} of the measured range is at the {} end beyond noise: no turning point inside",
                                  extremum, turn.shape == TurnShape::low_end ? "low" : "high");
      return;
    case TurnShape::several: {
      const RiseFall opposite = rise_fall(tested.groups, -sign, number);
      if (opposite.shape == TurnShape::inside) {
        result.outcome = Outcome::refuted;
        result.p = opposite.p;
        result.reason = fmt::format("beyond noise it has a {} instead", sign > 0 ? "minimum" : "maximum");
      } else {
        result.reason = "it has more than one turning point beyond noise; check whether the runs differ in more than x";
      }
      return;
    }
    case TurnShape::not_determined:
      result.reason = std::isnan(turn.p) ? "the seeds show no noise to test against"
                                         : fmt::format("one of its two sides is within noise (p = {:.2g})", turn.p);
      return;
  }
}

void test_correlation(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result, u64 number) {
  result.effect_name = fmt::format("rank correlation (Spearman) of {} with {}", metric_label(h.y), metric_label(h.x));
  if (!testable(tested, h, result)) return;
  const Bootstrap correlation = bootstrap(tested.groups, spearman_of, number);
  const auto interval_at = [&](double level) {
    Interval interval = correlation.interval(level);
    interval.low = std::max(-1.0, interval.low);
    interval.high = std::min(1.0, interval.high);
    return interval;
  };
  judge(h, interval_at, result);
}

void test_two_groups(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result) {
  result.effect_name = fmt::format("{}, runs b minus runs a", metric_label(h.y));
  if (!testable(tested, h, result)) return;
  const double in_b = static_cast<double>(std::ranges::count(tested.in_b, true));
  const double in_a = static_cast<double>(tested.in_b.size()) - in_b;
  std::vector<double> weights;
  for (const bool b : tested.in_b) weights.push_back(b ? 1 / in_b : -1 / in_a);
  judge_linear(h, tested.linear(weights), result);
}

void test_matched(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result) {
  result.effect_name = fmt::format("{}: change per doubling of {} at equal {}", metric_label(h.y), metric_label(h.x),
                                   metric_label(h.at));
  if (!testable(tested, h, result)) return;
  std::vector<double> x, z, y;
  for (std::size_t g = 0; g < tested.groups.size(); ++g) {
    for (std::size_t r = 0; r < tested.groups[g].size(); ++r) {
      x.push_back(tested.groups[g][r].x);
      y.push_back(tested.groups[g][r].y);
      z.push_back(tested.at[g][r]);
    }
  }
  MatchedSlope slope = matched_slope(x, z, y);
  if (!slope.problem.empty()) {
    result.reason = slope.problem;
    return;
  }
  std::vector<std::vector<double>> weights;
  auto next = slope.weights.begin();
  for (const Group& group : tested.groups) {
    weights.emplace_back(next, next + std::ssize(group));
    next += std::ssize(group);
  }
  slope.estimate.item_se = tested.item_se(weights);
  judge_linear(h, slope.estimate, result);
}

}  // namespace

HypothesisVerdict hypothesis_test(const StudyRuns& study, const Hypothesis& hypothesis, u64 number) {
  HypothesisVerdict result;
  result.id = hypothesis.id;
  result.text = hypothesis.text;
  result.kind = hypothesis.kind;
  result.x = hypothesis.x;
  result.y = hypothesis.y;
  result.minus = hypothesis.minus;
  result.at = hypothesis.at;
  const TestedRuns tested(study, hypothesis);
  result.configurations = static_cast<i64>(tested.groups.size());
  result.seeds = tested.seeds;
  result.runs = tested.runs_used;
  result.runs_of_the_plan = tested.runs_wanted;
  switch (hypothesis.kind) {
    case HypothesisKind::monotone:
    case HypothesisKind::contrast:
    case HypothesisKind::flat: test_slope(tested, hypothesis, result, number); break;
    case HypothesisKind::peak: test_peak(tested, hypothesis, result, number); break;
    case HypothesisKind::correlation: test_correlation(tested, hypothesis, result, number); break;
    case HypothesisKind::difference:
    case HypothesisKind::equal: test_two_groups(tested, hypothesis, result); break;
    case HypothesisKind::matched: test_matched(tested, hypothesis, result); break;
  }
  const std::string forbidden = tested.verdict_forbidden();
  if (!forbidden.empty()) {
    result.outcome = Outcome::unresolved;
    result.p = kUnknown;
    result.reason = forbidden;
  }
  return result;
}

void correct_for_number(std::vector<HypothesisVerdict>& verdicts) {
  std::vector<HypothesisVerdict*> tested;
  for (HypothesisVerdict& one : verdicts) {
    if (one.p == one.p) tested.push_back(&one);
  }
  std::ranges::stable_sort(tested, {}, [](const HypothesisVerdict* one) { return one->p; });
  bool stays = true;
  for (std::size_t k = 0; k < tested.size(); ++k) {
    const double bound = kLevel95 / static_cast<double>(tested.size() - k);
    stays = stays && tested[k]->p <= bound;
    if (stays || tested[k]->outcome == Outcome::unresolved) continue;
    tested[k]->outcome = Outcome::unresolved;
    tested[k]->reason +=
        fmt::format("; but with {} hypotheses tested, p = {:.2g} does not suffice (Holm's correction: {:.2g} or less)",
                    tested.size(), tested[k]->p, bound);
  }
}

records::Verdicts study_verdicts(const std::string& folder) {
  const StudyRuns study = records::study_read(folder);
  records::Verdicts verdicts{.runs_done = std::ssize(study.done_runs()), .hypotheses = {}};
  for (const Hypothesis& one : hypotheses_parse(study)) {
    verdicts.hypotheses.push_back(hypothesis_test(study, one, verdicts.hypotheses.size()));
    verdicts.hypotheses.back().compared = compared_quantities(study, one);
  }
  correct_for_number(verdicts.hypotheses);
  return verdicts;
}

std::string verdicts_text(const records::Verdicts& verdicts) {
  std::string text;
  for (const HypothesisVerdict& one : verdicts.hypotheses) {
    text += fmt::format("{:<11} {}: {}\n", records::enum_name(one.outcome), one.id, one.reason);
    if (!std::isfinite(one.effect.estimate)) continue;
    text += fmt::format("            {}: {:.3g}", one.effect_name, one.effect.estimate);
    if (one.effect.known()) text += fmt::format(" (95 % interval {:.3g} to {:.3g})", one.effect.low, one.effect.high);
    text += one.p == one.p ? fmt::format(", p = {:.2g}\n", one.p) : "\n";
  }
  return text.empty() ? "the study has no hypotheses\n" : text;
}

}  // namespace moebius::fit
