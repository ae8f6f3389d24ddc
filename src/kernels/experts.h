// Grouped experts: compute and combine. For row r (token t, expert e, gate g):
//   hidden_r = g * (silu(x_t w_gate^T) * (x_t w_up^T)),  y_t += hidden_r w_down^T
// The gate multiplies the hidden row, which equals weighting the expert's output; its gradient is then
// dgate = dot(d hidden, hidden) / g without keeping the output. Rows are gathered while reading: tokens are never
// copied into an [E, capacity, d] tensor. The contributions of a token are summed in the order of its experts.
// A dense FFN is the same thing with one expert, one slot and gates of 1.
#pragma once

#include "kernels/packed.h"
#include "kernels/routing.h"
#include "kernels/workspace.h"
#include "tensor/view.h"

namespace moebius::kernels {

enum class Activation { swiglu, gelu };

struct ExpertBank {
  i64 experts = 0, d_model = 0, width = 0;  // width F
  Activation activation = Activation::swiglu;
  DType dtype = DType::bf16;
  const void* up =
      nullptr;  // expert e at up + e * up_shape().elements(): gate and up alternating (packed.h), or up alone
  const void* down = nullptr;  // expert e at down + e * down_shape().elements()

  PackedShape up_shape() const {
    return {activation == Activation::swiglu ? 2 * round_to_block(width) : width, d_model};
  }
  PackedShape down_shape() const { return {d_model, width}; }
};

// What backward needs, R rows: pre_RU before the activation (U = up_shape().n), hidden_RF with the gate multiplied in.
struct ExpertSaved {
  Matrix pre_RU;
  Matrix hidden_RF;
};

// Rows of f32 scratch (out_RD, dx_RD below) that calls of at most `tokens` tokens with top_k experts each need: one for
// each of their R rows that cannot be added to its token's sum directly; none for a dense bank.
i64 experts_scratch_rows(i64 tokens, i64 top_k, const ExpertBank& bank, bool backward);

// y_TD (f32) += experts' output. x_TD, saved and scratch in the bank's dtype, but out_RD is f32: experts_scratch_rows.
// `saved` is always written (inference passes scratch). y_TD without data: only `saved` is computed (recomputation).
void experts_forward(ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank, const ExpertSaved& saved,
                     Matrix out_RD, Matrix y_TD);

// dy_TD: gradient of y, f32 or the bank's dtype. Scratch: dpre_RU in the bank's dtype, dx_RD f32.
// dx_TD (f32) += gradient; dgate_TK is written; dup and ddown (f32, laid out as the bank) (+)=;
// overwriting, experts without tokens get zeros.
struct ExpertBackwardScratch {
  Matrix dpre_RU, dx_RD;
};
void experts_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank,
                      const ExpertSaved& saved, const ExpertBackwardScratch& scratch, Matrix dx_TD, float* dgate_TK,
                      float* dup, float* ddown, GradientSum sum = GradientSum::add);

// Of forward and backward with `tokens` tokens and top_k experts each.
WorkspaceBytes experts_workspace(i64 tokens, i64 top_k, const ExpertBank& bank);

}  // namespace moebius::kernels
