// The run as a table of contents, then its loop: steps, evaluations, checkpoints.
// In, out: train_run.h.
#include "train/train_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/isa.h"
#include "train/checkpoint.h"
#include "train/memory_plan.h"
#include "train/resume.h"
#include "train/run_log.h"
#include "train/run_roof.h"
#include "train/sources.h"
#include "train/trainer.h"

namespace moebius::train {

namespace {

constexpr i64 kWarmSteps = 3;           // steps of a process before its allocations are counted
constexpr double kPendingSeconds = 60;  // work worth a checkpoint before an evaluation

std::string folder_above(const std::string& folder) { return std::filesystem::path(folder).parent_path().string(); }

std::string run_name(const TrainOptions& options, const TrainHooks& hooks) {
  if (!hooks.run.empty()) return hooks.run;
  const std::filesystem::path path(options.out);
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

// One run in this process.
class Run {
 public:
  Run(const TrainOptions& options, const model::ModelConfig& config, data::BatchSource& source, const Json& sources,
      const TrainHooks& hooks)
      : options_(options),
        config_(config),
        source_(source),
        sources_(sources),
        hooks_(hooks),
        steps_total_(steps_total(options)) {
    if (!options.init_from.empty()) options_.init_from = checkpoint_of(options.init_from, "config.json");
    place_ = {options.out, {}, options.checkpoints_kept, 0};
    if (!options.tokenizer.empty()) place_.tokenizer = data::TokenizerFiles::read(options.tokenizer);
  }

  TrainResult run();

 private:
  void begin(const std::optional<Json>& saved);
  void become_branch();
  void keep_branch(RunLog& log);
  void make_network(const std::string& resumed_from);
  void write_start(RunLog& log) const;
  void evaluate(RunLog& log);
  void train(RunLog& log);
  void step(Trainer& trainer, RunLog& log);
  void save(RunLog& log, bool finished);
  void count_time();  // what this process adds to the state's times
  void count_roofline();
  TrainResult result() const;

  TrainOptions options_;  // the precision becomes that of the saved run
  const model::ModelConfig& config_;
  data::BatchSource& source_;
  const Json& sources_;
  const TrainHooks& hooks_;
  i64 steps_total_;
  RunIdentity identity_;
  CheckpointPlace place_;
  MemoryPlan plan_;
  TrainState state_;
  std::unique_ptr<model::Network> network_;
  AdamwState adamw_;
  std::optional<RunRoof> roof_;
  StepsWork work_;  // of this process, as the three below
  i64 train_ns_ = 0, evaluate_ns_ = 0;
  double wall_before_ = 0, roofline_before_ = 0;  // of the processes before
  i64 steps_here_ = 0, allocations_ = 0, saved_ns_ = 0;
  i64 data_ns_ = 0, pass_ns_ = 0, optimizer_ns_ = 0;  // in steps of this process
};

TrainResult Run::run() {
  folder_make(options_.out);
  const std::string records = path_join(options_.out, "records.jsonl");
  const std::optional<Json> saved = read_state(options_.out);
  resolve_precision(options_, saved);
  identity_ = run_identity(options_, config_, sources_, saved);
  if (saved) {
    check_identity(*saved, identity_, options_.out);
    const TrainState state = TrainState::from_json(*saved, options_.out);
    check_records(records, state, options_.resume.records_lost);
    if (state.finished) {
      log_info(fmt::format("{}: already finished ({} steps); skipped", options_.out, state.step));
      const std::string checkpoint = path_join(options_.out, "checkpoint");
      if (!file_exists(path_join(checkpoint, "tokenizer.json"))) place_.tokenizer.write(checkpoint);
      return finished_result(options_.out, state);
    }
  }
  std::optional<Json> trunk;
  if (!saved && !hooks_.branch_from.empty()) {
    trunk = read_branch(hooks_.branch_from, identity_, options_);
    check_records(path_join(folder_above(hooks_.branch_from), "records.jsonl"),
                  TrainState::from_json(*trunk, hooks_.branch_from), options_.resume.records_lost);
  }
  begin(saved ? saved : trunk);
  if (trunk) become_branch();
  roof_.emplace(config_, options_.compute(), options_.batch_tokens / state_.micro_batch_tokens, hooks_.roof);
  memory_peak_reset();
  make_network(saved ? options_.out : trunk ? hooks_.branch_from : "");
  if (saved) {
    forget_records(records, state_);
  } else if (file_exists(records)) {
    log_warning(fmt::format(
        "{}: the folder has records of this run but no checkpoint to resume from: they are removed, and training starts "
        "again at step 0",
        options_.out));
    file_remove(records);
  }
  if (trunk) {
    inherit_records(folder_above(hooks_.branch_from), options_, state_.step,
                    [this](i64 step) { return hooks_.evaluates && hooks_.evaluates(step, steps_total_); });
  }
  RunLog log(options_, run_name(options_, hooks_), state_.step, steps_total_, *roof_);
  write_start(log);
  train(log);
  const i64 peak_memory = memory_peak();  // the roof's own buffers are no part of the run
  roof_->measure_again();
  count_roofline();
  TrainResult done = result();
  done.peak_memory_bytes = peak_memory;
  Json fields = done.to_json();
  fields.set("roof_share", done.mfu);
  const auto seconds = [](i64 ns) { return static_cast<double>(ns) * 1e-9; };
  fields.set(
      "part_seconds",
      Json::object({{"data", seconds(data_ns_)}, {"pass", seconds(pass_ns_)}, {"optimizer", seconds(optimizer_ns_)}}));
  log.end(fields);
  save(log, true);
  return done;
}

// Position, micro-batch and instruction set: the saved ones, or those of a new run.
void Run::begin(const std::optional<Json>& saved) {
  const std::string isa = kernels::isa_name(kernels::isa_current());
  const TrainOptions options = saved ? resume_options(options_, *saved, isa, state_) : options_;
  if (saved) source_.restore(state_.data);
  state_.isa = isa;
  plan_ = plan_memory(config_, options, source_.mapped_bytes());
  state_.micro_batch_tokens = plan_.micro_batch_tokens;
  state_.recompute = model::recompute_name(plan_.recompute);
  place_.bytes_wanted = plan_.checkpoint_bytes;
  check_disk(options_.out, plan_.checkpoint_bytes, "a checkpoint");
}

void Run::become_branch() {
  state_.finished = state_.evaluation_pending = false;
  state_.totals.begin_branch();
  state_.loss_end_sum = 0;
  state_.loss_end_steps = 0;
}

// resumed_from: the folder whose checkpoint holds weights and moments; empty: a new run.
void Run::make_network(const std::string& resumed_from) {
  network_ = std::make_unique<model::Network>(config_, options_.compute(), true);
  network_->set_recompute(plan_.recompute);
  adamw_ = make_adamw(network_->weights());
  if (!resumed_from.empty()) {
    restore_checkpoint(resumed_from, *network_, adamw_);
    log_info(fmt::format("{}: resuming from step {}", options_.out, state_.step));
    return;
  }
  if (options_.init_from.empty()) {
    model::init_weights(network_->weights(), static_cast<u64>(options_.seed_init));
  } else {
    copy_weights(options_.init_from, config_, *network_);
  }
  model::refresh_copy(network_->weights());
}

void Run::write_start(RunLog& log) const {
  const model::ModelCounts counts = model::count_model(config_, options_.sequence);
  Json config = config_.to_json();
  config.set("sequence", options_.sequence);
  const double tokens = static_cast<double>(steps_total_) * static_cast<double>(options_.batch_tokens);
  const auto& experts = config_.experts;
  const double density =
      experts.experts > 1 ? static_cast<double>(experts.top_k) / static_cast<double>(experts.experts) : 1.0;
  Json fields = Json::object({{"run", run_name(options_, hooks_)},
                              {"config", config},
                              {"parameters_total", counts.parameters_total},
                              {"parameters_active", counts.parameters_active},
                              {"flops_per_token_megatron", counts.flops_per_token_megatron},
                              {"flops_per_token_6n", counts.flops_per_token_6n},
                              {"tokens_total", static_cast<i64>(tokens)},
                              {"tpp", tokens / static_cast<double>(counts.parameters_total)},
                              {"sparsity", 1 - density},
                              {"seed_init", options_.seed_init},
                              {"seed_data", options_.seed_data},
                              {"learning_rate", options_.optimizer.learning_rate},
                              {"balance_coefficient", config_.losses.balance_coefficient},
                              {"balance_scope", fmt::format("micro-batch of {} tokens", state_.micro_batch_tokens)},
                              {"z_coefficient", config_.losses.z_coefficient},
                              {"precision", options_.precision},
                              {"isa", state_.isa},
                              {"threads", parallel_threads()},
                              {"micro_batch_tokens", state_.micro_batch_tokens},
                              {"recompute", state_.recompute},
                              {"step_start", state_.step},
                              {"roof_flops_per_s", roof_->flops_per_s()},
                              {"machine", records::machine_describe()}});
  if (!hooks_.branch_from.empty()) {
    fields.set("branch_of", std::filesystem::path(folder_above(hooks_.branch_from)).filename().string());
  }
  log.run(fields);
  TrainOptions copy = options_;
  OptionList list;
  copy.describe(list);
  Json all = Json::object(
      {{"train", list.to_json()}, {"steps_total", steps_total_}, {"model", config}, {"memory", plan_.to_json()}});
  if (!options_.sources.empty()) all.set("sources", data::mixture_sources_to_json(options_.sources));
  file_write_atomic(path_join(options_.out, "options.json"), all.dump(1) + "\n");
}

void Run::save(RunLog& log, bool finished) {
  log.sync();
  if (!finished) count_time();
  state_.finished = finished;
  state_.records = log.records();
  state_.data = source_.state();
  save_checkpoint(place_, *network_, adamw_, state_, identity_, !finished || options_.optimizer_kept);
  saved_ns_ = clock_ns();
}

// A branch's place holds the state before the evaluation of its step, which the trunk makes.
void Run::keep_branch(RunLog& log) {
  const auto& steps = hooks_.branch_steps;
  if (std::find(steps.begin(), steps.end(), state_.step) == steps.end()) return;
  CheckpointPlace place = place_;
  place.out = path_join(options_.out, fmt::format("branch-{}", state_.step));
  place.kept = 0;
  folder_make(place.out);
  if (read_state(place.out)) return;  // kept by a process that was killed later
  log.sync();
  count_time();
  state_.records = log.records();
  state_.data = source_.state();
  save_checkpoint(place, *network_, adamw_, state_, identity_, true);
}

// After an evaluation that did not end, the weights of this step are still worth keeping.
void Run::evaluate(RunLog& log) {
  if (!hooks_.evaluate || !hooks_.evaluates || !hooks_.evaluates(state_.step, steps_total_)) return;
  const bool saved_pending = state_.step > 0 && static_cast<double>(clock_ns() - saved_ns_) > kPendingSeconds * 1e9;
  state_.evaluation_pending = true;
  if (saved_pending) save(log, false);
  const i64 start = clock_ns();
  try {
    for (const Json& fields : hooks_.evaluate(*network_, state_.step, state_.totals.tokens)) {
      log.evaluation(state_.step, state_.totals.tokens, fields);
    }
  } catch (const Error&) {
    if (!saved_pending && state_.step > 0) save(log, false);
    throw;
  }
  evaluate_ns_ += clock_ns() - start;
  state_.evaluation_pending = false;
}

void Run::count_time() {
  state_.totals.wall_seconds = wall_before_ + static_cast<double>(clock_ns() - train_ns_ - evaluate_ns_) * 1e-9;
  count_roofline();
}

void Run::count_roofline() { state_.totals.roofline_seconds = roofline_before_ + roof_->roofline_seconds(work_); }

void Run::step(Trainer& trainer, RunLog& log) {
  const i64 allocations = buffer_allocations();
  const StepReport& report = trainer.step(source_, state_.step + 1);
  if (++steps_here_ > kWarmSteps) allocations_ += buffer_allocations() - allocations;
  state_.step = report.step;
  state_.totals.tokens += report.rows;
  state_.totals.seconds += static_cast<double>(report.step_ns) * 1e-9;
  state_.totals.flops += report.flops;
  work_.add(report);
  data_ns_ += report.data_ns;
  pass_ns_ += report.pass_ns;
  optimizer_ns_ += report.optimizer_ns;
  const i64 end_steps = std::max<i64>(1, std::llround(0.05 * static_cast<double>(steps_total_)));
  if (state_.step > steps_total_ - end_steps) {
    state_.loss_end_sum += report.loss;
    ++state_.loss_end_steps;
  }
  log.step(report, trainer.loads(), state_.totals.tokens);
}

void Run::train(RunLog& log) {
  Trainer trainer(*network_, adamw_, options_.optimizer, make_schedule(options_.optimizer, steps_total_),
                  state_.micro_batch_tokens);
  saved_ns_ = train_ns_ = clock_ns();
  wall_before_ = state_.totals.wall_seconds;
  roofline_before_ = state_.totals.roofline_seconds;
  if (state_.step == 0 || state_.evaluation_pending) evaluate(log);
  while (state_.step < steps_total_) {
    step(trainer, log);
    keep_branch(log);
    evaluate(log);
    if (interrupt_requested()) {
      save(log, false);
      throw Error({.what = "interrupted",
                   .fix = fmt::format("step {} of {} is saved in {}; run the same command again to resume", state_.step,
                                      steps_total_, options_.out)});
    }
    const double minutes = static_cast<double>(clock_ns() - saved_ns_) / 60e9;
    const bool due = (options_.checkpoint_steps > 0 && state_.step % options_.checkpoint_steps == 0) ||
                     (options_.checkpoint_minutes > 0 && minutes >= options_.checkpoint_minutes);
    if (due && state_.step < steps_total_) save(log, false);
  }
  count_time();
}

TrainResult Run::result() const {
  TrainResult done;
  done.steps = state_.step;
  done.totals = state_.totals;
  done.loss_final = state_.loss_end_sum / static_cast<double>(std::max<i64>(1, state_.loss_end_steps));
  done.tokens_per_s = static_cast<double>(done.totals.tokens) / done.totals.seconds;
  done.roof_flops_per_s = roof_->flops_per_s();
  done.mfu = done.roof_flops_per_s > 0 ? done.totals.flops / done.totals.seconds / done.roof_flops_per_s : 0;
  done.micro_batch_tokens = state_.micro_batch_tokens;
  done.recompute = state_.recompute;
  done.planned_memory_bytes = plan_.memory.total();
  done.allocations_steady = allocations_;
  done.checkpoint = path_join(options_.out, "checkpoint");
  return done;
}

}  // namespace

void TrainResult::visit(records::Fields& f) {
  f("skipped", skipped)("steps", steps)("loss_final", loss_final)("tokens_per_s", tokens_per_s);
  f("roof_flops_per_s", roof_flops_per_s)("mfu", mfu)("micro_batch_tokens", micro_batch_tokens);
  f("recompute", recompute)("planned_memory_bytes", planned_memory_bytes)("peak_memory_bytes", peak_memory_bytes);
  f("allocations_steady", allocations_steady)("checkpoint", checkpoint);
  totals.visit(f);
}

Json TrainResult::to_json() const {
  Json json = records::fields_to_json(*this);
  json.set("roofline_ratio", roofline_ratio());
  json.set("roofline_ratio_wall", roofline_ratio_wall());
  return json;
}

TrainResult TrainResult::from_json(const Json& json, const std::string& where) {
  return records::fields_from_json_all<TrainResult>(json, where, "remove the run's folder to train it again");
}

TrainResult train_run(const TrainOptions& options, const model::ModelConfig& config, data::BatchSource& source,
                      const Json& sources, const TrainHooks& hooks) {
  CHECK(source.sequences() * source.length() == options.batch_tokens && source.length() == options.sequence,
        "the source's batches have the shape that the options say");
  model::ModelConfig resolved = config;
  resolved.sequence_max = std::max(resolved.sequence_max, options.sequence);
  resolved.resolve();
  return Run(options, resolved, source, sources, hooks).run();
}

TrainResult train_run(const TrainOptions& options, const model::ModelConfig& config, const TrainHooks& hooks) {
  check_options(options);
  const std::unique_ptr<data::Mixture> source = open_mixture(options);
  check_vocab(config, *source);
  return train_run(options, config, *source, source->identity(), hooks);
}

}  // namespace moebius::train
