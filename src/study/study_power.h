// What a planned study can show: for each hypothesis the smallest effect that the report's test would support in 80 % of
// such studies (5 % two-sided), and the seeds and hours that half of it needs. In: the plan with its estimated times,
// folders of finished studies whose seeds show the noise, or a noise that the user assumes. Out: rows, table, JSON.
#pragma once

#include <string>
#include <vector>

#include "fit/power.h"
#include "records/verdicts.h"
#include "study/study_plan.h"

namespace moebius::study {

struct PowerRow {
  std::string id, kind, y;
  std::string effect_name;          // "change of facts: accuracy for each doubling of total parameters"
  std::string problem;              // why nothing can be said; empty: the numbers below hold
  fit::PowerNoise noise;            // standard deviations of one run
  std::string noise_source;         // "3 seeds of 7 configurations, 14 degrees of freedom" or "assumed (--noise)"
  i64 noise_df = 0;                 // 0: assumed
  i64 seeds = 0, seeds_tested = 0;  // of the plan; those the effect is for: at least the report's three
  double effect = kUnknown;
  double margin = kUnknown;  // of the hypothesis, if it has one: it can be shown if it is at least `effect`
  i64 seeds_margin = 0;      // for it; 0: more than kSeedsMax
  bool margin_too_small() const { return effect > margin; }
  double seconds = 0;  // of its runs with seeds_tested seeds, here
  i64 seeds_half = 0;  // for half the effect; 0: more than kSeedsMax
  double seconds_half = 0;
  std::vector<records::ComparedQuantity> compared = {};  // what its runs have in common
  void visit(records::Fields& f);                        // for writing
};

// `folders`: studies whose finished runs show the noise; those that cannot be read are Errors. `noise_assumed` is used
// where they show none (NaN: nothing is assumed). Throws Error for a faulty hypothesis.
std::vector<PowerRow> study_power(const StudyPlan& plan, const std::vector<std::string>& folders, double noise_assumed);

// Throws Error for a hypothesis of the study file that is faulty or that these runs could never test (an x that does not
// vary, an empty group, a score without a baseline), so that it is found before the runs and not after them.
void check_hypotheses(const StudyPlan& plan);

std::string power_table(const std::vector<PowerRow>& rows);

}  // namespace moebius::study
