// verdicts.json: the hypotheses of a study with the verdict on each, as `study` and `moebius fit --hypotheses` write it
// and `report` reads it. The keys: docs/formats.md. The tests behind the verdicts: fit/hypothesis.h.
#pragma once

#include <string>
#include <vector>

#include "records/fields.h"

namespace moebius::records {

// Fewer seeds at any configuration give no verdict but `unresolved`.
constexpr i64 kSeedsForVerdict = 3;

enum class HypothesisKind { monotone, peak, correlation, difference, equal, contrast, flat, matched };
template <>
inline constexpr std::array kEnumNames<HypothesisKind> = {"monotone", "peak",     "correlation", "difference",
                                                          "equal",    "contrast", "flat",        "matched"};

enum class Outcome { supported, refuted, unresolved };
template <>
inline constexpr std::array kEnumNames<Outcome> = {"supported", "refuted", "unresolved"};

// Whether a quantity is the same for all runs of a comparison; unknown: not for all of them is it known yet.
enum class Held { equal, varies, unknown };
template <>
inline constexpr std::array kEnumNames<Held> = {"equal", "varies", "unknown"};

struct ComparedQuantity {
  std::string name;  // "total parameters"
  Held held = Held::unknown;
  double low = kUnknown, high = kUnknown;  // the range; unknown for `data`, which has none
  void visit(Fields& f) { f("name", name)("held", held)("low", low)("high", high); }
};

// "equal: tokens, data; varies: total parameters (295k to 6.52M, x22)"
std::string compared_text(const std::vector<ComparedQuantity>& compared);

struct HypothesisVerdict {
  std::string id, text;
  HypothesisKind kind = HypothesisKind::monotone;
  std::string x, y;       // metric paths; x is empty for kinds that compare two groups
  std::string minus, at;  // contrast: the metric that is subtracted; matched: the metric that is held equal
  Outcome outcome = Outcome::unresolved;
  Interval effect;          // 95 %
  double p = kUnknown;      // the smallest level at which the test gives a verdict; before the correction
  std::string effect_name;  // "change of facts: accuracy for each doubling of total parameters"
  std::string reason;       // one sentence on how the verdict came about
  i64 configurations = 0;
  i64 seeds = 0;                                // fewest at any configuration used
  std::vector<ComparedQuantity> compared = {};  // over the runs of the verdict
  i64 runs = 0, runs_of_the_plan = 0;           // that the verdict rests on; that match it, finished or not
  void visit(Fields& f);
};

struct Verdicts {
  i64 runs_done = 0;  // finished main runs of the study when they were made
  std::vector<HypothesisVerdict> hypotheses;
  void visit(Fields& f) { f("runs_done", runs_done)("hypotheses", hypotheses); }
};

inline constexpr const char* kVerdictsName = "verdicts.json";  // in the study's folder

// Throws Error with the file and the key.
Verdicts verdicts_read(const std::string& path);
Json verdicts_to_json(const Verdicts& verdicts);
void verdicts_write(const Verdicts& verdicts, const std::string& path);

}  // namespace moebius::records
