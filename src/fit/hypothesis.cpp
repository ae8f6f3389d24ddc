// Parsing hypotheses and their filters.
// In, out: hypothesis.h.
#include "fit/hypothesis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/options.h"

namespace moebius::fit {

namespace {

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
      {{"x", "minus", "direction", "margin", "where"}, {"increase", "decrease"}},
      {{"x", "margin", "where"}, {}},
      {{"x", "at", "direction", "where"}, {"increase", "decrease"}},
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
  const auto read_path = [&](const char* key, std::string& path) {
    if (!has(key)) return;
    path = entry.at(key).as_string();
    records::metric_check(path, fmt::format("{}, {}", where, key));
  };
  read_path("x", hypothesis.x);
  read_path("minus", hypothesis.minus);
  read_path("at", hypothesis.at);
  const bool either = has("direction") && has("margin");  // a contrast has one of them
  if (either && entry.contains("direction") == entry.contains("margin")) {
    throw Error(
        {.where = where,
         .what = "a contrast has either a direction or a margin",
         .wanted = "direction = increase or decrease, or margin = the largest difference that counts as equal"});
  }
  if (has("direction") && (!either || entry.contains("direction"))) {
    hypothesis.upward = index_of_word(entry.at("direction").as_string(), rule.directions, "direction", where) == 0;
  }
  if (has("margin") && (!either || entry.contains("margin"))) {
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

}  // namespace

std::vector<std::string> Hypothesis::scores() const { return minus.empty() ? std::vector{y} : std::vector{y, minus}; }

records::Measured outcome_of(const RunRecords& run, const Hypothesis& hypothesis) {
  const records::Measured y = metric_of(run, hypothesis.y);
  if (hypothesis.minus.empty()) return y;
  const records::Measured minus = metric_of(run, hypothesis.minus);
  const auto square = [](double se) { return std::isfinite(se) ? se * se : 0; };
  const double se = std::sqrt(square(y.se) + square(minus.se));
  return {y.value - minus.value, se > 0 ? se : kUnknown};
}

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

}  // namespace moebius::fit
