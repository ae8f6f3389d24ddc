// The study's runs, each in a process of its own.
// In, out: study_runs.h.
#include "study/study_runs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/children.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "records/record.h"
#include "base/units.h"
#include "fit/hypothesis.h"
#include "fit/study_fit.h"
#include "kernels/isa.h"
#include "report/run_report.h"
#include "study/study_fit.h"
#include "study/study_json.h"
#include "study/study_processes.h"
#include "study/study_queue.h"
#include "study/study_rates.h"
#include "study/study_recommend.h"
#include "study/study_time.h"
#include "train/train_run.h"

namespace moebius::study {

namespace {

std::string records_path(const std::string& folder) { return path_join(folder, "records.jsonl"); }

// Names of the runs that an earlier process of the study has seen to their end.
std::set<std::string> runs_done(const std::string& folder) {
  std::set<std::string> names;
  if (!file_exists(records_path(folder))) return names;
  for (const Json& done : records::read(records_path(folder), "run_done")) names.insert(done.get_string("run", ""));
  return names;
}

// All runs, `plan.jobs` at a time, each with its share of the threads.
class Runs {
 public:
  Runs(StudyPlan& plan, const StudyFiles& files, const std::string& folder, const std::string& program)
      : plan_(plan),
        files_(files),
        folder_(folder),
        done_(runs_done(folder)),
        records_(records_path(folder)),
        queue_(plan),
        children_(program) {
    records_.write("roof", kernels::roof_json(plan.roof));
  }

  void run_all(StudyResult& result) {
    const i64 start = clock_ns();
    double busy_seconds = 0;
    rule_ = queue_.trials_ended() ? choose_learning_rates(plan_, trial_losses_) : "sweep under way";
    write_study_json(plan_, files_, rule_, folder_);
    while (!queue_.finished()) {
      interrupt_check("the state of all runs is saved; run the same command again to resume");
      while (children_.running() < plan_.jobs && begin_next()) {}
      if (children_.running() > 0) busy_seconds += end_one(result);
    }
    write_study_json(plan_, files_, rule_, folder_);
    const double room = static_cast<double>(plan_.jobs) * static_cast<double>(clock_ns() - start) * 1e-9;
    result.idle_seconds = std::max(0.0, room - busy_seconds);
    if (result.runs_done > 0) {
      records_.write("runs_end", Json::object({{"jobs", plan_.jobs}, {"idle_seconds", result.idle_seconds}}));
    }
  }

 private:
  // False: none can begin now.
  bool begin_next() {
    const i64 index = queue_.next();
    if (index < 0) return false;
    const PlannedRun& run = plan_.runs[static_cast<std::size_t>(index)];
    if (run.left_out) {
      queue_.ended(index);
      return true;
    }
    log_info(fmt::format("run {} of {}: {}", ++begun_, runs_planned(), run.name));
    const RunFile file = run_file_of(plan_, run, files_, folder_, parallel_threads());
    folder_make(file.training.out);
    const std::string path = path_join(file.training.out, "run.json");
    file_write_atomic(path, file.to_json().dump(1) + "\n");
    began_ns_[index] = clock_ns();
    children_.start(index, run.name, {"study", kRunFileWord, path});
    return true;
  }

  std::size_t runs_planned() const {
    return static_cast<std::size_t>(
        std::count_if(plan_.runs.begin(), plan_.runs.end(), [](const PlannedRun& run) { return !run.left_out; }));
  }

  // Returns the seconds that the run took of its job's time here.
  double end_one(StudyResult& result) {
    const Children::Ended ended = children_.wait();
    const PlannedRun& run = plan_.runs[static_cast<std::size_t>(ended.id)];
    const train::TrainResult trained = train::TrainResult::from_json(ended.value, run.name);
    const double here = static_cast<double>(clock_ns() - began_ns_.at(ended.id)) * 1e-9;
    queue_.ended(ended.id);
    add(run, trained, result);
    if (!trained.skipped) file_remove(path_join(folder_, "fit.json"));  // it is from before this run
    if (!trained.skipped || done_.count(run.name) == 0) {  // a study that was killed may not have recorded its end
      records_.write("run_done", run_done_of(run, trained, here));
    }
    if (run.role == records::RunRole::sweep && queue_.trials_ended()) {
      rule_ = choose_learning_rates(plan_, trial_losses_);
      write_study_json(plan_, files_, rule_, folder_);
      log_info("learning rate: " + rule_);
    }
    return trained.skipped ? 0 : here;
  }

  static double roof_seconds(const train::TrainResult& trained) { return trained.mfu * trained.totals.own_seconds(); }

  static Json run_done_of(const PlannedRun& run, const train::TrainResult& trained, double here) {
    const train::RunTotals& totals = trained.totals;
    return Json::object({{"skipped", trained.skipped},
                         {"loss_final", trained.loss_final},
                         {"seconds", totals.own_seconds()},
                         {"wall_seconds", totals.own_wall_seconds()},
                         {"roofline_seconds", totals.own_roofline_seconds()},
                         {"roof_seconds", roof_seconds(trained)},
                         {"run", run.name},
                         {"seconds_all", trained.skipped ? totals.own_wall_seconds() : here}});
  }

  void add(const PlannedRun& run, const train::TrainResult& trained, StudyResult& result) {
    if (run.role == records::RunRole::sweep) trial_losses_[run.name] = trained.loss_final;
    (trained.skipped ? result.runs_skipped : result.runs_done) += 1;
    result.train_seconds += trained.totals.own_seconds();
    result.wall_seconds += trained.totals.own_wall_seconds();
    result.roofline_seconds += trained.totals.own_roofline_seconds();
    result.roof_seconds += roof_seconds(trained);
  }

  StudyPlan& plan_;
  const StudyFiles& files_;
  const std::string& folder_;
  const std::set<std::string> done_;
  records::RecordWriter records_;
  RunQueue queue_;
  Children children_;
  std::map<i64, i64> began_ns_;
  i64 begun_ = 0;
  std::map<std::string, double> trial_losses_;
  std::string rule_;
};

// Whether the folder has a fit.json of this version.
bool fit_is_readable(const std::string& path) {
  try {
    records::fit_read(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// The laws of the finished runs, for the report and for plan.
void write_fit(const StudyPlan& plan, const std::string& folder, const std::string& path) {
  log_info("fitting laws to the finished runs");
  const i64 start = clock_ns();
  records::FitFile fit = fit::study_fit(folder, {});
  fit.recommended = study_recommend(plan, fit);
  records::fit_write(fit, path);
  log_info(fmt::format("fitted in {}", format_seconds(static_cast<double>(clock_ns() - start) * 1e-9)));
}

}  // namespace

StudyPlan settle_plan(const StudySpec& spec, i64 jobs, const StudyFiles* files, const std::string& folder,
                      const std::string& program) {
  const std::optional<StudyFit> before = read_fit(spec, folder);
  StudyPlan plan = before ? plan_fitted(spec, *before) : plan_study(spec);
  const kernels::Roof roof = kernels::roof_measure(kernels::isa_current(), 60, kernels::RoofMemory::dram);
  const auto prepared = [&](StudyPlan made) {
    made.jobs = jobs;
    made.roof = roof;
    return made;
  };
  plan = prepared(std::move(plan));
  StudyFit fit = before ? *before : fit_all(spec);
  if (!before || before->minutes != spec.minutes || !read_times(plan, folder)) {
    const ShapeTimes times = time_shapes(plan, files, program);
    const auto seconds_of = [&](const StudyPlan& tried) {
      StudyPlan timed = prepared(tried);
      estimate_seconds(timed, times);
      return seconds_of_runs(timed);
    };
    if (spec.minutes > 0) {
      fit = fit_to_minutes(spec, seconds_of, before ? std::optional(before->tokens) : std::nullopt);
    } else if (before) {
      fit.seeds = static_cast<i64>(spec.seeds.size());
      fit.models_left_out.clear();
      fit.minutes = 0;
    }
    plan = prepared(plan_fitted(spec, fit));
    estimate_seconds(plan, times);
  }
  if (fit.minutes > 0 || fit.tokens != spec.tokens) plan.fitted = records::fields_to_json(fit);
  plan.fitted_text = fit_text(spec, fit);
  plan.seconds_estimated = seconds_of_runs(plan, runs_done(folder));
  return plan;
}

void StudyResult::visit(records::Fields& f) {
  f("report", report)("fit", fit)("runs_done", runs_done)("runs_skipped", runs_skipped)("seconds", seconds);
  f("train_seconds", train_seconds)("wall_seconds", wall_seconds)("idle_seconds", idle_seconds);
  double share = roof_share(), ratio = roofline_ratio();
  f("roofline_seconds", roofline_seconds)("roof_share", share)("roofline_ratio", ratio);
}

StudyResult run_study_plan(StudyPlan& plan, const std::string& folder, const std::string& program) {
  const i64 start = clock_ns();
  StudyResult result;
  folder_make(folder);
  check_same_study(plan, folder);
  const StudyFiles files = prepare_data(plan.spec, path_join(folder, "data"));
  Runs(plan, files, folder, program).run_all(result);
  result.fit = path_join(folder, "fit.json");
  if (result.runs_done > 0 || !fit_is_readable(result.fit)) {
    try {
      write_fit(plan, folder, result.fit);
    } catch (const Error& e) {
      if (interrupt_requested()) throw;
      // The page shows what was measured, with laws or without.
      log_warning(fmt::format("no laws: {}", e.what()));
    }
  }
  records::verdicts_write(fit::study_verdicts(folder), path_join(folder, records::kVerdictsName));
  result.report = path_join(folder, "report.html");
  report::report_write(folder, {});
  result.seconds = static_cast<double>(clock_ns() - start) * 1e-9;
  return result;
}

}  // namespace moebius::study
