// Timing of one shape and of the grid's. In, out: bench_operation.h.
#include "bench/bench_operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/units.h"
#include "bench/measure.h"
#include "kernels/isa.h"

namespace moebius::bench {

namespace {

constexpr double kGridFlops = 2e10;  // of a forward product in the grid: tokens are fewer where it would be more
constexpr i64 kGridTokensMin = 512;
constexpr double kMemoryShare = 0.7;     // of what is available, for a case
constexpr double kAgainOverBound = 1.8;  // a case of the grid over this many times its bound is measured again

struct Timing {
  i64 repeats = 5;
  i64 call_ms = 30;
};

// Seconds of one call: the mean of as many as fill call_ms.
double time_calls(const OperationCall& call, i64 call_ms) {
  const i64 start = clock_ns();
  i64 calls = 0, now = start;
  do {
    call.run();
    ++calls;
    now = clock_ns();
  } while (now - start < call_ms * 1000000);
  return static_cast<double>(now - start) * 1e-9 / static_cast<double>(calls);
}

// One row for each direction. The roof is measured between repeats.
Json measure_case(const OperationShape& shape, const std::vector<i32>* expert_TK, const Timing& timing,
                  RoofAround& roof) {
  const OperationCase made = make_operation(shape, expert_TK);
  const std::size_t count = made.calls.size();
  std::vector<std::vector<double>> seconds(count), ratio(count), share(count), bound(count);
  for (const OperationCall& call : made.calls) call.run();
  for (i64 i = 0; i < timing.repeats; ++i) {
    std::vector<double> now;
    for (const OperationCall& call : made.calls) now.push_back(time_calls(call, timing.call_ms));
    const kernels::Roof around = roof.next();
    for (std::size_t c = 0; c < count; ++c) {
      const Operation& work = made.calls[c].work;
      const double peak = work.f32 || shape.dtype == DType::f32 ? around.f32_flops_per_s : around.bf16_flops_per_s;
      seconds[c].push_back(now[c]);
      bound[c].push_back(bound_seconds(work, shape.dtype, around));
      ratio[c].push_back(now[c] / bound[c].back());
      share[c].push_back(work.flops / now[c] / peak);
    }
  }
  Json rows = Json::array();
  for (std::size_t c = 0; c < count; ++c) {
    const Operation& work = made.calls[c].work;
    const double time = median(seconds[c]);
    Json row = Json::object({{"operation", shape.name},
                             {"shape", shape.text()},
                             {"direction", made.calls[c].direction},
                             {"seconds", time},
                             {"flops", work.flops},
                             {"bytes", work.bytes},
                             {"flops_per_s", work.flops / time},
                             {"bound_seconds", median(bound[c])},
                             {"time_over_bound", median(ratio[c])},
                             {"roof_share", median(share[c])}});
    if (made.load_max_over_mean > 0) row.set("load_max_over_mean", made.load_max_over_mean);
    rows.push_back(row);
  }
  return rows;
}

Json result_json(const BenchTrainOptions& common, const RoofAround& around, Json rows) {
  Json result = kernels::roof_json(median_roof(around.means()));
  result.set("precision", common.precision);
  result.set("rows", std::move(rows));
  return result;
}

std::string table(const Json& result) {
  const auto number = [&](const char* key) { return result.at(key).as_double() * 1e-9; };
  std::string text = fmt::format(
      "{}, {} threads, {}: {:.1f} GFLOP/s bf16, {:.1f} f32; reads {:.1f} GB/s memory, {:.1f} L3, {:.1f} L2\n",
      result.at("isa").as_string(), result.at("threads").as_int(), result.at("precision").as_string(),
      number("bf16_flops_per_s"), number("f32_flops_per_s"), number("dram_bytes_per_s"), number("l3_bytes_per_s"),
      number("l2_bytes_per_s"));
  text += fmt::format("{:<46}{:<16}{:>10}{:>10}{:>8}{:>10}{:>11}{:>6}\n", "operation", "direction", "ms", "GFLOP/s",
                      "% roof", "bound ms", "time/bound", "load");
  for (const Json& row : result.at("rows").as_array()) {
    const double load = row.get_double("load_max_over_mean", 0);
    text += fmt::format("{:<46}{:<16}{:>10.3f}{:>10.1f}{:>8.1f}{:>10.3f}{:>11.2f}{:>6}\n", row.at("shape").as_string(),
                        row.at("direction").as_string(), row.at("seconds").as_double() * 1e3,
                        row.at("flops_per_s").as_double() * 1e-9, 100 * row.at("roof_share").as_double(),
                        row.at("bound_seconds").as_double() * 1e3, row.at("time_over_bound").as_double(),
                        load > 0 ? fmt::format("{:.2f}", load) : "");
  }
  return text;
}

// Fewer tokens where a forward pass would take long.
OperationShape grid_shape(const BenchTrainOptions& common, const BenchOperationOptions& options,
                          const std::string& name, model::ModelConfig config, double flops_per_token) {
  OperationShape shape;
  shape.name = name;
  shape.dtype = common.compute();
  shape.load_spread = options.load_spread;
  shape.tokens = common.tokens_per_step;
  while (shape.tokens / 2 >= kGridTokensMin && static_cast<double>(shape.tokens) * flops_per_token > kGridFlops)
    shape.tokens /= 2;
  config.layers = 1;
  config.router.renormalise = config.experts.top_k > 1;
  if (config.attention.head_dim == 0) config.attention.head_dim = 64;
  config.resolve();
  shape.config = std::move(config);
  return shape;
}

struct GridBuilder {
  const BenchTrainOptions& common;
  const BenchOperationOptions& options;
  double bytes_max, weights_max;
  std::vector<OperationShape> shapes;

  void add(OperationShape shape, i64 weights) {
    if (static_cast<double>(weights * dtype_bytes(shape.dtype)) > weights_max || operation_bytes(shape) > bytes_max)
      return;
    shapes.push_back(std::move(shape));
  }

  void linear() {
    for (const i64 d : {128, 256, 512, 1024}) {
      for (const i64 n : {128, 256, 512, 1024, 2048, 4096}) {
        model::ModelConfig config;
        config.d_model = d;
        OperationShape shape = grid_shape(common, options, "linear", config, 2.0 * static_cast<double>(d * n));
        shape.outputs = n;
        add(shape, d * n);
      }
    }
  }
  void attention() {
    for (const i64 d : {128, 256, 512, 1024}) {
      for (const i64 head_dim : {32, 64, 128}) {
        for (const i64 sequence : {128, 512, 1024, 2048, 4096}) {
          if (!options.full && (head_dim != 64 && d != 512)) continue;
          model::ModelConfig config;
          config.d_model = d;
          config.attention.heads = d / head_dim;
          config.attention.head_dim = head_dim;
          OperationShape shape =
              grid_shape(common, options, "attention", config, 2.0 * static_cast<double>(d * sequence));
          shape.sequence = sequence;
          shape.tokens = std::max(shape.tokens, sequence);
          add(shape, 0);
        }
      }
    }
  }
  // 720 combinations; the subset takes each value of each axis about equally often.
  void experts() {
    const i64 widths[] = {128, 256, 512, 1024}, counts[] = {8, 16, 32, 64, 128, 256}, top[] = {1, 2, 4, 8, 16};
    const i64 units[] = {64, 128, 256, 512, 1024, 2048};
    for (i64 a = 0; a < 4; ++a) {
      for (i64 b = 0; b < 6; ++b) {
        for (i64 c = 0; c < 5; ++c) {
          for (i64 f = 0; f < 6; ++f) {
            if (top[c] > counts[b] || (!options.full && (a + 3 * b + 5 * c + 7 * f) % 13 != 0)) continue;
            model::ModelConfig config;
            config.d_model = widths[a];
            config.experts.experts = counts[b];
            config.experts.top_k = top[c];
            config.experts.width = units[f];
            const double flops = 6.0 * static_cast<double>(top[c] * widths[a] * units[f]);
            add(grid_shape(common, options, "experts", config, flops), 3 * counts[b] * widths[a] * units[f]);
          }
        }
      }
    }
  }
  void head() {
    for (const i64 d : {128, 256, 512, 1024}) {
      for (const i64 vocab : {1024, 4096, 16384, 32768}) {
        model::ModelConfig config;
        config.d_model = d;
        config.vocab = vocab;
        add(grid_shape(common, options, "head", config, 6.0 * static_cast<double>(d * vocab)), d * vocab);
      }
    }
  }
};

// A fixed order that spreads over all regions, so that a run that ends early has covered each of them.
std::vector<std::size_t> spread_order(std::size_t count) {
  std::size_t stride = std::max<std::size_t>(1, count * 618 / 1000);
  while (std::gcd(stride, std::max<std::size_t>(1, count)) != 1) ++stride;
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < count; ++i) order.push_back(i * stride % count);
  return order;
}

}  // namespace

void BenchOperationOptions::describe(OptionList& list) {
  list.add("outputs", &outputs, "operation linear: outputs; 0: d-model", {.unit = "N", .min = 0, .max = 1e7});
  list.add("load-spread", &load_spread, "operation experts, grid: standard deviation of the experts' log-probabilities",
           {.min = 0, .max = 10});
  list.add("call-milliseconds", &call_milliseconds,
           "operation, grid: milliseconds of calls per direction and repeat (at least one call)",
           {.unit = "N", .min = 1, .max = 60000});
  list.add("full", &full, "grid: every combination, not the fixed subset");
  list.add("seconds-max", &seconds_max, "grid: stop after this time", {.unit = "S", .min = 1, .max = 1e7});
  list.add("weights-max", &weights_max, "grid: largest weights of a case, in the compute type", {.unit = "BYTES"});
  list.add("operations", &operations, "grid: only these operations (linear, attention, experts, head)",
           {.unit = "NAMES"});
}

std::vector<OperationShape> grid_shapes(const BenchTrainOptions& common, const BenchOperationOptions& options,
                                        double bytes_max) {
  const auto weights_max = parse_bytes(options.weights_max);
  if (!weights_max) {
    throw Error({.where = "weights-max",
                 .what = "not an amount of memory",
                 .wanted = "512MiB, 4GiB, ...",
                 .got = options.weights_max});
  }
  const std::pair<std::string, void (GridBuilder::*)()> parts[] = {{"linear", &GridBuilder::linear},
                                                                   {"attention", &GridBuilder::attention},
                                                                   {"experts", &GridBuilder::experts},
                                                                   {"head", &GridBuilder::head}};
  std::vector<std::string> known;
  for (const auto& [name, add] : parts) known.push_back(name);
  for (const std::string& name : options.operations) {
    if (std::count(known.begin(), known.end(), name) > 0) continue;
    throw Error({.where = "operations",
                 .what = fmt::format("unknown operation '{}'", name),
                 .wanted = fmt::format("{}", fmt::join(known, ", "))});
  }
  GridBuilder builder{common, options, bytes_max, static_cast<double>(*weights_max), {}};
  for (const auto& [name, add] : parts) {
    if (options.operations.empty() || std::count(options.operations.begin(), options.operations.end(), name) > 0)
      (builder.*add)();
  }
  return builder.shapes;
}

Json bench_operation(const std::string& name, const BenchTrainOptions& common, const BenchOperationOptions& options,
                     const model::ModelConfig& config, std::string* text) {
  OperationShape shape;
  shape.name = name;
  shape.tokens = common.tokens_per_step;
  shape.sequence = common.sequence;
  shape.outputs = options.outputs > 0 ? options.outputs : config.d_model;
  shape.load_spread = options.load_spread;
  shape.dtype = common.compute();
  shape.config = config;
  RoutingRecord routing;
  const std::vector<i32>* expert_TK = nullptr;
  if (!common.routing.empty() && name == "experts") {
    routing = RoutingRecord::load(common.routing);
    model::ModelConfig as_recorded = config;  // a recorded routing has all layers of its model
    as_recorded.layers = static_cast<i64>(routing.expert_LTK.size()) + config.experts.dense_layers_first;
    routing.check_fits(as_recorded, shape.tokens, common.routing);
    // The layer whose load lies in the middle.
    std::vector<std::size_t> layers(routing.expert_LTK.size());
    std::iota(layers.begin(), layers.end(), 0);
    std::sort(layers.begin(), layers.end(), [&](std::size_t a, std::size_t b) {
      return routing.max_over_mean_of_layer(a) < routing.max_over_mean_of_layer(b);
    });
    expert_TK = &routing.expert_LTK[layers[layers.size() / 2]];
  }
  RoofAround roof(common.roof_milliseconds);
  Json rows = measure_case(shape, expert_TK, {common.repeats, options.call_milliseconds}, roof);
  const Json result = result_json(common, roof, std::move(rows));
  *text = table(result);
  return result;
}

namespace {

bool worth_again(const Json& rows) {
  for (const Json& row : rows.as_array()) {
    if (row.at("time_over_bound").as_double() > kAgainOverBound) return true;
  }
  return false;
}

// Of two measurements of a case, the faster one of each direction: what disturbs a shared machine only adds time.
Json better_rows(const Json& first, const Json& second) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < first.as_array().size(); ++i) {
    const Json &a = first.as_array()[i], &b = second.as_array()[i];
    rows.push_back(b.at("seconds").as_double() < a.at("seconds").as_double() ? b : a);
  }
  return rows;
}

}  // namespace

Json bench_grid(const BenchTrainOptions& common, const BenchOperationOptions& options, std::string* text) {
  const i64 start = clock_ns();
  const double bytes_max = kMemoryShare * static_cast<double>(memory_available());
  const std::vector<OperationShape> shapes = grid_shapes(common, options, bytes_max);
  std::vector<Json> measured(shapes.size());
  RoofAround roof(common.roof_milliseconds);
  Progress progress("grid", static_cast<i64>(shapes.size()));
  i64 done = 0, again = 0;
  // An interrupted grid still prints what it has measured.
  const auto ends = [&] {
    return interrupt_requested() || (done > 0 && static_cast<double>(clock_ns() - start) * 1e-9 > options.seconds_max);
  };
  const auto measure = [&](std::size_t i) {
    return measure_case(shapes[i], nullptr, {common.repeats, options.call_milliseconds}, roof);
  };
  const std::vector<std::size_t> order = spread_order(shapes.size());
  for (const std::size_t i : order) {
    if (ends()) break;
    measured[i] = measure(i);
    progress.update(++done, shapes[i].text());
  }
  for (const std::size_t i : order) {
    if (ends()) break;
    if (!measured[i].is_array() || !worth_again(measured[i])) continue;
    measured[i] = better_rows(measured[i], measure(i));
    progress.update(done, fmt::format("again: {}", shapes[i].text()));
    ++again;
  }
  progress.finish();
  Json rows = Json::array();
  for (const Json& of_shape : measured) {
    if (!of_shape.is_array()) continue;
    for (const Json& row : of_shape.as_array()) rows.push_back(row);
  }
  Json result = result_json(common, roof, std::move(rows));
  result.set("shapes", static_cast<i64>(shapes.size()));
  result.set("shapes_measured", done);
  result.set("shapes_measured_again", again);
  *text = table(result) + fmt::format("{} of {} shapes measured, {} of them again, in {}{}\n", done, shapes.size(),
                                      again, format_seconds(static_cast<double>(clock_ns() - start) * 1e-9),
                                      interrupt_requested()                    ? " (interrupted)"
                                      : done < static_cast<i64>(shapes.size()) ? " (--seconds-max)"
                                                                               : "");
  return result;
}

}  // namespace moebius::bench
