// Runs to fit: from CSV files and from study folders, checked when read.
// In: paths and the map of columns; out: one LawPoint a run, with its name. A number that is there must be finite and
// possible; which ones a law needs is checked by runs_require. Not for fitting (fit.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fit/law.h"

namespace moebius::fit {

// Our column -> the file's ("loss" -> "final_loss"), from --column. In a study folder only `loss` can be mapped, to
// NAME.SOURCE of an evaluation (docs/formats.md) instead of the training's final loss.
using ColumnMap = std::map<std::string, std::string>;

// "loss=NAME" texts to a map. Throws Error for an unknown column of ours, or one given twice.
ColumnMap column_map(const std::vector<std::string>& texts);

struct Runs {
  std::vector<std::string> names;  // unique enough for people: file's column "run" or "name", else "line N"
  std::vector<LawPoint> points;
  // The measured quantity is Ling's C_dense/C_moe and no loss: the file's column is called so, or was mapped so.
  bool measures_leverage = false;
  bool measures_loss = false;        // certainly a loss: a study's
  bool has_csv = false;              // some runs came out of a CSV file
  std::vector<std::string> sources;  // paths, as given
  std::vector<std::string> notes;    // what was derived or left out, for the user
  i64 count() const { return static_cast<i64>(points.size()); }
  std::string where() const;  // the sources, for messages
  // Whether any run has the column.
  bool has(std::string_view column) const;
};

// A CSV with the columns parameters_total, parameters_active, tokens, flops, experts, top_k, experts_shared,
// granularity, parameters_embedding, loss (or `leverage`); any may be missing. `tokens` = flops/(6 N) when the file has
// flops, N and no tokens (N: active parameters, or all). Throws Error with file and line.
// `where` names the text in messages.
void runs_add_csv_text(Runs& runs, std::string_view text, const std::string& where, const ColumnMap& columns);
// The finished main runs of a study's folder, or one run's folder.
void runs_add_study(Runs& runs, const std::string& folder, const ColumnMap& columns);
// Either, by what the path is.
void runs_add(Runs& runs, const std::string& path, const ColumnMap& columns);

// Throws Error when two of the paths are the same file or folder: each of its runs would count twice.
void refuse_repeated(const std::vector<std::string>& paths);

// The runs that `law` is about: each only once when several agree in every number (a file given twice), and for
// fine-grained without dense models that have no granularity, and with N without parameters_embedding where all runs
// have it. Notes say so.
Runs runs_usable(const Runs& runs, Law law);

// The runs as `law` sees them. Throws Error that names the column when a run lacks what the law needs, or the loss. For
// `leverage` the runs must measure it.
std::vector<LawPoint> runs_for_law(const Runs& runs, Law law);
// The same question of the usable runs without throwing: the first lacking column, or empty.
std::string runs_lack(const Runs& runs, Law law);

// Indices of the runs that stay when the `count` with the highest loss are left out, in their order.
std::vector<i64> runs_without_highest_loss(const Runs& runs, i64 count);
Runs runs_subset(const Runs& runs, const std::vector<i64>& kept);

// Training FLOPs, or 6 N D with the active (else total) parameters: what "largest compute" means. NaN when unknown.
double run_compute(const LawPoint& point);

// The runs as a CSV that runs_add_csv reads back to the same numbers.
std::string runs_to_csv(const Runs& runs);

// Planted runs: a law's own published coefficients, random sizes, known noise; what a fit must give back.
// Sizes are drawn log-uniformly: active parameters 1e7 to 1e10, 5 to 500 tokens per active parameter, 1 to 128 experts,
// top-k 1 to 8, granularity 1 to 32 (all powers of two). For Clark's law all runs see 130B tokens, for the
// fine-grained one experts = 64 G and top-k = G. ln loss has normal noise of standard deviation `noise`.
// Run i is a pure function of seed and i.
Runs synthetic_runs(const PublishedFit& planted, i64 count, double noise, i64 seed);

// Ling's efficiency leverage out of losses (arXiv 2507.17702: EL = C_dense/C_moe at equal loss): a curve of the dense
// runs' loss over compute, and for each mixture of experts the compute at which that curve has its loss, divided by its
// own. L = E + A/C^alpha through the best dense run of each compute, least squares of ln L.
struct DenseCurve {
  double constant = kMissing, scale = kMissing, exponent = kMissing;
  double rmse_log = kMissing;                                // of ln L, with the degrees of freedom that are left
  double compute_least = kMissing, compute_most = kMissing;  // of the dense runs
  i64 points = 0;
  double loss(double compute) const;
  double compute_at(double loss) const;  // infinite for a loss that the curve never reaches
};

// Throws Error with `where` when there are fewer than four dense runs of different compute, or when their loss does not
// fall with it.
DenseCurve dense_curve(const std::vector<LawPoint>& points, const std::string& where);

// The mixtures of experts of `runs` with `loss` = leverage and notes on the curve and on what was left out: runs whose
// equal dense model would need more than twice the largest (or less than half of the least) compute of a dense run.
// Throws Error when nothing is left. Of studies the granularity is halved (theirs is 4 d/d_expert, Ling's 2
// d/d_expert).
Runs leverage_of_losses(const Runs& runs);

}  // namespace moebius::fit
