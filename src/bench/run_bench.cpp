// What there is to measure: roof, train, tokenizer.
#include "bench/run_bench.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/parallel.h"
#include "base/stage.h"
#include "bench/bench_operation.h"
#include "bench/bench_tokenizer.h"
#include "bench/bench_train.h"
#include "kernels/isa.h"
#include "kernels/roof.h"
#include "model/trace.h"

namespace moebius::bench {

namespace {

const StageHelp kHelp = {
    .name = "bench",
    .summary = "the machine's roof and the program's speed beside it",
    .usage =
        "moebius bench roof | moebius bench train [--preset NAME] [--d-model N --layers N --experts N --top-k N ...]\n"
        "       moebius bench operation NAME [--tokens-per-step N --d-model N ...] | moebius bench grid [--records FILE]\n"
        "       moebius bench tokenizer --input FILES | moebius bench trace-diff FILE FILE [--tolerance X]",
    .reads = "train: the shipped text or --corpus, --routing; tokenizer: text files",
    .writes = "standard output; --records, --record-routing",
    .json_keys =
        "roof: isa, threads, bf16_flops_per_s, f32_flops_per_s, dram_bytes_per_s, l2_bytes_per_s, l3_bytes_per_s. "
        "train: isa, threads, precision, recompute, model, sequence, document, parameters_total, parameters_active, "
        "tokens_per_step, micro_batch_tokens, repeats, steps, tokens_per_s, step_seconds, step_seconds_all, "
        "data_seconds, optimizer_seconds, flops_per_step, roof_flops_per_s, bf16_flops_per_s, bf16_flops_per_s_all, "
        "f32_flops_per_s, dram_bytes_per_s, l2_bytes_per_s, l3_bytes_per_s, mfu, roofline_seconds, "
        "roofline_ratio, operations (array of name, direction, seconds, share, and where there is a bound flops, "
        "bytes, flops_per_s, bound_seconds, time_over_bound; backward also weight_gradient_seconds), "
        "operations_share, loss, load_max_over_mean, routing, peak_memory_bytes, memory, allocations_steady, "
        "with --threads-beside beside (threads, step_seconds, speedup, speedup_roof, speedup_roofline, "
        "speedup_over_roof, speedup_over_roofline). "
        "operation, grid: isa, threads, precision, the roof as in train, rows (array of operation, shape, direction, "
        "seconds, flops, bytes, flops_per_s, bound_seconds, time_over_bound, roof_share, load_max_over_mean); grid also "
        "shapes, shapes_measured, shapes_measured_again. "
        "trace-diff: lines_equal, found, where, what. "
        "tokenizer: bytes, documents, threads, read_seconds, train_seconds, vocab, encode_seconds, "
        "encode_bytes_per_s, tokens",
    .examples =
        "  moebius bench train --d-model 256 --layers 8 --experts 64 --top-k 4 --expert-width 256 --vocab 8192\n"
        "  moebius bench operation experts --d-model 2048 --experts 128 --top-k 8 --expert-width 768 --tokens-per-step 512\n"
        "  moebius bench operation attention --heads 8 --head-dim 64 --sequence 1024 --isa avx2\n"
        "  moebius bench grid --seconds-max 300 --records bench/records.jsonl && moebius report bench\n"
        "  moebius bench tokenizer --input corpora/enwiki2019-00.jsonl.gz",
};

struct Words {
  BenchTrainOptions train;
  BenchOperationOptions operation;
  BenchTokenizerOptions tokenizer;
  model::ModelConfig config;
  StageCommon common;
  std::string what, name, other;
  double tolerance = 0;
};

// The preset must be known before the flags that change it, so the words are read twice.
Words read_words(const std::vector<std::string>& words) {
  std::string preset;
  for (int round = 0;; ++round) {
    Words now;
    now.config.vocab = 8192;
    if (!preset.empty()) now.config = model::preset_config(preset);
    OptionList list;
    now.train.describe(list);
    now.operation.describe(list);
    now.tokenizer.describe(list);
    now.config.describe(list);
    list.add("tolerance", &now.tolerance,
             "trace-diff: largest difference of mean and rms, as a share of rms; 0: equal checksums",
             {.unit = "X", .min = 0, .max = 1});
    std::vector<std::string> positional;
    now.common = stage_parse(kHelp, list, words, &positional, 3);
    now.what = positional.empty() ? "" : positional.front();
    now.name = positional.size() > 1 ? positional[1] : "";
    now.other = positional.size() > 2 ? positional[2] : "";
    now.train.resolve(now.what == "grid");
    now.tokenizer.repeats = now.train.repeats;
    preset = now.train.preset;
    if (preset.empty() || round == 1) return now;
  }
}

int bench_roof(const StageCommon& common) {
  const kernels::Roof roof = kernels::roof_measure(kernels::isa_current(), 300, kernels::RoofMemory::all);
  stage_print(
      common, kernels::roof_json(roof),
      fmt::format("{}, {} threads\n  bf16 products {:>9.1f} GFLOP/s\n  f32 products  {:>9.1f} GFLOP/s\n"
                  "  memory reads  {:>9.1f} GB/s\n  L2 reads      {:>9.1f} GB/s\n  L3 reads      {:>9.1f} GB/s\n",
                  kernels::isa_name(kernels::isa_current()), parallel_threads(), roof.bf16_flops_per_s * 1e-9,
                  roof.f32_flops_per_s * 1e-9, roof.dram_bytes_per_s * 1e-9, roof.l2_bytes_per_s * 1e-9,
                  roof.l3_bytes_per_s * 1e-9));
  return 0;
}

// 1 when the traces differ, as diff does.
int bench_trace_diff(const Words& given) {
  if (given.other.empty()) {
    throw Error({.where = "moebius bench trace-diff",
                 .what = "two traces are needed",
                 .fix = "moebius bench trace-diff FILE FILE; train and eval write traces with --trace FILE"});
  }
  const model::TraceDifference d = model::trace_compare(given.name, given.other, given.tolerance);
  const std::string text =
      d.found ? fmt::format("{} operations agree; the first difference:\n  {}\n  {}\n", d.lines_equal, d.where, d.what)
              : fmt::format("all {} operations agree\n", d.lines_equal);
  stage_print(given.common,
              Json::object({{"lines_equal", d.lines_equal}, {"found", d.found}, {"where", d.where}, {"what", d.what}}),
              text);
  return d.found ? 1 : 0;
}

int bench_steps(Words& given) {
  given.config.sequence_max = std::max(given.config.sequence_max, given.train.sequence);
  given.config.resolve();
  if (given.common.dry_run) {
    const model::ModelCounts counts = model::count_model(given.config, given.train.sequence);
    stage_print(given.common,
                Json::object({{"model", given.config.to_json()}, {"parameters_total", counts.parameters_total}}),
                fmt::format("would train {} parameters for {} steps, then measure steps of {} tokens\n",
                            counts.parameters_total, given.train.steps_warm, given.train.tokens_per_step));
    return 0;
  }
  std::string text;
  const Json result = bench_train(given.train, given.config, &text);
  stage_print(given.common, result, text);
  return 0;
}

int bench_alone(Words& given) {
  // Heads matter to attention alone; wide shapes of others shall not fail for them.
  auto& attention = given.config.attention;
  if (attention.head_dim == 0 && given.name != "attention") attention.head_dim = 64;
  given.config.resolve();
  if (given.common.dry_run) {
    const std::size_t shapes = given.what == "grid" ? grid_shapes(given.train, given.operation, 1e300).size() : 1;
    stage_print(given.common, Json::object({{"what", given.what}, {"shapes", static_cast<i64>(shapes)}}),
                fmt::format("would measure {} shapes\n", shapes));
    return 0;
  }
  std::string text;
  const Json result = given.what == "grid"
                          ? bench_grid(given.train, given.operation, &text)
                          : bench_operation(given.name, given.train, given.operation, given.config, &text);
  stage_print(given.common, result, text);
  return 0;
}

}  // namespace

int run_bench(const std::vector<std::string>& words) {
  Words given = read_words(words);
  kernels::isa_select(given.common.isa);
  if (given.what == "trace-diff") return bench_trace_diff(given);
  if (!given.other.empty()) {
    throw Error({.where = "moebius bench",
                 .what = fmt::format("unexpected argument '{}'", given.other),
                 .fix = "moebius bench --help"});
  }
  if (!given.name.empty() && given.what != "operation") {
    throw Error({.where = "moebius bench",
                 .what = fmt::format("one word too many: '{}'", given.name),
                 .fix = "moebius bench --help"});
  }
  if (given.what == "roof") {
    if (!given.common.dry_run) return bench_roof(given.common);
    stage_print(given.common, Json::object({{"what", "roof"}, {"threads", parallel_threads()}}),
                "would measure the roof\n");
    return 0;
  }
  if (given.what == "tokenizer") {
    std::string text;
    const Json result =
        given.common.dry_run ? Json::object({{"what", "tokenizer"}}) : bench_tokenizer(given.tokenizer, &text);
    stage_print(given.common, result, text);
    return 0;
  }
  if (given.what == "operation" || given.what == "grid") return bench_alone(given);
  if (given.what == "train") return bench_steps(given);
  const std::string near = nearest_word(given.what, {"roof", "train", "operation", "grid", "tokenizer", "trace-diff"});
  throw Error({.where = "moebius bench",
               .what = given.what.empty() ? "what shall be measured?" : fmt::format("cannot measure '{}'", given.what),
               .wanted = "roof, train, operation, grid, tokenizer or trace-diff",
               .fix = near.empty() ? "moebius bench --help" : fmt::format("did you mean '{}'?", near)});
}

}  // namespace moebius::bench
