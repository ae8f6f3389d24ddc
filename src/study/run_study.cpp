// The stage's table of contents: read, plan, estimate, run, report.
#include "study/run_study.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/stage.h"
#include "base/units.h"
#include "kernels/isa.h"
#include "study/run_file.h"
#include "study/study_json.h"
#include "study/study_plan.h"
#include "study/study_power.h"
#include "study/study_queue.h"
#include "study/study_runs.h"

namespace moebius::study {

namespace {

const StageHelp kHelp = {
    .name = "study",
    .summary = "a complete experiment from one TOML file: plan, data, train, evaluate, fit, report",
    .usage = "moebius study NAME|FILE.toml [--out FOLDER] [--dry-run [--pilot FOLDER] [--noise X]]",
    .reads = "studies/NAME.toml or FILE.toml, and the corpora it names",
    .writes = "FOLDER (runs/NAME): study.json, data/, runs/RUN/, records.jsonl, fit.json, report.html, figures/",
    .json_keys =
        "report, fit, runs_done, runs_skipped, seconds, train_seconds, wall_seconds, idle_seconds, roofline_seconds, "
        "roof_share and roofline_ratio (roof_seconds and roofline_seconds / (wall_seconds + idle_seconds)); with --dry-run: runs (name, "
        "parameters_total, parameters_active, flops_per_token_megatron, flops_per_token_6n, tpp, seconds_estimated, "
        "...), seconds_estimated, power (id, smallest_effect, noise, seeds_half, seconds_half, ...)",
    .examples = "  moebius study quick\n  moebius study optimal-sparsity-mini --dry-run --noise 0.03"};

const char* const kProgram = "/proc/self/exe";  // also when the file has been replaced by another build

struct Words {
  StudySpec spec;
  std::string out;
  std::vector<std::string> pilots;
  double noise = 0, minutes = -1;
  i64 jobs = 0;
  StageCommon common;
};

Words read_words(const std::vector<std::string>& words) {
  Words given;
  OptionList options;
  options.add("out", &given.out, "folder of the study; empty: runs/NAME", {.unit = "FOLDER"});
  options.add("minutes", &given.minutes,
              "time limit; seeds, tokens and models are reduced to fit; 0: no limit; -1: as in the study file",
              {.unit = "X", .min = -1, .max = 1e7});
  options.add(
      "pilot", &given.pilots,
      "dry run: finished studies to measure the noise between seeds, separated by commas; the study's own folder is included",
      {.unit = "FOLDERS"});
  options.add("noise", &given.noise, "dry run: standard deviation between seeds to assume if no runs measure it",
              {.unit = "X", .min = 0, .max = 1e6});
  options.add("jobs", &given.jobs,
              "runs to train side by side, each with its share of the threads; 0: one per thread if steps are short",
              {.unit = "N", .min = 0});
  std::vector<std::string> names;
  given.common = stage_parse(kHelp, options, words, &names, 1);
  if (names.empty()) {
    throw Error({.where = "moebius study",
                 .what = "no study is given",
                 .wanted = fmt::format("a TOML file, or one of: {}", fmt::join(study_names(), ", ")),
                 .fix = "to start, run moebius study quick"});
  }
  given.spec = study_load(names.front());
  if (given.minutes >= 0) given.spec.minutes = given.minutes;
  if (given.out.empty()) given.out = path_join("runs", given.spec.name);
  return given;
}

int dry_run(const Words& given) {
  StudyPlan plan = plan_study(given.spec);
  check_hypotheses(plan);
  try {
    const i64 jobs = choose_jobs(plan, given.jobs, parallel_threads());
    plan = settle_plan(given.spec, jobs, nullptr, given.out, kProgram);
  } catch (const Error& e) {
    if (interrupt_requested()) throw;
    // A study planned for a larger machine still has its table here, without times.
    log_warning(fmt::format("no times: {}", e.what()));
  }
  if (!file_exists(path_join(given.out, "study.json"))) {
    log_info("times are for training only; evaluations are timed when the study starts");
  }
  Json result = plan_to_json(plan);
  result.set("seconds_estimated", plan.seconds_estimated);
  std::vector<std::string> pilots = given.pilots;
  if (file_exists(path_join(given.out, "study.json"))) pilots.push_back(given.out);
  std::vector<PowerRow> power = study_power(plan, pilots, given.noise > 0 ? given.noise : kUnknown);
  Json rows;
  records::Fields(&rows).value(power);
  result.set("power", rows);
  stage_print(given.common, result, plan_table(plan) + power_table(power));
  return 0;
}

}  // namespace

int run_study(const std::vector<std::string>& words) {
  if (words.size() == 2 && words[0] == kRunFileWord) return run_file_main(words[1]);
  Words given = read_words(words);
  kernels::isa_select(given.common.isa);
  keep_precision(given.spec, given.out);
  check_texts(given.spec);
  if (given.common.dry_run) return dry_run(given);
  const StudySpec& spec = given.spec;
  const StudyPlan all = plan_study(spec);
  check_hypotheses(all);
  const i64 jobs = choose_jobs(all, given.jobs, parallel_threads());
  folder_make(given.out);
  const StudyFiles files = prepare_data(spec, path_join(given.out, "data"));
  StudyPlan plan = settle_plan(spec, jobs, &files, given.out, kProgram);
  log_info("the plan:\n" + plan_table(plan));
  const StudyResult result = run_study_plan(plan, given.out, kProgram);
  stage_print(
      given.common, records::fields_to_json(result),
      fmt::format(
          "{} runs in {} ({} were finished before)\ntraining: {:.1f} % of the roofline of its steps over its whole time, "
          "{:.1f} % of the machine's roof\nreport: {}\n",
          result.runs_done, format_seconds(result.seconds), result.runs_skipped, 100 * result.roofline_ratio(),
          100 * result.roof_share(), result.report));
  return 0;
}

}  // namespace moebius::study
