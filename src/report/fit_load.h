// fit.json as the report uses it: laws with their verdicts and curves, task laws, turning points, the recommended model.
// In: a file that `moebius fit --out` or `moebius study` wrote (docs/formats.md). Out: FitRecords. Whatever is missing is
// empty or NaN; a value of the wrong type, or one that is not finite, is an Error that names its key. Computes nothing.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/statistics.h"
#include "base/types.h"

namespace moebius::report {

// Longer arrays are refused: nothing that a study writes comes near.
constexpr i64 kFitEntriesMax = 200000;

// "determined", "partly determined", "not determined: why": the first words decide what may be shown as a number.
enum class Knowledge { determined, partly, none };
Knowledge knowledge_of(const std::string& verdict);
const char* knowledge_name(Knowledge knowledge);

struct FitCoefficient {
  std::string name;
  Interval value;
  bool determined = false;
  std::string note;
};

// A point of a curve or of a run; x is a size, E / k, a train loss, FLOPs.
struct FitPoint {
  std::string name = {};  // of the run or configuration
  double x = kUnknown, y = kUnknown, low = kUnknown, high = kUnknown;
  double tokens = kUnknown, experts = kUnknown;
};

// Runs of equal compute with the law's curve through them.
struct FitGroup {
  std::string family, size_column;
  double compute = kUnknown, tokens = kUnknown;
  std::vector<FitPoint> points, curve;
  Interval optimum;  // size; known only when the law determines it
  double optimum_loss = kUnknown;
  bool has_optimum = false;
  std::string optimum_verdict;
};

struct FitResidual {
  std::string run;
  double measured = kUnknown, predicted = kUnknown, low = kUnknown, high = kUnknown, compute = kUnknown;
  double held_out = kUnknown;  // predicted by a fit that had not seen the run
};

struct FitLaw {
  std::string law, formula, source, meaning, quantity, verdict, holdout_kind, isoflop_note, sparsity_note;
  std::vector<std::string> notes;
  std::vector<FitCoefficient> coefficients;
  double objective = kUnknown, holdout_error = kUnknown, aic = kUnknown, runs = kUnknown;
  std::vector<FitResidual> residuals;
  std::vector<FitGroup> isoflop, sparsity;  // x: size; E / k
};

struct FitTaskPoint {
  std::string model;
  double train_loss = kUnknown, flops = kUnknown, tpp = kUnknown, measured = kUnknown, predicted = kUnknown;
};

struct FitTaskLaw {
  std::string task, skill, measure, link, verdict;
  std::vector<std::string> notes;
  std::vector<FitCoefficient> coefficients;
  double floor = kUnknown, ceiling = kUnknown, holdout_error = kUnknown, holdout_error_constant = kUnknown;
  std::vector<FitTaskPoint> points;
  std::vector<FitPoint> over_train_loss, over_flops;
  double train_loss_at = kUnknown;  // of over_flops
};

struct FitTurn {
  std::string task, skill, measure, direction, x, family, shape, verdict;
  bool found = false;
  double p_adjusted = kUnknown, tests = kUnknown;
  Interval at;
  std::vector<FitPoint> points;
};

// One law's own optimum under the budget of the recommendation.
struct FitChoice {
  std::string law, reason;  // why there is none
  double loss = kUnknown, parameters_total = kUnknown, tokens = kUnknown, experts = kUnknown, top_k = kUnknown;
  double d_model = kUnknown, layers = kUnknown;
  Interval parameters_active;
};

struct FitRecommended {
  bool present = false;
  std::string verdict, law;
  double compute = kUnknown;
  std::vector<std::string> reasons;
  bool has_model = false;
  FitChoice model;
  std::vector<FitChoice> choices;
};

struct FitRecords {
  bool present = false;
  std::vector<std::string> data;
  std::vector<FitLaw> laws;
  std::vector<std::pair<std::string, std::string>> skipped;  // law, reason
  std::string comparison_verdict;
  std::vector<FitTaskLaw> task_laws;
  std::vector<FitTurn> turning_points;
  std::vector<std::string> left_out;
  FitRecommended recommended;
};

// Throws Error with the file and the key, like "laws[2].residuals[7].measured".
FitRecords fit_load(const std::string& path);
FitRecords fit_parse(const Json& json, const std::string& where);

}  // namespace moebius::report
