// Fits a law to runs: many starts, the three best optima, bootstrap intervals, hold-out error, a verdict in plain
// words.
// In: runs and options; out: LawFit, all that fit.json says of a law. Comparison of laws, curves, text: fit_output.h.
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

inline constexpr double kIntervalLevel = 0.95;
inline constexpr double kDecayMuch = 0.1;  // a weight decay beyond this share of the objective gets a note

// What fit.json says of the law (its texts, ranges, residuals and curves are filled in by fitted_law), and the fit
// itself.
struct LawFit : records::FittedLaw {
  Law kind = Law::chinchilla;
  std::vector<std::string> names;  // of the runs
  std::vector<LawPoint> points;
  std::vector<double> predicted;  // empty without a fit
  std::vector<Minimum> minima;    // the best first; empty without a fit
  std::vector<i64> held_out;      // indices of the runs in `holdout`
  bool fitted() const { return !minima.empty(); }
};

// Throws Error when the runs lack a column that the law needs. Too few runs, or inputs that do not vary, give a LawFit
// whose verdict says so. Checks for Ctrl-C.
LawFit fit_law(const Runs& all, Law law, const FitOptions& options);

// The parts, for tests.
std::vector<Minimum> best_optima(const Objective& objective, const std::vector<LawPoint>& points, i64 starts,
                                 i64 count);
// AICc (Hurvich and Tsai 1989) of residuals in ln loss: n ln(mean square) + 2 k + 2 k (k + 1)/(n - k - 1), k =
// coefficients + 1; infinite when n <= k + 1.
double aicc_of(double rmse_log, i64 runs, i64 coefficients);

// Fills coefficients, verdict and notes from the rest.
void judge(const Objective& objective, LawFit& fit);
// Without a fit: too few runs.
void judge_too_few(LawFit& fit);

// Fills fit.holdout and fit.held_out.
void hold_out(const FitOptions& options, LawFit& fit);

// Where the search for an optimum begins: vectors theta, always the same ones for the same runs.
// Chinchilla and FLAME: the grid of Besiroglu et al. 2024 (4500 points) too. All: a grid of shares of the loss and of
// exponents, its scales set so that the mean run is predicted; the published sets.
std::vector<std::vector<double>> starts_of(Law law, const std::vector<LawPoint>& points);

// What the runs alone say of each coefficient, beside the bootstrap: errors linearised at the optimum with the weight
// decay taken away, and how far the decay holds a coefficient from where the runs would have it. The bootstrap misses
// both: its samples start at the optimum, stay there when a sample has too few different runs, and all carry the same
// decay.
struct Alone {
  std::vector<double> half;   // half of the 95 % interval: Student's t with runs - coefficients degrees of freedom
  std::vector<double> pull;   // theta without the decay, minus theta; 0 without a decay
  std::vector<bool> flat;     // in a direction in which the runs do not vary; half and pull are meaningless then
  std::vector<double> norms;  // root mean square of the prediction's derivative
};
Alone alone_at(const LawFit& fit);

// Two inputs of the law that vary only together in these runs: on a line in the logarithms, within 2 %.
struct Together {
  std::string a, b;
  std::vector<bool> coefficients;  // that belong to terms of either number, and so cannot be told apart
};
std::vector<Together> levers_together(const LawFit& fit);

}  // namespace moebius::fit
