// The study's loop over its runs, one train_run each, evaluations by hook.
#include "study/study_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/record.h"
#include "base/rng.h"
#include "base/units.h"
#include "eval/evaluate.h"
#include "fit/study_fit.h"
#include "report/run_report.h"
#include "study/study_recommend.h"
#include "train/train_run.h"
#include "train/trainer.h"

namespace moebius::study {

namespace {

constexpr i64 kTimedSteps = 3;
constexpr i64 kRoofNs = 120'000'000'000;  // the machine is shared and its speed moves: so long a roof holds
// A pass reads the keys and values of all live sequences: more of them than fit the last cache are slower, fewer leave
// the starts of a pass's parts to few rows.
constexpr i64 kSequencesGenerated = 64;

kernels::Roof measure_roof() { return kernels::roof_measure(kernels::isa_current(), 60, kernels::RoofMemory::dram); }

// One long document of random tokens: the cost of a step does not depend on what the tokens say.
data::MemorySource random_source(const StudySpec& spec, i64 batch_tokens) {
  Rng rng(1, RngStream::benchmark);
  std::vector<std::vector<i32>> documents(64);
  for (auto& document : documents) {
    document.resize(static_cast<std::size_t>(spec.data.sequence / 4 + 1));
    for (i32& token : document) token = static_cast<i32>(rng.next_below(static_cast<u64>(spec.data.vocab)));
  }
  return data::MemorySource(std::move(documents), batch_tokens / spec.data.sequence, spec.data.sequence);
}

double time_configuration(const StudyPlan& plan, const PlannedRun& run) {
  train::TrainOptions options = train_options(plan.spec, run);
  const train::MemoryPlan memory = train::plan_memory(run.config, options);
  model::Network network(run.config, options.compute(), true);
  network.set_recompute(memory.recompute);
  model::init_weights(run.config, network.weights(), 1);
  model::refresh_copy(network.weights());
  train::AdamwState adamw = train::make_adamw(network.weights());
  const train::Schedule schedule = train::make_schedule(options.optimizer, 100);
  train::Trainer trainer(network, adamw, options.optimizer, schedule, memory.micro_batch_tokens);
  data::MemorySource source = random_source(plan.spec, options.batch_tokens);
  double best = 1e300;
  for (i64 step = 1; step <= kTimedSteps; ++step) {
    const i64 start = clock_ns();
    trainer.step(source, step);
    if (step > 1) best = std::min(best, static_cast<double>(clock_ns() - start) * 1e-9);
  }
  return best / static_cast<double>(options.batch_tokens);
}

eval::EvalOptions eval_options(const StudySpec& spec, const StudyFiles& files, const std::string& folder) {
  eval::EvalOptions options;
  options.tasks = files.items;
  for (const std::string& task : spec.evaluate.tasks) options.tasks.push_back(task);
  options.task_folders = {path_join(study_source_folder(), "corpora/eval")};
  for (const StudyShard& shard : files.shards) {
    if (!shard.held_out.empty()) options.loss_sources.push_back(shard.name + "=" + shard.held_out);
  }
  options.loss_window = spec.data.sequence;  // what the models were trained on; their positions may be many more
  options.limit = spec.evaluate.items_max;
  options.rows_max = spec.evaluate.batch_tokens;
  options.sequences_max = kSequencesGenerated;
  options.items_folder = folder;
  return options;
}

// The steps after which a run is evaluated; a trunk's are those of its branches that it makes for them.
std::vector<i64> evaluation_steps(const StudyPlan& plan, const PlannedRun& run) {
  std::vector<i64> at;
  if (run.role == "trunk") {
    for (const PlannedRun& branch : plan.runs) {
      if (branch.branch_of != run.name) continue;
      const std::vector<i64> wanted = evaluation_steps(plan, branch);
      std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(at),
                   [&](i64 step) { return step <= branch.branch_step; });
    }
    return at;
  }
  const i64 steps = train::steps_total(train_options(plan.spec, run));
  for (const double fraction : plan.spec.evaluate.at) {
    at.push_back(std::llround(fraction * static_cast<double>(steps)));
  }
  return at;
}

// Where a branch begins, in the study's folder.
std::string branch_folder(const std::string& folder, const PlannedRun& run) {
  return path_join(folder, fmt::format("runs/{}/branch-{}", run.branch_of, run.branch_step));
}

train::TrainHooks make_hooks(const StudyPlan& plan, const PlannedRun& run,
                             const std::string& folder, std::shared_ptr<const eval::Evaluator> evaluator) {
  train::TrainHooks hooks;
  hooks.run = run.name;
  hooks.branch_steps = run.branch_steps;
  if (!run.branch_of.empty()) hooks.branch_from = branch_folder(folder, run);
  hooks.roof = plan.roof;
  if (evaluator == nullptr) return hooks;
  hooks.evaluates = [wanted = evaluation_steps(plan, run)](i64 step, i64) {
    return std::find(wanted.begin(), wanted.end(), step) != wanted.end();
  };
  hooks.evaluate = [evaluator](model::Network& network, i64 step, i64 tokens) {
    return evaluator->run(infer::engine_of(network), step, tokens);
  };
  return hooks;
}

// Trains one run in FOLDER/runs/NAME; done before: returns its result.
train::TrainResult run_one(const StudyPlan& plan, const PlannedRun& run, const StudyFiles& files,
                           const std::string& folder, const std::shared_ptr<const data::Tokenizer>& tokenizer) {
  train::TrainOptions options = train_options(plan.spec, run);
  options.out = path_join(folder, "runs/" + run.name);
  options.tokenizer = files.tokenizer;
  for (const data::MixtureSource& source : files.mixture()) {
    options.data.push_back(fmt::format("{}={}:{}", source.name, source.path, source.weight));
  }
  std::shared_ptr<const eval::Evaluator> evaluator;
  if (run.role != "sweep") {
    evaluator = std::make_shared<const eval::Evaluator>(
        *tokenizer, eval_options(plan.spec, files, path_join(options.out, "items")));
  }
  const train::TrainResult trained = train::train_run(options, run.config, make_hooks(plan, run, folder, evaluator));
  if (!run.branch_of.empty()) folder_remove_all(branch_folder(folder, run));  // its state is no longer wanted
  return trained;
}

// What of study.json decides results; a folder holds runs of one such study only.
Json identity(const Json& study) {
  Json part = Json::object();
  for (const char* key : {"name", "budget_tokens", "seeds"}) part.set(key, study.at(key));
  Json runs = Json::array();
  for (const Json& run : study.at("runs").as_array()) {
    runs.push_back(Json::object({{"name", run.at("name")}, {"config", run.at("config")}, {"seed", run.at("seed")},
                                 {"tokens_total", run.at("tokens_total")}}));
  }
  part.set("runs", runs);
  return part;
}

void check_same_study(const std::string& path, const Json& now) {
  if (!file_exists(path)) return;
  if (identity(Json::parse_file(path)).dump() == identity(now).dump()) return;
  throw Error({.where = path,
               .what = "the folder holds another study, or this one before it was changed",
               .fix = "give another --out, or remove the folder if its runs are not wanted"});
}

Json evaluations_of(const StudySpec& spec, const StudyFiles& files) {
  Json rows = Json::array();
  for (const std::string& path : files.items) {
    const std::string name = path.substr(path.rfind('/') + 1, path.rfind('.') - path.rfind('/') - 1);
    rows.push_back(Json::object({{"name", name},
                                 {"skill", name.rfind("facts", 0) == 0 ? "memorisation" : "reasoning"}}));
  }
  for (const std::string& name : spec.evaluate.tasks) rows.push_back(Json::object({{"name", name}}));
  return rows;
}

void write_study_json(const StudyPlan& plan, const StudyFiles& files, const std::string& rule,
                      const std::string& path) {
  Json study = plan_to_json(plan);
  check_same_study(path, study);
  study.set("data", files.to_json(tokens_most(plan)));
  study.set("learning_rate_rule", rule);
  study.set("evaluations", evaluations_of(plan.spec, files));
  study.set("machine", machine_describe());
  file_write_atomic(path, study.dump(2) + "\n");
}

// The time of runs with their evaluations, and whether another seed has room in the study's minutes.
class SeedBudget {
 public:
  // `records`: of the study; runs that are done count as they took then.
  SeedBudget(const StudyPlan& plan, const std::string& records) : plan_(plan) {
    if (!file_exists(records)) return;
    for (const Json& done : records_read(records, "run_done"))
      known_[done.get_string("run", "")] = done.get_double("seconds_all", 0);
  }

  // To be asked before each run, in their order.
  bool has_room(const PlannedRun& run) {
    const std::vector<i64>& seeds = plan_.spec.seeds;
    if (plan_.spec.seeds_minutes <= 0 || run.role == "sweep" || run.seed == seeds.front()) return true;
    if (run.seed != seed_) {
      seed_ = run.seed;
      open_ = open_ && spent_ + first_seed_ <= plan_.spec.seeds_minutes * 60;
      if (!open_) {
        log_info(fmt::format("seed {} is left out: {} are spent, a seed takes {}, and the study has {:g} minutes", run.seed,
                             format_seconds(spent_), format_seconds(first_seed_), plan_.spec.seeds_minutes));
      }
    }
    return open_;
  }

  // After a run that took `seconds` here, or had been done before. Returns what counts.
  double add(const PlannedRun& run, bool skipped, double seconds) {
    if (skipped && known_.count(run.name) > 0) seconds = known_[run.name];
    spent_ += seconds;
    if (run.role != "sweep" && run.seed == plan_.spec.seeds.front()) first_seed_ += seconds;
    return seconds;
  }

 private:
  const StudyPlan& plan_;
  std::map<std::string, double> known_;
  double spent_ = 0, first_seed_ = 0;
  i64 seed_ = -1;
  bool open_ = true;
};

// The roof that the runs are held against, measured again between two of them when it has grown old.
class RoofOfRuns {
 public:
  // `roof`: measured just now.
  RoofOfRuns(kernels::Roof& roof, RecordWriter& records) : roof_(roof), records_(records) { record(); }

  void before_run() {
    if (clock_ns() - measured_ns_ < kRoofNs) return;
    roof_ = measure_roof();
    record();
  }

 private:
  void record() {
    measured_ns_ = clock_ns();
    records_.write("roof", kernels::roof_json(roof_));
  }

  kernels::Roof& roof_;
  RecordWriter& records_;
  i64 measured_ns_ = 0;
};

// What the finished runs can tell, for the report and for plan.
void write_fit(const StudyPlan& plan, const std::string& folder, const std::string& path) {
  log_info("fitting the laws that these runs can be asked for");
  const i64 start = clock_ns();
  Json laws = fit::study_fit(folder, {});
  file_write_atomic(path, laws.dump(1) + "\n");
  laws.set("recommended", study_recommend(plan, path));
  file_write_atomic(path, laws.dump(1) + "\n");
  log_info(fmt::format("fitted in {}", format_seconds(static_cast<double>(clock_ns() - start) * 1e-9)));
}

}  // namespace

std::map<std::string, double> time_configurations(StudyPlan& plan) {
  plan.roof = measure_roof();
  // The trials and seeds of one model cost the same per token: only the extremes among models are timed.
  const auto cost = [&](const PlannedRun& run) { return cost_seconds_per_token(plan, run); };
  const auto [cheapest, dearest] = std::minmax_element(
      plan.runs.begin(), plan.runs.end(), [&](const PlannedRun& a, const PlannedRun& b) { return cost(a) < cost(b); });
  std::map<std::string, double> seconds;
  for (const PlannedRun* run : {&*cheapest, &*dearest}) {
    if (seconds.count(run->config.name) == 0) seconds[run->config.name] = time_configuration(plan, *run);
  }
  return seconds;
}

Json StudyResult::to_json() const {
  return Json::object({{"report", report},
                       {"fit", fit},
                       {"runs_done", runs_done},
                       {"runs_skipped", runs_skipped},
                       {"seconds", seconds},
                       {"train_seconds", train_seconds},
                       {"wall_seconds", wall_seconds},
                       {"roofline_seconds", roofline_seconds},
                       {"roof_share", roof_share},
                       {"roofline_ratio", roofline_ratio}});
}

StudyResult run_study_plan(StudyPlan& plan, const std::string& folder) {
  const i64 start = clock_ns();
  StudyResult result;
  folder_make(folder);
  const std::string study_path = path_join(folder, "study.json");
  check_same_study(study_path, plan_to_json(plan));
  const StudyFiles files = prepare_data(plan.spec, path_join(folder, "data"));
  const auto tokenizer = std::make_shared<const data::Tokenizer>(data::Tokenizer::load(files.tokenizer));
  SeedBudget budget(plan, path_join(folder, "records.jsonl"));
  RecordWriter records(path_join(folder, "records.jsonl"));
  RoofOfRuns roof(plan.roof, records);
  const bool sweeps = std::any_of(plan.runs.begin(), plan.runs.end(), [](const PlannedRun& r) { return r.role == "sweep"; });
  std::map<std::string, double> trial_losses;
  std::string rule = sweeps ? "sweep under way" : choose_learning_rates(plan, trial_losses);
  write_study_json(plan, files, rule, study_path);
  bool chosen = !sweeps;
  double roof_seconds = 0;
  for (std::size_t i = 0; i < plan.runs.size(); ++i) {
    if (!chosen && plan.runs[i].role != "sweep") {
      rule = choose_learning_rates(plan, trial_losses);
      write_study_json(plan, files, rule, study_path);
      log_info("learning rate: " + rule);
      chosen = true;
    }
    PlannedRun& run = plan.runs[i];
    run.left_out = !budget.has_room(run);
    if (run.left_out) continue;
    log_info(fmt::format("run {} of {}: {}", i + 1, plan.runs.size(), run.name));
    roof.before_run();
    const i64 run_start = clock_ns();
    const train::TrainResult trained = run_one(plan, run, files, folder, tokenizer);
    if (run.role == "sweep") trial_losses[run.name] = trained.loss_final;
    (trained.skipped ? result.runs_skipped : result.runs_done) += 1;
    const double own_seconds = trained.seconds - trained.seconds_shared;
    const double wall = trained.wall_seconds - trained.wall_seconds_shared;
    const double roofline = trained.roofline_seconds - trained.roofline_seconds_shared;
    result.train_seconds += own_seconds;
    result.wall_seconds += wall;
    result.roofline_seconds += roofline;
    roof_seconds += trained.mfu * own_seconds;
    const double all = budget.add(run, trained.skipped, static_cast<double>(clock_ns() - run_start) * 1e-9);
    if (trained.skipped) continue;
    file_remove(path_join(folder, "fit.json"));  // it knew nothing of this run
    records.write("run_done", Json::object({{"run", run.name},
                                            {"seconds", own_seconds},
                                            {"seconds_all", all},
                                            {"wall_seconds", wall},
                                            {"roofline_seconds", roofline},
                                            {"roof_seconds", trained.mfu * own_seconds}}));
  }
  write_study_json(plan, files, rule, study_path);
  result.roof_share = roof_seconds / std::max(result.train_seconds, 1e-9);
  result.roofline_ratio = result.roofline_seconds / std::max(result.wall_seconds, 1e-9);
  result.fit = path_join(folder, "fit.json");
  if (result.runs_done > 0 || !file_exists(result.fit)) {
    try {
      write_fit(plan, folder, result.fit);
    } catch (const Error& e) {  // the page shows what was measured, with laws or without
      log_warning(fmt::format("no laws: {}", e.what()));
    }
  }
  result.report = path_join(folder, "report.html");
  report::report_write(folder, {});
  result.seconds = static_cast<double>(clock_ns() - start) * 1e-9;
  return result;
}

}  // namespace moebius::study
