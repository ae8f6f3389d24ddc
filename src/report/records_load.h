// A folder as the report needs it: the runs (records/run_records.h reads them), the measurements of `bench`, the laws.
// In: the files of docs/formats.md, nothing else; out: one StudyRecords, also for a single run's folder. No statistics
// here (base/statistics.h).
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/statistics.h"
#include "base/types.h"
#include "records/fit_file.h"
#include "records/metric.h"
#include "records/run_records.h"
#include "records/verdicts.h"

namespace moebius::report {

using records::Configuration;
using records::configurations_of;
using records::EvalRecord;
using records::FitFile;
using records::Measured;
using records::metric_label;
using records::metric_of;
using records::RunRecords;
using records::RunRole;
using records::RunStatus;
using records::seeds_min;
using records::StepPoint;

// A measured operation, in a step or alone.
struct BenchOperation {
  std::string name, shape, direction;  // shape: of those alone
  double seconds = kUnknown, bound_seconds = kUnknown, flops = kUnknown, bytes = kUnknown, time_over_bound = kUnknown;
  void visit(records::Fields& f);  // reads all but the name and the time, which a record must have
};
// What every record of `bench` has; a `bench_operation` record has nothing else.
struct BenchRecord {
  std::string isa = "?", precision = "?", time;
  i64 threads = 0;
  std::vector<BenchOperation> operations;
  void visit(records::Fields& f);  // reads, without the operations; the same for those below
};

// A `bench_train` record: one training step, operation by operation.
struct StepRecord : BenchRecord {
  double parameters_total = kUnknown, parameters_active = kUnknown, tokens_per_step = kUnknown, tokens_per_s = kUnknown;
  double step_seconds = kUnknown, roofline_seconds = kUnknown, roofline_ratio = kUnknown, mfu = kUnknown;
  void visit(records::Fields& f);
};

// A `bench_grid` record: operations alone over many shapes.
struct GridRecord : BenchRecord {
  std::string map;  // as SVG
  double shapes = kUnknown, shapes_measured = kUnknown;
  void visit(records::Fields& f);
};

// `study` is made up from the run for a single run; `runs` are without trunks.
struct StudyRecords : records::StudyRuns {
  bool is_study = false;    // false: a single run's folder
  Json roof;                // the last `roof` record, or null
  double idle_seconds = 0;  // of jobs that waited for others, the sum over `runs_end`
  double wall_seconds = 0, roofline_seconds = 0, roof_seconds = 0;  // sums over `run_done`
  Json machine;                                                     // object, perhaps empty
  std::string time_last;                                            // time of the newest record
  std::vector<StepRecord> steps;                                    // bench's, in the order of the folder
  std::vector<GridRecord> grids;
  std::vector<BenchRecord> operations;  // alone
  bool has_fit = false;
  FitFile fit;                                // the folder's fit.json
  std::optional<records::Verdicts> verdicts;  // the folder's verdicts.json

  bool has_bench() const { return !(steps.empty() && grids.empty() && operations.empty()); }
};

// A folder may also hold nothing but fit.json, or nothing but bench records: then there are no runs.
// Throws Error when `folder` is neither a study's nor a run's folder, or when study.json is not as docs/formats.md
// says. A run whose records are unreadable is marked broken; the others are kept.
StudyRecords study_load(const std::string& folder);

// The evaluations of a study that have records: in the order of study.json, then of appearance.
struct TaskPart {
  std::string name, part, skill;
  std::vector<records::Measure> measures;  // all that were measured
  double chance = kUnknown;                // of its scores
  i64 items = 0;
  std::string score() const;  // the share of items that the task is judged by; empty: none. All scores are in the CSV
  std::string loss() const;   // the loss that the task is judged by; empty: none
  std::string with_unit(records::Unit unit) const;  // the first measure in this unit; empty: none
  std::string path(const std::string& key) const { return "eval." + name + "." + part + "." + key; }
};
std::vector<TaskPart> task_parts(const StudyRecords& study);
// Names and sources of held-out losses.
std::vector<TaskPart> loss_parts(const StudyRecords& study);

// The parts of an Error in one line, for a page.
std::string error_line(const std::exception& e);

}  // namespace moebius::report
