// Reads a study's folder (study.json, records.jsonl, runs/NAME/records.jsonl) or one run's folder into memory.
// In: the files of docs/formats.md, nothing else; out: one RunRecords for each run, also for those that are missing,
// unfinished or unreadable. No statistics here (report/metrics.h, base/statistics.h).
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/statistics.h"
#include "base/types.h"
#include "report/fit_load.h"

namespace moebius::report {

enum class RunStatus { missing, unfinished, done, broken };
const char* run_status_name(RunStatus status);

// One `step` record; what it did not hold is NaN.
struct StepPoint {
  i64 step = 0;
  double tokens = kUnknown;
  double loss = kUnknown;
  double load_max_over_mean = kUnknown;
  double dead_experts = kUnknown;
};

// One `eval` record. `part` is the grade of a task or the source of a loss.
struct EvalRecord {
  std::string name, part, kind, skill;
  double tokens = 0;  // infinity when the record does not say: the end of the training
  Json fields;
};

struct RunRecords {
  std::string name;
  std::string model;   // label shared by the seeds of one configuration
  bool sweep = false;  // a learning-rate trial
  RunStatus status = RunStatus::missing;
  std::string problem;  // why it is broken
  Json planned;         // its object in study.json; an object, perhaps empty
  Json run;             // its last `run` record; an object, perhaps empty
  Json train_end;       // its last `train_end` record; null when it did not get there
  std::vector<StepPoint> steps;
  std::vector<EvalRecord> evals;  // in the order of the file
  Json router;                    // the last `router` record, or null
  double seconds = kUnknown;      // wall time: of train_end, else of the study's run_done

  // The record of an evaluation at the end of the training (or, of an unfinished run, the latest); nullptr when there
  // is none.
  const EvalRecord* eval_final(const std::string& name_and_part) const;  // "NAME.PART"
  // `key` of the run record, else of study.json's entry; nullptr when neither has it.
  const Json* find(std::string_view key) const;
  double number(std::string_view key) const;  // NaN when absent or no number
  double config_number(std::string_view key) const;
  std::string text(std::string_view key) const;  // empty when absent
  bool dense() const { return !(config_number("experts") > 1); }
  bool has_data() const { return status == RunStatus::done || status == RunStatus::unfinished; }
};

// A `bench_train` record: one training step, operation by operation.
struct BenchOperation {
  std::string name, direction;
  double seconds = kUnknown, bound_seconds = kUnknown, flops = kUnknown, bytes = kUnknown, time_over_bound = kUnknown;
};
struct BenchRecord {
  std::string isa, precision, time;
  i64 threads = 0;
  double parameters_total = kUnknown, parameters_active = kUnknown, tokens_per_step = kUnknown, tokens_per_s = kUnknown;
  double step_seconds = kUnknown, roofline_seconds = kUnknown, roofline_ratio = kUnknown, mfu = kUnknown;
  std::vector<BenchOperation> operations;
};

struct StudyRecords {
  std::string folder;
  bool is_study = false;  // false: a single run's folder
  Json study;             // study.json; an object, made up from the run for a single run
  std::vector<RunRecords> runs;
  i64 runs_left_out = 0;  // of seeds for which the study had no time
  Json roof;              // the last `roof` record, or null
  double wall_seconds = 0, roofline_seconds = 0, roof_seconds = 0;  // sums over `run_done`
  Json machine;           // object, perhaps empty
  std::string time_last;  // time of the newest record
  std::vector<BenchRecord> bench;  // of the folder, in their order
  FitRecords fit;           // the folder's fit.json; `present` is false without one

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
