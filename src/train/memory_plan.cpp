// Sums and the search over divisors.
#include "train/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "model/network.h"

namespace moebius::train {

namespace {

// The first whole number in `text` after `key`; -1 when there is none ("max").
i64 number_after(const std::string& text, const std::string& key) {
  std::size_t at = text.find(key);
  if (at == std::string::npos) return -1;
  at = text.find_first_not_of(" \t", at + key.size());
  if (at == std::string::npos) return -1;
  i64 value = -1;
  std::from_chars(text.data() + at, text.data() + text.size(), value);
  return value;
}

i64 number_in_file(const std::string& path) { return file_exists(path) ? number_after(file_read(path), "") : -1; }

}  // namespace

i64 memory_available() {
  i64 available = std::numeric_limits<i64>::max();
  if (file_exists("/proc/meminfo")) {
    const i64 kib = number_after(file_read("/proc/meminfo"), "MemAvailable:");
    if (kib > 0) available = kib * 1024;
  }
  const i64 limit = number_in_file("/sys/fs/cgroup/memory.max");
  const i64 used = number_in_file("/sys/fs/cgroup/memory.current");
  if (limit > 0 && used >= 0) available = std::min(available, std::max<i64>(0, limit - used));
  return available;
}

MemoryPlan plan_memory(const model::ModelConfig& config, const TrainOptions& options) {
  MemoryPlan plan;
  for (const model::Parameter& parameter : model::list_parameters(config)) {
    plan.elements = std::max(plan.elements, (parameter.offset + parameter.count + 63) / 64 * 64);
  }
  const DType compute = options.compute();
  plan.master_bytes = plan.gradient_bytes = plan.elements * 4;
  plan.moments_bytes = plan.elements * 8;
  plan.copy_bytes = compute == DType::bf16 ? plan.elements * 2 : 0;
  plan.checkpoint_bytes = plan.elements * (dtype_bytes(compute) + 12) + (i64{1} << 20);
  const i64 fixed = plan.master_bytes + plan.gradient_bytes + plan.moments_bytes + plan.copy_bytes;
  plan.limit_bytes = options.memory_max.empty() ? memory_available() / 10 * 7 : *parse_bytes(options.memory_max);
  const auto with = [&](i64 tokens) {
    plan.micro_batch_tokens = tokens;
    plan.activation_bytes = model::Network::activation_bytes(config, compute, true, tokens);
    plan.total_bytes = fixed + plan.activation_bytes;
    return plan.total_bytes <= plan.limit_bytes;
  };
  if (options.micro_batch_tokens > 0) {
    if (with(options.micro_batch_tokens)) return plan;
  } else {
    const i64 sequences = options.batch_tokens / options.sequence;
    for (i64 parts = 1; parts <= sequences; ++parts) {
      if (sequences % parts == 0 && with(sequences / parts * options.sequence)) return plan;
    }
  }
  throw Error({.where = "memory",
               .what = fmt::format("the model does not fit: a micro-batch of {} tokens needs too much",
                                   plan.micro_batch_tokens),
               .wanted = fmt::format("at most {}", format_bytes(static_cast<double>(plan.limit_bytes))),
               .got = fmt::format("{} for weights, gradients and moments + {} for activations",
                                  format_bytes(static_cast<double>(fixed)),
                                  format_bytes(static_cast<double>(plan.activation_bytes))),
               .fix = "a smaller model, a shorter --sequence, a smaller --micro-batch-tokens or a larger --memory-max"});
}

Json MemoryPlan::to_json() const {
  return Json::object({{"elements", elements},
                       {"master_bytes", master_bytes},
                       {"copy_bytes", copy_bytes},
                       {"gradient_bytes", gradient_bytes},
                       {"moments_bytes", moments_bytes},
                       {"activation_bytes", activation_bytes},
                       {"total_bytes", total_bytes},
                       {"limit_bytes", limit_bytes},
                       {"micro_batch_tokens", micro_batch_tokens},
                       {"checkpoint_bytes", checkpoint_bytes}});
}

std::string MemoryPlan::text() const {
  const auto row = [](const char* name, i64 bytes) {
    return fmt::format("  {:<28} {:>10}\n", name, format_bytes(static_cast<double>(bytes)));
  };
  return row("master weights (f32)", master_bytes) + row("compute copy (bf16)", copy_bytes) +
         row("gradients (f32)", gradient_bytes) + row("moments (2 x f32)", moments_bytes) +
         row(fmt::format("activations of {} tokens", micro_batch_tokens).c_str(), activation_bytes) +
         row("memory in all", total_bytes) + row("limit", limit_bytes) + row("checkpoint on disk", checkpoint_bytes);
}

}  // namespace moebius::train
