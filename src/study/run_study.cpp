// The stage's table of contents: read, plan, estimate, run, report.
#include "study/run_study.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/stage.h"
#include "base/units.h"
#include "kernels/isa.h"
#include "study/study_plan.h"
#include "study/study_runs.h"

namespace moebius::study {

namespace {

const StageHelp kHelp = {
    .name = "study",
    .summary = "a whole experiment from one TOML file: plan, data, train, evaluate, report",
    .usage = "moebius study NAME|FILE.toml [--out FOLDER] [--dry-run]",
    .reads = "studies/NAME.toml or FILE.toml, the corpora it names",
    .writes = "FOLDER (runs/NAME): study.json, data/, runs/RUN/, records.jsonl, report.html, figures/",
    .json_keys = "report, runs_done, runs_skipped, seconds, train_seconds, roof_share; with --dry-run: runs (name, "
                 "parameters_total, parameters_active, flops_per_token_megatron, flops_per_token_6n, tpp, seconds_estimated, "
                 "...), seconds_estimated",
    .examples = "  moebius study quick\n  moebius study optimal-sparsity-mini --dry-run"};

}  // namespace

int run_study(const std::vector<std::string>& words) {
  std::string out;
  OptionList options;
  options.add("out", &out, "folder of the study; empty: runs/NAME", {.unit = "FOLDER"});
  std::vector<std::string> names;
  const StageCommon common = stage_parse(kHelp, options, words, &names, 1);
  if (names.empty()) {
    throw Error({.where = "moebius study",
                 .what = "which study?",
                 .wanted = fmt::format("a TOML file, or one of: {}", fmt::join(study_names(), ", "))});
  }
  kernels::isa_select(common.isa);
  StudyPlan plan = plan_study(study_load(names.front()));
  if (out.empty()) out = path_join("runs", plan.spec.name);

  try {
    estimate_seconds(plan, time_configurations(plan));
  } catch (const Error& e) {
    if (!common.dry_run) throw;
    // A study planned for a larger machine still has its table here, without times.
    log_warning(fmt::format("no times: {}", e.what()));
  }
  const std::string table = plan_table(plan);
  if (common.dry_run) {
    Json result = plan_to_json(plan);
    result.set("seconds_estimated", plan.seconds_estimated);
    stage_print(common, result, table);
    return 0;
  }
  log_info("the plan:\n" + table);

  const StudyResult result = run_study_plan(plan, out);
  stage_print(common, result.to_json(),
              fmt::format("{} runs in {} ({} were done before), {:.1f} % of the machine's roof in training\nreport: {}\n",
                          result.runs_done, format_seconds(result.seconds), result.runs_skipped,
                          100 * result.roof_share, result.report));
  return 0;
}

}  // namespace moebius::study
