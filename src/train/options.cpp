// The lists of options and the rules between them.
#include "train/options.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/units.h"
#include "kernels/isa.h"

namespace moebius::train {

void OptimizerOptions::describe(OptionList& list) {
  list.add("learning-rate", &learning_rate, "peak learning rate", {.unit = "X", .min = 0, .max = 10});
  list.add("schedule", &schedule, "learning rate over the run", {.choices = {"cosine", "wsd", "constant"}});
  list.add("warmup-steps", &warmup_steps, "steps of linear warm-up; -1: by warmup-fraction",
           {.unit = "STEPS", .min = -1, .max = 1e12});
  list.add("warmup-fraction", &warmup_fraction, "warm-up as a share of all steps", {.unit = "X", .min = 0, .max = 1});
  list.add("final-fraction", &final_fraction, "last learning rate as a share of the peak",
           {.unit = "X", .min = 0, .max = 1});
  list.add("decay-fraction", &decay_fraction, "wsd: share of all steps that the decay takes",
           {.unit = "X", .min = 0, .max = 1});
  list.add("decay-shape", &decay_shape, "wsd: shape of the decay", {.choices = {"linear", "1-sqrt"}});
  list.add("weight-decay", &weight_decay, "decoupled weight decay, not applied to vectors",
           {.unit = "X", .min = 0, .max = 10});
  list.add("beta1", &beta1, "AdamW: decay of the first moment", {.unit = "X", .min = 0, .max = 0.999999});
  list.add("beta2", &beta2, "AdamW: decay of the second moment", {.unit = "X", .min = 0, .max = 0.999999});
  list.add("epsilon", &epsilon, "AdamW: added to the root of the second moment", {.unit = "X", .min = 1e-30, .max = 1});
  list.add("clip", &clip, "largest global norm of the gradient; 0: no clipping", {.unit = "X", .min = 0, .max = 1e9});
}

void ResumeOptions::describe(OptionList& list) {
  list.add("isa-change", &isa_change, "allow resuming on another instruction set (other rounding; recorded)");
  list.add("records-lost", &records_lost, "allow resuming although records of earlier steps are lost");
}

void TrainOptions::describe(OptionList& list) {
  list.add("out", &out, "the run's folder", {.unit = "FOLDER"});
  list.add("data", &data, "token shards: name=prefix:weight[:epochs], separated by commas", {.unit = "LIST"});
  list.add("mixture", &mixture, "TOML file with [[source]] tables (name, path, weight, epochs_max) instead of --data",
           {.unit = "FILE"});
  list.add("tokenizer", &tokenizer, "tokenizer.json or a folder with one, copied into the checkpoint",
           {.unit = "PATH"});
  list.add("init-from", &init_from, "checkpoint (or run) whose weights start the run", {.unit = "FOLDER"});
  list.add("tokens", &tokens, "budget in tokens, rounded up to whole steps", {.unit = "N", .min = 0, .max = 1e15});
  list.add("steps", &steps, "budget in steps instead", {.unit = "N", .min = 0, .max = 1e12});
  list.add("batch-tokens", &batch_tokens, "tokens per step", {.unit = "N", .min = 1, .max = 1e10});
  list.add("sequence", &sequence, "tokens per sequence", {.unit = "N", .min = 2, .max = 1e7});
  list.add("micro-batch-tokens", &micro_batch_tokens, "tokens per pass; 0: as many as memory-max allows",
           {.unit = "N", .min = 0, .max = 1e10});
  list.add("memory-max", &memory_max, "memory limit for choosing the micro-batch; empty: 70 % of the available memory",
           {.unit = "BYTES"});
  list.add("recompute", &recompute,
           "activations that backward recomputes instead of keeping them; auto: layer if nothing else fits",
           {.choices = {"none", "layer", "auto"}});
  list.add("attend-across-documents", &attend_across_documents, "let attention cross the borders of packed documents");
  list.add("positions-restart", &positions_restart, "positions restart at each document");
  data::describe(shards, shard_format, list);
  list.add("seed-init", &seed_init, "seed of the initial weights", {.unit = "N", .min = 0, .max = 9e15});
  list.add("seed-data", &seed_data, "seed of the order of the data", {.unit = "N", .min = 0, .max = 9e15});
  list.add(
      "precision", &precision,
      "of weights and activations in products (sums and master weights are f32); auto: that of the saved run, else the "
      "fastest on the instruction set (bf16 on avx512 and amx, f32 on avx2 and portable)",
      {.choices = {"auto", "bf16", "f32"}});
  list.add("checkpoint-steps", &checkpoint_steps, "steps between checkpoints; 0: by time alone",
           {.unit = "N", .min = 0, .max = 1e12});
  list.add("checkpoint-minutes", &checkpoint_minutes, "minutes between checkpoints; 0: by steps only",
           {.unit = "X", .min = 0, .max = 1e6});
  list.add("checkpoints-kept", &checkpoints_kept, "older checkpoints kept as checkpoint-STEP",
           {.unit = "N", .min = 0, .max = 1e6});
  list.add("optimizer-kept", &optimizer_kept, "keep optimizer.safetensors when the run is finished");
  list.add("record-every", &record_every, "steps between step records", {.unit = "N", .min = 1, .max = 1e12});
  list.add("router-every", &router_every, "steps between router records; 0: none",
           {.unit = "N", .min = 0, .max = 1e12});
  list.add("tensorboard", &tensorboard, "also write TensorBoard event files");
  resume.describe(list);
  optimizer.describe(list);
}

i64 steps_total(const TrainOptions& options) {
  if (options.batch_tokens % options.sequence != 0) {
    const i64 near =
        std::max<i64>(1, (options.batch_tokens + options.sequence / 2) / options.sequence) * options.sequence;
    throw Error({.where = "batch-tokens",
                 .what = "batch-tokens is not a multiple of the sequence",
                 .wanted = fmt::format("a multiple of the sequence, {}", options.sequence),
                 .got = fmt::format("{}", options.batch_tokens),
                 .fix = fmt::format("use --batch-tokens {}", near)});
  }
  if (options.tokens <= 0 && options.steps <= 0) {
    throw Error({.where = "budget",
                 .what = "no training budget is given",
                 .wanted = "--tokens or --steps above 0",
                 .fix = fmt::format("for 100 steps: add --tokens {}", 100 * options.batch_tokens)});
  }
  const i64 by_tokens = (options.tokens + options.batch_tokens - 1) / options.batch_tokens;
  if (options.tokens > 0 && options.steps > 0 && by_tokens != options.steps) {
    throw Error({.where = "budget",
                 .what = "--tokens and --steps disagree",
                 .wanted = fmt::format("{} steps of {} tokens", by_tokens, options.batch_tokens),
                 .got = fmt::format("--steps {}", options.steps),
                 .fix = "give one of the two"});
  }
  return options.steps > 0 ? options.steps : by_tokens;
}

void check_options(const TrainOptions& options) {
  const i64 steps = steps_total(options);
  if (options.out.empty())
    throw Error({.where = "train", .what = "no output folder is given", .fix = "add --out FOLDER"});
  if (options.micro_batch_tokens > 0 &&
      (options.micro_batch_tokens % options.sequence != 0 || options.batch_tokens % options.micro_batch_tokens != 0)) {
    throw Error(
        {.where = "micro-batch-tokens",
         .what = "the micro-batch does not divide a step into equal parts of whole sequences",
         .wanted = fmt::format("a divisor of {} that is a multiple of {}", options.batch_tokens, options.sequence),
         .got = fmt::format("{}", options.micro_batch_tokens),
         .fix = "use 0 to let the program choose"});
  }
  if (!options.memory_max.empty() && parse_bytes(options.memory_max).value_or(0) <= 0) {
    throw Error({.where = "memory-max",
                 .what = "not a positive number of bytes",
                 .wanted = "8GiB, 24GB, ...",
                 .got = options.memory_max});
  }
  if (!options.data.empty() && !options.mixture.empty()) {
    throw Error({.where = "train", .what = "both --data and --mixture are given", .fix = "give one of the two"});
  }
  if (options.optimizer.warmup_steps > steps) {
    throw Error({.where = "warmup-steps",
                 .what = "the warm-up is longer than the run",
                 .wanted = fmt::format("at most {} steps", steps),
                 .got = fmt::format("{}", options.optimizer.warmup_steps)});
  }
}

DType TrainOptions::compute() const {
  CHECK(precision != "auto", "the precision is resolved before it is used");
  return precision == "f32" ? DType::f32 : DType::bf16;
}

void resolve_precision(TrainOptions& options, const std::optional<Json>& saved) {
  if (options.precision != "auto") return;
  options.precision =
      saved ? saved->at("options").at("precision").as_string() : std::string(kernels::isa_fastest_precision());
}

Json result_options(const TrainOptions& options) {
  Json json = Json::object({{"steps_total", steps_total(options)},
                            {"batch_tokens", options.batch_tokens},
                            {"sequence", options.sequence},
                            {"attend_across_documents", options.attend_across_documents},
                            {"positions_restart", options.positions_restart},
                            {"seed_init", options.seed_init},
                            {"seed_data", options.seed_data},
                            {"precision", options.precision}});
  OptimizerOptions copy = options.optimizer;
  OptionList list;
  copy.describe(list);
  const Json values = list.to_json();
  for (const auto& [key, value] : values.as_object()) json.set(key, value);
  return json;
}

}  // namespace moebius::train
