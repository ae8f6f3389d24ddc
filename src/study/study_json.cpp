// Writing, comparing and reading back.
// In, out: study_json.h.
#include "study/study_json.h"

#include <map>

#include "base/error.h"
#include "base/file.h"
#include "records/record.h"

namespace moebius::study {

namespace {

constexpr const char* kPrecisionBefore = "bf16";  // of studies that were written without this key

std::string json_path(const std::string& folder) { return path_join(folder, "study.json"); }

// What decides results; a folder holds the runs of one such study only.
Json identity(const Json& study) {
  Json part = Json::object();
  for (const char* key : {"name", "budget_tokens", "seeds"}) part.set(key, study.at(key));
  Json runs = Json::array();
  for (const Json& run : study.at("runs").as_array()) {
    runs.push_back(Json::object({{"name", run.at("name")},
                                 {"config", run.at("config")},
                                 {"seed", run.at("seed")},
                                 {"tokens_total", run.at("tokens_total")}}));
  }
  part.set("runs", runs);
  part.set("precision", study.get_string("precision", kPrecisionBefore));
  return part;
}

// A generated task's skill is that of its items (docs/formats.md).
Json evaluations_of(const StudySpec& spec, const StudyFiles& files) {
  Json rows = Json::array();
  for (const std::string& path : files.items) {
    const std::string stem = path.substr(0, path.rfind('.'));
    rows.push_back(
        Json::object({{"name", path_name(stem)}, {"skill", Json::parse_file(stem + ".meta.json").at("skill")}}));
  }
  for (const std::string& name : spec.evaluate.tasks) rows.push_back(Json::object({{"name", name}}));
  return rows;
}

}  // namespace

void keep_precision(StudySpec& spec, const std::string& folder) {
  const Json* given = spec.train.find("precision");
  if (!file_exists(json_path(folder)) || (given != nullptr && given->is_string() && given->as_string() != "auto"))
    return;
  spec.train.set("precision", Json::parse_file(json_path(folder)).get_string("precision", kPrecisionBefore));
}

void check_same_study(const StudyPlan& plan, const std::string& folder) {
  const std::string path = json_path(folder);
  if (!file_exists(path)) return;
  if (identity(Json::parse_file(path)).dump() == identity(plan_to_json(plan)).dump()) return;
  throw Error({.where = path,
               .what = "the folder contains another study, or an earlier version of this one",
               .fix = "use another --out, or remove the folder if its runs are not needed"});
}

void write_study_json(const StudyPlan& plan, const StudyFiles& files, const std::string& rule,
                      const std::string& folder) {
  check_same_study(plan, folder);
  Json study = plan_to_json(plan);
  study.set("data", files.to_json(tokens_most(plan)));
  study.set("learning_rate_rule", rule);
  study.set("evaluations", evaluations_of(plan.spec, files));
  study.set("machine", records::machine_describe());
  file_write_atomic(json_path(folder), study.dump(2) + "\n");
}

std::optional<StudyFit> read_fit(const StudySpec& spec, const std::string& folder) {
  const std::string path = json_path(folder);
  if (!file_exists(path)) return std::nullopt;
  const Json study = Json::parse_file(path);
  const Json* fitted = study.find("fitted");
  if (fitted == nullptr || fitted->is_null()) {
    if (study.at("budget_tokens").as_int() != spec.tokens) return std::nullopt;
    StudyFit all = fit_all(spec);
    all.minutes = 0;
    return all;
  }
  const StudyFit fit = StudyFit::from_json(*fitted, path);
  if (fit.tokens_asked != spec.tokens) return std::nullopt;
  return fit;
}

bool read_times(StudyPlan& plan, const std::string& folder) {
  const std::string path = json_path(folder);
  if (!file_exists(path)) return false;
  const Json study = Json::parse_file(path);
  std::map<std::string, double> seconds;
  for (const Json& run : study.at("runs").as_array()) {
    seconds[run.at("name").as_string()] = run.get_double("seconds_estimated", 0);
  }
  for (PlannedRun& run : plan.runs) {
    const auto found = seconds.find(run.name);
    if (found == seconds.end() || !(found->second > 0)) return false;
    run.seconds_estimated = found->second;
  }
  return true;
}

}  // namespace moebius::study
