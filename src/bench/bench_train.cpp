// Text, network, warm steps, recorded routing, repeats between measurements of the roof, figures.
#include "bench/bench_train.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "bench/measure.h"
#include "bench/real_text.h"
#include "kernels/isa.h"
#include "kernels/profile.h"
#include "model/roofline.h"
#include "train/memory_plan.h"
#include "train/trainer.h"

namespace moebius::bench {

namespace {

using kernels::Part;
using kernels::Profile;
using Operation = model::StepOperation;

constexpr double kRepeatSeconds = 1.0;  // what --steps 0 fills

struct Repeat {
  kernels::Roof roof;
  double step_seconds = 0;
  Profile profile;  // of all its steps
  i64 allocations = 0, peak_bytes = 0;
};

struct Measured {
  std::vector<Repeat> repeats;
  std::vector<Repeat> beside;      // with --threads-beside, one after each
  std::vector<double> load_curve;  // max over mean of the worst layer, one for each warm step
  RoutingRecord routing;
  i64 steps = 0;  // of a repeat
  bool peak_reset = true;
  i64 memory_before_bytes = 0;  // resident before the network was made: program and text
  double flops = 0, loss = 0;   // of one step
};

i64 micro_batch(const BenchTrainOptions& options) {
  return options.micro_batch_tokens > 0 ? options.micro_batch_tokens : options.tokens_per_step;
}
i64 document(const BenchTrainOptions& options) { return options.document > 0 ? options.document : options.sequence; }

void check(const BenchTrainOptions& options) {
  const i64 micro = micro_batch(options);
  if (options.tokens_per_step % options.sequence == 0 && micro % options.sequence == 0 &&
      options.tokens_per_step % micro == 0) {
    return;
  }
  throw Error(
      {.where = "bench train",
       .what = "a step is not a multiple of the micro-batch, or the micro-batch not of the sequence",
       .wanted = fmt::format("--tokens-per-step and --micro-batch-tokens as multiples of {}", options.sequence),
       .got = fmt::format("sequence {}, micro-batch {}, step {}", options.sequence, micro, options.tokens_per_step)});
}

// Training until the load has settled; the choices of the last step's last micro-batch are kept.
// Warm steps may be smaller, since the load follows the number of updates more than their size.
void warm_up(const BenchTrainOptions& options, model::Network& network, train::Trainer& small,
             data::BatchSource& small_source, train::Trainer& trainer, data::BatchSource& source, Measured& measured) {
  const bool dense = network.config().moe_layers() == 0;
  if (!options.routing.empty() && !dense) {
    measured.routing = RoutingRecord::load(options.routing);
    measured.routing.check_fits(network.config(), micro_batch(options), options.routing);
    network.replay_routing(&measured.routing.expert_LTK);
  }
  Progress progress("warm steps", options.steps_warm);
  for (i64 i = 1; i <= options.steps_warm; ++i) {
    interrupt_check("nothing was measured yet; a recorded routing (--record-routing) avoids the warm-up steps");
    const bool records = i == options.steps_warm && options.routing.empty() && !dense;
    if (records) network.record_routing(&measured.routing.expert_LTK);
    const bool last = i == options.steps_warm;
    const train::StepReport& report = last ? trainer.step(source, i) : small.step(small_source, i);
    measured.load_curve.push_back(report.load_max_over_mean);
    progress.update(i, fmt::format("loss {:.3f}, load {:.2f}", report.loss, report.load_max_over_mean));
    network.record_routing(nullptr);
  }
  progress.finish();
  if (dense || !options.routing.empty()) return;
  measured.routing.tokens = micro_batch(options);
  measured.routing.top_k = network.config().experts.top_k;
  measured.routing.experts = network.config().experts.experts;
  measured.routing.steps = options.steps_warm;
  measured.routing.settled = load_settled(measured.load_curve);
  network.replay_routing(&measured.routing.expert_LTK);
  if (!options.record_routing.empty()) measured.routing.save(options.record_routing);
}

// Steps from `number` + 1 on.
Repeat run_repeat(train::Trainer& trainer, data::BatchSource& source, RoofAround& roof, Measured& measured,
                  i64* number) {
  Repeat repeat;
  const i64 allocations = buffer_allocations();
  measured.peak_reset = memory_peak_reset() && measured.peak_reset;
  repeat.profile.start();
  for (i64 step = 0; step < measured.steps; ++step) {
    const train::StepReport& report = trainer.step(source, ++*number);
    measured.flops = report.flops;
    measured.loss = report.loss;
  }
  repeat.profile.stop();
  repeat.peak_bytes = measured.peak_reset ? memory_peak() : memory_resident();
  repeat.allocations = buffer_allocations() - allocations;
  repeat.step_seconds = static_cast<double>(repeat.profile.total_ns()) * 1e-9 / static_cast<double>(measured.steps);
  repeat.roof = roof.next();
  return repeat;
}

// The same steps with another number of threads, between measurements of the roof with that number.
void measure_beside(const BenchTrainOptions& options, train::Trainer& trainer, data::BatchSource& source,
                    Measured& measured, i64* number) {
  const int threads = parallel_threads();
  parallel_set_threads(static_cast<int>(options.threads_beside));
  trainer.step(source, ++*number);  // the workspace of other threads is allocated here
  RoofAround roof(options.roof_milliseconds);
  measured.beside.push_back(run_repeat(trainer, source, roof, measured, number));
  parallel_set_threads(threads);
  trainer.step(source, ++*number);
}

void measure(const BenchTrainOptions& options, train::Trainer& trainer, data::BatchSource& source, Measured& measured) {
  i64 number = options.steps_warm;
  const i64 start = clock_ns();
  trainer.step(source, ++number);
  const double first = static_cast<double>(clock_ns() - start) * 1e-9;
  measured.steps = options.steps > 0 ? options.steps : std::max<i64>(1, std::llround(kRepeatSeconds / first));
  RoofAround roof(options.roof_milliseconds);
  Progress progress("repeats", options.repeats);
  for (i64 i = 0; i < options.repeats; ++i) {
    interrupt_check("nothing is printed; use fewer --repeats or --steps to finish sooner");
    measured.repeats.push_back(run_repeat(trainer, source, roof, measured, &number));
    if (options.threads_beside > 0) {
      measure_beside(options, trainer, source, measured, &number);
      roof.begin_again();
    }
    progress.update(i + 1);
  }
  progress.finish();
}

template <typename F>
double median_over(const std::vector<Repeat>& repeats, const F& figure) {
  std::vector<double> values;
  for (const Repeat& repeat : repeats) values.push_back(figure(repeat));
  return median(std::move(values));
}

i64 peak_bytes(const Measured& measured) {
  i64 peak = 0;
  for (const Repeat& repeat : measured.repeats) peak = std::max(peak, repeat.peak_bytes);
  return peak;
}

double part_seconds(const Measured& measured, const Repeat& repeat, Part part, i64 direction) {
  return static_cast<double>(repeat.profile.ns[static_cast<i64>(part)][direction]) * 1e-9 /
         static_cast<double>(measured.steps);
}

// One row: a part forward, or backward with the gradient of its weights; the head has both in one.
Json operation_row(const Measured& measured, DType compute, Part part, bool backward, const Operation* operation) {
  const bool both = part == Part::head;
  const auto seconds = [&](const Repeat& repeat) {
    const double back = part_seconds(measured, repeat, part, 1) + part_seconds(measured, repeat, part, 2);
    const double forward = part_seconds(measured, repeat, part, 0);
    return both ? forward + back : backward ? back : forward;
  };
  const double time = median_over(measured.repeats, seconds);
  Json row = Json::object({{"name", kernels::part_name(part)},
                           {"direction", both       ? "both"
                                         : backward ? "backward"
                                                    : "forward"},
                           {"seconds", time}});
  if (backward || both) {
    row.set("weight_gradient_seconds", median_over(measured.repeats, [&](const Repeat& repeat) {
              return part_seconds(measured, repeat, part, 2);
            }));
  }
  row.set("share",
          median_over(measured.repeats, [&](const Repeat& repeat) { return seconds(repeat) / repeat.step_seconds; }));
  if (operation == nullptr) return row;
  row.set("flops", operation->flops);
  row.set("bytes", operation->bytes);
  row.set("flops_per_s", time > 0 ? operation->flops / time : 0);
  row.set("bound_seconds", median_over(measured.repeats, [&](const Repeat& repeat) {
            return bound_seconds(*operation, compute, repeat.roof);
          }));
  row.set("time_over_bound", median_over(measured.repeats, [&](const Repeat& repeat) {
            return seconds(repeat) / bound_seconds(*operation, compute, repeat.roof);
          }));
  return row;
}

Json operation_rows(const Measured& measured, DType compute, const std::vector<Operation>& operations) {
  Json rows = Json::array();
  for (i64 p = 1; p <= kernels::kParts; ++p) {
    const Part part = static_cast<Part>(p % kernels::kParts);  // `other` comes last
    for (const bool backward : {false, true}) {
      const auto operation = std::find_if(operations.begin(), operations.end(), [&](const Operation& one) {
        return one.part == part && one.backward == backward;
      });
      const bool present = operation != operations.end();
      i64 calls = 0;
      for (i64 direction = backward ? 1 : 0; direction < (backward ? kernels::kDirections : 1); ++direction) {
        calls += measured.repeats.front().profile.calls[static_cast<i64>(part)][direction];
      }
      if (part == Part::head && backward) continue;
      if (present || calls > 0 || (part == Part::other && !backward)) {
        rows.push_back(operation_row(measured, compute, part, backward, present ? &*operation : nullptr));
      }
    }
  }
  return rows;
}

Json memory_json(const BenchTrainOptions& options, const model::ModelConfig& config, const Measured& measured) {
  train::TrainOptions plan_options;
  plan_options.precision = options.precision;
  plan_options.batch_tokens = options.tokens_per_step;
  plan_options.sequence = options.sequence;
  plan_options.micro_batch_tokens = micro_batch(options);
  plan_options.recompute = options.recompute;
  plan_options.memory_max = "1000000GiB";
  const i64 planned = train::plan_memory(config, plan_options).memory.total();
  return Json::object({{"planned_bytes", planned},
                       {"before_bytes", measured.memory_before_bytes},
                       {"peak_over_plan", static_cast<double>(peak_bytes(measured)) / static_cast<double>(planned)},
                       {"peak_of_steps_alone", measured.peak_reset}});
}

Json routing_json(const BenchTrainOptions& options, const Measured& measured) {
  return Json::object({{"source", options.routing.empty() ? "recorded in this run" : options.routing},
                       {"steps", measured.routing.steps},
                       {"settled", measured.routing.settled},
                       {"max_over_mean", measured.routing.max_over_mean()},
                       {"max_over_mean_worst", measured.routing.max_over_mean_worst()},
                       {"load_curve", measured.load_curve}});
}

double peak_of(const kernels::Roof& roof, DType compute) {
  return compute == DType::bf16 ? roof.bf16_flops_per_s : roof.f32_flops_per_s;
}

// Medians over the pairs of a repeat and the one after it: how many times faster the step is with the threads of the
// run, and how many times higher the peak of the roof and the roofline of the step.
Json beside_json(const BenchTrainOptions& options, const Measured& measured, const std::vector<Operation>& operations,
                 DType compute) {
  std::vector<double> seconds, step, peak, roofline, step_over_peak, step_over_roofline;
  for (std::size_t i = 0; i < measured.beside.size(); ++i) {
    const Repeat &one = measured.repeats[i], &other = measured.beside[i];
    seconds.push_back(other.step_seconds);
    step.push_back(other.step_seconds / one.step_seconds);
    peak.push_back(peak_of(one.roof, compute) / peak_of(other.roof, compute));
    roofline.push_back(roofline_seconds(operations, compute, other.roof) /
                       roofline_seconds(operations, compute, one.roof));
    step_over_peak.push_back(step.back() / peak.back());
    step_over_roofline.push_back(step.back() / roofline.back());
  }
  return Json::object({{"threads", options.threads_beside},
                       {"step_seconds", median(seconds)},
                       {"speedup", median(step)},
                       {"speedup_roof", median(peak)},
                       {"speedup_roofline", median(roofline)},
                       {"speedup_over_roof", median(step_over_peak)},
                       {"speedup_over_roofline", median(step_over_roofline)}});
}

Json result_json(const BenchTrainOptions& options, const model::ModelConfig& config, const Measured& measured) {
  const DType compute = options.compute();
  const model::StepShape shape{static_cast<double>(options.tokens_per_step), static_cast<double>(document(options)),
                               options.tokens_per_step / micro_batch(options)};
  const std::vector<Operation> operations = train_operations(config, compute, shape);
  const model::ModelCounts counts = model::count_model(config, document(options));
  const double seconds = median_over(measured.repeats, [](const Repeat& repeat) { return repeat.step_seconds; });
  const auto share = [&](Part part) {
    return median_over(measured.repeats, [&](const Repeat& repeat) { return part_seconds(measured, repeat, part, 0); });
  };
  std::vector<double> step_seconds, roof_bf16;
  std::vector<kernels::Roof> roofs;
  for (const Repeat& repeat : measured.repeats) {
    step_seconds.push_back(repeat.step_seconds);
    roof_bf16.push_back(repeat.roof.bf16_flops_per_s);
    roofs.push_back(repeat.roof);
  }
  const kernels::Roof roof = median_roof(roofs);
  Json result = kernels::roof_json(roof);
  Json::Object& keys = result.as_object();
  keys.insert(keys.end(), {{"precision", options.precision},
                           {"recompute", options.recompute},
                           {"model", config.to_json()},
                           {"sequence", options.sequence},
                           {"document", document(options)},
                           {"parameters_total", counts.parameters_total},
                           {"parameters_active", counts.parameters_active},
                           {"tokens_per_step", options.tokens_per_step},
                           {"micro_batch_tokens", micro_batch(options)},
                           {"repeats", options.repeats},
                           {"steps", measured.steps},
                           {"tokens_per_s", static_cast<double>(options.tokens_per_step) / seconds},
                           {"step_seconds", seconds},
                           {"step_seconds_all", step_seconds},
                           {"data_seconds", share(Part::data)},
                           {"optimizer_seconds", share(Part::optimizer) + share(Part::gradient_norm)},
                           {"flops_per_step", measured.flops},
                           {"roof_flops_per_s", peak_of(roof, compute)},
                           {"bf16_flops_per_s_all", roof_bf16}});
  result.set("mfu", median_over(measured.repeats, [&](const Repeat& repeat) {
               return measured.flops / repeat.step_seconds / peak_of(repeat.roof, compute);
             }));
  result.set("roofline_seconds", median_over(measured.repeats, [&](const Repeat& repeat) {
               return roofline_seconds(operations, compute, repeat.roof);
             }));
  result.set("roofline_ratio", median_over(measured.repeats, [&](const Repeat& repeat) {
               return roofline_seconds(operations, compute, repeat.roof) / repeat.step_seconds;
             }));
  result.set("operations", operation_rows(measured, compute, operations));
  result.set("operations_share", median_over(measured.repeats, [&](const Repeat& repeat) {
               return 1 - part_seconds(measured, repeat, Part::other, 0) / repeat.step_seconds;
             }));
  result.set("loss", measured.loss);
  if (config.moe_layers() > 0) {
    result.set("load_max_over_mean", measured.routing.max_over_mean());
    result.set("routing", routing_json(options, measured));
  }
  result.set("peak_memory_bytes", peak_bytes(measured));
  result.set("memory", memory_json(options, config, measured));
  i64 allocations = 0;
  for (const Repeat& repeat : measured.repeats) allocations += repeat.allocations;
  result.set("allocations_steady", allocations);
  if (!measured.beside.empty()) result.set("beside", beside_json(options, measured, operations, compute));
  return result;
}

}  // namespace

DType BenchTrainOptions::compute() const {
  CHECK(precision != "auto", "the precision is resolved before it is used");
  return precision == "f32" ? DType::f32 : DType::bf16;
}

void BenchTrainOptions::describe(OptionList& list) {
  list.add("preset", &preset, "configuration to start from; flags change it", {.unit = "NAME"});
  list.add("sequence", &sequence, "tokens per sequence", {.unit = "N", .min = 2, .max = 1e7});
  list.add("document", &document, "tokens per document (attention stays within it); 0: the sequence",
           {.unit = "N", .min = 0, .max = 1e7});
  list.add("tokens-per-step", &tokens_per_step, "tokens per step", {.unit = "N", .min = 2, .max = 1e9});
  list.add("micro-batch-tokens", &micro_batch_tokens, "tokens per pass; 0: the whole step",
           {.unit = "N", .min = 0, .max = 1e9});
  list.add("repeats", &repeats,
           "repeats, each between two measurements of the roof; medians are reported; 0: 5, or 2 for grid",
           {.unit = "N", .min = 0, .max = 1e6});
  list.add("steps", &steps, "training steps per repeat; 0: as many as fill a second",
           {.unit = "N", .min = 0, .max = 1e6});
  list.add("steps-warm", &steps_warm,
           "training steps before the routing is recorded and replayed; -1: 400, or 5 with --routing",
           {.unit = "N", .min = -1, .max = 1e6});
  list.add("warm-tokens", &warm_tokens, "largest number of tokens of a warm-up step",
           {.unit = "N", .min = 2, .max = 1e9});
  list.add("roof-milliseconds", &roof_milliseconds, "duration of each measurement of the roof; 0: 100, or 20 for grid",
           {.unit = "N", .min = 0, .max = 60000});
  list.add("seed", &seed, "of the weights", {.unit = "N", .min = 0, .max = 9e15});
  list.add("threads-beside", &threads_beside, "also measure the step and the roof with N threads, alternating; 0: off",
           {.unit = "N", .min = 0, .max = 1024});
  list.add("recompute", &recompute, "layer: recompute each layer in backward instead of keeping its activations",
           {.choices = {"none", "layer"}});
  list.add("learning-rate", &learning_rate, "learning rate of the warm-up steps and of the measured steps",
           {.min = 0, .max = 10});
  list.add("precision", &precision, "of the products; auto: the fastest on the instruction set",
           {.choices = {"auto", "bf16", "f32"}});
  list.add("corpus", &corpus, "text to train on; empty: the shipped one", {.unit = "FILES"});
  list.add("routing", &routing, "replay this recorded routing from the first step", {.unit = "FILE"});
  list.add("record-routing", &record_routing, "write the recorded routing to this file", {.unit = "FILE"});
  list.add("records", &records, "append the result as a record (docs/formats.md)", {.unit = "FILE"});
}

void BenchTrainOptions::resolve(bool grid) {
  if (repeats < 1) repeats = grid ? 2 : 5;
  if (roof_milliseconds < 1) roof_milliseconds = grid ? 20 : 100;
  if (steps_warm < 1) steps_warm = routing.empty() ? 400 : 5;
}

Json bench_train(const BenchTrainOptions& given, const model::ModelConfig& config, std::string* text) {
  BenchTrainOptions options = given;
  options.resolve(false);
  check(options);
  std::vector<i32> stream = real_text_stream(options.corpus, config.vocab);
  // A replayed routing has the size of a micro-batch, and so have the steps before the measured ones then.
  const i64 sequences_warm = std::max<i64>(1, options.warm_tokens / options.sequence);
  const i64 warm_tokens = options.routing.empty() ? std::min(micro_batch(options), sequences_warm * options.sequence)
                                                  : micro_batch(options);
  const auto warm_source =
      real_text_source(stream, warm_tokens / options.sequence, options.sequence, document(options));
  // The measured steps see other text than the warm ones.
  std::rotate(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(stream.size() / 2), stream.end());
  const auto source =
      real_text_source(stream, options.tokens_per_step / options.sequence, options.sequence, document(options));
  stream = {};
  const i64 memory_before = memory_resident();
  model::Network network(config, options.compute(), true);
  network.set_recompute(model::recompute_of(options.recompute));
  model::init_weights(network.weights(), static_cast<u64>(options.seed));
  model::refresh_copy(network.weights());
  train::AdamwState adamw = train::make_adamw(network.weights());
  train::OptimizerOptions optimizer;
  optimizer.schedule = "constant";
  optimizer.warmup_steps = options.steps_warm / 5;
  optimizer.learning_rate = options.learning_rate;
  const train::Schedule schedule = train::make_schedule(optimizer, i64{1} << 40);
  train::Trainer trainer(network, adamw, optimizer, schedule, micro_batch(options));
  train::Trainer warm_trainer(network, adamw, optimizer, schedule, warm_tokens);
  Measured measured;
  measured.memory_before_bytes = memory_before;
  warm_up(options, network, warm_trainer, *warm_source, trainer, *source, measured);
  measure(options, trainer, *source, measured);
  const Json result = result_json(options, config, measured);
  *text = bench_train_table(result);
  return result;
}

}  // namespace moebius::bench
