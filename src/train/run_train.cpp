// Reads the words, resolves the configuration, plans or trains, prints the result.
// In, out: the stage's help text below.
#include "train/run_train.h"

#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/stage.h"
#include "base/units.h"
#include "kernels/isa.h"
#include "kernels/roof.h"
#include "model/trace.h"
#include "train/memory_plan.h"
#include "train/run_roof.h"
#include "train/sources.h"
#include "train/train_run.h"

namespace moebius::train {

namespace {

const StageHelp kHelp = {
    .name = "train",
    .summary = "tokens to a checkpoint",
    .usage = "moebius train --data NAME=PREFIX:WEIGHT,... --tokens N --out FOLDER [--preset NAME] [options]",
    .reads = "token shards (PREFIX.bin, .idx, .meta.json), tokenizer.json, or a mixture's TOML file",
    .writes =
        "OUT/checkpoint/ (config.json, model.safetensors, tokenizer.json; state.json, optimizer.safetensors), "
        "OUT/records.jsonl, OUT/options.json, OUT/tensorboard/",
    .json_keys =
        "skipped, steps, tokens, loss_final (mean over the last 5 % of the tokens), seconds (in steps), "
        "flops, wall_seconds (with checkpoints and logging, without evaluations), roofline_seconds, seconds_shared, "
        "wall_seconds_shared, roofline_seconds_shared (of a branch's trunk), tokens_per_s, roof_flops_per_s, mfu, "
        "roofline_ratio (roofline_seconds / seconds), roofline_ratio_wall (/ wall_seconds), micro_batch_tokens, recompute, planned_memory_bytes, "
        "peak_memory_bytes, allocations_steady, checkpoint; with "
        "--dry-run: train, model, steps_total, parameters_total, parameters_active, flops_per_token_megatron, "
        "flops_per_token_6n, flops_per_token_mfu, memory, roof_flops_per_s, dram_bytes_per_s, seconds_estimated",
    .examples =
        "  moebius train --data wiki=data/wiki:0.7,gsm8k=data/gsm8k:0.3 --tokenizer tokenizer.json \\\n"
        "      --d-model 128 --layers 4 --experts 16 --top-k 2 --tokens 10M --out runs/first\n"
        "  run the same command again to resume an interrupted run; it does nothing if the run is finished",
};

constexpr double kShareAssumed =
    0.4;  // of a step's roofline (docs/performance.md), for the estimate before anything has run

struct Words {
  TrainOptions train;
  model::ModelConfig config;
  std::string preset;
  std::string batches_out;
  std::string trace;
  StageCommon common;
};

// The preset must be known before the flags that change it, so the words are read twice.
Words read_words(const std::vector<std::string>& words) {
  Words first;
  first.config.vocab = 0;
  for (int round = 0; round < 2; ++round) {
    Words now;
    now.config.vocab = 0;
    if (!first.preset.empty()) now.config = model::preset_config(first.preset);
    OptionList list;
    list.add("preset", &now.preset, "configuration to start from (moebius plan --list); flags change it",
             {.unit = "NAME"});
    list.add("batches-out", &now.batches_out,
             "with --dry-run: write the batches of all steps, one JSON object per line", {.unit = "FILE"});
    list.add("trace", &now.trace, "write shape, checksum and time of every operation, one JSON object per line (slow)",
             {.unit = "FILE"});
    now.train.describe(list);
    now.config.describe(list);
    now.common = stage_parse(kHelp, list, words, nullptr, 0);
    if (now.preset.empty() || round == 1) return now;
    first = std::move(now);
  }
  return first;
}

// Without preset or --vocab the vocabulary is the shards'.
void settle_config(Words& words, data::Mixture& source) {
  if (words.config.vocab == 0) words.config.vocab = source.vocab();
  if (words.config.vocab == 0) {
    throw Error({.where = "vocab",
                 .what = "the shards do not state their vocabulary size",
                 .fix = "add --vocab N, or the --tokenizer that made them"});
  }
  check_vocab(words.config, source);
  words.config.sequence_max = std::max(words.config.sequence_max, words.train.sequence);
  words.config.resolve();
}

// The batches that the run would see, as docs/train.md describes.
void write_batches(const TrainOptions& options, data::BatchSource& source, const std::string& path) {
  std::string lines;
  data::Batch batch;
  const i64 steps = steps_total(options);
  for (i64 step = 1; step <= steps; ++step) {
    source.next(batch);
    Json documents = Json::array();
    for (const data::DocumentSpan& span : batch.spans)
      documents.push_back(Json(std::vector<i64>{span.begin, span.count, span.position}));
    Json line = Json::object({{"step", step}, {"sequences", batch.sequences}, {"length", batch.length}});
    line.set("tokens", std::vector<i64>(batch.tokens.begin(), batch.tokens.end()));
    line.set("targets", std::vector<i64>(batch.targets.begin(), batch.targets.end()));
    line.set("documents", documents);
    lines += line.dump() + "\n";
  }
  file_write_atomic(path, lines);
}

int dry_run(const Words& words, i64 data_bytes) {
  const MemoryPlan memory = plan_memory(words.config, words.train, data_bytes);
  const model::ModelCounts counts = model::count_model(words.config, words.train.sequence);
  const kernels::Roof roof = kernels::roof_measure(kernels::isa_current(), 100, kernels::RoofMemory::dram);
  const double peak = words.train.compute() == DType::bf16 ? roof.bf16_flops_per_s : roof.f32_flops_per_s;
  const i64 steps = steps_total(words.train);
  const double step_seconds =
      step_roofline_seconds(words.config, words.train, words.train.batch_tokens / memory.micro_batch_tokens,
                            static_cast<double>(words.train.sequence), roof);
  const double seconds = static_cast<double>(steps) * step_seconds / kShareAssumed;
  TrainOptions train = words.train;
  OptionList list;
  train.describe(list);
  Json result = Json::object({{"train", list.to_json()},
                              {"model", words.config.to_json()},
                              {"steps_total", steps},
                              {"parameters_total", counts.parameters_total},
                              {"parameters_active", counts.parameters_active},
                              {"flops_per_token_megatron", counts.flops_per_token_megatron},
                              {"flops_per_token_6n", counts.flops_per_token_6n},
                              {"flops_per_token_mfu", counts.flops_per_token_mfu},
                              {"memory", memory.to_json()},
                              {"roof_flops_per_s", peak},
                              {"dram_bytes_per_s", roof.dram_bytes_per_s},
                              {"seconds_estimated", seconds}});
  std::string text = "options\n";
  const Json options = list.to_json(), model = words.config.to_json();
  for (const auto& [key, value] : options.as_object()) text += fmt::format("  {:<28} {}\n", key, value.dump());
  text += "model\n";
  for (const auto& [key, value] : model.as_object()) text += fmt::format("  {:<28} {}\n", key, value.dump());
  text += fmt::format("parameters     {} total, {} active\n", format_exact(counts.parameters_total),
                      format_exact(counts.parameters_active));
  text += fmt::format("FLOPs/token    {} (Megatron's formula), {} (6N), {} (MFU's count)\n",
                      format_count(counts.flops_per_token_megatron), format_count(counts.flops_per_token_6n),
                      format_count(counts.flops_per_token_mfu));
  text += "memory\n" + memory.text();
  text += fmt::format("budget         {} steps of {} tokens = {} tokens, {:.2f} tokens per parameter\n", steps,
                      train.batch_tokens, format_exact(steps * train.batch_tokens),
                      static_cast<double>(steps * train.batch_tokens) / static_cast<double>(counts.parameters_total));
  text += fmt::format(
      "time           about {} = steps x roofline of a step ({:.3g} s, at the roof measured now: {:.0f} GFLOP/s, {:.1f} GB/s) / "
      "{:.0f} %\n",
      format_seconds(seconds), step_seconds, peak * 1e-9, roof.dram_bytes_per_s * 1e-9, 100 * kShareAssumed);
  stage_print(words.common, result, text);
  return 0;
}

}  // namespace

int run_train(const std::vector<std::string>& words) {
  Words given = read_words(words);
  if (!given.batches_out.empty() && !given.common.dry_run) {
    throw Error({.where = "--batches-out", .what = "this option needs --dry-run", .fix = "add --dry-run"});
  }
  kernels::isa_select(given.common.isa);
  check_options(given.train);
  const auto source = open_mixture(given.train);
  settle_config(given, *source);
  if (given.common.dry_run) {
    const std::string state = path_join(given.train.out, "checkpoint/state.json");
    resolve_precision(given.train, file_exists(state) ? std::optional(Json::parse_file(state)) : std::nullopt);
    if (!given.batches_out.empty()) write_batches(given.train, *source, given.batches_out);
    return dry_run(given, source->mapped_bytes());
  }
  std::optional<model::Trace> trace;
  if (!given.trace.empty()) trace.emplace(given.trace);
  const TrainResult result = train_run(given.train, given.config, *source, source->identity(), {});
  std::string text = fmt::format("{}: {} steps, {} tokens, loss {:.4f}{}\n", given.train.out, result.steps,
                                 format_exact(result.totals.tokens), result.loss_final,
                                 result.skipped ? " (already finished, nothing to do)" : "");
  text +=
      fmt::format("{} tokens/s, {:.1f} % of the roof ({:.0f} GFLOP/s), {:.1f} % of the steps' roofline, {} of memory\n",
                  format_count(result.tokens_per_s), 100 * result.mfu, result.roof_flops_per_s * 1e-9,
                  100 * result.roofline_ratio_wall(), format_bytes(static_cast<double>(result.peak_memory_bytes)));
  text += fmt::format("checkpoint: {}\n", result.checkpoint);
  stage_print(given.common, result.to_json(), text);
  return 0;
}

}  // namespace moebius::train
