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
  // Whether any run has the column.
  bool has(std::string_view column) const;
};

// A CSV with the columns parameters_total, parameters_active, tokens, flops, experts, top_k, experts_shared, granularity,
// parameters_embedding, loss (or `leverage`); any may be missing. `tokens` = flops/(6 N) when the file has flops, N and no
// tokens (N: active parameters, or all). Throws Error with file and line.
void runs_add_csv(Runs& runs, const std::string& path, const ColumnMap& columns);
// The same of a text already read; `where` names it in messages.
void runs_add_csv_text(Runs& runs, std::string_view text, const std::string& where, const ColumnMap& columns);
// The finished main runs of a study's folder, or one run's folder.
void runs_add_study(Runs& runs, const std::string& folder, const ColumnMap& columns);
// Either, by what the path is.
void runs_add(Runs& runs, const std::string& path, const ColumnMap& columns);

// The runs that `law` is about: each only once when several agree in every number (a file given twice), and for fine-grained
// without dense models that have no granularity, and with N without parameters_embedding where all runs have it. Notes say so.
Runs runs_usable(const Runs& runs, Law law);

// The runs as `law` sees them. Throws Error that names the column when a run lacks what the law needs, or the loss. For `leverage` the runs must measure it (leverage_runs.h).
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

}  // namespace moebius::fit
