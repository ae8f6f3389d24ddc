// The run as a table of contents, then its parts.
#include "train/train_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/isa.h"
#include "model/checkpoint.h"
#include "train/checkpoint.h"
#include "train/run_log.h"
#include "train/run_roof.h"
#include "train/trainer.h"

namespace moebius::train {

namespace {

constexpr i64 kWarmSteps = 3;           // allocations count after so many steps of a process
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
      : options_(options), config_(config), source_(source), hooks_(hooks), steps_total_(steps_total(options)) {
    identity_ = {result_options(options), config.to_json(), sources};
    place_ = {options.out, options.tokenizer, options.checkpoints_kept, 0};
  }

  TrainResult run();

 private:
  TrainResult skip(const TrainState& saved) const;
  std::optional<Json> read_branch() const;
  void take_up(const std::optional<Json>& saved);
  void become_branch();
  void keep_branch(RunLog& log);
  void copy_weights(const std::string& folder);
  void make_network(const std::string& resumed_from);
  void write_start(RunLog& log) const;
  void evaluate(RunLog& log);
  void train(RunLog& log);
  void step(Trainer& trainer, RunLog& log);
  void save(RunLog& log, bool finished);
  void count_time();  // what this process adds to the state's times
  void count_roofline();
  TrainResult result() const;

  const TrainOptions& options_;
  const model::ModelConfig& config_;
  data::BatchSource& source_;
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
  const std::optional<Json> saved = read_state(options_.out);
  if (saved) {
    check_identity(*saved, identity_, options_.out);
    const TrainState state = TrainState::from_json(*saved, options_.out);
    if (state.finished) return skip(state);
  }
  const std::optional<Json> trunk = saved ? std::nullopt : read_branch();
  take_up(saved ? saved : trunk);
  if (trunk) become_branch();
  roof_.emplace(config_, options_.compute(), options_.batch_tokens / state_.micro_batch_tokens, hooks_.roof);
  memory_peak_reset();
  make_network(saved ? options_.out : trunk ? hooks_.branch_from : "");
  forget_records(path_join(options_.out, "records.jsonl"), saved ? state_.step : -1, state_.evaluation_pending);
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

TrainResult Run::skip(const TrainState& saved) const {
  log_info(fmt::format("{}: finished before ({} steps); skipped", options_.out, saved.step));
  TrainResult done;
  done.skipped = true;
  done.steps = saved.step;
  done.tokens = saved.tokens;
  done.micro_batch_tokens = saved.micro_batch_tokens;
  done.recompute = saved.recompute;
  done.seconds = saved.seconds;
  done.wall_seconds = saved.wall_seconds;
  done.roofline_seconds = saved.roofline_seconds;
  done.seconds_shared = saved.seconds_shared;
  done.wall_seconds_shared = saved.wall_seconds_shared;
  done.roofline_seconds_shared = saved.roofline_seconds_shared;
  done.checkpoint = path_join(options_.out, "checkpoint");
  const std::string path = path_join(options_.out, "records.jsonl");
  const std::vector<Json> ends = file_exists(path) ? records::read(path, "train_end") : std::vector<Json>();
  if (ends.empty()) return done;
  const Json& end = ends.back();
  done.loss_final = end.get_double("loss_final", 0);
  done.tokens_per_s = end.get_double("tokens_per_s", 0);
  done.roof_flops_per_s = end.get_double("roof_flops_per_s", 0);
  done.mfu = end.get_double("mfu", 0);
  done.planned_memory_bytes = end.get_int("planned_memory_bytes", 0);
  done.peak_memory_bytes = end.get_int("peak_memory_bytes", 0);
  done.allocations_steady = end.get_int("allocations_steady", 0);
  return done;
}

// Position, micro-batch and instruction set: the saved ones, or those of a new run.
void Run::take_up(const std::optional<Json>& saved) {
  TrainOptions options = options_;
  const std::string isa = kernels::isa_name(kernels::isa_current());
  if (saved) {
    state_ = TrainState::from_json(*saved, options_.out);
    if (options.micro_batch_tokens > 0 && options.micro_batch_tokens != state_.micro_batch_tokens) {
      throw Error({.where = options.out,
                   .what = "the saved run has another micro-batch-tokens",
                   .wanted = fmt::format("{}", state_.micro_batch_tokens),
                   .got = fmt::format("{}", options.micro_batch_tokens),
                   .fix = "leave --micro-batch-tokens out to go on with it, or give another --out"});
    }
    options.micro_batch_tokens = state_.micro_batch_tokens;
    if (options.recompute == "auto") options.recompute = state_.recompute;
    if (state_.isa != isa && !options.isa_change) {
      throw Error({.where = options.out,
                   .what = "the saved run used another instruction set, which rounds differently",
                   .wanted = state_.isa,
                   .got = isa,
                   .fix = fmt::format("--isa {}, or --isa-change to go on to other bits", state_.isa)});
    }
    if (state_.isa != isa) state_.isa_past.push_back(state_.isa);
    source_.restore(state_.data);
  }
  state_.isa = isa;
  plan_ = plan_memory(config_, options, source_.mapped_bytes());
  state_.micro_batch_tokens = plan_.micro_batch_tokens;
  state_.recompute = model::recompute_name(plan_.recompute);
  place_.bytes_wanted = plan_.checkpoint_bytes;
  check_disk(options_.out, plan_.checkpoint_bytes, "a checkpoint");
}

// The trunk's state where this run branches off; nothing when this run is no branch.
std::optional<Json> Run::read_branch() const {
  const std::string& from = hooks_.branch_from;
  if (from.empty()) return std::nullopt;
  std::optional<Json> state = folder_exists(from) ? read_state(from) : std::nullopt;
  if (!state) {
    throw Error({.where = from,
                 .what = "the trunk's state for this branch is not here",
                 .fix = fmt::format("remove {} and train the trunk again", folder_above(from))});
  }
  RunIdentity trunk = identity_;
  const Json& saved = state->at("options");
  for (const char* key :
       {"steps_total", "schedule", "decay_fraction", "decay_shape", "final_fraction", "warmup_fraction"}) {
    trunk.options.set(key, saved.at(key));
  }
  check_identity(*state, trunk, from);
  const Schedule schedule = make_schedule(options_.optimizer, steps_total_);
  const i64 step = state->at("step").as_int();
  if (saved.at("schedule").as_string() != "constant" || options_.optimizer.warmup_steps < 0 ||
      schedule.total - schedule.decay < step) {
    throw Error(
        {.where = from,
         .what = "a run cannot branch off here",
         .wanted =
             "a trunk with the schedule constant, warmup-steps for both, and a decay that begins at the branch or later",
         .got = fmt::format("schedule {}, warmup-steps {}, branch at step {}, decay from step {}",
                            saved.at("schedule").as_string(), options_.optimizer.warmup_steps, step,
                            schedule.total - schedule.decay)});
  }
  return state;
}

void Run::become_branch() {
  state_.finished = state_.evaluation_pending = false;
  state_.seconds_shared = state_.seconds;
  state_.wall_seconds_shared = state_.wall_seconds;
  state_.roofline_seconds_shared = state_.roofline_seconds;
  state_.loss_end_sum = 0;
  state_.loss_end_steps = 0;
}

// The weights of another checkpoint, which must have the same parameters and heads.
void Run::copy_weights(const std::string& folder) {
  const auto refuse = [&](const std::string& key, const auto& wanted, const auto& got) {
    throw Error({.where = folder,
                 .what = fmt::format("the checkpoint to start from has another shape: '{}' differs", key),
                 .wanted = fmt::format("{}", wanted),
                 .got = fmt::format("{}", got),
                 .fix = "give the options of that model, or drop --init-from"});
  };
  Json wanted = config_.to_json(), got = model::load_config(folder).to_json();
  for (const char* key : {"vocab", "d_model", "layers", "heads", "kv_heads", "head_dim", "rope_base", "experts",
                          "top_k", "expert_width", "activation"}) {
    const Json *a = wanted.find(key), *b = got.find(key);
    if (a != nullptr && b != nullptr && a->dump() != b->dump()) refuse(key, a->dump(), b->dump());
  }
  model::load_weights(folder, *network_, false);  // the rest of the shape: by the tensors' own
}

// resumed_from: the folder whose checkpoint holds weights and moments; empty: a new run.
void Run::make_network(const std::string& resumed_from) {
  network_ = std::make_unique<model::Network>(config_, options_.compute(), true);
  network_->set_recompute(plan_.recompute);
  adamw_ = make_adamw(network_->weights());
  if (!resumed_from.empty()) {
    restore_checkpoint(resumed_from, *network_, adamw_);
    log_info(fmt::format("{}: going on from step {}", options_.out, state_.step));
    return;
  }
  if (options_.init_from.empty()) {
    model::init_weights(network_->weights(), static_cast<u64>(options_.seed_init));
  } else {
    copy_weights(options_.init_from);
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
  const Json all = Json::object(
      {{"train", list.to_json()}, {"steps_total", steps_total_}, {"model", config}, {"memory", plan_.to_json()}});
  file_write_atomic(path_join(options_.out, "options.json"), all.dump(1) + "\n");
}

void Run::save(RunLog& log, bool finished) {
  log.sync();
  if (!finished) count_time();
  state_.finished = finished;
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
    for (const Json& fields : hooks_.evaluate(*network_, state_.step, state_.tokens)) {
      log.evaluation(state_.step, state_.tokens, fields);
    }
  } catch (const Error&) {
    if (!saved_pending && state_.step > 0) save(log, false);
    throw;
  }
  evaluate_ns_ += clock_ns() - start;
  state_.evaluation_pending = false;
}

void Run::count_time() {
  state_.wall_seconds = wall_before_ + static_cast<double>(clock_ns() - train_ns_ - evaluate_ns_) * 1e-9;
  count_roofline();
}

void Run::count_roofline() { state_.roofline_seconds = roofline_before_ + roof_->roofline_seconds(work_); }

void Run::step(Trainer& trainer, RunLog& log) {
  const i64 allocations = buffer_allocations();
  const StepReport& report = trainer.step(source_, state_.step + 1);
  if (++steps_here_ > kWarmSteps) allocations_ += buffer_allocations() - allocations;
  state_.step = report.step;
  state_.tokens += report.rows;
  state_.seconds += static_cast<double>(report.step_ns) * 1e-9;
  state_.flops += report.flops;
  work_.add(report);
  data_ns_ += report.data_ns;
  pass_ns_ += report.pass_ns;
  optimizer_ns_ += report.optimizer_ns;
  const i64 end_steps = std::max<i64>(1, std::llround(0.05 * static_cast<double>(steps_total_)));
  if (state_.step > steps_total_ - end_steps) {
    state_.loss_end_sum += report.loss;
    ++state_.loss_end_steps;
  }
  log.step(report, trainer.loads(), state_.tokens);
}

void Run::train(RunLog& log) {
  Trainer trainer(*network_, adamw_, options_.optimizer, make_schedule(options_.optimizer, steps_total_),
                  state_.micro_batch_tokens);
  saved_ns_ = train_ns_ = clock_ns();
  wall_before_ = state_.wall_seconds;
  roofline_before_ = state_.roofline_seconds;
  if (state_.step == 0 || state_.evaluation_pending) evaluate(log);
  while (state_.step < steps_total_) {
    step(trainer, log);
    keep_branch(log);
    evaluate(log);
    if (interrupt_requested()) {
      save(log, false);
      throw Error({.what = "interrupted",
                   .fix = fmt::format("step {} of {} is saved in {}; the same command goes on from there", state_.step,
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
  done.tokens = state_.tokens;
  done.loss_final = state_.loss_end_sum / static_cast<double>(std::max<i64>(1, state_.loss_end_steps));
  done.seconds = state_.seconds;
  done.wall_seconds = state_.wall_seconds;
  done.roofline_seconds = state_.roofline_seconds;
  done.seconds_shared = state_.seconds_shared;
  done.wall_seconds_shared = state_.wall_seconds_shared;
  done.roofline_seconds_shared = state_.roofline_seconds_shared;
  done.tokens_per_s = static_cast<double>(state_.tokens) / state_.seconds;
  done.roof_flops_per_s = roof_->flops_per_s();
  done.mfu = done.roof_flops_per_s > 0 ? state_.flops / state_.seconds / done.roof_flops_per_s : 0;
  done.micro_batch_tokens = state_.micro_batch_tokens;
  done.recompute = state_.recompute;
  done.planned_memory_bytes = plan_.memory.total();
  done.allocations_steady = allocations_;
  done.checkpoint = path_join(options_.out, "checkpoint");
  return done;
}

}  // namespace

Json TrainResult::to_json() const {
  return Json::object({{"skipped", skipped},
                       {"steps", steps},
                       {"tokens", tokens},
                       {"loss_final", loss_final},
                       {"seconds", seconds},
                       {"wall_seconds", wall_seconds},
                       {"roofline_seconds", roofline_seconds},
                       {"seconds_shared", seconds_shared},
                       {"wall_seconds_shared", wall_seconds_shared},
                       {"roofline_seconds_shared", roofline_seconds_shared},
                       {"tokens_per_s", tokens_per_s},
                       {"roof_flops_per_s", roof_flops_per_s},
                       {"mfu", mfu},
                       {"roofline_ratio", roofline_ratio()},
                       {"roofline_ratio_wall", roofline_ratio_wall()},
                       {"micro_batch_tokens", micro_batch_tokens},
                       {"recompute", recompute},
                       {"planned_memory_bytes", planned_memory_bytes},
                       {"peak_memory_bytes", peak_memory_bytes},
                       {"allocations_steady", allocations_steady},
                       {"checkpoint", checkpoint}});
}

std::vector<data::MixtureSource> mixture_sources(const TrainOptions& options) {
  if (!options.mixture.empty()) {
    const Json file = toml_parse_file(options.mixture);
    for (const auto& [key, value] : file.as_object()) {
      if (key != "source") {
        throw Error(
            {.where = options.mixture, .what = fmt::format("unknown key '{}'", key), .wanted = "[[source]] tables"});
      }
    }
    return data::mixture_sources_from_json(file.at("source"), options.mixture);
  }
  if (options.data.empty()) {
    throw Error({.where = "train", .what = "no training data", .fix = "--data NAME=PREFIX:WEIGHT or --mixture FILE"});
  }
  return data::mixture_sources_parse(options.data, "--data");
}

std::unique_ptr<data::Mixture> open_mixture(const TrainOptions& options) {
  const i64 steps = steps_total(options);
  data::MixtureOptions mixture;
  mixture.sequences = options.batch_tokens / options.sequence;
  mixture.length = options.sequence;
  mixture.seed_data = options.seed_data;
  mixture.attend_across_documents = options.attend_across_documents;
  mixture.positions_restart = options.positions_restart;
  auto source = std::make_unique<data::Mixture>(mixture_sources(options), mixture);
  source->check_tokens(steps * options.batch_tokens);
  return source;
}

TrainResult train_run_on(const TrainOptions& options, const model::ModelConfig& config, data::BatchSource& source,
                         const Json& sources, const TrainHooks& hooks) {
  check_options(options);
  model::ModelConfig resolved = config;
  resolved.sequence_max = std::max(resolved.sequence_max, options.sequence);
  resolved.resolve();
  if (source.sequences() * source.length() != options.batch_tokens || source.length() != options.sequence) {
    throw Error({.where = "training data",
                 .what = "the source's batches have another shape",
                 .wanted = fmt::format("{} tokens in sequences of {}", options.batch_tokens, options.sequence),
                 .got = fmt::format("{} in sequences of {}", source.sequences() * source.length(), source.length())});
  }
  return Run(options, resolved, source, sources, hooks).run();
}

TrainResult train_run(const TrainOptions& options, const model::ModelConfig& config, const TrainHooks& hooks) {
  check_options(options);
  const std::unique_ptr<data::Mixture> source = open_mixture(options);
  if (config.vocab < source->vocab()) {
    throw Error({.where = "vocab",
                 .what = "the model's vocabulary is smaller than the shards'",
                 .wanted = fmt::format("at least {}", source->vocab()),
                 .got = fmt::format("{}", config.vocab),
                 .fix = fmt::format("--vocab {}", source->vocab())});
  }
  Json sources = Json::array();
  for (const data::MixtureSource& part : mixture_sources(options)) {
    sources.push_back(Json::object({{"name", part.name}, {"weight", part.weight}}));
  }
  return train_run_on(options, config, *source, sources, hooks);
}

double estimate_seconds(const model::ModelConfig& config, const TrainOptions& options, double roof_flops_per_s,
                        double dram_bytes_per_s, double share) {
  const model::ModelCounts counts = model::count_model(config, options.sequence);
  const double steps = static_cast<double>(steps_total(options));
  const double tokens = steps * static_cast<double>(options.batch_tokens);
  double seconds = tokens * counts.flops_per_token_mfu / (roof_flops_per_s * share);
  i64 elements = 0;
  for (const model::Parameter& parameter : model::list_parameters(config)) elements += parameter.count;
  const double bytes =
      static_cast<double>(elements) * (28 + static_cast<double>(options.compute() == DType::bf16 ? 2 : 0));
  if (dram_bytes_per_s > 0) seconds += steps * bytes / dram_bytes_per_s;
  return seconds;
}

}  // namespace moebius::train
