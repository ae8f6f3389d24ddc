// Compares what was saved with the current options, model and data. In, out: resume.h.
#include "train/resume.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "records/record.h"
#include "model/checkpoint.h"
#include "train/schedule.h"

namespace moebius::train {

RunIdentity run_identity(const TrainOptions& options, const model::ModelConfig& config, const Json& sources,
                         const std::optional<Json>& saved) {
  RunIdentity identity = {result_options(options), config.to_json(), sources};
  if (options.init_from.empty()) return identity;
  std::vector<std::string> weights;  // one file, or shards
  for (const std::string& name : folder_list(options.init_from)) {
    if (name.starts_with("model") && name.ends_with(".safetensors"))
      weights.push_back(path_join(options.init_from, name));
  }
  const Json* before = saved ? saved->at("options").find("init_from") : nullptr;
  if (!weights.empty()) {
    identity.options.set("init_from", content_digest(weights));
  } else if (before != nullptr) {
    log_warning(fmt::format("{}: no weights found, so they are not compared with those that the saved run started from",
                            options.init_from));
    identity.options.set("init_from", *before);
  } else {
    throw Error(
        {.where = options.init_from,
         .what = folder_exists(options.init_from) ? "the folder contains no model.safetensors" : "no such folder",
         .wanted = "--init-from: the folder of a model or of a run, with config.json and model.safetensors"});
  }
  return identity;
}

TrainResult finished_result(const std::string& out, const TrainState& saved) {
  TrainResult done;
  const std::string path = path_join(out, "records.jsonl");
  const std::vector<Json> ends = file_exists(path) ? records::read(path, "train_end") : std::vector<Json>();
  if (!ends.empty()) done = TrainResult::from_json(ends.back(), path);
  if (ends.empty() && saved.loss_end_steps > 0) {  // its records are lost
    done.loss_final = saved.loss_end_sum / static_cast<double>(saved.loss_end_steps);
    done.tokens_per_s = static_cast<double>(saved.totals.tokens) / saved.totals.seconds;
  }
  done.skipped = true;
  done.steps = saved.step;
  done.totals = saved.totals;
  done.micro_batch_tokens = saved.micro_batch_tokens;
  done.recompute = saved.recompute;
  done.checkpoint = path_join(out, "checkpoint");
  return done;
}

Json read_branch(const std::string& branch_from, const RunIdentity& identity, const TrainOptions& options) {
  std::optional<Json> state = folder_exists(branch_from) ? read_state(branch_from) : std::nullopt;
  if (!state) {
    throw Error({.where = branch_from,
                 .what = "the state of the trunk from which this branch starts is missing",
                 .fix = fmt::format("remove {} and train the trunk again",
                                    std::filesystem::path(branch_from).parent_path().string())});
  }
  RunIdentity trunk = identity;
  const Json& saved = state->at("options");
  for (const char* key :
       {"steps_total", "schedule", "decay_fraction", "decay_shape", "final_fraction", "warmup_fraction"}) {
    trunk.options.set(key, saved.at(key));
  }
  check_identity(*state, trunk, branch_from);
  const Schedule schedule = make_schedule(options.optimizer, steps_total(options));
  const i64 step = state->at("step").as_int(), decay_begin = schedule.total - schedule.decay;
  const std::string& trunk_schedule = saved.at("schedule").as_string();
  if (trunk_schedule != "constant" || options.optimizer.warmup_steps < 0 || decay_begin < step) {
    throw Error({.where = branch_from,
                 .what = "the run cannot branch here",
                 .wanted =
                     "a trunk with schedule constant, warmup-steps given for both, and a decay that begins at the "
                     "branch's step or later",
                 .got = fmt::format("schedule {}, warmup-steps {}, branch at step {}, decay from step {}",
                                    trunk_schedule, options.optimizer.warmup_steps, step, decay_begin)});
  }
  return *std::move(state);
}

TrainOptions resume_options(const TrainOptions& options, const Json& saved, const std::string& isa, TrainState& state) {
  state = TrainState::from_json(saved, options.out);
  if (state.step < 0 || state.step > steps_total(options)) {
    throw Error({.where = options.out,
                 .what = "the run's state is damaged: 'step' is out of range",
                 .wanted = fmt::format("0 to {}", steps_total(options)),
                 .got = fmt::format("{}", state.step),
                 .fix = "put an older checkpoint in its place, or remove the run's folder to start again"});
  }
  const i64 micro = state.micro_batch_tokens;
  if (micro < 1 || options.batch_tokens % micro != 0 || micro % options.sequence != 0) {
    throw Error({.where = options.out,
                 .what = "the run's state is damaged: 'micro_batch_tokens' is not a part of a step",
                 .wanted = fmt::format("a divisor of {} in whole sequences", options.batch_tokens),
                 .got = fmt::format("{}", micro),
                 .fix = "put an older checkpoint in its place, or remove the run's folder to start again"});
  }
  TrainOptions resumed = options;
  if (options.micro_batch_tokens > 0 && options.micro_batch_tokens != state.micro_batch_tokens) {
    throw Error({.where = options.out,
                 .what = "--micro-batch-tokens differs from that of the saved run",
                 .wanted = fmt::format("{}", state.micro_batch_tokens),
                 .got = fmt::format("{}", options.micro_batch_tokens),
                 .fix = "leave --micro-batch-tokens out to resume, or start a new run with another --out"});
  }
  resumed.micro_batch_tokens = state.micro_batch_tokens;
  if (options.recompute == "auto") resumed.recompute = state.recompute;
  if (state.isa == isa) return resumed;
  if (!options.resume.isa_change) {
    throw Error({.where = options.out,
                 .what = "the saved run used another instruction set, which rounds differently",
                 .wanted = state.isa,
                 .got = isa,
                 .fix = fmt::format("resume with --isa {}, or allow other rounding with --isa-change", state.isa)});
  }
  state.isa_past.push_back(state.isa);
  return resumed;
}

void copy_weights(const std::string& folder, const model::ModelConfig& config, model::Network& network) {
  const Json wanted = config.to_json(), got = model::load_config(folder).to_json();
  for (const char* key : {"vocab", "d_model", "layers", "heads", "kv_heads", "head_dim", "rope_base", "experts",
                          "top_k", "expert_width", "activation"}) {
    const Json *a = wanted.find(key), *b = got.find(key);
    if (a == nullptr || b == nullptr || a->dump() == b->dump()) continue;
    throw Error({.where = folder,
                 .what = fmt::format("the checkpoint of --init-from has another shape: '{}' differs", key),
                 .wanted = a->dump(),
                 .got = b->dump(),
                 .fix = "use the options of that model, or leave out --init-from"});
  }
  model::load_weights(folder, network, false);  // compares every tensor's shape
}

}  // namespace moebius::train
