// Lays activations out in one arena.
#include "model/activations.h"

#include <algorithm>

#include "kernels/packed.h"

namespace moebius::model {

namespace {

class Arena {
 public:
  explicit Arena(u8* base) : base_(base) {}
  void* take(i64 bytes) {
    u8* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + 63) / 64 * 64;
    peak_ = std::max(peak_, used_);
    return at;
  }
  float* f32(i64 count) { return static_cast<float*>(take(count * 4)); }
  i32* i32s(i64 count) { return static_cast<i32*>(take(count * 4)); }
  i64 mark() const { return used_; }
  void rewind(i64 mark) { used_ = mark; }
  i64 peak() const { return peak_; }

 private:
  u8* base_;
  i64 used_ = 0, peak_ = 0;
};

struct Planner {
  const ModelConfig& config;
  PassKind kind;
  i64 T, element_bytes;
  Arena arena;

  void* compute(i64 count) { return arena.take(count * element_bytes); }

  FfnBuffers ffn(i64 rows, i64 width) {
    FfnBuffers buffers;
    buffers.pre = compute(rows * up_columns(config, width));
    buffers.hidden = compute(rows * width);
    return buffers;
  }

  kernels::Routing routing(i64 experts, i64 top_k) {
    kernels::Routing r;
    r.experts = experts;
    r.top_k = top_k;
    r.expert_TK = arena.i32s(T * top_k);
    r.gate_TK = arena.f32(T * top_k);
    r.offset_E1 = arena.i32s(experts + 1);
    r.token_R = arena.i32s(T * top_k);
    r.slot_R = arena.i32s(T * top_k);
    r.row_TK = arena.i32s(T * top_k);
    return r;
  }

  void attention_layer(LayerBuffers& layer) {
    const i64 d = config.d_model, heads = config.attention.heads, columns = qkv_width(config);
    layer.inv_rms_T = arena.f32(T);
    layer.h_TD = compute(T * d);
    if (has_raw_qkv(config)) {
      layer.raw_TC = arena.f32(T * columns);
      layer.inv_rms_qk = arena.f32(T * (heads + config.attention.kv_heads));
    }
    layer.qkv_TC = compute(T * columns);
    layer.mixed_TA = compute(T * heads * config.attention.head_dim);
    layer.lse_TH = arena.f32(T * heads);
    layer.inv_rms_ffn_T = arena.f32(T);
    layer.h_ffn_TD = compute(T * d);
  }

  void moe_layer(LayerBuffers& layer) {
    const ExpertConfig& e = config.experts;
    layer.logits_TE = arena.f32(T * e.experts);
    layer.prob_TE = arena.f32(T * e.experts);
    layer.experts = ffn(T * e.top_k, e.width);
    if (e.shared_experts > 0) layer.dense = ffn(T, e.shared_experts * e.width);
  }

  // Every layer keeps its own values.
  void layers_for_training(Activations& plan) {
    for (i64 l = 0; l < config.layers; ++l) {
      LayerBuffers& layer = plan.layers[static_cast<std::size_t>(l)];
      layer.x_TD = arena.f32(T * config.d_model);
      attention_layer(layer);
      layer.x_mid_TD = arena.f32(T * config.d_model);
      if (config.layer_is_moe(l)) {
        moe_layer(layer);
        layer.routing = routing(config.experts.experts, config.experts.top_k);
      } else {
        layer.dense = ffn(T, config.experts.dense_width);
      }
    }
    plan.x_last_TD = arena.f32(T * config.d_model);
  }

  // One layer's values for all layers: a place for MoE layers and one for dense layers, one over the other.
  void layers_in_one_place(Activations& plan) {
    LayerBuffers moe, dense;
    attention_layer(moe);
    dense = moe;
    const i64 mark = arena.mark();
    if (config.moe_layers() > 0) moe_layer(moe);
    const i64 after_moe = arena.mark();
    arena.rewind(mark);
    if (config.moe_layers() < config.layers) dense.dense = ffn(T, config.experts.dense_width);
    arena.rewind(std::max(after_moe, arena.mark()));
    for (i64 l = 0; l < config.layers; ++l)
      plan.layers[static_cast<std::size_t>(l)] = config.layer_is_moe(l) ? moe : dense;
  }

  // One residual stream, changed in place; two FFN inputs where a router reads the layer before.
  void layers_for_inference(Activations& plan) {
    plan.x_last_TD = arena.f32(T * config.d_model);
    layers_in_one_place(plan);
    void* other_h = config.router.previous_layer ? compute(T * config.d_model) : plan.layers.front().h_ffn_TD;
    kernels::Routing shared;
    if (config.moe_layers() > 0) shared = routing(config.experts.experts, config.experts.top_k);
    for (i64 l = 0; l < config.layers; ++l) {
      LayerBuffers& layer = plan.layers[static_cast<std::size_t>(l)];
      layer.x_TD = layer.x_mid_TD = plan.x_last_TD;
      if (config.layer_is_moe(l)) layer.routing = shared;
      if (l % 2 == 1) layer.h_ffn_TD = other_h;
    }
  }

  // A layer keeps its input and its routing, and its FFN's input where the router of the next layer reads it.
  void layers_for_recomputation(Activations& plan) {
    layers_in_one_place(plan);
    float* x_mid = arena.f32(T * config.d_model);
    for (i64 l = 0; l < config.layers; ++l) {
      LayerBuffers& layer = plan.layers[static_cast<std::size_t>(l)];
      layer.x_TD = arena.f32(T * config.d_model);
      layer.x_mid_TD = x_mid;
      if (config.layer_is_moe(l)) layer.routing = routing(config.experts.experts, config.experts.top_k);
      if (config.router.previous_layer && l > 0) layer.h_ffn_TD = compute(T * config.d_model);
    }
    plan.x_last_TD = arena.f32(T * config.d_model);
  }

  // Rows and widths of the experts' scratch: the largest of all kinds of FFN.
  void ffn_scratch(Activations& plan) {
    const ExpertConfig& e = config.experts;
    i64 pre = 0;
    const auto ffn_of = [&](i64 experts, i64 top_k, i64 width) {
      const i64 rows = kernels::experts_scratch_rows(
          T, top_k, expert_bank(config, experts, width, element_bytes == 2 ? DType::bf16 : DType::f32), kind.training);
      plan.out_rows = std::max(plan.out_rows, rows);
      pre = std::max(pre, T * top_k * up_columns(config, width));
    };
    if (config.moe_layers() > 0) ffn_of(e.experts, e.top_k, e.width);
    if (config.moe_layers() > 0 && e.shared_experts > 0) ffn_of(1, 1, e.shared_experts * e.width);
    if (config.moe_layers() < config.layers) ffn_of(1, 1, e.dense_width);
    plan.out_RD = arena.f32(plan.out_rows * config.d_model);
    if (!kind.training) return;
    plan.dpre_RU = compute(pre);
    plan.dgate_TK = arena.f32(T * std::max<i64>(1, e.top_k));
    plan.dlogits_TE = arena.f32(T * std::max<i64>(1, e.experts));
  }

  void attention_scratch(Activations& plan) {
    if (!kind.training) return;
    plan.dmixed_TA = compute(T * config.attention.heads * config.attention.head_dim);
    plan.dqkv_TC = compute(T * qkv_width(config));
    if (has_raw_qkv(config)) plan.draw_TC = arena.f32(T * qkv_width(config));
    if (element_bytes == 2) plan.dx_compute_TD = compute(T * config.d_model);
  }
};

}  // namespace

kernels::ExpertBank expert_bank(const ModelConfig& config, i64 experts, i64 width, DType compute) {
  kernels::ExpertBank bank;
  bank.experts = experts;
  bank.d_model = config.d_model;
  bank.width = width;
  bank.activation =
      config.experts.activation == Activation::swiglu ? kernels::Activation::swiglu : kernels::Activation::gelu;
  bank.dtype = compute;
  return bank;
}

i64 up_columns(const ModelConfig& config, i64 width) {
  return config.experts.activation == Activation::swiglu ? 2 * kernels::round_to_block(width) : width;
}

Activations plan_activations(const ModelConfig& config, DType compute, PassKind kind, i64 tokens_max, u8* base) {
  Planner planner{config, kind, tokens_max, dtype_bytes(compute), Arena(base)};
  Arena& arena = planner.arena;
  const i64 T = tokens_max, d = config.d_model;
  Activations plan;
  plan.tokens_max = tokens_max;
  plan.layers.resize(static_cast<std::size_t>(config.layers));
  if (!kind.training) {
    planner.layers_for_inference(plan);
  } else if (kind.recompute == Recompute::layer) {
    planner.layers_for_recomputation(plan);
  } else {
    planner.layers_for_training(plan);
  }
  plan.inv_rms_last_T = arena.f32(T);
  plan.identity = planner.routing(1, 1);
  plan.position_T = arena.i32s(T);
  plan.frequency = arena.f32(config.attention.head_dim / 2);
  plan.loss_T = arena.f32(T);
  if (kind.training) {
    plan.dx_TD = arena.f32(T * d);
    plan.dh_TD = arena.f32(T * d);
    const bool apart = config.router.previous_layer;
    plan.dh_ffn_TD[0] = apart ? arena.f32(T * d) : plan.dh_TD;
    plan.dh_ffn_TD[1] = apart ? arena.f32(T * d) : plan.dh_TD;
  }
  // Attention, the experts and the head never work at the same time: their scratch shares one place.
  const i64 mark = arena.mark();
  planner.ffn_scratch(plan);
  arena.rewind(mark);
  planner.attention_scratch(plan);
  arena.rewind(mark);
  plan.h_last_TD = planner.compute(T * d);
  plan.bytes = arena.peak();
  return plan;
}

}  // namespace moebius::model
