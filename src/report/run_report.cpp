// The stage's table of contents: load, test, draw, write.
#include "report/run_report.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/stage.h"
#include "report/html.h"

namespace moebius::report {

namespace {

const StageHelp kHelp = {
    .name = "report",
    .summary = "make a self-contained page and CSVs from the records of a study or of a run",
    .usage = "moebius report FOLDER [--out FILE] [options]",
    .reads =
        "FOLDER/study.json, FOLDER/records.jsonl, FOLDER/runs/*/records.jsonl, FOLDER/fit.json, FOLDER/verdicts.json (or one run's records.jsonl, or "
        "fit.json alone, or the records of bench)",
    .writes = "FOLDER/report.html, FOLDER/figures/*.csv, of the grid of bench also figures/*.svg",
    .json_keys =
        "report (path), figures_folder, figures [{id, title, csv}], hypotheses [{id, verdict, effect, low, high, "
        "reason}], runs_done, "
        "runs_missing [], laws [{law, verdict}], recommended {law, verdict}, summary {done, shows, shows_not}",
    .examples = "  moebius report runs/quick\n  moebius report runs/quick --out quick.html --json"};

struct Paths {
  std::string page, figures;
};

Paths paths_of(const std::string& folder, const ReportOptions& options) {
  Paths paths{options.out.empty() ? path_join(folder, "report.html") : options.out, options.figures};
  if (paths.figures.empty()) {
    const std::size_t slash = paths.page.rfind('/');
    paths.figures = slash == std::string::npos ? "figures" : path_join(paths.page.substr(0, slash), "figures");
  }
  return paths;
}

Json result_of(const StudyRecords& study, const Summary& summary, const std::vector<Figure>& figures,
               const Paths& paths) {
  Json drawn = Json::array(), tested = Json::array(), missing = Json::array();
  for (const Figure& figure : figures) {
    drawn.push_back(Json::object(
        {{"id", figure.id}, {"title", figure.title}, {"csv", path_join(paths.figures, figure.id + ".csv")}}));
  }
  for (const records::HypothesisVerdict& result :
       study.verdicts ? study.verdicts->hypotheses : std::vector<records::HypothesisVerdict>{}) {
    tested.push_back(Json::object({{"id", result.id},
                                   {"verdict", records::enum_name(result.outcome)},
                                   {"effect", number_or_null(result.effect.estimate)},
                                   {"low", number_or_null(result.effect.low)},
                                   {"high", number_or_null(result.effect.high)},
                                   {"effect_name", result.effect_name},
                                   {"reason", result.reason}}));
  }
  for (const RunRecords& run : study.runs) {
    if (run.status != RunStatus::done) missing.push_back(run.name);
  }
  Json laws = Json::array();
  for (const records::FittedLaw& law : study.fit.loss.laws)
    laws.push_back(Json::object({{"law", law.law}, {"verdict", law.verdict.text}}));
  const Answer answer = answer_build(study);
  const records::Recommendation model = study.fit.recommended.value_or(records::Recommendation{});
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return Json::object(
      {{"report", paths.page},
       {"laws", std::move(laws)},
       {"recommended", Json::object({{"law", text_or_null(model.law)}, {"verdict", text_or_null(model.verdict.text)}})},
       {"figures_folder", paths.figures},
       {"figures", std::move(drawn)},
       {"hypotheses", std::move(tested)},
       {"runs_done", std::ssize(study.runs) - missing.count()},
       {"runs_missing", std::move(missing)},
       {"answer", Json::object({{"asked", answer.asked}, {"found", answer.found}, {"not_known", answer.open}})},
       {"summary",
        Json::object(
            {{"done", Json(summary.done)}, {"shows", Json(summary.shows)}, {"shows_not", Json(summary.shows_not)}})}});
}

std::string text_of(const Json& result) {
  std::string text;
  for (const auto& [part, title] : {std::pair{"asked", "Asked"}, {"found", "Found"}, {"not_known", "Not known"}}) {
    const std::string& sentence = result.at("answer").at(part).as_string();
    if (!sentence.empty()) text += fmt::format("{}: {}\n", title, sentence);
  }
  for (const auto& [part, title] : {std::pair{"done", "What was done"},
                                    {"shows", "What the numbers show"},
                                    {"shows_not", "What the numbers do not show"}}) {
    text += fmt::format("{}\n", title);
    for (const Json& sentence : result.at("summary").at(part).as_array()) text += "  - " + sentence.as_string() + "\n";
  }
  for (const Json& one : result.at("hypotheses").as_array()) {
    text += fmt::format("{:<11} {}: {}\n", one.at("verdict").as_string(), one.at("id").as_string(),
                        one.at("reason").as_string());
  }
  return text + fmt::format("\nreport: {}\nCSVs:   {}\n", result.at("report").as_string(),
                            result.at("figures_folder").as_string());
}

}  // namespace

void ReportOptions::describe(OptionList& list) {
  list.add("out", &out, "the page to write; empty: FOLDER/report.html", {.unit = "FILE"});
  list.add("figures", &figures, "folder for the CSVs; empty: figures beside the page", {.unit = "FOLDER"});
}

Json report_write(const std::string& folder, const ReportOptions& options) {
  const StudyRecords study = study_load(folder);
  for (const RunRecords& run : study.runs) {
    if (run.status == RunStatus::broken) log_warning("left out: " + error_line(Error(run.problem)));
  }
  const Summary summary = summary_build(study);
  const std::vector<Figure> figures = figures_build(study);
  const Paths paths = paths_of(folder, options);
  folder_make(paths.figures);
  for (const Figure& figure : figures) {
    file_write_atomic(path_join(paths.figures, figure.id + ".csv"), figure.csv.text());
    if (!figure.svg.empty()) file_write_atomic(path_join(paths.figures, figure.id + ".svg"), figure.svg);
  }
  if (!study.runs.empty()) {
    file_write_atomic(path_join(paths.figures, "runs.csv"), runs_csv(study));
    file_write_atomic(path_join(paths.figures, "scores.csv"), scores_csv(study));
  }
  file_write_atomic(paths.page, html_page(study, summary, figures));
  return result_of(study, summary, figures, paths);
}

int run_report(const std::vector<std::string>& words) {
  ReportOptions options;
  OptionList list;
  options.describe(list);
  std::vector<std::string> positional;
  const StageCommon common = stage_parse(kHelp, list, words, &positional, 1);
  if (positional.empty()) {
    throw Error({.where = "moebius report",
                 .what = "no folder is given",
                 .wanted = "the folder of a study or of one run",
                 .fix = "for example: moebius report runs/quick"});
  }
  if (common.dry_run) {
    const StudyRecords study = study_load(positional[0]);
    const Paths paths = paths_of(positional[0], options);
    const Json plan = Json::object({{"options", list.to_json()},
                                    {"report", paths.page},
                                    {"figures_folder", paths.figures},
                                    {"runs", static_cast<i64>(study.runs.size())},
                                    {"runs_with_data", static_cast<i64>(study.main_runs().size())}});
    stage_print(common, plan, plan.dump(2) + "\n");
    return 0;
  }
  const Json result = report_write(positional[0], options);
  stage_print(common, result, text_of(result));
  return 0;
}

}  // namespace moebius::report
