// What an evaluation's scores mean: the skill that a task tests and, for each score, its direction, unit and chance
// level. Written into eval records by eval; read there by fit and report, which need not know any score by name.
// Not for the values themselves: they are in the records.
#pragma once

#include <string>
#include <vector>

#include "records/fields.h"

namespace moebius::records {

// In the order in which reports show them. The generated tasks are named for what they measure: composition (nested
// operations), look-up (hops from name to name), addition (word problems); reasoning is for tasks that mix such parts.
enum class Skill { memorisation, composition, look_up, addition, reasoning, knowledge, language };
template <>
inline constexpr std::array kEnumNames<Skill> = {"memorisation", "composition", "look-up", "addition",
                                                 "reasoning",    "knowledge",   "language"};

enum class Unit { share_of_items, share_of_bits, bits, nats_per_token, bits_per_byte, perplexity };
template <>
inline constexpr std::array kEnumNames<Unit> = {"share of items", "share of bits", "bits",
                                                "nats per token", "bits per byte", "perplexity"};

enum class Direction { higher, lower };  // which is better
template <>
inline constexpr std::array kEnumNames<Direction> = {"higher", "lower"};

struct Measure {
  std::string name;  // the key of its value in the record: "acc"
  bool higher_is_better = true;
  Unit unit = Unit::share_of_items;
  double chance = kUnknown;  // what guessing reaches; NaN where guessing has no level
  bool main = false;         // the score, the loss and the knowledge share that a task is judged by
  Direction better() const { return higher_is_better ? Direction::higher : Direction::lower; }
  void visit(Fields& f);
};

// The scores that have a fixed meaning, without their chance: what eval writes, and what records hold that were written
// before they described their measures. In the order in which those are read.
const std::vector<Measure>& known_measures();

// {"acc": {"better": "higher", "unit": "share of items", "chance": 0.25, "main": true}, ...}
Json measures_to_json(const std::vector<Measure>& measures);
// Those of an eval record; empty for a record that was written before records had them. Throws Error for a broken
// entry.
std::vector<Measure> measures_of(const Json& record);

// Throws Error unless `better` and `unit` (empty: not said) describe `measure`.
void check_measure(const Measure& measure, const std::string& better, const std::string& unit,
                   const std::string& where);

}  // namespace moebius::records
