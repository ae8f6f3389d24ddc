// How small an effect can the runs of a study show? In: the design of one hypothesis (x and seeds of its
// configurations) and the noise of one run. Out: the smallest effect that the report's test of that kind supports in 80
// % of studies at 5 % two-sided, and the seeds that a smaller one needs. The tests themselves are base/statistics.h's
// and fit/rise_fall.h's; what they decide is docs/report.md's.
#pragma once

#include <vector>

#include "base/statistics.h"
#include "records/verdicts.h"

namespace moebius::fit {

constexpr double kPower = 0.8;
constexpr i64 kSeedsMax = 1000;  // beyond it a wish for more seeds is answered by "no"

using records::HypothesisKind;

struct PowerDesign {
  HypothesisKind kind = HypothesisKind::monotone;
  std::vector<double> x;   // of each configuration, in the scale that the test uses (log2); places if x is a result
  std::vector<bool> in_b;  // difference, equal: which group a configuration is in
  i64 seeds = 0;           // of each configuration
  bool margin = false;     // the effect is to be shown to lie within a margin (equal, flat; contrast with a margin)
  i64 tests = 1;  // hypotheses of the study: each is tested at 0.05/tests (the first step of Holm's correction)
};

// Standard deviations of one run's number: `seed` between seeds, `item` of the evaluation's items, which all seeds share.
// For slopes, differences and contrasts, `seed` is what is left when effects common to all runs of a seed are taken out.
struct PowerNoise {
  double seed = kUnknown;
  double item = 0;
};

// Empty when the design can be tested, with or without seeds; else the sentence that says why not.
const char* power_problem(const PowerDesign& design);

// monotone, contrast: slope of the outcome for each unit of x; difference: of the groups' means; with a margin: the
// margin that can be shown when there is no effect: all by simulation of base/linear_statistics.h's interval under normal
// noise. peak: the height of a parabola's top in the middle of x over both ends; correlation: the whole change of y over
// evenly spaced configurations in a line: both by simulation of the test. The same numbers on every call. NaN when the
// design cannot be tested or nothing is large enough. Noise above 0, seeds at least 2.
double smallest_effect(const PowerDesign& design, const PowerNoise& noise);

// The fewest seeds a configuration with which `effect` is found, at least `design.seeds`; 0: more than kSeedsMax.
i64 seeds_needed(const PowerDesign& design, const PowerNoise& noise, double effect);

}  // namespace moebius::fit
