// Hypotheses of a study and the verdict on each: supported, refuted or unresolved, with the effect and its interval.
// In: study.json's `hypotheses` and the runs' records; out: Verdict. The rules are those of docs/report.md: an effect
// must be outside noise, and with fewer than three seeds at any configuration no verdict but `unresolved` is given.
#pragma once

#include <string>
#include <vector>

#include "base/statistics.h"
#include "report/metrics.h"

namespace moebius::report {

constexpr i64 kSeedsForVerdict = 3;

struct Hypothesis {
  std::string id, text, kind, direction;
  std::string x, y;                 // metric paths; x is empty for kinds that compare two groups
  Json where = {}, a = {}, b = {};  // filters; objects
  double margin = kUnknown;
};

enum class Verdict { supported, refuted, unresolved };
const char* verdict_name(Verdict verdict);

struct HypothesisResult {
  Hypothesis hypothesis;
  Verdict verdict = Verdict::unresolved;
  Interval effect;
  std::string effect_name;  // "change of facts: accuracy for each doubling of total parameters"
  std::string reason;       // one sentence on how the verdict came about
  i64 configurations = 0;
  i64 seeds = 0;  // fewest at any configuration used
};

// All hypotheses of study.json. Throws Error that names the hypothesis for unknown keys, kinds, directions, metric
// paths, or filter keys that no run has.
std::vector<Hypothesis> hypotheses_parse(const StudyRecords& study);
// `number` numbers the test (random stream of the bootstrap).
HypothesisResult hypothesis_test(const StudyRecords& study, const Hypothesis& hypothesis, u64 number);

// Does a run match {"top_k": 2, "experts": [8, 32], "tpp": {"min": 1, "max": 30}, "dense": false}?
bool filter_matches(const RunRecords& run, const Json& filter);

}  // namespace moebius::report
