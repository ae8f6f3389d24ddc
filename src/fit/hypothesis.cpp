// Parsing hypotheses and testing them.
#include "fit/hypothesis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/options.h"
#include "base/units.h"
#include "fit/power.h"
#include "fit/compared.h"
#include "fit/rise_fall.h"

namespace moebius::fit {

namespace {

using records::Measured;
using records::metric_label;
using records::metric_of;
using records::RunRecords;
using records::StudyRuns;

struct KindRule {
  std::vector<std::string> keys;        // beside id, text, kind, y
  std::vector<std::string> directions;  // upward, downward
};

// In the order of HypothesisKind.
const KindRule& rule_of(HypothesisKind kind) {
  static const std::vector<KindRule> rules = {
      {{"x", "direction", "where"}, {"increase", "decrease"}},
      {{"x", "direction", "where"}, {"maximum", "minimum"}},
      {{"x", "direction", "where"}, {"increase", "decrease"}},
      {{"a", "b", "direction", "where"}, {"increase", "decrease"}},
      {{"a", "b", "margin", "where"}, {}},
  };
  return rules[static_cast<std::size_t>(kind)];
}

std::optional<Json> filter_value(const RunRecords& run, const std::string& key) {
  if (key == "dense") return Json(run.dense());
  if (key == "model") return Json(run.model);
  const Json* config = run.find("config");
  const Json* value = config == nullptr ? nullptr : config->find(key);
  if (value == nullptr) value = run.find(key);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

bool value_matches(const Json& value, const Json& wanted) {
  if (wanted.is_array()) {
    return std::ranges::any_of(wanted.as_array(), [&](const Json& one) { return value_matches(value, one); });
  }
  if (wanted.is_object()) {
    if (!value.is_number()) return false;
    return value.as_double() >= wanted.get_double("min", -1e300) &&
           value.as_double() <= wanted.get_double("max", 1e300);
  }
  if (value.is_number() && wanted.is_number()) return value.as_double() == wanted.as_double();
  return value == wanted;
}

void filter_check(const StudyRuns& study, const Json& filter, const std::string& where) {
  if (!filter.is_object()) throw Error({.where = where, .what = "a filter is an object like {\"top_k\": 2}"});
  std::vector<std::string> known = {"dense", "model"};
  for (const RunRecords& run : study.runs) {
    const Json* config = run.find("config");
    for (const Json* object : {config, &run.planned, &run.run}) {
      if (object == nullptr || !object->is_object()) continue;
      for (const auto& [key, value] : object->as_object()) known.push_back(key);
    }
  }
  for (const auto& [key, wanted] : filter.as_object()) {
    if (std::ranges::find(known, key) == known.end()) {
      throw Error({.where = where,
                   .what = fmt::format("no run has '{}' to filter by", key),
                   .fix = nearest_advice(key, known)});
    }
    if (!wanted.is_object()) continue;
    for (const auto& [bound, value] : wanted.as_object()) {
      index_of_word(bound, {"min", "max"}, "bound", where);
    }
  }
}

Hypothesis parse_one(const StudyRuns& study, const Json& entry, const std::string& where) {
  Hypothesis hypothesis;
  hypothesis.kind = records::enum_parse<HypothesisKind>(entry.at("kind").as_string(), "kind", where);
  const KindRule& rule = rule_of(hypothesis.kind);
  std::vector<std::string> keys = {"id", "text", "kind", "y"};
  keys.insert(keys.end(), rule.keys.begin(), rule.keys.end());
  for (const auto& [key, value] : entry.as_object()) index_of_word(key, keys, "key", where);
  hypothesis.id = entry.at("id").as_string();
  hypothesis.text = entry.at("text").as_string();
  hypothesis.y = entry.at("y").as_string();
  records::metric_check(hypothesis.y, where + ", y");
  const auto has = [&](const char* key) { return std::ranges::find(keys, key) != keys.end(); };
  if (has("x")) {
    hypothesis.x = entry.at("x").as_string();
    records::metric_check(hypothesis.x, where + ", x");
  }
  if (has("direction")) {
    hypothesis.upward = index_of_word(entry.at("direction").as_string(), rule.directions, "direction", where) == 0;
  }
  if (has("margin")) {
    hypothesis.margin = entry.at("margin").as_double();
    if (!(hypothesis.margin > 0)) throw Error({.where = where, .what = "margin must be above 0"});
  }
  const auto filter = [&](const char* key) { return entry.contains(key) ? entry.at(key) : Json::object(); };
  hypothesis.where = filter("where");
  hypothesis.a = has("a") ? entry.at("a") : Json::object();
  hypothesis.b = has("b") ? entry.at("b") : Json::object();
  for (const Json* used : {&hypothesis.where, &hypothesis.a, &hypothesis.b}) filter_check(study, *used, where);
  return hypothesis;
}

// The runs of a test, grouped by configuration.
struct TestedRuns {
  std::vector<Group> groups;
  std::vector<bool> in_b;  // for two-group kinds
  std::vector<std::string> models;
  i64 runs_wanted = 0, runs_used = 0;
  i64 seeds = 0;
  bool score_off_chance = true;  // false: y is a score and no run is clearly above chance
};

bool x_is_logarithmic(const Hypothesis& h) {
  return h.kind == HypothesisKind::monotone || h.kind == HypothesisKind::peak;
}

// True when y is no share of items, has no chance, or this run is at least three standard errors above it.
bool off_chance(const RunRecords& run, const std::string& path, const Measured& y) {
  const records::Measure* measure = records::measure_at(run, path);
  if (measure == nullptr || measure->unit != records::Unit::share_of_items) return true;
  const Measured chance = records::chance_of(run, path.substr(0, path.rfind('.') + 1));
  return !chance.known() || !std::isfinite(y.se) || records::above_chance(y.value, y.se, chance.value);
}

TestedRuns tested_runs(const StudyRuns& study, const Hypothesis& h) {
  TestedRuns tested;
  const bool two_groups = h.two_groups();
  bool any_off_chance = false;
  for (const RunRecords& run : study.runs) {
    if (run.role == records::RunRole::sweep || !filter_matches(run, h.where)) continue;
    const bool in_a = two_groups && filter_matches(run, h.a), in_b = two_groups && filter_matches(run, h.b);
    if (two_groups && in_a == in_b) continue;
    ++tested.runs_wanted;
    if (run.status != records::RunStatus::done) continue;
    const Measured y = metric_of(run, h.y), x = two_groups ? Measured{0, kUnknown} : metric_of(run, h.x);
    if (!std::isfinite(y.value) || !std::isfinite(x.value) || (x_is_logarithmic(h) && x.value <= 0)) continue;
    ++tested.runs_used;
    any_off_chance |= off_chance(run, h.y, y);
    const Value value{x_is_logarithmic(h) ? std::log2(x.value) : x.value, y.value,
                      x_is_logarithmic(h) ? x.se / (x.value * std::log(2.0)) : x.se, y.se};
    const auto at = std::ranges::find(tested.models, run.model);
    if (at == tested.models.end()) {
      tested.models.push_back(run.model);
      tested.groups.push_back({value});
      tested.in_b.push_back(in_b);
    } else {
      tested.groups[static_cast<std::size_t>(at - tested.models.begin())].push_back(value);
    }
  }
  tested.score_off_chance = any_off_chance || tested.runs_used == 0;
  const auto fewest = std::ranges::min_element(tested.groups, {}, [](const Group& group) { return group.size(); });
  tested.seeds = fewest == tested.groups.end() ? 0 : std::ssize(*fewest);
  return tested;
}

// False with the reason when these runs cannot test the hypothesis, however many seeds they have.
bool testable(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result) {
  PowerDesign design{.kind = h.kind, .x = {}, .in_b = tested.in_b};
  for (const Group& group : tested.groups) design.x.push_back(group.front().x);
  result.reason = power_problem(design);
  return result.reason.empty();
}

// Verdict from an interval that should lie above 0 (sign = 1) or below (sign = -1).
Outcome by_sign(const Interval& effect, double sign) {
  if (sign > 0 ? effect.above(0) : effect.below(0)) return Outcome::supported;
  if (sign > 0 ? effect.below(0) : effect.above(0)) return Outcome::refuted;
  return Outcome::unresolved;
}

void judge_by_sign(const Hypothesis& h, HypothesisVerdict& result) {
  constexpr const char* kReasons[] = {"the whole interval is on the predicted side of zero",
                                      "the whole interval is on the opposite side of zero",
                                      "the interval includes zero: the effect is within noise"};  // in Outcome's order
  result.outcome = by_sign(result.effect, h.upward ? 1 : -1);
  result.reason = kReasons[static_cast<std::size_t>(result.outcome)];
}

// A monotone hypothesis fails where a single step between neighbours goes against it beyond noise (Bonferroni over
// steps).
std::string step_against(const TestedRuns& tested, double sign, u64 number) {
  const auto order = order_by(tested.groups.size(), [&](std::size_t i) { return tested.groups[i].front().x; });
  const double coverage = 1 - 0.05 / static_cast<double>(std::max<std::size_t>(1, order.size() - 1));
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    const std::vector<Group> pair = {tested.groups[order[i]], tested.groups[order[i + 1]]};
    if (pair[0].front().x == pair[1].front().x) continue;
    const Interval step = bootstrap(
        pair, [](const auto&, const auto& y) { return y[1] - y[0]; }, number + 1000 * (i + 1), coverage);
    if (by_sign(step, sign) == Outcome::refuted) {
      return fmt::format("the step from {} to {} goes in the opposite direction beyond noise", tested.models[order[i]],
                         tested.models[order[i + 1]]);
    }
  }
  return "";
}

void test_monotone(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result, u64 number) {
  result.effect_name = fmt::format("{}: change per doubling of {}", metric_label(h.y), metric_label(h.x));
  if (!testable(tested, h, result)) return;
  const double sign = h.upward ? 1 : -1;
  result.effect = bootstrap(tested.groups, slope_of, number);
  judge_by_sign(h, result);
  const std::string against = step_against(tested, sign, number);
  if (result.outcome == Outcome::supported && !against.empty()) {
    result.outcome = Outcome::refuted;
    result.reason = "the overall slope is as predicted, but not monotone: " + against;
  }
}

// y may have its turning point inside the range, at an end, or nowhere that the data can tell (base/rise_fall.h).
void test_peak(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result, u64 number) {
  const char* extremum = h.upward ? "maximum" : "minimum";
  result.effect_name = fmt::format("{} at which {} has its {}", metric_label(h.x), metric_label(h.y), extremum);
  if (!testable(tested, h, result)) return;
  const double sign = h.upward ? 1 : -1;
  const RiseFall turn = rise_fall(tested.groups, sign, number);
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
      result.reason = fmt::format("the {} of the measured range is at the {} end beyond noise: no turning point inside",
                                  extremum, turn.shape == TurnShape::low_end ? "low" : "high");
      return;
    case TurnShape::several:
      if (rise_fall(tested.groups, -sign, number).shape == TurnShape::inside) {
        result.outcome = Outcome::refuted;
        result.reason = fmt::format("beyond noise it has a {} instead", sign > 0 ? "minimum" : "maximum");
      } else {
        result.reason = "it has more than one turning point beyond noise; check whether the runs differ in more than x";
      }
      return;
    case TurnShape::not_determined:
      result.reason = std::isnan(turn.p) ? "the seeds show no noise to test against"
                                         : fmt::format("one of its two sides is within noise (p = {:.2g})", turn.p);
      return;
  }
}

void test_correlation(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result, u64 number) {
  result.effect_name = fmt::format("rank correlation (Spearman) of {} with {}", metric_label(h.y), metric_label(h.x));
  if (!testable(tested, h, result)) return;
  result.effect = bootstrap(tested.groups, spearman_of, number);
  result.effect.low = std::max(-1.0, result.effect.low);
  result.effect.high = std::min(1.0, result.effect.high);
  judge_by_sign(h, result);
}

void test_two_groups(const TestedRuns& tested, const Hypothesis& h, HypothesisVerdict& result, u64 number) {
  result.effect_name = fmt::format("{}, runs b minus runs a", metric_label(h.y));
  if (!testable(tested, h, result)) return;
  const std::vector<bool>& flags = tested.in_b;
  result.effect = bootstrap(
      tested.groups,
      [&flags](const auto&, const auto& y) {
        double sum[2] = {0, 0}, count[2] = {0, 0};
        for (std::size_t i = 0; i < y.size(); ++i) {
          sum[flags[i] ? 1 : 0] += y[i];
          count[flags[i] ? 1 : 0] += 1;
        }
        return sum[1] / count[1] - sum[0] / count[0];
      },
      number);
  if (h.kind == HypothesisKind::difference) {
    judge_by_sign(h, result);
  } else if (result.effect.above(-h.margin) && result.effect.below(h.margin)) {
    result.outcome = Outcome::supported;
    result.reason = fmt::format("the interval lies within the margin of {:g}", h.margin);
  } else if (result.effect.above(h.margin) || result.effect.below(-h.margin)) {
    result.outcome = Outcome::refuted;
    result.reason = fmt::format("the whole interval lies beyond the margin of {:g}", h.margin);
  } else {
    result.reason = fmt::format("the interval reaches across the margin of {:g}", h.margin);
  }
}

// Reasons that forbid a verdict whatever the numbers say; empty when there is none.
std::string verdict_forbidden(const TestedRuns& tested) {
  if (tested.runs_wanted == 0) return "no run of the study matches";
  if (tested.runs_used == 0) return "none of its runs has the metrics yet";
  if (tested.runs_used < tested.runs_wanted) {
    const i64 lacking = tested.runs_wanted - tested.runs_used;
    return fmt::format("{} of its {} {} the metrics", lacking, format_plural(tested.runs_wanted, "run"),
                       lacking == 1 ? "lacks" : "lack");
  }
  if (tested.seeds == 1) return "one seed: another seed could reverse the effect, so no trend is reported";
  if (tested.seeds < kSeedsForVerdict)
    return fmt::format("{} seeds: a verdict needs {}", tested.seeds, kSeedsForVerdict);
  if (!tested.score_off_chance) return "no run is three standard errors above chance: the score cannot tell them apart";
  return "";
}

}  // namespace

bool filter_matches(const RunRecords& run, const Json& filter) {
  return std::ranges::all_of(filter.as_object(), [&](const auto& one) {
    const std::optional<Json> value = filter_value(run, one.first);
    return value && value_matches(*value, one.second);
  });
}

std::vector<Hypothesis> hypotheses_parse(const StudyRuns& study, const std::string& file) {
  std::vector<Hypothesis> hypotheses;
  const std::string path = file.empty() ? path_join(study.folder, "study.json") : file;
  const auto entries_of = [&]() -> const Json::Array& { return study.study.get_array("hypotheses"); };
  for (const Json& entry : error_within(path + ", hypotheses", entries_of)) {
    const Json* id = entry.find("id");
    const bool named = id != nullptr && id->is_string();
    const std::string where =
        fmt::format("{}, hypothesis {}", path, named ? id->as_string() : std::to_string(hypotheses.size() + 1));
    hypotheses.push_back(error_within(where, [&] { return parse_one(study, entry, where); }));
  }
  return hypotheses;
}

HypothesisVerdict hypothesis_test(const StudyRuns& study, const Hypothesis& hypothesis, u64 number) {
  HypothesisVerdict result;
  result.id = hypothesis.id;
  result.text = hypothesis.text;
  result.kind = hypothesis.kind;
  result.x = hypothesis.x;
  result.y = hypothesis.y;
  const TestedRuns tested = tested_runs(study, hypothesis);
  result.configurations = static_cast<i64>(tested.groups.size());
  result.seeds = tested.seeds;
  result.runs = tested.runs_used;
  result.runs_of_the_plan = tested.runs_wanted;
  switch (hypothesis.kind) {
    case HypothesisKind::monotone: test_monotone(tested, hypothesis, result, number); break;
    case HypothesisKind::peak: test_peak(tested, hypothesis, result, number); break;
    case HypothesisKind::correlation: test_correlation(tested, hypothesis, result, number); break;
    case HypothesisKind::difference:
    case HypothesisKind::equal: test_two_groups(tested, hypothesis, result, number); break;
  }
  const std::string forbidden = verdict_forbidden(tested);
  if (!forbidden.empty()) {
    result.outcome = Outcome::unresolved;
    result.reason = forbidden;
  }
  return result;
}

records::Verdicts study_verdicts(const std::string& folder) {
  const StudyRuns study = records::study_read(folder);
  records::Verdicts verdicts{.runs_done = std::ssize(study.done_runs()), .hypotheses = {}};
  for (const Hypothesis& one : hypotheses_parse(study)) {
    verdicts.hypotheses.push_back(hypothesis_test(study, one, verdicts.hypotheses.size()));
    verdicts.hypotheses.back().compared = compared_quantities(study, one);
  }
  return verdicts;
}

std::string verdicts_text(const records::Verdicts& verdicts) {
  std::string text;
  for (const HypothesisVerdict& one : verdicts.hypotheses)
    text += fmt::format("{:<11} {}: {}\n", records::enum_name(one.outcome), one.id, one.reason);
  return text.empty() ? "the study has no hypotheses\n" : text;
}

}  // namespace moebius::fit
