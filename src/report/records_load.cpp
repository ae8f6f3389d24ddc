// A study's folder as the report needs it: the runs, the measurements beside them, the laws.
#include "report/records_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "records/record.h"
#include "report/figure_bench.h"

namespace moebius::report {

namespace {

// Measurements that any records.jsonl may hold; `path` is its.
void measurement_add(const Json& record, const std::string& path, StudyRecords& study) {
  const std::string type = record.get_string("type", "");
  error_within(fmt::format("{}, a record of type '{}'", path, type), [&] {
    if (type == "bench_train") study.steps.push_back(step_parse(record));
    if (type == "bench_grid") study.grids.push_back(grid_parse(record));
    if (type == "bench_operation") study.operations.push_back(operation_parse(record));
  });
  if (type == "roof") study.roof = record;
}

// The study's own records.
void study_records_read(StudyRecords& study) {
  const std::string path = path_join(study.folder, "records.jsonl");
  if (!file_exists(path)) return;
  i64 line = 0;
  for (const Json& record : records::read(path)) {
    error_within(fmt::format("{}, line {}", path, ++line), [&] { records::numbers_check(record); });
    study.time_last = std::max(study.time_last, record.get_string("time", ""));
    measurement_add(record, path, study);
    if (record.get_string("type", "") == "runs_end") study.idle_seconds += record.get_double("idle_seconds", 0);
    if (record.get_string("type", "") != "run_done") continue;
    study.wall_seconds += record.get_double("wall_seconds", 0);
    study.roofline_seconds += record.get_double("roofline_seconds", 0);
    study.roof_seconds += record.get_double("roof_seconds", 0);
    for (RunRecords& run : study.runs) {
      if (run.name == record.get_string("run", "") && std::isnan(run.seconds))
        run.seconds = record.get_double("seconds", kUnknown);
    }
  }
}

// The optional parts of study.json, so that a wrong type is an error here and not in the middle of the page.
void shapes_check(const Json& study) {
  for (const char* key : {"title", "question", "learning_rate_rule"}) {
    study.get_string(key, "");
  }
  for (const char* key : {"data", "evaluations", "hypotheses"}) {
    for (const Json& entry : study.get_array(key)) {
      if (!entry.is_object()) {
        throw Error({.what = fmt::format("'{}' has a wrong form", key), .wanted = "an array of objects"});
      }
      for (const char* number : {"weight", "tokens_unique", "tokens_seen"}) entry.get_double(number, 0);
      for (const char* text : {"source", "name", "note", "id"}) entry.get_string(text, "");
    }
  }
  for (const Json& note : study.get_array("notes")) note.as_string();
}

void study_read(StudyRecords& study) {
  const std::string path = path_join(study.folder, "study.json");
  static_cast<records::StudyRuns&>(study) = records::study_read(study.folder, {RunRole::main, RunRole::sweep});
  error_within(path, [&] { shapes_check(study.study); });
  study_records_read(study);
  for (const RunRecords& run : study.runs) study.time_last = std::max(study.time_last, run.time_last);
}

// study.json of a folder that has none.
void name_set(StudyRecords& study, const std::string& title) {
  study.study = Json::object({{"name", path_name(study.folder)}, {"title", title}, {"runs", Json::array()}});
}

void single_run_read(StudyRecords& study) {
  RunRecords run = records::run_read(study.folder);
  if (run.status == RunStatus::broken) throw Error(run.problem);
  for (const Json& record : run.others) measurement_add(record, run.path, study);
  study.time_last = run.time_last;
  const bool measured = run.run.count() == 0 && run.steps.empty() && run.train_end.is_null() && study.has_bench();
  name_set(study, (measured ? "Measurements " : "Run ") + run.name);
  if (!measured) study.runs.push_back(std::move(run));
}

}  // namespace

StudyRecords study_load(const std::string& folder) {
  StudyRecords study;
  study.folder = folder;
  const std::string fit_path = path_join(folder, "fit.json");
  study.has_fit = file_exists(fit_path);
  if (study.has_fit) study.fit = records::fit_read(fit_path);
  const std::string verdicts_path = path_join(folder, records::kVerdictsName);
  if (file_exists(verdicts_path)) study.verdicts = records::verdicts_read(verdicts_path);
  study.is_study = records::is_study_folder(folder);
  if (study.is_study) {
    study_read(study);
  } else if (records::is_run_folder(folder)) {
    single_run_read(study);
  } else if (study.has_fit) {
    name_set(study, "Laws of " + path_name(study.folder));
  } else {
    throw Error({.where = folder,
                 .what = folder_exists(folder) ? "the folder has neither study.json nor records.jsonl nor fit.json"
                                               : "there is no such folder",
                 .wanted = "the folder of a study or of one run, or one with the fit.json of moebius fit",
                 .fix = "give the folder that 'moebius study' or 'moebius train --out' wrote"});
  }
  const Json* machine = study.study.find("machine");
  for (const RunRecords& run : study.runs) {
    if (machine == nullptr || !machine->is_object()) machine = run.run.find("machine");
  }
  study.machine = machine != nullptr && machine->is_object() ? *machine : Json::object();
  return study;
}

std::string error_line(const std::exception& e) {
  std::string line;
  for (const char c : std::string(e.what())) {
    if (c == '\n') {
      line += ';';
    } else if (c != ' ' || line.empty() || line.back() != ' ') {
      line += c;
    }
  }
  return line;
}

}  // namespace moebius::report
