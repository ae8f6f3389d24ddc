// A folder as the report wants it: the runs (records/run_records.h reads them), the measurements of `bench`, the laws.
// In: the files of docs/formats.md, nothing else; out: one StudyRecords, also for a single run's folder.
// No statistics here (report/metrics.h, base/statistics.h).
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/statistics.h"
#include "base/types.h"
#include "records/run_records.h"
#include "report/fit_load.h"

namespace moebius::report {

using records::EvalRecord;
using records::RunRecords;
using records::RunRole;
using records::RunStatus;
using records::StepPoint;

// A measured operation, in a step or alone.
struct BenchOperation {
  std::string name, shape, direction;  // shape: of those alone
  double seconds = kUnknown, bound_seconds = kUnknown, flops = kUnknown, bytes = kUnknown, time_over_bound = kUnknown;
};
// What every record of `bench` has; a `bench_operation` record has nothing else.
struct BenchRecord {
  std::string isa, precision, time;
  i64 threads = 0;
  std::vector<BenchOperation> operations;
};

// A `bench_train` record: one training step, operation by operation.
struct StepRecord : BenchRecord {
  double parameters_total = kUnknown, parameters_active = kUnknown, tokens_per_step = kUnknown, tokens_per_s = kUnknown;
  double step_seconds = kUnknown, roofline_seconds = kUnknown, roofline_ratio = kUnknown, mfu = kUnknown;
};

// A `bench_grid` record: operations alone over many shapes.
struct GridRecord : BenchRecord {
  std::string map;  // as SVG
  double shapes = kUnknown, shapes_measured = kUnknown;
};

struct StudyRecords {
  std::string folder;
  bool is_study = false;         // false: a single run's folder
  Json study;                    // study.json; an object, made up from the run for a single run
  std::vector<RunRecords> runs;  // without trunks and without those for which the study had no time
  i64 runs_left_out = 0;         // of seeds for which the study had no time
  Json roof;                     // the last `roof` record, or null
  double idle_seconds = 0;       // of jobs that waited for others, the sum over `runs_end`
  double wall_seconds = 0, roofline_seconds = 0, roof_seconds = 0;  // sums over `run_done`
  Json machine;                                                     // object, perhaps empty
  std::string time_last;                                            // time of the newest record
  std::vector<StepRecord> steps;                                    // bench's, in the order of the folder
  std::vector<GridRecord> grids;
  std::vector<BenchRecord> operations;  // alone
  FitRecords fit;                       // the folder's fit.json; `present` is false without one

  bool has_bench() const { return !(steps.empty() && grids.empty() && operations.empty()); }
  std::vector<const RunRecords*> main_runs() const;   // with data, no sweep
  std::vector<const RunRecords*> done_runs() const;   // the same, trained to the end
  std::vector<const RunRecords*> sweep_runs() const;  // all of them, with data or not
};

// A folder may also hold nothing but fit.json, or nothing but bench records: then there are no runs.
// Throws Error when `folder` is neither a study's nor a run's folder, or when study.json is not as docs/formats.md
// says. A run whose records are unreadable is marked broken; the others stand.
StudyRecords study_load(const std::string& folder);

// The parts of an Error in one line, for a page.
std::string error_line(const std::exception& e);

}  // namespace moebius::report
