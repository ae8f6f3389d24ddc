// Names of skills, directions and units in files.
#include "records/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/options.h"

namespace moebius::records {

namespace {

const std::vector<std::string>& unit_names() {
  static const std::vector<std::string> names = {"share of items", "share of bits", "bits", "nats per token",
                                                 "bits per byte"};
  return names;
}

const char* direction_name(bool higher_is_better) { return higher_is_better ? "higher" : "lower"; }

// The index of `name` in `names`.
std::size_t index_of(const std::vector<std::string>& names, const std::string& name, const std::string& what,
                     const std::string& where) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at != names.end()) return static_cast<std::size_t>(at - names.begin());
  const std::string near = nearest_word(name, names);
  throw Error({.where = where,
               .what = fmt::format("unknown {} '{}'", what, name),
               .wanted = fmt::format("one of {}", fmt::join(names, ", ")),
               .fix = near.empty() ? "" : fmt::format("did you mean '{}'?", near)});
}

}  // namespace

const std::vector<std::string>& skill_names() {
  static const std::vector<std::string> names = {"memorisation", "reasoning", "knowledge", "language"};
  return names;
}

const std::string& skill_name(Skill skill) { return skill_names()[static_cast<std::size_t>(skill)]; }

Skill skill_parse(const std::string& name, const std::string& where) {
  return static_cast<Skill>(index_of(skill_names(), name, "skill", where));
}

Json measures_to_json(const std::vector<Measure>& measures) {
  Json all = Json::object();
  for (const Measure& m : measures) {
    Json one = Json::object();
    one.set("better", direction_name(m.higher_is_better));
    one.set("unit", unit_names()[static_cast<std::size_t>(m.unit)]);
    if (std::isfinite(m.chance)) one.set("chance", m.chance);
    if (m.main) one.set("main", true);
    all.set(m.name, std::move(one));
  }
  return all;
}

std::vector<Measure> measures_of(const Json& record) {
  std::vector<Measure> measures;
  const Json* all = record.find("measures");
  if (all == nullptr) return measures;
  for (const auto& [name, one] : all->as_object()) {
    const std::string where = fmt::format("measure '{}' of an eval record", name);
    Measure m;
    m.name = name;
    m.higher_is_better =
        index_of({direction_name(true), direction_name(false)}, one.at("better").as_string(), "direction", where) == 0;
    m.unit = static_cast<Unit>(index_of(unit_names(), one.at("unit").as_string(), "unit", where));
    m.chance = one.get_double("chance", kUnknown);
    m.main = one.get_bool("main", false);
    measures.push_back(std::move(m));
  }
  return measures;
}

void check_measure(const Measure& measure, const std::string& better, const std::string& unit,
                   const std::string& where) {
  const auto check = [&](const char* key, const std::string& given, const std::string& true_value) {
    if (given.empty() || given == true_value) return;
    throw Error({.where = where,
                 .what = fmt::format("'{}' does not describe the measure '{}'", key, measure.name),
                 .wanted = true_value,
                 .got = given});
  };
  check("better", better, direction_name(measure.higher_is_better));
  check("unit", unit, unit_names()[static_cast<std::size_t>(measure.unit)]);
}

}  // namespace moebius::records
