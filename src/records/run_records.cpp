// Reading the records of runs; one broken run does not affect the others.
#include "records/run_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/options.h"
#include "records/record.h"

namespace moebius::records {

namespace {

constexpr const char* kRecordsName = "records.jsonl";
constexpr const char* kStudyName = "study.json";

// "d64 E32 k2" out of the configuration, for runs that study.json does not label.
std::string label_of(const RunRecords& run) {
  const double experts = run.config_number("experts"), top_k = run.config_number("top_k");
  const double width = run.config_number("d_model");
  if (std::isnan(experts) && std::isnan(width)) return run.name;
  std::string label = std::isnan(width) ? "" : fmt::format("d{} ", width);
  label += run.dense() ? "dense" : fmt::format("E{} k{}", experts, top_k);
  return label;
}

template <typename Wanted>
std::vector<const RunRecords*> runs_where(const std::vector<RunRecords>& runs, const Wanted& wanted) {
  std::vector<const RunRecords*> chosen;
  for (const RunRecords& run : runs) {
    if (wanted(run)) chosen.push_back(&run);
  }
  return chosen;
}

// Of run, eval, train_end and roof records, and of the configuration in them; each between blanks.
constexpr std::string_view kNumbers =
    " parameters_total parameters_active flops_per_token_megatron flops_per_token_6n tokens_total tpp sparsity seed "
    "seed_init learning_rate balance_coefficient z_coefficient d_model layers heads experts top_k expert_width "
    "shared_experts vocab sequence tokens chance chance_best items shots seconds tokens_per_s roof_share mfu "
    "roofline_ratio_wall peak_memory_bytes loss_final bf16_flops_per_s f32_flops_per_s dram_bytes_per_s ";

double number_of(const Json* value) { return value != nullptr && value->is_number() ? value->as_double() : kUnknown; }

// Records that were written before they described their measures: those of the known names.
std::vector<Measure> measures_by_name(const Json& record) {
  std::vector<Measure> measures;
  bool has_score = false;
  for (const Measure& one : known_measures()) {
    const Json* value = record.find(one.name);
    if (value == nullptr || value->is_null()) continue;
    measures.push_back(one);
    Measure& measure = measures.back();
    if (measure.unit != Unit::share_of_items) continue;
    measure.chance = record.get_double("chance", kUnknown);
    measure.main = !has_score;  // of its scores the first: facts are judged by the choice
    has_score = true;
  }
  return measures;
}

EvalRecord eval_of(const Json& record) {
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
  eval.measures = measures_of(record);
  if (eval.measures.empty()) eval.measures = measures_by_name(record);
  for (const Measure& one : eval.measures) {
    for (const char* suffix : {"", "_se"}) record.get_double(one.name + suffix, kUnknown);
  }
  eval.fields = record;
  return eval;
}

void record_add(const Json& record, RunRecords& run) {
  const std::string& type = record.at("type").as_string();
  numbers_check(record);
  run.time_last = std::max(run.time_last, record.get_string("time", ""));
  if (type == "run") {
    run.run = record;
  } else if (type == "step") {
    run.steps.push_back(fields_from_json<StepPoint>(record, ""));
  } else if (type == "router") {
    run.router = record;
  } else if (type == "eval") {
    run.evals.push_back(eval_of(record));
  } else if (type == "train_end") {
    run.train_end = record;
    run.seconds = record.get_double("seconds", run.seconds);
  } else {
    run.others.push_back(record);
  }
}

void records_add(RunRecords& run) {
  if (!file_exists(run.path)) return;
  i64 line = 0;
  try {
    for (const Json& record : read(run.path)) {
      ++line;  // every line is a record
      record_add(record, run);
    }
    run.status = !run.train_end.is_null() ? RunStatus::done : line > 0 ? RunStatus::unfinished : RunStatus::missing;
  } catch (const Error& e) {
    if (interrupt_requested()) throw;
    run.status = RunStatus::broken;
    run.problem = e.parts();
    if (run.problem.where.empty()) run.problem.where = fmt::format("{}, line {}", run.path, line);
  }
}

RunRecords run_planned(const std::string& folder, const Json& entry, std::set<std::string>& names) {
  RunRecords run;
  run.name = entry.at("name").as_string();
  const bool is_folder =
      !run.name.empty() && run.name != "." && run.name != ".." && run.name.find('/') == std::string::npos;
  if (!is_folder || !names.insert(run.name).second) {
    throw Error({.what = fmt::format("'{}' is not a valid run name", run.name),
                 .wanted = "a folder name that is unique in the study"});
  }
  run.path = path_join(path_join(path_join(folder, "runs"), run.name), kRecordsName);
  run.role = enum_parse<RunRole>(entry.get_string("role", "main"), "role", "");
  numbers_check(entry);
  run.planned = entry;
  return run;
}

std::vector<RunRecords> runs_planned(const std::string& folder, const Json& study, const std::string& path) {
  const std::string fix = "docs/formats.md describes study.json; 'moebius study' writes it";
  const auto entries_of = [&]() -> const Json::Array& {
    study.at("name").as_string();
    return study.at("runs").as_array();
  };
  std::vector<RunRecords> runs;
  std::set<std::string> names;
  for (const Json& entry : error_within(path, entries_of, fix)) {
    const std::string where = fmt::format("{}, run {}", path, runs.size() + 1);
    runs.push_back(error_within(
        where, [&] { return run_planned(folder, entry, names); }, fix));
  }
  return runs;
}

void model_set(RunRecords& run) {
  run.model = run.planned.get_string("model", "");
  if (run.model.empty()) run.model = label_of(run);
}

}  // namespace

void numbers_check(const Json& record) {
  const std::string type = record.get_string("type", "run");  // entries of study.json have none
  if (type != "run" && type != "eval" && type != "train_end" && type != "roof") return;
  for (const Json* object : {&record, record.find("config")}) {
    if (object == nullptr || !object->is_object()) continue;
    for (const auto& [key, value] : object->as_object()) {
      if (kNumbers.find(" " + key + " ") != std::string_view::npos) object->get_double(key, 0);
    }
  }
}

void StepPoint::visit(Fields& f) {
  f("step", step)("tokens", tokens)("loss", loss)("load_max_over_mean", load_max_over_mean);
  f("dead_experts", dead_experts);
}

const Measure* EvalRecord::measure(const std::string& name) const {
  const auto at = std::ranges::find(measures, name, &Measure::name);
  return at == measures.end() ? nullptr : &*at;
}

bool RunRecords::is_final(const EvalRecord& eval) const {
  // The last step may end a little before the tokens that were asked for.
  return train_end.is_null() || eval.tokens >= 0.99 * train_end.get_double("tokens", 0);
}

const EvalRecord* RunRecords::eval_final(const std::string& name_and_part) const {
  const EvalRecord* best = nullptr;
  for (const EvalRecord& eval : evals) {
    if (!is_final(eval) || eval.name + "." + eval.part != name_and_part) continue;
    if (best == nullptr || eval.tokens >= best->tokens) best = &eval;
  }
  return best;
}

const Json* RunRecords::find(std::string_view key) const {
  const Json* value = run.find(key);
  return value != nullptr && !value->is_null() ? value : planned.find(key);
}

double RunRecords::number(std::string_view key) const { return number_of(find(key)); }

double RunRecords::config_number(std::string_view key) const {
  const Json* config = find("config");
  return number_of(config == nullptr ? nullptr : config->find(key));
}

std::string RunRecords::text(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return "";
  return value->is_string() ? value->as_string() : value->is_null() ? "" : value->dump();
}

bool is_study_folder(const std::string& folder) { return file_exists(path_join(folder, kStudyName)); }
bool is_run_folder(const std::string& folder) { return file_exists(path_join(folder, kRecordsName)); }

RunRecords run_read(const std::string& folder) {
  RunRecords run;
  run.name = path_name(folder);
  run.path = path_join(folder, kRecordsName);
  records_add(run);
  model_set(run);
  return run;
}

StudyRuns study_read(const std::string& folder, const std::vector<RunRole>& wanted) {
  const std::string path = path_join(folder, kStudyName);
  if (!file_exists(path)) {
    throw Error({.where = folder,
                 .what = folder_exists(folder) ? "the folder has no study.json" : "there is no such folder",
                 .wanted = "the folder of a study",
                 .fix = "give the folder that 'moebius study' wrote"});
  }
  StudyRuns study;
  study.folder = folder;
  study.study = Json::parse_file(path);
  study.runs = runs_planned(folder, study.study, path);
  std::erase_if(study.runs, [&](const RunRecords& run) { return std::ranges::find(wanted, run.role) == wanted.end(); });
  study.runs_left_out =
      std::erase_if(study.runs, [](const RunRecords& run) { return run.planned.get_bool("left_out", false); });
  for (RunRecords& run : study.runs) {
    records_add(run);
    model_set(run);
  }
  return study;
}

std::vector<const RunRecords*> StudyRuns::main_runs() const {
  return runs_where(runs, [](const RunRecords& run) { return run.has_data() && run.role != RunRole::sweep; });
}

std::vector<const RunRecords*> StudyRuns::done_runs() const {
  return runs_where(runs,
                    [](const RunRecords& run) { return run.status == RunStatus::done && run.role != RunRole::sweep; });
}

std::vector<const RunRecords*> StudyRuns::sweep_runs() const {
  return runs_where(runs, [](const RunRecords& run) { return run.role == RunRole::sweep; });
}

std::vector<Configuration> configurations_of(const std::vector<const RunRecords*>& runs) {
  std::vector<Configuration> all;
  for (const RunRecords* run : runs) {
    auto at = std::ranges::find(all, run->model, &Configuration::model);
    if (at == all.end()) at = all.insert(all.end(), Configuration{.model = run->model, .runs = {}});
    at->runs.push_back(run);
  }
  return all;
}

i64 seeds_min(const std::vector<Configuration>& configurations) {
  i64 least = configurations.empty() ? 0 : std::ssize(configurations.front().runs);
  for (const Configuration& one : configurations) least = std::min<i64>(least, std::ssize(one.runs));
  return least;
}

}  // namespace moebius::records
