// Fits a law to runs: many starts, the three best optima, bootstrap intervals, hold-out error, a verdict in plain words.
// In: runs and options; out: LawFit, all that fit.json says of a law. Comparison of laws: compare.h; as JSON and text: fit_json.h.
// The same numbers for any number of threads: a start or a sample is one task.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"
#include "fit/minimize.h"
#include "fit/runs.h"
#include "records/fit_file.h"

namespace moebius::fit {

struct FitOptions {
  i64 bootstrap = 200;
  std::string holdout = "largest-compute";  // or "folds", "none"
  double holdout_share = 0.2;               // of the runs, for largest-compute
  i64 folds = 5;
  i64 starts = 48;           // starts that are followed to an optimum
  double huber_delta = -1;   // below 0: the law's own
  double weight_decay = -1;  // below 0: the law's own
  i64 seed = 1;
  void describe(OptionList& list);
};

using records::Coefficient;
using records::Knowledge;
using records::Verdict;

struct Holdout {
  std::string kind;            // "largest-compute", "folds"; empty: none
  std::vector<i64> runs;       // indices into the fit's runs
  std::vector<double> errors;  // (predicted - measured)/measured, in the order of `runs`
  double error = kMissing;     // mean of the absolute values
  double error_se = kMissing;  // its standard error
};

inline constexpr double kIntervalLevel = 0.95;
inline constexpr double kDecayMuch = 0.1;  // a weight decay that is a larger part of the objective is spoken of

struct LawFit {
  Law law = Law::chinchilla;
  double huber_delta = 0, weight_decay = 0;
  std::vector<std::string> names;  // of the runs
  std::vector<LawPoint> points;
  std::vector<double> predicted;  // empty without a fit
  std::vector<Minimum> optima;    // the best first; empty without a fit
  double penalty = 0;             // the decay's part of the best objective
  std::vector<Coefficient> coefficients;
  std::vector<std::vector<double>> samples;  // bootstrap coefficient vectors
  Holdout holdout;
  double rmse = kMissing, rmse_log = kMissing, aic = kMissing;
  Verdict verdict;
  std::vector<std::string> notes;
  bool determined() const { return verdict.knowledge == Knowledge::determined; }
  bool fitted() const { return !optima.empty(); }
};

// Throws Error when the runs lack a column that the law needs. Too few runs, or runs without a lever, give a LawFit whose
// verdict says so. Looks for Ctrl-C.
LawFit fit_law(const Runs& all, Law law, const FitOptions& options);

// The parts, for tests.
std::vector<Minimum> best_optima(const Objective& objective, const std::vector<LawPoint>& points, i64 starts,
                                 i64 count);
// Percentile of sorted values, linear between them; share in [0, 1].
double percentile(const std::vector<double>& sorted, double share);
// AIC of residuals in ln loss: n ln(mean square) + 2 (coefficients + 1).
double aic_of(double rmse_log, i64 runs, i64 coefficients);

// Fills coefficients, verdict and notes from the rest.
void judge(const Objective& objective, LawFit& fit);
// Without a fit: too few runs.
void judge_too_few(LawFit& fit);

// Fills fit.holdout.
void hold_out(const FitOptions& options, LawFit& fit);

}  // namespace moebius::fit
