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
  bool training;
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
    layer.mixed_TH = compute(T * heads * config.attention.head_dim);
    layer.lse_TH = arena.f32(T * heads);
    layer.inv_rms_ffn_T = arena.f32(T);
    layer.h_ffn_TD = compute(T * d);
  }

  void moe_layer(LayerBuffers& layer) {
    const ExpertConfig& e = config.experts;
    layer.logits_TE = arena.f32(T * e.experts);
    layer.prob_TE = arena.f32(T * e.experts);
    layer.routing = routing(e.experts, e.top_k);
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
      } else {
        layer.dense = ffn(T, config.experts.dense_width);
      }
    }
    plan.x_last_TD = arena.f32(T * config.d_model);
  }

  // One residual stream, changed in place; one layer's values; two FFN inputs where a router reads the layer before.
  void layers_for_inference(Activations& plan) {
    LayerBuffers moe, dense;
    plan.x_last_TD = arena.f32(T * config.d_model);
    attention_layer(moe);
    moe.x_TD = moe.x_mid_TD = plan.x_last_TD;
    dense = moe;
    void* other_h = config.router.previous_layer ? compute(T * config.d_model) : moe.h_ffn_TD;
    const i64 mark = arena.mark();
    if (config.moe_layers() > 0) moe_layer(moe);
    const i64 after_moe = arena.mark();
    arena.rewind(mark);
    if (config.moe_layers() < config.layers) dense.dense = ffn(T, config.experts.dense_width);
    arena.rewind(std::max(after_moe, arena.mark()));
    for (i64 l = 0; l < config.layers; ++l) {
      LayerBuffers& layer = plan.layers[static_cast<std::size_t>(l)];
      layer = config.layer_is_moe(l) ? moe : dense;
      if (l % 2 == 1) layer.h_ffn_TD = other_h;
    }
  }

  // Rows and widths of the experts' scratch: the largest of all kinds of FFN.
  void ffn_scratch(Activations& plan) {
    const ExpertConfig& e = config.experts;
    i64 rows = 0, pre = 0, hidden = 0;
    const auto kind = [&](i64 r, i64 width) {
      rows = std::max(rows, r);
      pre = std::max(pre, r * up_columns(config, width));
      hidden = std::max(hidden, r * width);
    };
    if (config.moe_layers() > 0) kind(T * e.top_k, e.width);
    if (config.moe_layers() > 0 && e.shared_experts > 0) kind(T, e.shared_experts * e.width);
    if (config.moe_layers() < config.layers) kind(T, e.dense_width);
    plan.out_RD = arena.f32(rows * config.d_model);
    if (!training) return;
    plan.dpre_RU = compute(pre);
    plan.dhidden_RF = compute(hidden);
    plan.dgate_TK = arena.f32(T * std::max<i64>(1, e.top_k));
    plan.dlogits_TE = arena.f32(T * std::max<i64>(1, e.experts));
  }

  void attention_scratch(Activations& plan) {
    if (!training) return;
    plan.dmixed_TH = compute(T * config.attention.heads * config.attention.head_dim);
    plan.dqkv_TC = compute(T * qkv_width(config));
    if (has_raw_qkv(config)) plan.draw_TC = arena.f32(T * qkv_width(config));
    if (element_bytes == 2) plan.dx_compute_TD = compute(T * config.d_model);
  }
};

}  // namespace

i64 up_columns(const ModelConfig& config, i64 width) {
  return config.experts.activation == "swiglu" ? 2 * kernels::round_to_block(width) : width;
}

Activations plan_activations(const ModelConfig& config, DType compute, bool training, i64 tokens_max, u8* base) {
  Planner planner{config, training, tokens_max, dtype_bytes(compute), Arena(base)};
  Arena& arena = planner.arena;
  const i64 T = tokens_max, d = config.d_model;
  Activations plan;
  plan.tokens_max = tokens_max;
  plan.layers.resize(static_cast<std::size_t>(config.layers));
  if (training) {
    planner.layers_for_training(plan);
  } else {
    planner.layers_for_inference(plan);
  }
  plan.inv_rms_last_T = arena.f32(T);
  plan.h_last_TD = planner.compute(T * d);
  plan.identity = planner.routing(1, 1);
  plan.position_T = arena.i32s(T);
  plan.frequency = arena.f32(config.attention.head_dim / 2);
  plan.loss_T = arena.f32(T);
  if (training) {
    plan.dx_TD = arena.f32(T * d);
    plan.dh_TD = arena.f32(T * d);
    const bool apart = config.router.previous_layer;
    plan.dh_ffn_TD[0] = apart ? arena.f32(T * d) : plan.dh_TD;
    plan.dh_ffn_TD[1] = apart ? arena.f32(T * d) : plan.dh_TD;
  }
  // Attention and the experts never work at the same time: their scratch shares one place.
  const i64 mark = arena.mark();
  planner.ffn_scratch(plan);
  arena.rewind(mark);
  planner.attention_scratch(plan);
  plan.bytes = arena.peak();
  return plan;
}

i64 count_activation_bytes(const ModelConfig& config, bool bf16, i64 tokens) {
  return plan_activations(config, bf16 ? DType::bf16 : DType::f32, true, tokens, nullptr).bytes;
}

}  // namespace moebius::model
