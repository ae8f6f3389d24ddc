// The stage's table of contents: read the runs, fit one law or all, compare, print, write.
#include "fit/run_fit.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/stage.h"
#include "base/units.h"
#include "fit/coverage.h"
#include "fit/hypothesis.h"
#include "fit/study_fit.h"
#include "fit/runs.h"

namespace moebius::fit {

namespace {

const StageHelp kHelp = {
    .name = "fit",
    .summary = "coefficients of loss laws from runs, with intervals and verdicts",
    .usage = "moebius fit DATA... --law LAW|all [--task-laws] [--hypotheses] [--holdout KIND] [--out FILE]",
    .reads =
        "study folders (study.json, runs/NAME/records.jsonl), run folders, CSV files with the columns\n"
        "  parameters_total, parameters_active, tokens, flops, experts, top_k, granularity, loss (or leverage),\n  parameters_embedding, experts_shared",
    .writes = "the file of --out (fit.json), the file of --write-runs (CSV), with --hypotheses FOLDER/verdicts.json",
    .json_keys =
        "law, formula, source, meaning, quantity, objective, penalty, residual, huber_delta, weight_decay, coefficients\n"
        "  {NAME {value, low, high, determined, note}}, determined, verdict, knowledge, notes, holdout_error (relative), holdout, rmse,\n"
        "  rmse_log, aicc, runs, runs_dropped, runs_total, range, optima, interval_level, data, seed; with --full, and in the file of --out,\n"
        "  also samples, residuals, curves and holdout's runs and errors;\n"
        "  with --law all: laws, skipped, comparison; with --task-laws: task_laws, turning_points, left_out; with --hypotheses:\n  hypotheses [{id, verdict, effect, reason, ...}]; with --synthetic: planted;\n  with --coverage: coverage [{interval, noise, seeds, studies, share, false_alarms}] alone (docs/formats.md)",
    .examples =
        "  moebius fit runs/optimal-sparsity-mini --law all --out fit.json\n"
        "  moebius fit runs/optimal-sparsity-mini --task-laws\n"
        "  moebius fit runs.csv --law joint --column loss=eval_loss --holdout folds\n"
        "  moebius fit chinchilla.csv --law chinchilla --drop-highest-loss 5 --json\n"
        "  moebius fit --coverage 10000\n"
        "  moebius fit --synthetic ludziejewski-2025 --runs 10000 --noise 0.01 --law joint"};

struct StageOptions {
  std::string law;
  std::vector<std::string> columns;
  i64 drop_highest_loss = 0;
  std::string synthetic;
  i64 runs = 300;
  double noise = 0.01;
  std::string out, write_runs;
  bool task_laws = false;
  bool hypotheses = false;
  bool full = false;
  i64 coverage = 0;

  void describe(OptionList& list) {
    std::vector<std::string> laws;
    for (const Law each : all_laws()) laws.emplace_back(law_name(each));
    laws.emplace_back("all");
    list.add("law", &law, "the law to fit; all: every law whose columns the data have, and their comparison",
             {.choices = laws});
    list.add("task-laws", &task_laws, "task laws and turning points of study folders; with or without --law");
    list.add(
        "hypotheses", &hypotheses,
        "test the hypotheses of study folders and write the verdicts to FOLDER/verdicts.json; with or without --law");
    list.add(
        "column", &columns,
        "OURS=THEIRS: column THEIRS of the file is used as OURS; for study folders, loss=NAME.SOURCE selects an evaluation",
        {.unit = "OURS=THEIRS"});
    list.add("drop-highest-loss", &drop_highest_loss, "leave out the runs with the highest loss",
             {.unit = "N", .min = 0});
    list.add("synthetic", &synthetic,
             "instead of data: generate runs from the coefficients of this published fit, or of this law's first one",
             {.unit = "NAME"});
    list.add("runs", &runs, "number of synthetic runs", {.unit = "N", .min = 1, .max = 10000000});
    list.add("noise", &noise, "standard deviation of the synthetic runs' ln loss", {.min = 0, .max = 1});
    list.add("out", &out, "write the result here as JSON", {.unit = "FILE"});
    list.add(
        "full", &full,
        "include samples, residuals, curves and held-out runs with their errors in --json (--out always has them)");
    list.add(
        "coverage", &coverage,
        "instead of fitting: simulate N studies of each kind and print how often the intervals of the report contain "
        "the true value, and how often a page reports effects that are not there (docs/statistics.md)",
        {.unit = "N", .min = 0, .max = 1000000});
    list.add("write-runs", &write_runs, "write the runs here as CSV", {.unit = "FILE"});
  }
};

const PublishedFit& planted_of(const std::string& name) {
  for (const Law law : all_laws()) {
    if (name == law_name(law)) return published_default(law);
  }
  return published_fit(name);
}

Runs runs_read(const std::vector<std::string>& data, const StageOptions& options, i64 seed) {
  if (options.synthetic.empty() == data.empty()) {
    throw Error({.where = "moebius fit",
                 .what = data.empty() ? "no runs are given" : "data and --synthetic are given together",
                 .wanted = "study folders or CSV files, or --synthetic NAME",
                 .fix = "see moebius fit --help"});
  }
  if (!options.synthetic.empty())
    return synthetic_runs(planted_of(options.synthetic), options.runs, options.noise, seed);
  Runs runs;
  const ColumnMap columns = column_map(options.columns);
  for (const std::string& path : data) runs_add(runs, path, columns);
  if (runs.count() == 0) {
    throw Error({.where = fmt::format("{}", fmt::join(data, ", ")),
                 .what = "there is no finished run",
                 .fix = "let the study finish, or give other data"});
  }
  return runs;
}

// The coefficients of the synthetic runs, and their line of text.
std::string add_planted(records::FitFile& file, const StageOptions& options) {
  if (options.synthetic.empty()) return "";
  const PublishedFit& planted = planted_of(options.synthetic);
  std::string text = fmt::format("generated from {}:", planted.name);
  records::Planted& record = file.planted.emplace();
  record.name = planted.name;
  record.law = law_name(planted.law);
  for (std::size_t i = 0; i < planted.values.size(); ++i) {
    record.coefficients.push_back({law_coefficients(planted.law)[i], planted.values[i]});
    text += fmt::format(" {} {:g}", law_coefficients(planted.law)[i], planted.values[i]);
  }
  return text + "\n";
}

// With --hypotheses: the verdicts on each study's hypotheses, written into its folder; returns their text.
std::string hypotheses_add(const StageOptions& stage, const std::vector<std::string>& folders, Json& result) {
  if (!stage.hypotheses) return "";
  std::string text;
  Json all = Json::array();
  for (const std::string& folder : folders) {
    const records::Verdicts verdicts = study_verdicts(folder);
    const std::string path = path_join(folder, records::kVerdictsName);
    records::verdicts_write(verdicts, path);
    const Json json = records::verdicts_to_json(verdicts);
    for (const Json& one : json.at("hypotheses").as_array()) all.push_back(one);
    text += fmt::format("\n{}written: {}\n", verdicts_text(verdicts), path);
  }
  result.set("hypotheses", std::move(all));
  return text;
}

// The runs to fit, without those of --drop-highest-loss; `total`: with them.
Runs runs_chosen(const std::vector<std::string>& data, const StageOptions& stage, i64 seed, i64& total) {
  const Runs all = runs_read(data, stage, seed);
  Runs runs = runs_subset(all, runs_without_highest_loss(all, stage.drop_highest_loss));
  if (runs.count() == 0) {
    throw Error({.where = "--drop-highest-loss",
                 .what = "no run is left",
                 .wanted = fmt::format("fewer than {}, the number of runs", all.count())});
  }
  if (!stage.write_runs.empty()) file_write_atomic(stage.write_runs, runs_to_csv(runs));
  total = all.count();
  return runs;
}

// Fits the laws into `file`; returns their text.
std::string laws_fit(const Runs& runs, const std::vector<Law>& laws, const std::vector<SkippedLaw>& skipped,
                     const FitOptions& options, bool all, records::FitFile& file) {
  const i64 begin = clock_ns();
  std::vector<LawFit> fits;
  std::string text;
  for (const Law law : laws) {
    log_info(fmt::format("{}: {}, {} coefficients", law_name(law), format_plural(runs.count(), "run"),
                         law_coefficients(law).size()));
    fits.push_back(fit_law(runs, law, options));
    text += fit_to_text(fits.back()) + "\n";
  }
  const Comparison comparison = compare_laws(fits);
  if (all) text += comparison_to_text(skipped, comparison);
  file.loss = fitted_laws(fits, skipped, comparison);
  if (!all) file.loss.form = records::LawsForm::one;
  file.loss.seed = options.seed;
  file.data = runs.sources;
  log_info(fmt::format("fitted in {}", format_seconds(static_cast<double>(clock_ns() - begin) * 1e-9)));
  return text;
}

// What does not depend on the data.
void words_check(const StageCommon& common, const StageOptions& stage, const std::vector<std::string>& data) {
  refuse_repeated(data);
  if (stage.law.empty() && !stage.task_laws && !stage.hypotheses) {
    throw Error({.where = "--law",
                 .what = "no law is given",
                 .wanted = "one of the laws of moebius fit --help, or all; or --task-laws, --hypotheses",
                 .fix = "for example: moebius fit runs/quick --law all"});
  }
  if (stage.law.empty() && data.empty()) {
    throw Error({.where = "moebius fit",
                 .what = "no study is given",
                 .wanted = "the folders of studies",
                 .fix = stage.task_laws ? "for example: moebius fit runs/quick --task-laws"
                                        : "for example: moebius fit runs/quick --hypotheses"});
  }
  for (const std::string& path : {stage.out, stage.write_runs}) {
    if (!path.empty() && !common.dry_run) file_check_writable(path);  // before the work, not after it
  }
}

}  // namespace

int run_fit(const std::vector<std::string>& words) {
  StageOptions stage;
  FitOptions options;
  OptionList list;
  stage.describe(list);
  options.describe(list);
  std::vector<std::string> data;
  const StageCommon common = stage_parse(kHelp, list, words, &data, 1000);
  if (stage.coverage > 0 && !common.dry_run) {
    std::vector<CoverageRow> rows = interval_coverage(stage.coverage);
    for (CoverageRow& row : false_alarms(stage.coverage)) rows.push_back(std::move(row));
    Json json;
    records::Fields(&json).value(rows);
    stage_print(common, Json::object({{"coverage", std::move(json)}}), coverage_text(rows));
    return 0;
  }
  words_check(common, stage, data);
  records::FitFile file;
  file.data = data;
  std::vector<SkippedLaw> skipped;
  std::vector<Law> laws;
  Runs runs;
  i64 total = 0;
  if (!stage.law.empty()) {
    runs = runs_chosen(data, stage, options.seed, total);
    laws = stage.law == "all" ? laws_possible(runs, skipped) : std::vector<Law>{law_from_name(stage.law)};
  }
  if (common.dry_run) {
    const std::string text =
        fmt::format("{}, {}\n", format_plural(runs.count(), "run"), format_plural(std::ssize(laws), "law"));
    stage_print(common, list.to_json(), text);
    return 0;
  }
  std::string text;
  if (!stage.law.empty()) {
    text = laws_fit(runs, laws, skipped, options, stage.law == "all", file) + add_planted(file, stage);
    file.loss.runs_total = total;
    file.loss.runs_dropped = total - runs.count();
  }
  if (stage.task_laws) {
    const TaskLawsResult tasks = run_task_laws(data);
    file.tasks = tasks.laws;
    text += (text.empty() ? "" : "\n") + tasks.text;
  }
  if (!stage.out.empty()) records::fit_write(file, stage.out);
  Json result = records::fit_to_json(file, !stage.full);
  text += hypotheses_add(stage, data, result);
  stage_print(common, result, text);
  return 0;
}

}  // namespace moebius::fit
