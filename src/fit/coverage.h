// How often do the intervals contain the true value, and how often does a page of hypotheses report an effect that is
// not there? By simulation through the tests themselves (hypothesis.h), for noise that is normal, bimodal and heavy-tailed.
// In: numbers of simulated studies. Out: rows, table, JSON. The results: docs/statistics.md.
#pragma once

#include <string>
#include <vector>

#include "records/fields.h"

namespace moebius::fit {

enum class NoiseShape { normal, bimodal, heavy };

// A coverage of 95 % intervals, or a rate of false alarms.
struct CoverageRow {
  std::string interval;  // "slope"; "page of 4 hypotheses"
  std::string noise;
  i64 seeds = 0, studies = 0;
  double share = 0;  // of the studies: the interval contains the truth; false alarms: any verdict was given
  bool false_alarms = false;
  void visit(records::Fields& f);
};

// 4 configurations (correlation: 5) with 3 and with 5 seeds. Deterministic.
std::vector<CoverageRow> interval_coverage(i64 studies);
// Pages with the hypotheses monotone, difference, contrast and matched, none of which is true, with Holm's correction.
std::vector<CoverageRow> false_alarms(i64 studies);
std::string coverage_text(const std::vector<CoverageRow>& rows);

}  // namespace moebius::fit
