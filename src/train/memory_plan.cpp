// The search over divisors, without and with recomputation.
#include "train/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "base/units.h"

namespace moebius::train {

namespace {

constexpr i64 kTokenBytes = 4;  // of a token in a shard, at most but for foreign formats

// Tries the micro-batches from the largest; true when one fits (or the given one does).
bool choose_micro_batch(const model::ModelConfig& config, const TrainOptions& options, model::Recompute recompute,
                        MemoryPlan& plan) {
  const i64 sequences = options.batch_tokens / options.sequence;
  plan.recompute = recompute;
  const auto fits = [&](i64 tokens) {
    plan.micro_batch_tokens = tokens;
    plan.memory = model::count_training_memory(config, {.bf16 = options.compute() == DType::bf16,
                                                        .micro_batch_tokens = tokens,
                                                        .sequence = options.sequence,
                                                        .recompute = recompute});
    return plan.memory.total() <= plan.limit_bytes;
  };
  if (options.micro_batch_tokens > 0) return fits(options.micro_batch_tokens);
  for (i64 parts = 1; parts <= sequences; ++parts) {
    if (sequences % parts == 0 && fits(sequences / parts * options.sequence)) return true;
  }
  return false;
}

}  // namespace

MemoryPlan plan_memory(const model::ModelConfig& config, const TrainOptions& options, i64 data_bytes) {
  MemoryPlan plan;
  plan.limit_bytes = options.memory_max.empty() ? memory_available() / 10 * 7 : *parse_bytes(options.memory_max);
  std::vector<model::Recompute> modes;
  if (options.recompute != "layer") modes.push_back(model::Recompute::none);
  if (options.recompute != "none") modes.push_back(model::Recompute::layer);
  bool fits = false;
  for (std::size_t i = 0; i < modes.size() && !fits; ++i) fits = choose_micro_batch(config, options, modes[i], plan);
  plan.checkpoint_bytes = plan.memory.elements * (dtype_bytes(options.compute()) + 12) + (i64{1} << 20);
  if (fits) {
    if (data_bytes > 0)
      plan.memory.data = std::min(data_bytes, steps_total(options) * options.batch_tokens * kTokenBytes);
    return plan;
  }
  const auto text = [](i64 bytes) { return format_bytes(static_cast<double>(bytes)); };
  const model::TrainingMemory& memory = plan.memory;
  throw Error(
      {.where = "memory",
       .what =
           fmt::format("the model does not fit into memory with a micro-batch of {} tokens", plan.micro_batch_tokens),
       .wanted = fmt::format("at most {}", text(plan.limit_bytes)),
       .got = fmt::format("{} for weights, gradients and moments + {} for activations + {} for program and workspace",
                          text(memory.weights()), text(memory.activations), text(memory.program + memory.workspace)),
       .fix = fmt::format(
           "use {}a smaller model, a shorter --sequence, a smaller --micro-batch-tokens or a larger --memory-max",
           plan.recompute == model::Recompute::none ? "--recompute auto, " : "")});
}

Json MemoryPlan::to_json() const {
  Json json = memory.to_json();
  json.set("limit_bytes", limit_bytes);
  json.set("micro_batch_tokens", micro_batch_tokens);
  json.set("recompute", model::recompute_name(recompute));
  json.set("checkpoint_bytes", checkpoint_bytes);
  return json;
}

std::string MemoryPlan::text() const {
  const auto row = [](const char* name, const std::string& value) {
    return fmt::format("  {:<28} {:>10}\n", name, value);
  };
  return memory.text() + row("limit", format_bytes(static_cast<double>(limit_bytes))) +
         row("micro-batch, tokens", std::to_string(micro_batch_tokens)) +
         row("recomputation", model::recompute_name(recompute)) +
         row("checkpoint on disk", format_bytes(static_cast<double>(checkpoint_bytes)));
}

}  // namespace moebius::train
