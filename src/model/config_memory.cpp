// Sums over the arenas, the plan of activations and the workspace that each driver reports.
// In, out: config_memory.h.
#include "model/config_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/units.h"
#include "kernels/attention.h"
#include "kernels/experts.h"
#include "kernels/head.h"
#include "kernels/linear.h"
#include "model/activations.h"
#include "model/weights.h"

namespace moebius::model {

namespace {

constexpr i64 kMiB = i64{1} << 20;

kernels::WorkspaceBytes ffn_workspace(const ModelConfig& config, DType compute, i64 tokens, i64 experts, i64 top_k,
                                      i64 width) {
  return kernels::experts_workspace(tokens, top_k, expert_bank(config, experts, width, compute));
}

// The largest of all operations of a pass. Norms and routers stay below the linear layers.
kernels::WorkspaceBytes pass_workspace(const ModelConfig& config, DType compute, i64 tokens, i64 sequence) {
  const AttentionConfig& a = config.attention;
  const ExpertConfig& e = config.experts;
  const i64 d = config.d_model, width = a.heads * a.head_dim;
  kernels::WorkspaceBytes need = kernels::head_loss_workspace(tokens, {config.vocab, d}, compute);
  need.widen(kernels::linear_workspace(tokens, {qkv_width(config), d}, compute));
  need.widen(kernels::linear_workspace(tokens, {d, width}, compute));
  need.widen(kernels::attention_workspace({a.heads, a.kv_heads, a.head_dim, 1.0f, a.window}, std::min(tokens, sequence),
                                          compute));
  if (config.moe_layers() > 0) {
    need.widen(ffn_workspace(config, compute, tokens, e.experts, e.top_k, e.width));
    if (e.shared_experts > 0) need.widen(ffn_workspace(config, compute, tokens, 1, 1, e.shared_experts * e.width));
  }
  if (config.moe_layers() < config.layers) need.widen(ffn_workspace(config, compute, tokens, 1, 1, e.dense_width));
  return need;
}

}  // namespace

TrainingMemory count_training_memory(const ModelConfig& config, const TrainingShape& shape) {
  CHECK(shape.micro_batch_tokens > 0 && shape.sequence > 0, "a pass has tokens");
  const DType compute = shape.bf16 ? DType::bf16 : DType::f32;
  TrainingMemory memory;
  memory.elements = arena_elements(list_parameters(config));
  memory.master = memory.gradient = buffer_bytes_taken(memory.elements * 4);
  memory.moments = 2 * memory.master;
  memory.copy = shape.bf16 ? buffer_bytes_taken(memory.elements * 2) : 0;
  memory.activations = buffer_bytes_taken(
      plan_activations(config, compute, {true, shape.recompute}, shape.micro_batch_tokens, nullptr).bytes);
  memory.workspace = kernels::workspace_bytes(pass_workspace(config, compute, shape.micro_batch_tokens, shape.sequence),
                                              parallel_threads());
  // Whole MiB, so that two plans of one process agree.
  const i64 outside = std::max<i64>(0, memory_resident() - buffer_bytes_in_use());
  memory.program = (outside + kMiB - 1) / kMiB * kMiB;
  return memory;
}

Json TrainingMemory::to_json() const {
  return Json::object({{"elements", elements},
                       {"master_bytes", master},
                       {"copy_bytes", copy},
                       {"gradient_bytes", gradient},
                       {"moments_bytes", moments},
                       {"activation_bytes", activations},
                       {"workspace_bytes", workspace},
                       {"program_bytes", program},
                       {"data_bytes", data},
                       {"total_bytes", total()}});
}

std::string TrainingMemory::text() const {
  const auto row = [](const char* name, i64 bytes) {
    return fmt::format("  {:<28} {:>10}\n", name, format_bytes(static_cast<double>(bytes)));
  };
  return row("master weights (f32)", master) + row("compute copy (bf16)", copy) + row("gradients (f32)", gradient) +
         row("moments (2 x f32)", moments) + row("activations", activations) +
         row("workspace of the kernels", workspace) + row("program (measured)", program) +
         (data > 0 ? row("token shards (mapped)", data) : "") + row("memory in all", total());
}

}  // namespace moebius::model
