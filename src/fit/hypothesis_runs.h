// The runs that a hypothesis is tested on. In: a study's records and a hypothesis. Out: values grouped by configuration,
// linear estimates over them, and the reasons that forbid a verdict. The tests: judge.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/linear_statistics.h"
#include "fit/hypothesis.h"
#include "records/item_scores.h"

namespace moebius::fit {

class TestedRuns {
 public:
  TestedRuns(const records::StudyRuns& study, const Hypothesis& hypothesis);

  // Of each configuration: its runs' x (log2 where the test is over log2 x) and outcome; whether it is in group b; the
  // mean x.
  std::vector<Group> groups;
  std::vector<bool> in_b;
  std::vector<double> x;
  std::vector<std::string> models;
  std::vector<std::vector<double>> at;  // matched: ln of the metric that is held equal
  i64 runs_wanted = 0, runs_used = 0;
  i64 seeds = 0;  // fewest of any configuration

  // sum_g weights[g] * mean outcome of configuration g.
  LinearEstimate linear(const std::vector<double>& weights) const;
  // sum over runs of weights[g][r] * outcome: its standard error over items; NaN if unknown.
  double item_se(const std::vector<std::vector<double>>& weights) const;
  // The same statistic for each seed that every configuration with a weight has. Nothing unless each has the same seeds,
  // at least two.
  std::optional<LinearEstimate::SeedError> error_by_seed(const std::vector<double>& weights) const;
  // Why no verdict can be given whatever the numbers say; empty: it can.
  std::string verdict_forbidden() const;

 private:
  void add(const records::RunRecords& run, bool is_in_b, const Value& value, double at_value);

  const Hypothesis& hypothesis_;
  std::vector<std::vector<const records::RunRecords*>> runs_;
  std::optional<records::PairedItems> items_;
};

// Whether the metric `path` is a score or a loss that a verdict may rest on, for at least one of these configurations:
// empty, or the reason why not. A share of items must be three standard errors above guessing; for the skills
// composition, look-up, addition and reasoning, above the best shortcut (`chance_best`), and their losses count only if
// the score of the same record does.
std::string chance_problem(const std::vector<std::vector<const records::RunRecords*>>& configurations,
                           const std::string& path);

}  // namespace moebius::fit
