// Route and dispatch: from logits to `Routing`, the one description of which token goes to which expert.
// All in f32; ties go to the lowest expert index.
#pragma once

#include "tensor/view.h"

namespace moebius::kernels {

struct RouterShape {
  i64 experts = 0, top_k = 0;
  bool sigmoid = false;              // score: softmax over all experts, or sigmoid (DeepSeek-V3)
  bool softmax_before_top_k = true;  // else softmax over the k chosen logits (equal to renormalising)
  bool renormalise = true;           // divide the chosen weights by their sum (with softmax_before_top_k or sigmoid)
  float scale = 1.0f;
};

// For T tokens: K experts each with gate values, and the same grouped by expert. Memory belongs to the caller.
struct Routing {
  i64 tokens = 0, top_k = 0, experts = 0;
  i32* expert_TK = nullptr;  // in order of falling score
  float* gate_TK = nullptr;  // weight of the expert's output
  i32* offset_E1 = nullptr;  // rows of expert e are [offset[e], offset[e + 1]), R = T * K rows in all
  i32* token_R = nullptr;    // token of a row; rows of an expert are in token order
  i32* slot_R = nullptr;     // t * K + j of a row
  i32* row_TK = nullptr;     // rows of token t, rising: in the order of their experts

  i64 rows() const { return tokens * top_k; }
  i64 expert_rows(i64 e) const { return offset_E1[e + 1] - offset_E1[e]; }
};

// logits_TE = x_TD w_ED^T (x bf16 or f32, w f32 row-major), prob_TE = full softmax (or sigmoid) of them.
// selection_bias_E (may be null) is added to the scores for the choice alone (loss-free balancing, 2408.15664).
// Fills expert_TK and gate_TK; with expert_TK null no experts are selected (recomputation: the selection was recorded).
void route_forward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* selection_bias_E,
                   float* logits_TE, float* prob_TE, Routing& routing);

// gate_TK of the experts in expert_TK, whoever chose them: their scores, divided by their sum where the router
// renormalises, times the scale. route_forward ends with it.
void route_gates(const RouterShape& shape, const float* prob_TE, const Routing& routing);

// Counting sort by expert: fills offset, token, slot and row from expert_TK.
void dispatch_tokens(Routing& routing);

// The auxiliary losses of one micro-batch:
//   balance = E * sum_i f_i P_i, f_i = count_i / (T K), P_i = mean probability (Switch form generalised to k; 1 when balanced)
//   z       = mean_t (logsumexp_i logit_ti)^2   (ST-MoE)
struct RouterLosses {
  double balance = 0, z = 0;
  double entropy = 0;  // nats, mean over tokens, of the probabilities; a sigmoid router's: of its scores over their sum
};
RouterLosses router_losses(const RouterShape& shape, const float* logits_TE, const float* prob_TE,
                           const Routing& routing);

struct RouterLossGradients {
  float balance_coefficient = 0;  // times 1/micro-batches, as the caller wants
  float z_coefficient = 0;
};
// dlogits_TE from dgate_TK and the auxiliary losses; then dw_ED += dlogits^T x and dx_TD (f32) += dlogits w.
void route_backward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* logits_TE,
                    const float* prob_TE, const Routing& routing, const float* dgate_TK,
                    const RouterLossGradients& losses, float* dlogits_TE, float* dw_ED, Matrix dx_TD);

}  // namespace moebius::kernels
