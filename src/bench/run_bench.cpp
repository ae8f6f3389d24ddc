// Reads the words and calls the measurement that they name. In, out: the help text below.
#include "bench/run_bench.h"

#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#include "base/parallel.h"
#include "base/stage.h"
#include "bench/bench_operation.h"
#include "bench/bench_tokenizer.h"
#include "bench/bench_train.h"
#include "bench/compare.h"
#include "kernels/isa.h"
#include "kernels/roof.h"
#include "model/trace.h"
#include "records/record.h"

namespace moebius::bench {

namespace {

const StageHelp kHelp = {
    .name = "bench",
    .summary = "the peak performance of the machine, and how much of it the program reaches",
    .usage =
        "moebius bench roof | moebius bench train [--preset NAME] [--d-model N --layers N --experts N --top-k N ...]\n"
        "       moebius bench operation NAME [--tokens-per-step N --d-model N ...] | moebius bench grid [--records FILE]\n"
        "       moebius bench tokenizer --input FILES | moebius bench trace-diff FILE FILE [--tolerance X]\n"
        "       moebius bench roof|train|operation|grid [options] --compare FILE",
    .reads =
        "train: the shipped text or --corpus, --routing; tokenizer: text files; --compare: the output of the same command with --json",
    .writes = "standard output; --records, --record-routing",
    .json_keys =
        "roof, train, operation, grid: what, machine (cpu, cores); with --compare also compare (compared, not_compared, "
        "slower: array of name, ratio, seconds, seconds_expected). "
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
        "  moebius bench train --json > before.json; moebius bench train --compare before.json\n"
        "  moebius bench tokenizer --input corpora/enwiki2019-00.jsonl.gz",
};

struct Words {
  BenchTrainOptions train;
  BenchOperationOptions operation;
  BenchTokenizerOptions tokenizer;
  model::ModelConfig config;
  StageCommon common;
  std::string what, name, other, compare;
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
    list.add(
        "compare", &now.compare,
        "roof, train, operation, grid: list what is over 10 % slower than in this saved --json; exit code 1 if anything is",
        {.unit = "FILE"});
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

Json bench_roof(std::string* text) {
  const kernels::Roof roof = kernels::roof_measure(kernels::isa_current(), 300, kernels::RoofMemory::all);
  *text = fmt::format(
      "{}, {} threads\n  bf16 products {:>9.1f} GFLOP/s\n  f32 products  {:>9.1f} GFLOP/s\n"
      "  memory reads  {:>9.1f} GB/s\n  L2 reads      {:>9.1f} GB/s\n  L3 reads      {:>9.1f} GB/s\n",
      kernels::isa_name(kernels::isa_current()), parallel_threads(), roof.bf16_flops_per_s * 1e-9,
      roof.f32_flops_per_s * 1e-9, roof.dram_bytes_per_s * 1e-9, roof.l2_bytes_per_s * 1e-9,
      roof.l3_bytes_per_s * 1e-9);
  return kernels::roof_json(roof);
}

// 1 when the traces differ, as diff does.
int bench_trace_diff(const Words& given) {
  if (given.other.empty()) {
    throw Error({.where = "moebius bench trace-diff",
                 .what = "two trace files are required",
                 .fix = "run moebius bench trace-diff FILE FILE; train and eval write traces with --trace FILE"});
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

// What must be equal in two results that are compared.
Json identity_of(const Words& given) {
  const Json machine = records::machine_describe();
  Json identity = Json::object({{"what", given.what},
                                {"machine", Json::object({{"cpu", machine.at("cpu")}, {"cores", machine.at("cores")}})},
                                {"isa", kernels::isa_name(kernels::isa_current())},
                                {"threads", parallel_threads()}});
  if (given.what != "roof") identity.set("precision", given.train.precision);
  if (given.what != "train") return identity;
  identity.set("recompute", given.train.recompute);
  identity.set("model", given.config.to_json());
  identity.set("sequence", given.train.sequence);
  identity.set("tokens_per_step", given.train.tokens_per_step);
  return identity;
}

Json measure(const Words& given, std::string* text) {
  if (given.what == "roof") return bench_roof(text);
  if (given.what == "train") return bench_train(given.train, given.config, text);
  if (given.what == "grid") return bench_grid(given.train, given.operation, text);
  return bench_operation(given.name, given.train, given.operation, given.config, text);
}

// Measures and prints. 1 when something is slower than in the result that --compare names. That file is read and the
// one of --records opened before anything runs.
int measure_and_print(const Words& given) {
  const Json identity = identity_of(given);
  const Json before = given.compare.empty() ? Json() : baseline_load(given.compare, identity);
  std::optional<records::RecordWriter> writer;
  if (!given.train.records.empty()) writer.emplace(given.train.records);
  std::string text;
  Json result = measure(given, &text);
  if (writer) {
    Json record = result;
    record.set("machine", records::machine_describe());
    writer->write("bench_" + given.what, record);
    writer->sync();
  }
  for (const char* key : {"what", "machine"}) result.set(key, identity.at(key));
  i64 slower = 0;
  if (!given.compare.empty()) {
    const Json comparison = compare(before, result);
    slower = comparison.at("slower").count();
    text += compare_text(comparison, given.compare);
    result.set("compare", comparison);
  }
  stage_print(given.common, result, text);
  return slower > 0 ? 1 : 0;
}

int bench_steps(Words& given) {
  given.config.sequence_max = std::max(given.config.sequence_max, given.train.sequence);
  given.config.resolve();
  if (!given.common.dry_run) return measure_and_print(given);
  const model::ModelCounts counts = model::count_model(given.config, given.train.sequence);
  stage_print(given.common,
              Json::object({{"model", given.config.to_json()}, {"parameters_total", counts.parameters_total}}),
              fmt::format("would train {} parameters for {} steps, then measure steps of {} tokens\n",
                          counts.parameters_total, given.train.steps_warm, given.train.tokens_per_step));
  return 0;
}

int bench_alone(Words& given) {
  // Only attention uses heads: wide shapes of other operations must not fail because of them.
  auto& attention = given.config.attention;
  if (attention.head_dim == 0 && given.name != "attention") attention.head_dim = 64;
  given.config.resolve();
  if (!given.common.dry_run) return measure_and_print(given);
  const std::size_t shapes = given.what == "grid" ? grid_shapes(given.train, given.operation, 1e300).size() : 1;
  stage_print(given.common, Json::object({{"what", given.what}, {"shapes", static_cast<i64>(shapes)}}),
              fmt::format("would measure {} shapes\n", shapes));
  return 0;
}

// Mistakes in the words that would otherwise be ignored.
void check_words(const Words& given) {
  const std::string extra = !given.other.empty() ? given.other : given.what != "operation" ? given.name : "";
  if (!extra.empty()) {
    throw Error({.where = "moebius bench",
                 .what = fmt::format("unexpected argument '{}'", extra),
                 .fix = "moebius bench --help"});
  }
  const bool compares =
      given.what == "roof" || given.what == "train" || given.what == "operation" || given.what == "grid";
  if (given.compare.empty() || compares) return;
  throw Error({.where = "--compare",
               .what = fmt::format("'{}' cannot be compared", given.what),
               .wanted = "roof, train, operation or grid",
               .fix = "drop --compare"});
}

}  // namespace

int run_bench(const std::vector<std::string>& words) {
  Words given = read_words(words);
  kernels::isa_select(given.common.isa);
  if (given.train.precision == "auto") given.train.precision = kernels::isa_fastest_precision();
  if (given.what == "trace-diff") return bench_trace_diff(given);
  check_words(given);
  if (given.what == "roof") {
    if (!given.common.dry_run) return measure_and_print(given);
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
  throw Error({.where = "moebius bench",
               .what = given.what.empty() ? "no benchmark is given" : fmt::format("unknown benchmark '{}'", given.what),
               .wanted = "roof, train, operation, grid, tokenizer or trace-diff",
               .fix = nearest_advice(given.what, {"roof", "train", "operation", "grid", "tokenizer", "trace-diff"},
                                     "moebius bench --help lists the benchmarks")});
}

}  // namespace moebius::bench
