// Causal attention inside documents, never T x T in memory (online softmax, Dao et al. 2022), and rotary positions.
// A batch is T flat rows cut into segments (documents); a segment's queries see that segment's keys only. A query's
// result depends on its position in the segment alone, not on how the queries before it were fed. This is attention of
// training, which keeps what backward needs. Inference: attention_cache.h.
#pragma once

#include <span>

#include "kernels/workspace.h"
#include "tensor/view.h"

namespace moebius::kernels {

struct AttentionShape {
  i64 heads = 0, kv_heads = 0, head_dim = 0;  // kv_heads divides heads (grouped queries); head_dim <= 256, even
  float scale = 0;                            // usually 1/sqrt(head_dim)
  i64 window = 0;                             // sliding window in tokens; 0: none
};

struct AttentionSegment {
  i64 row = 0, rows = 0;    // query rows of the batch
  const void* k = nullptr;  // position 0 of this segment, kv head 0; position p at k + p * kv_stride elements
  const void* v = nullptr;
  i64 kv_stride = 0;
  i64 kv_rows = 0;  // keys in all; query i of the segment is at position kv_rows - rows + i
};

// q_TA: [T, heads * head_dim], out_TA the same, all of one type (bf16 or f32); lse_TH [T, heads] keeps the log-sum-exp
// of the scaled scores for backward.
void attention_forward(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                       Matrix out_TA, float* lse_TH);

// Every segment has kv_rows == rows and its keys are the batch rows [row, row + rows) of dk_TG, dv_TG
// ([T, kv_heads * head_dim]). Writes (does not add) dq_TA, dk_TG, dv_TG in q's dtype.
void attention_backward(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                        ConstMatrix out_TA, ConstMatrix dout_TA, const float* lse_TH, Matrix dq_TA, Matrix dk_TG,
                        Matrix dv_TG);

// Forward and backward over segments of at most `keys` keys.
WorkspaceBytes attention_workspace(const AttentionShape& shape, i64 keys, DType dtype);

// Rotary positions (Su et al. 2021), half-split layout as Hugging Face's Llama and Mixtral, in place on `heads` heads
// of head_dim columns. frequency_h[i] = base^(-2i/head_dim), head_dim/2 of them. inverse rotates back (for gradients).
void rope_apply(Matrix x_TA, i64 heads, i64 head_dim, const i32* position_T, const float* frequency_h, bool inverse);

}  // namespace moebius::kernels
