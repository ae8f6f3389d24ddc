// The only reader of what runs left behind: FOLDER/study.json and the runs' records.jsonl, as docs/formats.md says.
// In: a study's folder or one run's; out: one RunRecords for each run, also for those that are missing, unfinished or
// broken. No statistics, no laws, no page: those choose from it (fit, report).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/statistics.h"
#include "base/types.h"
#include "records/measure.h"

namespace moebius::records {

enum class RunStatus { missing, unfinished, done, broken };
template <>
inline constexpr std::array kEnumNames<RunStatus> = {"not started", "unfinished", "done", "unreadable"};

// main: a run of the study proper; sweep: a trial of the learning rate; trunk: what branches share.
enum class RunRole { main, sweep, trunk };
template <>
inline constexpr std::array kEnumNames<RunRole> = {"main", "sweep", "trunk"};

// One `step` record; what it did not hold is NaN.
struct StepPoint {
  i64 step = 0;
  double tokens = kUnknown;
  double loss = kUnknown;
  double load_max_over_mean = kUnknown;
  double dead_experts = kUnknown;
  void visit(Fields& f);  // reads
};

// One `eval` record. `part` is the grade of a task or the source of a loss.
struct EvalRecord {
  std::string name, part, kind, skill;
  double tokens = 0;  // infinity when the record does not say: the end of the training
  Json fields;
  std::vector<Measure> measures = {};  // what it measured; where they are not described, those with known names
  const Measure* measure(const std::string& name) const;  // nullptr when it did not measure it
};

struct RunRecords {
  std::string name;
  std::string path;   // of its records.jsonl
  std::string model;  // label shared by the seeds of one configuration: study.json's, else made of the configuration
  RunRole role = RunRole::main;
  RunStatus status = RunStatus::missing;
  ErrorParts problem;             // why it is broken
  Json planned = Json::object();  // its object in study.json
  Json run = Json::object();      // its last `run` record; an object, perhaps empty
  Json train_end;                 // its last `train_end` record; null when it did not get there
  std::vector<StepPoint> steps;
  std::vector<EvalRecord> evals;  // in the order of the file
  Json router;                    // the last `router` record, or null
  std::vector<Json> others;       // records of other types (`roof`, `bench_train`, ...), in the order of the file
  double seconds = kUnknown;      // training's wall time, of `train_end`
  std::string time_last;          // time of the newest record

  // Whether the evaluation is of the end of the training; of an unfinished run all are.
  bool is_final(const EvalRecord& eval) const;
  // The final record of an evaluation (or, of an unfinished run, the latest); nullptr when there is none.
  const EvalRecord* eval_final(const std::string& name_and_part) const;  // "NAME.PART"
  // `key` of the run record, else of study.json's entry; nullptr when neither has it.
  const Json* find(std::string_view key) const;
  double number(std::string_view key) const;  // NaN when absent or no number
  double config_number(std::string_view key) const;
  std::string text(std::string_view key) const;  // empty when absent
  bool dense() const { return !(config_number("experts") > 1); }
  bool has_data() const { return status == RunStatus::done || status == RunStatus::unfinished; }
};

struct StudyRuns {
  std::string folder;
  Json study;                                         // study.json
  std::vector<RunRecords> runs;                       // in its order, without those for which the study had no time
  i64 runs_left_out = 0;                              // those
  std::vector<const RunRecords*> main_runs() const;   // with data, no sweep
  std::vector<const RunRecords*> done_runs() const;   // the same, trained to the end
  std::vector<const RunRecords*> sweep_runs() const;  // all of them, with data or not
};

// A configuration with all of its seeds, in the order of the study.
struct Configuration {
  std::string model;
  std::vector<const RunRecords*> runs;
  const RunRecords& first() const { return *runs.front(); }
};
std::vector<Configuration> configurations_of(const std::vector<const RunRecords*>& runs);
i64 seeds_min(const std::vector<Configuration>& configurations);

// Whether `folder` is a study's (it has a study.json), or a run's (it has a records.jsonl).
bool is_study_folder(const std::string& folder);
bool is_run_folder(const std::string& folder);

// Throws Error that names the key when `record` has something else under a key that holds a number (docs/formats.md),
// so that it does not read as a missing one.
void numbers_check(const Json& record);

// One run's folder. A line that is no record, or one with a wrong type, makes it broken: `problem` names file and line.
// A last line without its end, as a killed run leaves it, is no record and no fault.
RunRecords run_read(const std::string& folder);

// A study's folder. Throws Error when study.json is missing or not as docs/formats.md says; a run whose records are
// broken is marked, the others are kept. Only the runs with a role in `wanted` are read and returned.
StudyRuns study_read(const std::string& folder, const std::vector<RunRole>& wanted = {RunRole::main});

}  // namespace moebius::records
