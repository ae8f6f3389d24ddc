// Names of skills, directions and units in files.
#include "records/measure.h"

#include <fmt/format.h>

#include "base/error.h"

namespace moebius::records {

namespace {

struct Measures {
  std::vector<Measure> measures;
  void visit(Fields& f) { f.named("measures", measures); }
};

}  // namespace

void Measure::visit(Fields& f) {
  for (const char* key : {"better", "unit"}) {
    if (f.reading() && !f.has(key)) f.wrong(fmt::format("an object with '{}'", key));
  }
  Direction direction = better();
  f("better", direction)("unit", unit).if_known("chance", chance);
  higher_is_better = direction == Direction::higher;
  if (f.reading() || main) f("main", main);
}

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
      {.name = "step_loss", .higher_is_better = false, .unit = Unit::nats_per_token},
      {.name = "word_perplexity", .higher_is_better = false, .unit = Unit::perplexity},
      {.name = "byte_perplexity", .higher_is_better = false, .unit = Unit::perplexity},
      {.name = "token_perplexity", .higher_is_better = false, .unit = Unit::perplexity}};
  return known;
}

Json measures_to_json(const std::vector<Measure>& measures) {
  return fields_to_json(Measures{measures}).at("measures");
}

std::vector<Measure> measures_of(const Json& record) { return fields_from_json<Measures>(record, "").measures; }

void check_measure(const Measure& measure, const std::string& better, const std::string& unit,
                   const std::string& where) {
  const auto check = [&](const char* key, const std::string& given, const std::string& true_value) {
    if (given.empty() || given == true_value) return;
    throw Error({.where = where,
                 .what = fmt::format("'{}' does not describe the measure '{}'", key, measure.name),
                 .wanted = true_value,
                 .got = given});
  };
  check("better", better, enum_name(measure.better()));
  check("unit", unit, enum_name(measure.unit));
}

}  // namespace moebius::records
