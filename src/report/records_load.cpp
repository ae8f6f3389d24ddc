// Reading the records of a study, run by run; one broken run does not take the others along.
#include "report/records_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/record.h"
#include "report/figure_bench.h"

namespace moebius::report {

namespace {

bool name_is_safe(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

// "E32 k2" out of the configuration, for runs that study.json does not label.
std::string label_of(const RunRecords& run) {
  const double experts = run.config_number("experts"), top_k = run.config_number("top_k");
  const double width = run.config_number("d_model");
  if (std::isnan(experts) && std::isnan(width)) return run.name;
  std::string label = std::isnan(width) ? "" : fmt::format("d{} ", width);
  label += run.dense() ? "dense" : fmt::format("E{} k{}", experts, top_k);
  return label;
}

void digest_step(const Json& record, RunRecords& run) {
  StepPoint point;
  point.step = record.get_int("step", 0);
  point.tokens = record.get_double("tokens", kUnknown);
  point.loss = record.get_double("loss", kUnknown);
  point.load_max_over_mean = record.get_double("load_max_over_mean", kUnknown);
  point.dead_experts = record.get_double("dead_experts", kUnknown);
  run.steps.push_back(point);
}

void digest_eval(const Json& record, RunRecords& run) {
  EvalRecord eval;
  eval.name = record.at("name").as_string();
  eval.kind = record.at("kind").as_string();
  eval.tokens = record.get_double("tokens", std::numeric_limits<double>::infinity());
  if (eval.kind == "loss") {
    eval.part = record.get_string("source", "all");
  } else {
    eval.part = record.get_string("grade", "all");
    eval.skill = record.get_string("skill", "");
  }
  eval.fields = record;
  run.evals.push_back(std::move(eval));
}

void digest(const Json& record, RunRecords& run, StudyRecords& study) {
  const std::string& type = record.at("type").as_string();
  study.time_last = std::max(study.time_last, record.get_string("time", ""));
  if (type == "run") {
    run.run = record;
  } else if (type == "step") {
    digest_step(record, run);
  } else if (type == "router") {
    run.router = record;
  } else if (type == "eval") {
    digest_eval(record, run);
  } else if (type == "train_end") {
    run.train_end = record;
    run.seconds = record.get_double("seconds", run.seconds);
  } else if (type == "bench_train") {
    study.bench.push_back(bench_parse(record));
  } else if (type == "roof") {
    if (study.roof.is_null()) study.roof = record;
  }
}

void run_read(const std::string& folder, RunRecords& run, StudyRecords& study) {
  const std::string path = path_join(folder, "records.jsonl");
  if (!file_exists(path)) return;
  i64 number = 0;
  try {
    for (const Json& record : records_read(path)) {
      ++number;
      digest(record, run, study);
    }
    if (!run.train_end.is_null()) {
      run.status = RunStatus::done;
    } else if (number > 0) {
      run.status = RunStatus::unfinished;
    }
  } catch (const Error& e) {
    run.status = RunStatus::broken;
    run.problem =
        e.parts().where.empty() ? fmt::format("{}, record {}: {}", path, number, error_line(e)) : error_line(e);
  }
}

void runs_planned(StudyRecords& study, const std::string& path) {
  std::set<std::string> names;
  i64 number = 0;
  for (const Json& entry : study.study.at("runs").as_array()) {
    RunRecords run;
    run.planned = entry;
    run.run = Json::object();
    run.name = entry.at("name").as_string();
    if (!name_is_safe(run.name) || !names.insert(run.name).second) {
      throw Error({.where = fmt::format("{}, run {}", path, number),
                   .what = fmt::format("'{}' is no name for a run", run.name),
                   .wanted = "a folder's name that no other run of the study has"});
    }
    const std::string role = entry.get_string("role", "main");
    if (entry.get_bool("left_out", false)) {
      ++study.runs_left_out;
      continue;
    }
    if (role == "trunk") continue;  // what its branches share stands in their records
    if (role != "main" && role != "sweep") {
      throw Error({.where = fmt::format("{}, run {}", path, run.name),
                   .what = fmt::format("role '{}' is not known", role),
                   .wanted = "main, sweep or trunk"});
    }
    run.sweep = role == "sweep";
    study.runs.push_back(std::move(run));
    ++number;
  }
}

void study_records_read(StudyRecords& study) {
  const std::string path = path_join(study.folder, "records.jsonl");
  if (!file_exists(path)) return;
  for (const Json& record : records_read(path)) {
    study.time_last = std::max(study.time_last, record.get_string("time", ""));
    const std::string type = record.get_string("type", "");
    if (type == "roof") study.roof = record;
    if (type == "bench_train") study.bench.push_back(bench_parse(record));
    if (type != "run_done") continue;
    study.wall_seconds += record.get_double("wall_seconds", 0);
    study.roofline_seconds += record.get_double("roofline_seconds", 0);
    study.roof_seconds += record.get_double("roof_seconds", 0);
    for (RunRecords& run : study.runs) {
      if (run.name == record.get_string("run", "")) run.seconds = record.get_double("seconds", kUnknown);
    }
  }
}

// The optional parts of study.json, so that a wrong type is an error here and not in the middle of the page.
void shapes_check(const Json& study) {
  const auto wrong = [](const std::string& key, const std::string& wanted) {
    throw Error({.what = fmt::format("'{}' has a wrong form", key), .wanted = wanted});
  };
  for (const char* key : {"title", "question", "learning_rate_rule"}) {
    const Json* value = study.find(key);
    if (value != nullptr && !value->is_null() && !value->is_string()) wrong(key, "a text");
  }
  for (const char* key : {"data", "evaluations", "hypotheses"}) {
    const Json* value = study.find(key);
    if (value == nullptr) continue;
    if (!value->is_array()) wrong(key, "an array of objects");
    for (const Json& entry : value->as_array()) {
      if (!entry.is_object()) wrong(key, "an array of objects");
      for (const char* number : {"weight", "tokens_unique", "tokens_seen"}) entry.get_double(number, 0);
      for (const char* text : {"source", "name", "note", "id"}) entry.get_string(text, "");
    }
  }
  const Json* notes = study.find("notes");
  if (notes == nullptr) return;
  if (!notes->is_array()) wrong("notes", "an array of texts");
  for (const Json& note : notes->as_array()) note.as_string();
}

void study_read(StudyRecords& study) {
  const std::string path = path_join(study.folder, "study.json");
  study.study = Json::parse_file(path);
  try {
    study.study.at("name").as_string();
    shapes_check(study.study);
    runs_planned(study, path);
  } catch (const Error& e) {
    if (!e.parts().where.empty()) throw;
    throw Error({.where = path,
                 .what = e.parts().what,
                 .wanted = e.parts().wanted,
                 .got = e.parts().got,
                 .fix = "docs/formats.md says what study.json holds; 'moebius study' writes it"});
  }
  study_records_read(study);
  for (RunRecords& run : study.runs) run_read(path_join(path_join(study.folder, "runs"), run.name), run, study);
}

std::string folder_name(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder.substr(folder.rfind('/') + 1);
}

// study.json of a folder that has none.
void name_set(StudyRecords& study, const std::string& title) {
  study.study = Json::object({{"name", folder_name(study.folder)}, {"title", title}, {"runs", Json::array()}});
}

void single_run_read(StudyRecords& study) {
  RunRecords run;
  run.name = folder_name(study.folder);
  run.planned = Json::object();
  run.run = Json::object();
  run_read(study.folder, run, study);
  if (run.status == RunStatus::broken) throw Error({.where = study.folder, .what = run.problem});
  const bool measured = run.run.count() == 0 && run.steps.empty() && run.train_end.is_null() && !study.bench.empty();
  name_set(study, (measured ? "Measurements " : "Run ") + run.name);
  if (!measured) study.runs.push_back(std::move(run));
}

}  // namespace

const char* run_status_name(RunStatus status) {
  switch (status) {
    case RunStatus::missing:
      return "not started";
    case RunStatus::unfinished:
      return "unfinished";
    case RunStatus::done:
      return "done";
    case RunStatus::broken:
      return "unreadable";
  }
  return "?";
}

const EvalRecord* RunRecords::eval_final(const std::string& name_and_part) const {
  // A record of the middle of the training is no final score.
  const double tokens_done = train_end.is_null() ? 0 : 0.99 * train_end.get_double("tokens", 0);
  const EvalRecord* best = nullptr;
  for (const EvalRecord& eval : evals) {
    if (eval.tokens < tokens_done || eval.name + "." + eval.part != name_and_part) continue;
    if (best == nullptr || eval.tokens >= best->tokens) best = &eval;
  }
  return best;
}

const Json* RunRecords::find(std::string_view key) const {
  const Json* value = run.find(key);
  return value != nullptr && !value->is_null() ? value : planned.find(key);
}

double RunRecords::number(std::string_view key) const {
  const Json* value = find(key);
  return value != nullptr && value->is_number() ? value->as_double() : kUnknown;
}

double RunRecords::config_number(std::string_view key) const {
  const Json* config = find("config");
  const Json* value = config == nullptr ? nullptr : config->find(key);
  return value != nullptr && value->is_number() ? value->as_double() : kUnknown;
}

std::string RunRecords::text(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return "";
  return value->is_string() ? value->as_string() : value->is_null() ? "" : value->dump();
}

std::vector<const RunRecords*> StudyRecords::main_runs() const {
  std::vector<const RunRecords*> chosen;
  for (const RunRecords& run : runs) {
    if (run.has_data() && !run.sweep) chosen.push_back(&run);
  }
  return chosen;
}

std::vector<const RunRecords*> StudyRecords::done_runs() const {
  std::vector<const RunRecords*> chosen;
  for (const RunRecords& run : runs) {
    if (run.status == RunStatus::done && !run.sweep) chosen.push_back(&run);
  }
  return chosen;
}

std::vector<const RunRecords*> StudyRecords::sweep_runs() const {
  std::vector<const RunRecords*> chosen;
  for (const RunRecords& run : runs) {
    if (run.sweep) chosen.push_back(&run);
  }
  return chosen;
}

StudyRecords study_load(const std::string& folder) {
  StudyRecords study;
  study.folder = folder;
  const std::string fit_path = path_join(folder, "fit.json");
  if (file_exists(fit_path)) study.fit = fit_load(fit_path);
  study.is_study = file_exists(path_join(folder, "study.json"));
  if (study.is_study) {
    study_read(study);
  } else if (file_exists(path_join(folder, "records.jsonl"))) {
    single_run_read(study);
  } else if (study.fit.present) {
    name_set(study, "Laws of " + folder_name(study.folder));
  } else {
    throw Error({.where = folder,
                 .what = "neither study.json nor records.jsonl nor fit.json is here",
                 .wanted = "the folder of a study or of one run, or one with the fit.json of moebius fit",
                 .fix = "give the folder that 'moebius study' or 'moebius train --out' wrote"});
  }
  for (RunRecords& run : study.runs) {
    run.model = run.planned.get_string("model", "");
    if (run.model.empty()) run.model = label_of(run);
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
