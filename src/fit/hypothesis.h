// Hypotheses of a study and the verdict on each: supported, refuted or unresolved, with the effect and its interval.
// In: study.json's `hypotheses` and the runs' records; out: verdicts (records/verdicts.h). The rules are those of
// docs/report.md: an effect must be outside noise, and with fewer than three seeds at any configuration no verdict but
// `unresolved` is given.
#pragma once

#include <string>
#include <vector>

#include "records/metric.h"
#include "records/verdicts.h"

namespace moebius::fit {

using records::HypothesisKind;
using records::HypothesisVerdict;
using records::Outcome;

using records::kSeedsForVerdict;

struct Hypothesis {
  std::string id, text;
  HypothesisKind kind = HypothesisKind::monotone;
  std::string x, y;                 // metric paths; x is empty for kinds that compare two groups
  std::string minus = {}, at = {};  // contrast: the metric that is subtracted; matched: the metric that is held equal
  bool upward = true;               // increase, maximum; else decrease, minimum
  Json where = {}, a = {}, b = {};  // filters; objects
  double margin = kUnknown;         // known: the effect is predicted to lie within +-margin
  bool two_groups() const { return kind == HypothesisKind::difference || kind == HypothesisKind::equal; }
  bool has_margin() const { return margin == margin; }
  std::vector<std::string> scores() const;  // y and, if given, minus
};

// y of a run, minus the metric `minus` if there is one.
records::Measured outcome_of(const records::RunRecords& run, const Hypothesis& hypothesis);

// All hypotheses of study.json. Throws Error that names the hypothesis for unknown keys, kinds, directions, metric
// paths, or filter keys that no run has. `file` names it in messages; empty: study.json.
std::vector<Hypothesis> hypotheses_parse(const records::StudyRuns& study, const std::string& file = "");
// Without a correction for the number of hypotheses. `number` numbers the test (random stream of the bootstrap).
HypothesisVerdict hypothesis_test(const records::StudyRuns& study, const Hypothesis& hypothesis, u64 number);

// Holm's correction over the hypotheses that were tested (those with a known p): a verdict stays if its p, the k-th
// smallest of m, and all smaller ones are at most 0.05/(m - k + 1); the others become unresolved.
void correct_for_number(std::vector<HypothesisVerdict>& verdicts);

// Tests all hypotheses of the study in `folder`, with the correction. `moebius fit` and `moebius study` write the result
// to FOLDER/verdicts.json.
records::Verdicts study_verdicts(const std::string& folder);
std::string verdicts_text(const records::Verdicts& verdicts);

// Does a run match {"top_k": 2, "experts": [8, 32], "tpp": {"min": 1, "max": 30}, "dense": false}?
bool filter_matches(const records::RunRecords& run, const Json& filter);

}  // namespace moebius::fit
