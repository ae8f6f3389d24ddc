// The study's runs, one train_run each in a process of its own, evaluations by hook.
#include "study/study_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "base/children.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "records/record.h"
#include "base/rng.h"
#include "base/units.h"
#include "eval/evaluate.h"
#include "fit/study_fit.h"
#include "report/run_report.h"
#include "study/study_queue.h"
#include "study/study_recommend.h"
#include "train/train_run.h"
#include "train/trainer.h"

namespace moebius::study {

namespace {

constexpr i64 kTimedSteps = 3;
// A pass reads the keys and values of all live sequences: more of them than fit the last cache are slower, fewer leave
// the starts of a pass's parts to few rows.
constexpr i64 kSequencesGenerated = 64;

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
  model::init_weights(network.weights(), 1);
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

train::TrainHooks make_hooks(const StudyPlan& plan, const PlannedRun& run, const std::string& folder,
                             std::shared_ptr<const eval::Evaluator> evaluator) {
  train::TrainHooks hooks;
  hooks.run = run.name;
  hooks.branch_steps = run.branch_steps;
  if (!run.branch_of.empty()) hooks.branch_from = branch_folder(folder, run);
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
    runs.push_back(Json::object({{"name", run.at("name")},
                                 {"config", run.at("config")},
                                 {"seed", run.at("seed")},
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
    rows.push_back(
        Json::object({{"name", name}, {"skill", name.rfind("facts", 0) == 0 ? "memorisation" : "reasoning"}}));
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
  study.set("machine", records::machine_describe());
  file_write_atomic(path, study.dump(2) + "\n");
}

// What the study keeps of a run: its own part, of a branch without the trunk's.
struct RunOutcome {
  bool skipped = false;  // had been done before
  double loss_final = 0;
  double seconds = 0, wall_seconds = 0, roofline_seconds = 0, roof_seconds = 0;

  explicit RunOutcome(const train::TrainResult& trained)
      : skipped(trained.skipped),
        loss_final(trained.loss_final),
        seconds(trained.seconds - trained.seconds_shared),
        wall_seconds(trained.wall_seconds - trained.wall_seconds_shared),
        roofline_seconds(trained.roofline_seconds - trained.roofline_seconds_shared),
        roof_seconds(trained.mfu * seconds) {}

  explicit RunOutcome(const Json& json)
      : skipped(json.at("skipped").as_bool()),
        loss_final(json.get_double("loss_final", std::nan(""))),
        seconds(json.at("seconds").as_double()),
        wall_seconds(json.at("wall_seconds").as_double()),
        roofline_seconds(json.at("roofline_seconds").as_double()),
        roof_seconds(json.at("roof_seconds").as_double()) {}

  Json to_json() const {
    return Json::object({{"skipped", skipped},
                         {"loss_final", loss_final},
                         {"seconds", seconds},
                         {"wall_seconds", wall_seconds},
                         {"roofline_seconds", roofline_seconds},
                         {"roof_seconds", roof_seconds}});
  }
};

// All runs, `plan.jobs` at a time, each in a process of its own with its share of the threads.
class Runs {
 public:
  Runs(StudyPlan& plan, const StudyFiles& files, const std::string& folder)
      : plan_(plan),
        files_(files),
        folder_(folder),
        tokenizer_(std::make_shared<const data::Tokenizer>(data::Tokenizer::load(files.tokenizer))),
        budget_(plan, path_join(folder, "records.jsonl")),
        records_(path_join(folder, "records.jsonl")),
        queue_(plan),
        threads_(parallel_threads()) {
    records_.write("roof", kernels::roof_json(plan.roof));
    parallel_set_threads(1);
  }
  ~Runs() { parallel_set_threads(threads_); }
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  void run_all(StudyResult& result) {
    const i64 start = clock_ns();
    double busy_seconds = 0;
    rule_ = queue_.trials_ended() ? choose_learning_rates(plan_, trial_losses_) : "sweep under way";
    write_study_json(plan_, files_, rule_, path_join(folder_, "study.json"));
    while (!queue_.finished()) {
      interrupt_check("the runs that had begun have saved their state; the same command goes on");
      while (children_.running() < plan_.jobs && begin_next()) {}
      if (children_.running() > 0) busy_seconds += end_one(result);
    }
    write_study_json(plan_, files_, rule_, path_join(folder_, "study.json"));
    const double room = static_cast<double>(plan_.jobs) * static_cast<double>(clock_ns() - start) * 1e-9;
    result.idle_seconds = std::max(0.0, room - busy_seconds);
    if (result.runs_done > 0) {
      records_.write("runs_end", Json::object({{"jobs", plan_.jobs}, {"idle_seconds", result.idle_seconds}}));
    }
  }

 private:
  PlannedRun& run_at(i64 index) { return plan_.runs[static_cast<std::size_t>(index)]; }

  // False: none can begin now.
  bool begin_next() {
    const i64 index = queue_.next();
    if (index < 0) return false;
    PlannedRun& run = run_at(index);
    run.left_out = !budget_.has_room(run);
    if (run.left_out) {
      queue_.ended(index);
      return true;
    }
    log_info(fmt::format("run {} of {}: {}", ++begun_, plan_.runs.size(), run.name));
    budget_.begin(run);
    children_.start(index, run.name, [this, &run] {
      if (plan_.jobs > 1) progress_share_terminal(run.name);
      parallel_set_threads(plan_.threads_of_run(threads_));
      return RunOutcome(run_one(plan_, run, files_, folder_, tokenizer_)).to_json();
    });
    return true;
  }

  // Returns the seconds that the run took of its job's time here.
  double end_one(StudyResult& result) {
    const Children::Ended ended = children_.wait();
    const PlannedRun& run = run_at(ended.id);
    const RunOutcome outcome(ended.value);
    const bool known = budget_.known(run.name);
    const double here = budget_.end(run, outcome.skipped);
    queue_.ended(ended.id);
    add(run, outcome, result);
    if (!outcome.skipped) file_remove(path_join(folder_, "fit.json"));  // it knew nothing of this run
    if (!outcome.skipped || !known) {  // it may have been done by a study that was killed before it could say so
      Json done = outcome.to_json();
      done.set("run", run.name);
      done.set("seconds_all", outcome.skipped ? outcome.wall_seconds : here);
      records_.write("run_done", done);
    }
    if (run.role == "sweep" && queue_.trials_ended()) {
      rule_ = choose_learning_rates(plan_, trial_losses_);
      write_study_json(plan_, files_, rule_, path_join(folder_, "study.json"));
      log_info("learning rate: " + rule_);
    }
    return outcome.skipped ? 0 : here;
  }

  void add(const PlannedRun& run, const RunOutcome& outcome, StudyResult& result) {
    if (run.role == "sweep") trial_losses_[run.name] = outcome.loss_final;
    (outcome.skipped ? result.runs_skipped : result.runs_done) += 1;
    result.train_seconds += outcome.seconds;
    result.wall_seconds += outcome.wall_seconds;
    result.roofline_seconds += outcome.roofline_seconds;
    result.roof_seconds += outcome.roof_seconds;
  }

  StudyPlan& plan_;
  const StudyFiles& files_;
  const std::string& folder_;
  std::shared_ptr<const data::Tokenizer> tokenizer_;
  SeedBudget budget_;
  records::RecordWriter records_;
  RunQueue queue_;
  Children children_;
  const int threads_;
  i64 begun_ = 0;
  std::map<std::string, double> trial_losses_;
  std::string rule_;
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
  plan.roof = kernels::roof_measure(kernels::isa_current(), 60, kernels::RoofMemory::dram);
  // The trials and seeds of one model cost the same per token: only the extremes among models are timed.
  const auto cost = [&](const PlannedRun& run) { return cost_seconds_per_token(plan, run); };
  const auto [cheapest, dearest] = std::minmax_element(
      plan.runs.begin(), plan.runs.end(), [&](const PlannedRun& a, const PlannedRun& b) { return cost(a) < cost(b); });
  const int threads = parallel_threads();
  parallel_set_threads(plan.threads_of_run(threads));
  std::map<std::string, double> seconds;
  for (const PlannedRun* run : {&*cheapest, &*dearest}) {
    if (seconds.count(run->config.name) == 0) seconds[run->config.name] = time_configuration(plan, *run);
  }
  parallel_set_threads(threads);
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
                       {"idle_seconds", idle_seconds},
                       {"roofline_seconds", roofline_seconds},
                       {"roof_share", roof_share()},
                       {"roofline_ratio", roofline_ratio()}});
}

StudyResult run_study_plan(StudyPlan& plan, const std::string& folder) {
  const i64 start = clock_ns();
  StudyResult result;
  folder_make(folder);
  check_same_study(path_join(folder, "study.json"), plan_to_json(plan));
  const StudyFiles files = prepare_data(plan.spec, path_join(folder, "data"));
  Runs(plan, files, folder).run_all(result);
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
