// The table of `moebius bench train`, from its JSON alone.
#include <fmt/format.h>

#include "base/units.h"
#include "bench/bench_train.h"

namespace moebius::bench {

namespace {

std::string head(const Json& r) {
  const auto number = [&](const char* key) { return r.at(key).as_double(); };
  std::string text = fmt::format(
      "{} parameters, {} active; {} tokens per step in sequences of {}\n"
      "{}, {}, {} threads; medians of {} repeats of {} steps, the roof around each\n"
      "roof      {:>9.1f} GFLOP/s bf16, {:.1f} f32; reads {:.1f} GB/s memory, {:.1f} L3, {:.1f} L2\n"
      "step      {:>9.1f} ms, {:.0f} tokens/s\n"
      "MFU       {:>9.1f} %\n"
      "roofline  {:>9.1f} ms, {:.1f} % of it reached\n",
      format_count(number("parameters_total")), format_count(number("parameters_active")),
      r.at("tokens_per_step").as_int(), r.at("sequence").as_int(), r.at("precision").as_string(),
      r.at("isa").as_string(), r.at("threads").as_int(), r.at("repeats").as_int(), r.at("steps").as_int(),
      number("bf16_flops_per_s") * 1e-9, number("f32_flops_per_s") * 1e-9, number("dram_bytes_per_s") * 1e-9,
      number("l3_bytes_per_s") * 1e-9, number("l2_bytes_per_s") * 1e-9, number("step_seconds") * 1e3,
      number("tokens_per_s"), 100 * number("mfu"), number("roofline_seconds") * 1e3, 100 * number("roofline_ratio"));
  if (const Json* routing = r.find("routing")) {
    text += fmt::format(
        "routing   {:>9.2f} max/mean load of experts (worst layer {:.2f}), {} after {} steps of training\n"
        "          {} and replayed\n",
        routing->at("max_over_mean").as_double(), routing->at("max_over_mean_worst").as_double(),
        routing->at("settled").as_bool() ? "settled" : "still changing", routing->at("steps").as_int(),
        routing->at("source").as_string());
  }
  return text;
}

std::string row_text(const Json& row) {
  const std::string direction = row.at("direction").as_string();
  const std::string name = row.at("name").as_string() + (direction == "backward" ? ", backward" : "");
  std::string text = fmt::format("{:<28}{:>10.2f}{:>8.1f}", name, row.at("seconds").as_double() * 1e3,
                                 100 * row.at("share").as_double());
  if (const Json* weight = row.find("weight_gradient_seconds")) {
    text += fmt::format("{:>12.2f}", weight->as_double() * 1e3);
  } else {
    text += fmt::format("{:>12}", "");
  }
  if (!row.contains("bound_seconds")) return text + "\n";
  return text + fmt::format("{:>12.2f}{:>10.1f}{:>10.1f}{:>11.2f}{:>12.2f}\n", row.at("flops").as_double() * 1e-9,
                            row.at("flops_per_s").as_double() * 1e-9, row.at("bytes").as_double() * 1e-6,
                            row.at("bound_seconds").as_double() * 1e3, row.at("time_over_bound").as_double());
}

}  // namespace

std::string bench_train_table(const Json& r) {
  std::string text = head(r);
  text += fmt::format("\n{:<28}{:>10}{:>8}{:>12}{:>12}{:>10}{:>10}{:>11}{:>12}\n", "operation", "ms", "% step",
                      "of it dW ms", "GFLOP", "GFLOP/s", "MB", "bound ms", "time/bound");
  for (const Json& row : r.at("operations").as_array()) text += row_text(row);
  if (const Json* beside = r.find("beside")) {
    text += fmt::format(
        "with {} threads the step takes {:.1f} ms: speedup {:.2f}, of the roof {:.2f} (step over roof {:.2f}), "
        "of the roofline {:.2f}\n",
        beside->at("threads").as_int(), beside->at("step_seconds").as_double() * 1e3, beside->at("speedup").as_double(),
        beside->at("speedup_roof").as_double(), beside->at("speedup_over_roof").as_double(),
        beside->at("speedup_roofline").as_double());
  }
  const Json& memory = r.at("memory");
  return text + fmt::format(
                    "operations make up {:.1f} % of the step\n"
                    "peak memory {}, {:.1f} % of the planned {}{}; buffers allocated in the measured steps: {}\n",
                    100 * r.at("operations_share").as_double(), format_bytes(r.at("peak_memory_bytes").as_double()),
                    100 * memory.at("peak_over_plan").as_double(), format_bytes(memory.at("planned_bytes").as_double()),
                    memory.at("peak_of_steps_alone").as_bool() ? "" : " (resident after the steps)",
                    r.at("allocations_steady").as_int());
}

}  // namespace moebius::bench
