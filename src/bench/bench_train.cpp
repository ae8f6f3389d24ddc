// Network, trainer, timed steps, comparison with roof and roofline.
#include "bench/bench_train.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/units.h"
#include "bench/roofline.h"
#include "kernels/isa.h"
#include "train/trainer.h"

namespace moebius::bench {

namespace {

// Ids as uneven as words are: the square of a uniform number favours small ids.
data::MemorySource make_source(const BenchTrainOptions& options, i64 vocab) {
  const i64 length = options.document > 0 ? options.document : options.sequence;
  const i64 documents = std::max<i64>(2, 2 * options.tokens_per_step / length);
  Rng rng(static_cast<u64>(options.seed), RngStream::benchmark);
  std::vector<std::vector<i32>> tokens(static_cast<std::size_t>(documents));
  for (auto& document : tokens) {
    document.resize(static_cast<std::size_t>(length));
    for (i32& token : document) {
      const double u = rng.next_uniform();
      token = static_cast<i32>(u * u * static_cast<double>(vocab));
    }
  }
  return data::MemorySource(std::move(tokens), options.tokens_per_step / options.sequence, options.sequence);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

// Resident memory now: taken after the steps, since the roof's own buffers would hide the training's peak.
i64 resident_bytes() {
  std::ifstream file("/proc/self/statm");
  i64 pages_total = 0, pages_resident = 0;
  file >> pages_total >> pages_resident;
  return pages_resident * ::sysconf(_SC_PAGESIZE);
}

struct Measured {
  std::vector<double> step, data, pass, optimizer;  // seconds
  double flops = 0;                                 // of one step
  double loss = 0, load = 0;
  i64 allocations = 0;
  i64 memory_bytes = 0;
};

Measured measure(train::Trainer& trainer, data::BatchSource& source, const BenchTrainOptions& options) {
  Measured measured;
  i64 allocations = 0;
  for (i64 i = 1; i <= options.steps_warm + options.steps; ++i) {
    if (i == options.steps_warm + 1) allocations = buffer_allocations();
    const train::StepReport& report = trainer.step(source, i);
    if (i <= options.steps_warm) continue;
    measured.step.push_back(static_cast<double>(report.step_ns) * 1e-9);
    measured.data.push_back(static_cast<double>(report.data_ns) * 1e-9);
    measured.pass.push_back(static_cast<double>(report.pass_ns) * 1e-9);
    measured.optimizer.push_back(static_cast<double>(report.optimizer_ns) * 1e-9);
    measured.flops = report.flops;
    measured.loss = report.loss;
    measured.load = report.load_max_over_mean;
  }
  measured.allocations = buffer_allocations() - allocations;
  measured.memory_bytes = resident_bytes();
  return measured;
}

kernels::Roof mean_roof(const kernels::Roof& a, const kernels::Roof& b) {
  return {0.5 * (a.bf16_flops_per_s + b.bf16_flops_per_s), 0.5 * (a.f32_flops_per_s + b.f32_flops_per_s),
          0.5 * (a.dram_bytes_per_s + b.dram_bytes_per_s), 0.5 * (a.l2_bytes_per_s + b.l2_bytes_per_s),
          0.5 * (a.l3_bytes_per_s + b.l3_bytes_per_s)};
}

void check(const BenchTrainOptions& options) {
  const i64 micro = options.micro_batch_tokens > 0 ? options.micro_batch_tokens : options.tokens_per_step;
  if (options.tokens_per_step % options.sequence != 0 || micro % options.sequence != 0 ||
      options.tokens_per_step % micro != 0) {
    throw Error({.where = "bench train",
                 .what = "steps and micro-batches are whole sequences, and a step whole micro-batches",
                 .got = fmt::format("sequence {}, micro-batch {}, step {}", options.sequence, micro,
                                    options.tokens_per_step)});
  }
}

std::string describe_text(const BenchTrainOptions& options, const Json& result, const std::vector<RooflineRow>& rows,
                          const Measured& measured) {
  const auto number = [&](const char* key) { return result.at(key).as_double(); };
  std::string text = fmt::format(
      "{} parameters, {} active; {} x {} tokens a step, {}, {}, {} threads\n"
      "roof (mean of before and after)  {:>9.1f} GFLOP/s   {:.1f} GB/s\n"
      "step (median of {})              {:>9.1f} ms   (data {:.1f}, forward and backward {:.1f}, optimiser {:.1f})\n"
      "tokens a second                  {:>9.0f}\n"
      "model FLOPs utilisation          {:>9.1f} %\n"
      "roofline of the step             {:>9.1f} ms   {:.1f} % of it reached\n",
      format_count(number("parameters_total")), format_count(number("parameters_active")),
      options.tokens_per_step / options.sequence, options.sequence, options.precision,
      kernels::isa_name(kernels::isa_current()), parallel_threads(), number("roof_flops_per_s") * 1e-9,
      number("dram_bytes_per_s") * 1e-9, measured.step.size(), number("step_seconds") * 1e3,
      number("data_seconds") * 1e3, number("pass_seconds") * 1e3, number("optimizer_seconds") * 1e3,
      number("tokens_per_s"), 100 * number("mfu"), number("roofline_seconds") * 1e3, 100 * number("roofline_ratio"));
  for (const RooflineRow& row : rows) {
    text += fmt::format("  {:<30} {:>9.2f} ms   {:>8.2f} GFLOP {:>9.1f} MB\n", row.name, row.seconds * 1e3,
                        row.flops * 1e-9, row.bytes * 1e-6);
  }
  return text + fmt::format("peak memory {}, buffers allocated in the measured steps: {}\n",
                            format_bytes(number("peak_memory_bytes")), measured.allocations);
}

}  // namespace

void BenchTrainOptions::describe(OptionList& list) {
  list.add("preset", &preset, "configuration to start from; flags change it", {.unit = "NAME"});
  list.add("sequence", &sequence, "tokens of a sequence", {.unit = "N", .min = 2, .max = 1e7});
  list.add("document", &document, "tokens of a document; 0: the sequence", {.unit = "N", .min = 0, .max = 1e7});
  list.add("tokens-per-step", &tokens_per_step, "tokens of a step", {.unit = "N", .min = 2, .max = 1e9});
  list.add("micro-batch-tokens", &micro_batch_tokens, "tokens of a pass; 0: the whole step", {.unit = "N", .min = 0, .max = 1e9});
  list.add("steps", &steps, "steps measured; the median counts", {.unit = "N", .min = 1, .max = 1e6});
  list.add("steps-warm", &steps_warm, "steps before them", {.unit = "N", .min = 1, .max = 1e6});
  list.add("roof-milliseconds", &roof_milliseconds, "for each figure of the roof, before and after the steps",
           {.unit = "N", .min = 1, .max = 60000});
  list.add("seed", &seed, "of weights and tokens", {.unit = "N", .min = 0, .max = 9e15});
  list.add("precision", &precision, "of the products", {.choices = {"bf16", "f32"}});
}

Json bench_train(const BenchTrainOptions& options, const model::ModelConfig& config, std::string* text) {
  check(options);
  const DType compute = options.precision == "f32" ? DType::f32 : DType::bf16;
  const i64 micro = options.micro_batch_tokens > 0 ? options.micro_batch_tokens : options.tokens_per_step;
  model::Network network(config, compute, true);
  model::init_weights(config, network.weights(), static_cast<u64>(options.seed));
  model::refresh_copy(network.weights());
  train::AdamwState adamw = train::make_adamw(network.weights());
  data::MemorySource source = make_source(options, config.vocab);
  train::OptimizerOptions optimizer;
  optimizer.schedule = "constant";
  optimizer.warmup_steps = 0;
  train::Trainer trainer(network, adamw, optimizer, train::make_schedule(optimizer, options.steps_warm + options.steps), micro);

  const int roof_ms = static_cast<int>(options.roof_milliseconds);
  const kernels::Roof before = kernels::roof_measure(kernels::isa_current(), roof_ms, true);
  const Measured measured = measure(trainer, source, options);
  const kernels::Roof roof = mean_roof(before, kernels::roof_measure(kernels::isa_current(), roof_ms, true));

  const double seconds = median(measured.step);
  const double peak = compute == DType::bf16 ? roof.bf16_flops_per_s : roof.f32_flops_per_s;
  const i64 document = options.document > 0 ? std::min(options.document, options.sequence) : options.sequence;
  const auto rows = train_roofline(config, compute, options.tokens_per_step, document, options.tokens_per_step / micro, roof);
  const double best = roofline_seconds(rows);
  const model::ModelCounts counts = model::count_model(config, options.sequence);

  Json parts = Json::array();
  for (const RooflineRow& row : rows) {
    parts.push_back(Json::object({{"name", row.name}, {"flops", row.flops}, {"bytes", row.bytes}, {"seconds", row.seconds}}));
  }
  const double tokens_per_s = static_cast<double>(options.tokens_per_step) / seconds;
  const double mfu = measured.flops / seconds / peak;
  Json result = Json::object({{"isa", kernels::isa_name(kernels::isa_current())},
                              {"threads", parallel_threads()},
                              {"precision", options.precision},
                              {"parameters_total", counts.parameters_total},
                              {"parameters_active", counts.parameters_active},
                              {"tokens_per_step", options.tokens_per_step},
                              {"tokens_per_s", tokens_per_s},
                              {"step_seconds", seconds},
                              {"step_seconds_min", *std::min_element(measured.step.begin(), measured.step.end())},
                              {"step_seconds_max", *std::max_element(measured.step.begin(), measured.step.end())},
                              {"data_seconds", median(measured.data)},
                              {"pass_seconds", median(measured.pass)},
                              {"optimizer_seconds", median(measured.optimizer)},
                              {"flops_per_step", measured.flops},
                              {"roof_flops_per_s", peak},
                              {"dram_bytes_per_s", roof.dram_bytes_per_s},
                              {"mfu", mfu},
                              {"roofline_seconds", best},
                              {"roofline_ratio", best / seconds},
                              {"roofline", parts},
                              {"loss", measured.loss},
                              {"load_max_over_mean", measured.load},
                              {"peak_memory_bytes", measured.memory_bytes},
                              {"allocations_steady", measured.allocations}});
  *text = describe_text(options, result, rows, measured);
  return result;
}

}  // namespace moebius::bench
