// Embedding and head. The head's product, softmax, loss and gradient are fused over blocks of tokens and vocabulary:
// the logits of a batch never exist. Losses in f32, summed in double, in nats.
#pragma once

#include <span>

#include "kernels/packed.h"
#include "kernels/workspace.h"
#include "tensor/view.h"

namespace moebius::kernels {

// x_TD (f32) = rows of table_VD (f32, row-major).
void embedding_forward(const float* table_VD, const i32* token_T, Matrix x_TD);
// dtable_VD += rows of dx_TD (f32), tokens in order.
void embedding_backward(const i32* token_T, ConstMatrix dx_TD, float* dtable_VD);

// For every token with target >= 0: loss_T = -log softmax(x w^T)[target], else 0.
// Gradient of scale * sum(loss): dx_TD written (x's dtype or f32), dw (packed, f32) (+)=.
void head_loss(ConstMatrix x_TD, const PackedWeight& w_VD, const i32* target_T, float scale, float* loss_T,
               Matrix dx_TD, float* dw, GradientSum sum = GradientSum::add);

WorkspaceBytes head_loss_workspace(i64 rows, PackedShape shape, DType dtype);

// A token whose log-probability is wanted at a row. A row may have several.
struct HeadTarget {
  i32 row = 0, token = 0;
};

// Scoring without gradient, targets in order of rows: the log-probability of each and, if not null, the index of the
// largest logit of its row (lowest index on ties). A row's logits are made once.
void head_score(ConstMatrix x_RD, const PackedWeight& w_VD, std::span<const HeadTarget> targets, float* logprob,
                i32* argmax);

// Of each row of logits_RV (f32): log-sum-exp and the index of the largest logit (lowest index on ties).
void log_sum_exp_rows(ConstMatrix logits_RV, float* lse_R, i32* argmax_R);

}  // namespace moebius::kernels
