// Writing, comparing and reading back.
// In, out: study_json.h.
#include "study/study_json.h"

#include <map>

#include "base/error.h"
#include "base/file.h"
#include "records/record.h"

namespace moebius::study {

namespace {

constexpr const char* kRestore = "copy the file back, or use another --out";
constexpr const char* kPrecisionBefore = "bf16";  // of studies that were written without this key

std::string json_path(const std::string& folder) { return path_join(folder, "study.json"); }

// study.json; an error in reading it names the file.
template <typename Read>
auto read_json(const std::string& folder, const Read& read) {
  const std::string path = json_path(folder);
  const Json study = Json::parse_file(path);
  return error_within(
      path, [&] { return read(study); }, kRestore);
}

// What decides results; a folder contains the runs of one such study only.
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
  for (const std::string& item : files.items) {
    const std::string name = item.substr(0, item.rfind('.'));
    rows.push_back(Json::object(
        {{"name", name},
         {"skill", Json::parse_file(files.item_path(name + ".meta.json", spec.seeds.front())).at("skill")}}));
  }
  for (const std::string& name : spec.evaluate.tasks) rows.push_back(Json::object({{"name", name}}));
  return rows;
}

}  // namespace

void keep_precision(StudySpec& spec, const std::string& folder) {
  const Json* given = spec.train.find("precision");
  if (!file_exists(json_path(folder)) || (given != nullptr && given->is_string() && given->as_string() != "auto"))
    return;
  spec.train.set("precision",
                 read_json(folder, [](const Json& study) { return study.get_string("precision", kPrecisionBefore); }));
}

void check_same_study(const StudyPlan& plan, const std::string& folder) {
  const std::string path = json_path(folder);
  if (!file_exists(path)) return;
  if (read_json(folder, identity).dump() == identity(plan_to_json(plan)).dump()) return;
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
  return read_json(folder, [&](const Json& study) -> std::optional<StudyFit> {
    const Json* fitted = study.find("fitted");
    if (fitted == nullptr || fitted->is_null()) {
      if (study.at("budget_tokens").as_int() != spec.tokens) return std::nullopt;
      StudyFit all = fit_all(spec);
      all.minutes = 0;
      return all;
    }
    const StudyFit fit = records::fields_from_json_all<StudyFit>(*fitted, path + ", fitted", kRestore);
    if (fit.tokens_asked != spec.tokens) return std::nullopt;
    return fit;
  });
}

bool read_times(StudyPlan& plan, const std::string& folder) {
  if (!file_exists(json_path(folder))) return false;
  const auto seconds = read_json(folder, [](const Json& study) {
    std::map<std::string, double> of_run;
    for (const Json& run : study.at("runs").as_array()) {
      of_run[run.at("name").as_string()] = run.get_double("seconds_estimated", 0);
    }
    return of_run;
  });
  for (PlannedRun& run : plan.runs) {
    const auto found = seconds.find(run.name);
    if (found == seconds.end() || !(found->second > 0)) return false;
    run.seconds_estimated = found->second;
  }
  return true;
}

}  // namespace moebius::study
