// Names of skills, directions and units in files.
#include "records/measure.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/options.h"

namespace moebius::records {

namespace {

const char* direction_name(bool higher_is_better) { return higher_is_better ? "higher" : "lower"; }

template <typename E>
E enum_parse(const std::string& name, const std::string& what, const std::string& where) {
  return static_cast<E>(index_of_word(name, {kEnumNames<E>.begin(), kEnumNames<E>.end()}, what, where));
}

}  // namespace

Skill skill_parse(const std::string& name, const std::string& where) { return enum_parse<Skill>(name, "skill", where); }

const std::vector<Measure>& known_measures() {
  static const std::vector<Measure> known = {
      {.name = "task_loss", .higher_is_better = false, .unit = Unit::nats_per_token, .main = true},
      {.name = "acc"},
      {.name = "exact_match"},
      {.name = "acc_norm"},
      {.name = "task_bits_per_byte", .higher_is_better = false, .unit = Unit::bits_per_byte},
      {.name = "knowledge_bits", .unit = Unit::bits},
      {.name = "knowledge_share", .unit = Unit::share_of_bits, .main = true},
      {.name = "loss", .higher_is_better = false, .unit = Unit::nats_per_token, .main = true},
      {.name = "bits_per_byte", .higher_is_better = false, .unit = Unit::bits_per_byte},
      {.name = "knowledge_share_raw", .unit = Unit::share_of_bits},
      {.name = "answer_loss", .higher_is_better = false, .unit = Unit::nats_per_token},
      {.name = "step_loss", .higher_is_better = false, .unit = Unit::nats_per_token}};
  return known;
}

Json measures_to_json(const std::vector<Measure>& measures) {
  Json all = Json::object();
  for (const Measure& m : measures) {
    Json one = Json::object();
    one.set("better", direction_name(m.higher_is_better));
    one.set("unit", enum_name(m.unit));
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
    m.higher_is_better = index_of_word(one.at("better").as_string(), {"higher", "lower"}, "direction", where) == 0;
    m.unit = enum_parse<Unit>(one.at("unit").as_string(), "unit", where);
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
  check("unit", unit, enum_name(measure.unit));
}

}  // namespace moebius::records
