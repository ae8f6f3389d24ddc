// What there is to measure: roof, train, tokenizer.
#include "bench/run_bench.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/parallel.h"
#include "base/stage.h"
#include "bench/bench_tokenizer.h"
#include "bench/bench_train.h"
#include "kernels/isa.h"
#include "kernels/roof.h"

namespace moebius::bench {

namespace {

const StageHelp kHelp = {
    .name = "bench",
    .summary = "the machine's roof and the program's speed beside it",
    .usage = "moebius bench roof | moebius bench train [--preset NAME] [--d-model N --layers N --experts N --top-k N ...]\n"
             "       moebius bench tokenizer --input FILES",
    .reads = "nothing; tokenizer: text files",
    .writes = "nothing; the result goes to standard output",
    .json_keys = "roof: isa, threads, bf16_flops_per_s, f32_flops_per_s, dram_bytes_per_s, l2_bytes_per_s, l3_bytes_per_s. "
                 "train: isa, threads, precision, model, sequence, document, parameters_total, parameters_active, "
                 "tokens_per_step, micro_batch_tokens, repeats, steps, tokens_per_s, step_seconds, step_seconds_all, "
                 "data_seconds, optimizer_seconds, flops_per_step, roof_flops_per_s, bf16_flops_per_s, bf16_flops_per_s_all, "
                 "f32_flops_per_s, dram_bytes_per_s, l2_bytes_per_s, l3_bytes_per_s, mfu, roofline_seconds, "
                 "roofline_ratio, operations (array of name, direction, seconds, share, and where there is a bound flops, "
                 "bytes, flops_per_s, bound_seconds, time_over_bound; backward also weight_gradient_seconds), "
                 "operations_share, loss, load_max_over_mean, routing, peak_memory_bytes, memory, allocations_steady. "
                 "tokenizer: bytes, documents, threads, read_seconds, train_seconds, vocab, encode_seconds, "
                 "encode_bytes_per_s, tokens",
    .examples = "  moebius bench train --d-model 256 --layers 8 --experts 64 --top-k 4 --expert-width 256 --vocab 8192\n"
                "  moebius bench tokenizer --input corpora/enwiki2019-00.jsonl.gz",
};

struct Words {
  BenchTrainOptions train;
  BenchTokenizerOptions tokenizer;
  model::ModelConfig config;
  StageCommon common;
  std::string what;
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
    now.tokenizer.describe(list);
    now.config.describe(list);
    std::vector<std::string> positional;
    now.common = stage_parse(kHelp, list, words, &positional, 1);
    now.tokenizer.repeats = now.train.repeats;
    now.what = positional.empty() ? "" : positional.front();
    preset = now.train.preset;
    if (preset.empty() || round == 1) return now;
  }
}

int bench_roof(const StageCommon& common) {
  const kernels::Roof roof = kernels::roof_measure(kernels::isa_current(), 300, true);
  const Json result = Json::object({{"isa", kernels::isa_name(kernels::isa_current())},
                                    {"threads", parallel_threads()},
                                    {"bf16_flops_per_s", roof.bf16_flops_per_s},
                                    {"f32_flops_per_s", roof.f32_flops_per_s},
                                    {"dram_bytes_per_s", roof.dram_bytes_per_s},
                                    {"l2_bytes_per_s", roof.l2_bytes_per_s},
                                    {"l3_bytes_per_s", roof.l3_bytes_per_s}});
  stage_print(common, result,
              fmt::format("{}, {} threads\n  bf16 products {:>9.1f} GFLOP/s\n  f32 products  {:>9.1f} GFLOP/s\n"
                          "  memory reads  {:>9.1f} GB/s\n  L2 reads      {:>9.1f} GB/s\n  L3 reads      {:>9.1f} GB/s\n",
                          kernels::isa_name(kernels::isa_current()), parallel_threads(), roof.bf16_flops_per_s * 1e-9,
                          roof.f32_flops_per_s * 1e-9, roof.dram_bytes_per_s * 1e-9, roof.l2_bytes_per_s * 1e-9,
                          roof.l3_bytes_per_s * 1e-9));
  return 0;
}

}  // namespace

int run_bench(const std::vector<std::string>& words) {
  Words given = read_words(words);
  kernels::isa_select(given.common.isa);
  if (given.what == "roof") {
    if (!given.common.dry_run) return bench_roof(given.common);
    stage_print(given.common, Json::object({{"what", "roof"}, {"threads", parallel_threads()}}), "would measure the roof\n");
    return 0;
  }
  if (given.what == "tokenizer") {
    std::string text;
    const Json result = given.common.dry_run ? Json::object({{"what", "tokenizer"}})
                                             : bench_tokenizer(given.tokenizer, &text);
    stage_print(given.common, result, text);
    return 0;
  }
  if (given.what != "train") {
    const std::string near = nearest_word(given.what, {"roof", "train", "tokenizer"});
    throw Error({.where = "moebius bench",
                 .what = given.what.empty() ? "what shall be measured?" : fmt::format("cannot measure '{}'", given.what),
                 .wanted = "roof, train or tokenizer",
                 .fix = near.empty() ? "moebius bench --help" : fmt::format("did you mean '{}'?", near)});
  }
  given.config.sequence_max = std::max(given.config.sequence_max, given.train.sequence);
  given.config.resolve();
  if (given.common.dry_run) {
    const model::ModelCounts counts = model::count_model(given.config, given.train.sequence);
    stage_print(given.common, Json::object({{"model", given.config.to_json()}, {"parameters_total", counts.parameters_total}}),
                fmt::format("would train {} parameters for {} steps of {} tokens, then measure\n", counts.parameters_total,
                            given.train.steps_warm, given.train.tokens_per_step));
    return 0;
  }
  std::string text;
  const Json result = bench_train(given.train, given.config, &text);
  stage_print(given.common, result, text);
  return 0;
}

}  // namespace moebius::bench
