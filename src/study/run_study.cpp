// The stage's table of contents: read, plan, estimate, run, report.
#include "study/run_study.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/stage.h"
#include "base/units.h"
#include "kernels/isa.h"
#include "study/study_plan.h"
#include "study/study_power.h"
#include "study/study_queue.h"
#include "study/study_runs.h"

namespace moebius::study {

namespace {

const StageHelp kHelp = {
    .name = "study",
    .summary = "a whole experiment from one TOML file: plan, data, train, evaluate, fit, report",
    .usage = "moebius study NAME|FILE.toml [--out FOLDER] [--dry-run [--pilot FOLDER] [--noise X]]",
    .reads = "studies/NAME.toml or FILE.toml, the corpora it names",
    .writes = "FOLDER (runs/NAME): study.json, data/, runs/RUN/, records.jsonl, fit.json, report.html, figures/",
    .json_keys =
        "report, fit, runs_done, runs_skipped, seconds, train_seconds, wall_seconds, idle_seconds, roofline_seconds, "
        "roof_share and roofline_ratio (roof_seconds and roofline_seconds / (wall_seconds + idle_seconds)); with --dry-run: runs (name, "
        "parameters_total, parameters_active, flops_per_token_megatron, flops_per_token_6n, tpp, seconds_estimated, "
        "...), seconds_estimated, power (id, smallest_effect, noise, seeds_half, seconds_half, ...)",
    .examples = "  moebius study quick\n  moebius study optimal-sparsity-mini --dry-run --noise 0.03"};

}  // namespace

int run_study(const std::vector<std::string>& words) {
  std::string out;
  OptionList options;
  std::vector<std::string> pilots;
  double noise = 0;
  options.add("out", &out, "folder of the study; empty: runs/NAME", {.unit = "FOLDER"});
  options.add(
      "pilot", &pilots,
      "dry run: finished studies whose seeds show the noise, separated by commas; the study's own folder counts too",
      {.unit = "FOLDERS"});
  options.add("noise", &noise, "dry run: standard deviation between seeds to assume where no runs show it",
              {.unit = "X", .min = 0, .max = 1e6});
  i64 jobs = 0;
  options.add("jobs", &jobs,
              "runs that train side by side, each with its share of the threads; 0: one a thread where steps are short",
              {.unit = "N", .min = 0});
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
    plan.jobs = choose_jobs(plan, jobs, parallel_threads());
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
    if (file_exists(path_join(out, "study.json"))) pilots.push_back(out);
    const std::vector<PowerRow> power = study_power(plan, pilots, noise > 0 ? noise : kUnknown);
    result.set("power", power_to_json(power));
    stage_print(common, result, table + power_table(power));
    return 0;
  }
  log_info("the plan:\n" + table);

  const StudyResult result = run_study_plan(plan, out);
  stage_print(
      common, result.to_json(),
      fmt::format("{} runs in {} ({} were done before)\ntraining: {:.1f} % of its steps' roofline over its whole time, "
                  "{:.1f} % of the machine's roof\nreport: {}\n",
                  result.runs_done, format_seconds(result.seconds), result.runs_skipped, 100 * result.roofline_ratio(),
                  100 * result.roof_share(), result.report));
  return 0;
}

}  // namespace moebius::study
