// The plan of activations: the place of every saved and every temporary value of a pass, decided once for a number of
// tokens. Training keeps each layer's values for its backward; inference lets all layers use one layer's place, and so
// does training that recomputes: there a layer keeps only its input and its routing.
// In: a configuration, the largest number of tokens. Out: pointers into one arena. Not for weights.
#pragma once

#include <vector>

#include "kernels/experts.h"
#include "kernels/routing.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace moebius::model {

// Saved by a group of experts, R rows.
struct FfnBuffers {
  void* pre = nullptr;
  void* hidden = nullptr;
};

struct LayerBuffers {
  float* x_TD = nullptr;  // residual stream into the layer
  float* inv_rms_T = nullptr;
  void* h_TD = nullptr;         // normalised input of attention
  float* raw_TC = nullptr;      // queries, keys, values before bias and QK-norm, f32; only with these
  float* inv_rms_qk = nullptr;  // of QK-norm, one row of T for each normalised group
  void* qkv_TC = nullptr;
  void* mixed_TA = nullptr;  // attention's output
  float* lse_TH = nullptr;
  float* x_mid_TD = nullptr;  // residual stream between attention and FFN
  float* inv_rms_ffn_T = nullptr;
  void* h_ffn_TD = nullptr;  // normalised input of the FFN
  float* logits_TE = nullptr;
  float* prob_TE = nullptr;
  kernels::Routing routing;
  FfnBuffers experts, dense;  // dense: the dense FFN, or the shared experts
};

struct Activations {
  i64 tokens_max = 0;
  i64 bytes = 0;
  std::vector<LayerBuffers> layers;
  float* x_last_TD = nullptr;
  float* inv_rms_last_T = nullptr;
  void* h_last_TD = nullptr;  // lives from the last norm to the head: its place is scratch before and after

  // One expert, one slot, gates of 1: the routing of a dense FFN.
  kernels::Routing identity;
  i32* position_T = nullptr;
  float* frequency = nullptr;  // rotary, head_dim / 2
  float* loss_T = nullptr;
  float* out_RD = nullptr;  // experts' outputs before they are summed; in backward their input's gradient: out_rows
  i64 out_rows = 0;

  // Gradients (training only). Those named dh are zero between uses: who reads one clears it.
  float* dx_TD = nullptr;         // of the residual stream
  void* dx_compute_TD = nullptr;  // the same in bf16
  float* dh_TD = nullptr;
  float* dh_ffn_TD[2] = {nullptr, nullptr};  // of even and odd layers; with pre-gating a layer adds to the one before
  void* dpre_RU = nullptr;
  float* dgate_TK = nullptr;
  float* dlogits_TE = nullptr;
  void* dmixed_TA = nullptr;
  void* dqkv_TC = nullptr;
  float* draw_TC = nullptr;
};

struct PassKind {
  bool training = false;
  Recompute recompute = Recompute::none;  // training only
};

// base = nullptr: only counts the bytes.
Activations plan_activations(const ModelConfig& config, DType compute, PassKind kind, i64 tokens_max, u8* base);

// Columns of the fused query, key and value projection.
inline i64 qkv_width(const ModelConfig& config) {
  return (config.attention.heads + 2 * config.attention.kv_heads) * config.attention.head_dim;
}
inline bool has_raw_qkv(const ModelConfig& config) { return config.attention.bias || config.attention.qk_norm; }
// An FFN as the kernels see it, without its weights.
kernels::ExpertBank expert_bank(const ModelConfig& config, i64 experts, i64 width, DType compute);
// Columns of an FFN's first product.
i64 up_columns(const ModelConfig& config, i64 width);

}  // namespace moebius::model
