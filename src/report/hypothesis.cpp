// Parsing hypotheses and testing them.
#include "report/hypothesis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/options.h"
#include "base/rise_fall.h"

namespace moebius::report {

namespace {

struct KindRule {
  std::vector<std::string> keys;  // beside id, text, kind, y
  std::vector<std::string> directions;
};

const std::map<std::string, KindRule>& kinds() {
  static const std::map<std::string, KindRule> table = {
      {"monotone", {{"x", "direction", "where"}, {"increase", "decrease"}}},
      {"peak", {{"x", "direction", "where"}, {"maximum", "minimum"}}},
      {"correlation", {{"x", "direction", "where"}, {"increase", "decrease"}}},
      {"difference", {{"a", "b", "direction", "where"}, {"increase", "decrease"}}},
      {"equal", {{"a", "b", "margin", "where"}, {}}},
  };
  return table;
}

[[noreturn]] void wrong_word(const std::string& where, const std::string& what, const std::string& word,
                             const std::vector<std::string>& known) {
  const std::string near = nearest_word(word, known);
  throw Error({.where = where,
               .what = fmt::format("{} '{}' is not known", what, word),
               .wanted = fmt::format("one of: {}", fmt::join(known, ", ")),
               .fix = near.empty() ? "" : fmt::format("did you mean '{}'?", near)});
}

const Json* filter_value(const RunRecords& run, const std::string& key) {
  const Json* config = run.find("config");
  const Json* value = config == nullptr ? nullptr : config->find(key);
  return value != nullptr ? value : run.find(key);
}

bool value_matches(const Json& value, const Json& wanted) {
  if (wanted.is_array()) {
    return std::any_of(wanted.as_array().begin(), wanted.as_array().end(),
                       [&](const Json& one) { return value_matches(value, one); });
  }
  if (wanted.is_object()) {
    if (!value.is_number()) return false;
    return value.as_double() >= wanted.get_double("min", -1e300) &&
           value.as_double() <= wanted.get_double("max", 1e300);
  }
  if (value.is_number() && wanted.is_number()) return value.as_double() == wanted.as_double();
  return value == wanted;
}

void filter_check(const StudyRecords& study, const Json& filter, const std::string& where) {
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
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      const std::string near = nearest_word(key, known);
      throw Error({.where = where,
                   .what = fmt::format("no run has '{}' to filter by", key),
                   .fix = near.empty() ? "" : fmt::format("did you mean '{}'?", near)});
    }
    if (!wanted.is_object()) continue;
    for (const auto& [bound, value] : wanted.as_object()) {
      if (bound != "min" && bound != "max") wrong_word(where, "bound", bound, {"min", "max"});
    }
  }
}

Hypothesis parse_one(const StudyRecords& study, const Json& entry, const std::string& where) {
  Hypothesis hypothesis;
  hypothesis.kind = entry.at("kind").as_string();
  const auto found = kinds().find(hypothesis.kind);
  if (found == kinds().end()) {
    wrong_word(where, "kind", hypothesis.kind, {"monotone", "peak", "correlation", "difference", "equal"});
  }
  const KindRule& rule = found->second;
  std::vector<std::string> keys = {"id", "text", "kind", "y"};
  keys.insert(keys.end(), rule.keys.begin(), rule.keys.end());
  for (const auto& [key, value] : entry.as_object()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) wrong_word(where, "key", key, keys);
  }
  hypothesis.id = entry.at("id").as_string();
  hypothesis.text = entry.at("text").as_string();
  hypothesis.y = entry.at("y").as_string();
  metric_check(hypothesis.y, where + ", y");
  const auto has = [&](const char* key) { return std::find(keys.begin(), keys.end(), key) != keys.end(); };
  if (has("x")) {
    hypothesis.x = entry.at("x").as_string();
    metric_check(hypothesis.x, where + ", x");
  }
  if (has("direction")) {
    hypothesis.direction = entry.at("direction").as_string();
    if (std::find(rule.directions.begin(), rule.directions.end(), hypothesis.direction) == rule.directions.end()) {
      wrong_word(where, "direction", hypothesis.direction, rule.directions);
    }
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
struct Sample {
  std::vector<Group> groups;
  std::vector<bool> in_b;  // for two-group kinds
  std::vector<std::string> models;
  i64 runs_wanted = 0, runs_used = 0;
  i64 seeds = 0;
  bool score_off_chance = true;  // false: y is an accuracy and no run is clearly above chance
};

bool x_is_logarithmic(const Hypothesis& h) { return h.kind == "monotone" || h.kind == "peak"; }

// True when y is no accuracy, has no chance, or this run is at least three standard errors above it.
bool off_chance(const RunRecords& run, const std::string& path, const Measure& y) {
  const std::string key = path.substr(path.rfind('.') + 1);
  if (key != "acc" && key != "acc_norm" && key != "exact_match") return true;
  const Measure chance = chance_of(run, path.substr(0, path.rfind('.') + 1));
  return !chance.known() || !std::isfinite(y.se) || y.value - chance.value >= 3 * y.se;
}

Sample sample_of(const StudyRecords& study, const Hypothesis& h) {
  Sample sample;
  const bool two_groups = h.kind == "difference" || h.kind == "equal";
  bool any_off_chance = false;
  for (const RunRecords& run : study.runs) {
    if (run.role == RunRole::sweep || !filter_matches(run, h.where)) continue;
    const bool in_a = two_groups && filter_matches(run, h.a), in_b = two_groups && filter_matches(run, h.b);
    if (two_groups && in_a == in_b) continue;
    ++sample.runs_wanted;
    if (run.status != RunStatus::done) continue;
    const Measure y = metric_of(run, h.y), x = two_groups ? Measure{0, kUnknown} : metric_of(run, h.x);
    if (!std::isfinite(y.value) || !std::isfinite(x.value) || (x_is_logarithmic(h) && x.value <= 0)) continue;
    ++sample.runs_used;
    any_off_chance |= off_chance(run, h.y, y);
    const Value value{x_is_logarithmic(h) ? std::log2(x.value) : x.value, y.value,
                      x_is_logarithmic(h) ? x.se / (x.value * std::log(2.0)) : x.se, y.se};
    const auto at = std::find(sample.models.begin(), sample.models.end(), run.model);
    if (at == sample.models.end()) {
      sample.models.push_back(run.model);
      sample.groups.push_back({value});
      sample.in_b.push_back(in_b);
    } else {
      sample.groups[static_cast<std::size_t>(at - sample.models.begin())].push_back(value);
    }
  }
  sample.score_off_chance = any_off_chance || sample.runs_used == 0;
  for (const Group& group : sample.groups) {
    const i64 seeds = static_cast<i64>(group.size());
    sample.seeds = sample.seeds == 0 ? seeds : std::min(sample.seeds, seeds);
  }
  return sample;
}

i64 distinct_x(const Sample& sample) {
  std::vector<double> xs;
  for (const Group& group : sample.groups) xs.push_back(group.front().x);
  std::sort(xs.begin(), xs.end());
  return std::unique(xs.begin(), xs.end()) - xs.begin();
}

// Verdict from an interval that should lie above 0 (sign = 1) or below (sign = -1).
Verdict by_sign(const Interval& effect, double sign) {
  if (sign > 0 ? effect.above(0) : effect.below(0)) return Verdict::supported;
  if (sign > 0 ? effect.below(0) : effect.above(0)) return Verdict::refuted;
  return Verdict::unresolved;
}

std::string by_sign_reason(Verdict verdict) {
  switch (verdict) {
    case Verdict::supported: return "the interval lies wholly on the side that was claimed";
    case Verdict::refuted: return "the interval lies wholly on the other side";
    case Verdict::unresolved: return "the interval includes zero: the effect is within noise";
  }
  return "";
}

// A monotone claim fails where a single step between neighbours goes against it beyond noise (Bonferroni over steps).
std::string step_against(const Sample& sample, double sign, u64 number) {
  std::vector<std::size_t> order(sample.groups.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return sample.groups[a].front().x < sample.groups[b].front().x; });
  const double coverage = 1 - 0.05 / static_cast<double>(std::max<std::size_t>(1, order.size() - 1));
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    const std::vector<Group> pair = {sample.groups[order[i]], sample.groups[order[i + 1]]};
    if (pair[0].front().x == pair[1].front().x) continue;
    const Interval step = bootstrap(
        pair, [](const auto&, const auto& y) { return y[1] - y[0]; }, number + 1000 * (i + 1), coverage);
    if (by_sign(step, sign) == Verdict::refuted) {
      return fmt::format("the step from {} to {} goes the other way beyond noise", sample.models[order[i]],
                         sample.models[order[i + 1]]);
    }
  }
  return "";
}

void test_monotone(const Sample& sample, HypothesisResult& result, u64 number) {
  const Hypothesis& h = result.hypothesis;
  result.effect_name = fmt::format("change of {} for each doubling of {}", metric_label(h.y), metric_label(h.x));
  if (distinct_x(sample) < 3) {
    result.reason = "a trend needs three values of x";
    return;
  }
  const double sign = h.direction == "increase" ? 1 : -1;
  result.effect = bootstrap(sample.groups, slope_of, number);
  result.verdict = by_sign(result.effect, sign);
  result.reason = by_sign_reason(result.verdict);
  const std::string against = step_against(sample, sign, number);
  if (result.verdict == Verdict::supported && !against.empty()) {
    result.verdict = Verdict::refuted;
    result.reason = "the overall slope is as claimed, but not monotone: " + against;
  }
}

// y may have its turning point inside the range, at an end, or nowhere that the data can tell (base/rise_fall.h).
void test_peak(const Sample& sample, HypothesisResult& result, u64 number) {
  const Hypothesis& h = result.hypothesis;
  result.effect_name = fmt::format("{} at which {} has its {}", metric_label(h.x), metric_label(h.y), h.direction);
  if (distinct_x(sample) < 4) {
    result.reason = "a turning point needs four values of x";
    return;
  }
  const double sign = h.direction == "maximum" ? 1 : -1;
  const RiseFall turn = rise_fall(sample.groups, sign, number);
  switch (turn.shape) {
    case TurnShape::inside:
      result.effect = {std::exp2(turn.at.estimate), std::exp2(turn.at.low), std::exp2(turn.at.high)};
      result.verdict = Verdict::supported;
      result.reason = fmt::format("it turns inside the range, both sides beyond noise (p = {:.2g})", turn.p);
      return;
    case TurnShape::low_end:
    case TurnShape::high_end:
      result.verdict = Verdict::refuted;
      result.reason = fmt::format("beyond noise the {} of the measured range is at its {} end: no turning point inside",
                                  h.direction, turn.shape == TurnShape::low_end ? "low" : "high");
      return;
    case TurnShape::several:
      if (rise_fall(sample.groups, -sign, number).shape == TurnShape::inside) {
        result.verdict = Verdict::refuted;
        result.reason = fmt::format("beyond noise it has a {} there instead", sign > 0 ? "minimum" : "maximum");
      } else {
        result.reason = "it turns more than once beyond noise: do its runs differ in more than x?";
      }
      return;
    case TurnShape::not_determined:
      result.reason = std::isnan(turn.p) ? "the seeds show no noise to test against"
                                         : fmt::format("one of its two sides is within noise (p = {:.2g})", turn.p);
      return;
  }
}

void test_correlation(const Sample& sample, HypothesisResult& result, u64 number) {
  const Hypothesis& h = result.hypothesis;
  result.effect_name = fmt::format("rank correlation (Spearman) of {} with {}", metric_label(h.y), metric_label(h.x));
  if (sample.groups.size() < 5) {
    result.reason = "a correlation needs five configurations";
    return;
  }
  result.effect = bootstrap(sample.groups, spearman_of, number);
  result.effect.low = std::max(-1.0, result.effect.low);
  result.effect.high = std::min(1.0, result.effect.high);
  result.verdict = by_sign(result.effect, h.direction == "increase" ? 1 : -1);
  result.reason = by_sign_reason(result.verdict);
}

void test_two_groups(const Sample& sample, HypothesisResult& result, u64 number) {
  const Hypothesis& h = result.hypothesis;
  result.effect_name = fmt::format("{}, runs b minus runs a", metric_label(h.y));
  const i64 in_b = std::count(sample.in_b.begin(), sample.in_b.end(), true);
  if (in_b == 0 || in_b == static_cast<i64>(sample.in_b.size())) {
    result.reason = "one of the two groups is empty";
    return;
  }
  const std::vector<bool>& flags = sample.in_b;
  result.effect = bootstrap(
      sample.groups,
      [&flags](const auto&, const auto& y) {
        double sum[2] = {0, 0}, count[2] = {0, 0};
        for (std::size_t i = 0; i < y.size(); ++i) {
          sum[flags[i] ? 1 : 0] += y[i];
          count[flags[i] ? 1 : 0] += 1;
        }
        return sum[1] / count[1] - sum[0] / count[0];
      },
      number);
  if (h.kind == "difference") {
    result.verdict = by_sign(result.effect, h.direction == "increase" ? 1 : -1);
    result.reason = by_sign_reason(result.verdict);
  } else if (result.effect.above(-h.margin) && result.effect.below(h.margin)) {
    result.verdict = Verdict::supported;
    result.reason = fmt::format("the interval lies within the margin of {:g}", h.margin);
  } else if (result.effect.above(h.margin) || result.effect.below(-h.margin)) {
    result.verdict = Verdict::refuted;
    result.reason = fmt::format("the interval lies wholly beyond the margin of {:g}", h.margin);
  } else {
    result.reason = fmt::format("the interval reaches across the margin of {:g}", h.margin);
  }
}

// Reasons that forbid a verdict whatever the numbers say; empty when there is none.
std::string verdict_forbidden(const Sample& sample) {
  if (sample.runs_wanted == 0) return "no run of the study matches";
  if (sample.runs_used == 0) return "none of its runs has the numbers yet";
  if (sample.runs_used < sample.runs_wanted) {
    return fmt::format("{} of its {} runs lack the numbers", sample.runs_wanted - sample.runs_used, sample.runs_wanted);
  }
  if (sample.seeds == 1) return "one seed: another one could turn the effect around, so no trend is claimed";
  if (sample.seeds < kSeedsForVerdict)
    return fmt::format("{} seeds: a verdict needs {}", sample.seeds, kSeedsForVerdict);
  if (!sample.score_off_chance) return "no run is three standard errors above chance: the score cannot tell them apart";
  return "";
}

}  // namespace

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::supported: return "supported";
    case Verdict::refuted: return "refuted";
    case Verdict::unresolved: return "unresolved";
  }
  return "?";
}

bool filter_matches(const RunRecords& run, const Json& filter) {
  for (const auto& [key, wanted] : filter.as_object()) {
    if (key == "dense") {
      if (!value_matches(Json(run.dense()), wanted)) return false;
      continue;
    }
    if (key == "model") {
      if (!value_matches(Json(run.model), wanted)) return false;
      continue;
    }
    const Json* value = filter_value(run, key);
    if (value == nullptr || !value_matches(*value, wanted)) return false;
  }
  return true;
}

std::vector<Hypothesis> hypotheses_parse(const StudyRecords& study) {
  std::vector<Hypothesis> hypotheses;
  const Json* entries = study.study.find("hypotheses");
  if (entries == nullptr) return hypotheses;
  const std::string path = path_join(study.folder, "study.json");
  for (i64 i = 0; i < entries->count(); ++i) {
    const Json& entry = (*entries)[i];
    const std::string where = fmt::format("{}, hypothesis {}", path, entry.get_string("id", fmt::format("{}", i + 1)));
    try {
      hypotheses.push_back(parse_one(study, entry, where));
    } catch (const Error& e) {
      if (!e.parts().where.empty()) throw;
      throw Error({.where = where, .what = e.parts().what, .wanted = e.parts().wanted, .got = e.parts().got});
    }
  }
  return hypotheses;
}

HypothesisResult hypothesis_test(const StudyRecords& study, const Hypothesis& hypothesis, u64 number) {
  HypothesisResult result;
  result.hypothesis = hypothesis;
  const Sample sample = sample_of(study, hypothesis);
  result.configurations = static_cast<i64>(sample.groups.size());
  result.seeds = sample.seeds;
  if (hypothesis.kind == "monotone") {
    test_monotone(sample, result, number);
  } else if (hypothesis.kind == "peak") {
    test_peak(sample, result, number);
  } else if (hypothesis.kind == "correlation") {
    test_correlation(sample, result, number);
  } else {
    test_two_groups(sample, result, number);
  }
  const std::string forbidden = verdict_forbidden(sample);
  if (!forbidden.empty()) {
    result.verdict = Verdict::unresolved;
    result.reason = forbidden;
  }
  return result;
}

}  // namespace moebius::report
