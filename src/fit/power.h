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
};

// Standard deviations of one run's number: `seed` between seeds, `item` of the evaluation's items (the report adds it).
struct PowerNoise {
  double seed = kUnknown;
  double item = 0;
};

// Empty when the design can be tested, with or without seeds; else the sentence that says why not.
const char* power_problem(const PowerDesign& design);

// monotone: slope of y for each unit of x; difference: of the groups' means; equal: the margin that can be shown when
// there is no difference: all by Student's t, (t(0.975, df) + t(0.8, df)) times the standard error. peak: the height of
// a parabola's top in the middle of x over both ends; correlation: the whole change of y over evenly spaced
// configurations in a line: both by simulation of the test (the same numbers on every call). NaN when the design cannot
// be tested or nothing is large enough. Noise above 0, seeds at least 2.
double smallest_effect(const PowerDesign& design, const PowerNoise& noise);

// The fewest seeds a configuration with which `effect` is found, at least `design.seeds`; 0: more than kSeedsMax.
i64 seeds_needed(const PowerDesign& design, const PowerNoise& noise, double effect);

}  // namespace moebius::fit
