// The interface between the drivers (op .cpp files: shapes, cutting, scratch) and the instruction sets (one table
// each). Plain structs and function pointers only: files compiled for a set must not share inline functions with the
// others. A panel is 32 columns wide: [pair][32][2] elements, like a column of packed blocks (packed.h).
#pragma once

#include "base/types.h"
#include "tensor/dtype.h"

namespace moebius::kernels {

enum class Store { f32, f32_add, bf16 };

// out[m][n] (+)= sum_k rows[m][k] * panels[k][n] for n < cols. Rows have k elements; nothing beyond them is read.
struct RowsProduct {
  const void* const* rows = nullptr;  // num_rows pointers
  const void* prepared = nullptr;     // the same rows as TypedOps::prepare left them (used if the set prepares)
  i64 num_rows = 0, k = 0;
  const void* panels = nullptr;  // panel p at p * panel_stride elements, ceil(k/32) blocks each
  i64 panel_stride = 0;
  i64 cols = 0;
  bool far = false;  // panels come from memory
  // What is read after the last panel: as many blocks of 32 x 32, prefetch_stride bytes apart. Null: nothing.
  const void* prefetch = nullptr;
  i64 prefetch_stride = 2048;
  void* out = nullptr;
  i64 out_stride = 0;
  float* const* out_rows = nullptr;  // if not null, row m goes to out_rows[m] + out_col instead of out: f32 alone
  i64 out_col = 0;
  Store store = Store::f32;
};

// out[a][b] (+)= sum over rows r of left[r][a] * right[r][b]; both panels hold pairs of rows (interleave_*).
struct PairsProduct {
  const void* left = nullptr;
  const void* right = nullptr;
  i64 pairs = 0;
  float* out = nullptr;
  i64 out_stride = 0;  // row-major out; ignored when packed
  i64 rows = 32, cols = 32;
  bool packed = false;     // out is a packed f32 block of 32 x 32: b is its n, a its k
  bool overwrite = false;  // packed blocks only: replace the values instead of adding to them
  bool stream = false;     // with overwrite: non-temporal stores; out is aligned to a cache line
};

// Rows of an expert's up product in f32 (gate, up: 32 columns each, or 32 plain ones) to pre and hidden.
struct ActivationForward {
  const float* tile = nullptr;  // [rows][64] for swiglu, [rows][32] for gelu
  i64 rows = 0, cols = 0;       // cols: valid units <= 32
  const float* gate = nullptr;  // gate value of each row
  void* pre = nullptr;          // 64 or cols columns
  i64 pre_stride = 0;
  void* hidden = nullptr;
  i64 hidden_stride = 0;
};

// dhidden (f32 tile, [rows][32]) to dpre; dgate_sum[row] += dot(dhidden, activation).
struct ActivationBackward {
  const float* tile = nullptr;
  i64 rows = 0, cols = 0;
  const float* gate = nullptr;
  const void* pre = nullptr;
  void* dpre = nullptr;  // stride as pre
  i64 pre_stride = 0;
  float* dgate_sum = nullptr;
};

// Attention of neighbouring heads of one segment, `group` query heads to a key/value head; pointers to row 0 of the
// segment and to the first of these heads, strides in elements.
struct HeadAttention {
  i64 rows = 0, keys = 0;             // query i is at position keys - rows + i; backward: keys = rows
  i64 dim = 0, heads = 1, group = 1;  // heads: of queries, whole groups
  float scale = 1;
  i64 window = 0;  // as in AttentionShape
  const void* q = nullptr;
  i64 q_stride = 0;
  const void* k = nullptr;
  const void* v = nullptr;
  i64 kv_stride = 0;
  void* out = nullptr;  // backward reads it
  i64 out_stride = 0;
  float* lse = nullptr;  // [rows][lse_stride], one a head
  i64 lse_stride = 0;
  const void* dout = nullptr;
  i64 dout_stride = 0;
  void* dq = nullptr;
  i64 dq_stride = 0;
  void* dk = nullptr;
  void* dv = nullptr;
  i64 dkv_stride = 0;
  void* scratch = nullptr;
};

// Rows of a router (routing.h), all arrays from the first row on.
struct RouteRows {
  i64 rows = 0, experts = 0, top_k = 0;
  const float* logits = nullptr;
  float* prob = nullptr;
  i32* expert = nullptr;        // null: no experts are selected
  const float* bias = nullptr;  // of the choice, or null
  float scale = 1;              // of the gates: gradient alone, as the next
  bool sum_to_one = true;       // before scale
  float* score = nullptr;       // scratch, experts padded to 16
};
struct RouteGradient {
  const float* dgate = nullptr;
  const float* factor = nullptr;  // of the balance loss, E * f_i
  float balance = 0, z = 0;       // d balance / d prob = balance * factor; z: 2 z_coefficient / tokens
  float* dlogits = nullptr;
};

// Of routers with one score function: softmax or sigmoid.
struct RouteOps {
  void (*choose)(const RouteRows& r);  // prob and expert from logits: falling scores, ties to the lowest index
  // Adds over rows: sum_e factor_e prob_e, the squared log-sum-exp of the logits, the entropy of prob over its sum.
  void (*sums)(const RouteRows& r, const float* factor, double* sums);
  void (*gradient)(const RouteRows& r, const RouteGradient& g);
};

struct AdamwCoefficients {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, gradient_scale;
  float rate, inverse_bias1, inverse_sqrt_bias2, epsilon, decay;  // decay = rate * weight_decay
};

// Operations whose operands are of one type: bf16 or f32.
struct TypedOps {
  // Size of and conversion to the set's own order of gathered rows; null: the set reads rows by pointer.
  i64 (*prepare_bytes)(i64 rows, i64 k);
  void (*prepare)(const void* const* rows, i64 num_rows, i64 k, void* dst);
  void (*rows)(const RowsProduct& product);
  // Columns [0, cols) of the rows, cols <= 32, in pairs of rows; zero where padded (an odd last row, columns).
  void (*interleave)(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel);
  // The same for the left operand of `pairs`, in the set's own order: left_row_bytes (at most 128) a row, so that the
  // next 32 rows start 32 * left_row_bytes later.
  void (*interleave_left)(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel);
  i64 left_row_bytes;
  void (*pairs)(const PairsProduct& product);
  // Rows (<= 32) of k elements as the columns of a panel: ceil(k/32) blocks.
  void (*pack_outputs)(const void* const* rows, i64 num_rows, i64 k, void* panel);
  // One block of w_NI to the block of w_IN.
  void (*reinterleave)(const void* src, void* dst);

  void (*norm_forward)(const float* x, const float* gain, i64 cols, float eps, void* y, float* inv_rms);
  void (*norm_backward)(const void* dy, const float* x, const float* gain, i64 cols, float inv_rms, float* dx,
                        float* dgain);
  void (*swiglu_forward)(const ActivationForward& a);
  void (*swiglu_backward)(const ActivationBackward& a);
  void (*gelu_forward)(const ActivationForward& a);
  void (*gelu_backward)(const ActivationBackward& a);
  // prob[first, last) = softmax(scale * score); zero elsewhere in [0, count). Returns the log-sum-exp.
  float (*attention_softmax)(const float* score, i64 first, i64 last, i64 count, float scale, void* prob);
  // Whole heads at once: what attention_forward and attention_backward do (attention.h). Return the bytes of scratch
  // that they take; without scratch they do nothing else.
  i64 (*head_forward)(const HeadAttention& a);
  i64 (*head_backward)(const HeadAttention& a);
  // A part of a softmax: out[v] = exp(logit[v] - top) with the part's largest logit as top, which is returned; their
  // sum.
  float (*softmax_part)(const float* logit, i64 count, float* sum, void* out);
  void (*scale_row)(i64 count, float factor, void* row);  // row *= factor
  float (*dot)(const void* a, const void* b, i64 count);
  void (*rope)(void* row, i64 heads, i64 head_dim, const float* cosine, const float* sine);
  void (*to_f32)(const void* src, i64 count, float* dst);
  void (*from_f32)(const float* src, i64 count, void* dst);
  void (*adamw)(const AdamwCoefficients& c, i64 count, float* master, float* m, float* v, const float* gradient,
                void* copy);
};

struct OpTable {
  TypedOps typed[2];  // f32, bf16
  i64 rows_per_task;  // rows of a product that one task should take at most
  bool tiles;         // bf16 products use tiles; the vector table has operations for small ones
  void (*add)(const float* src, i64 count, float* dst);  // dst += src
  double (*sum_of_squares)(const float* values, i64 count);
  // Largest value (lowest index) and log-sum-exp of a row.
  float (*log_sum_exp)(const float* values, i64 count, i32* argmax);
  RouteOps route[2];  // of softmax routers, of sigmoid routers
  void (*rope_angles)(i32 position, const float* frequency, i64 half, bool inverse, float* cosine, float* sine);
  // Loops for roof.h: FLOPs done by `repeats` rounds on registers or tiles; bytes read by one pass.
  double (*roof_bf16)(i64 repeats);
  double (*roof_f32)(i64 repeats);
  double (*roof_read)(const float* values, i64 count);
};

const OpTable& portable_table();
const OpTable& avx2_table();
const OpTable& avx512_table();        // the faster of the two forms below on this processor
const OpTable& avx512_dot_table();    // bf16 by the dot product of pairs
const OpTable& avx512_fma_table();    // bf16 by f32 multiply-add
const OpTable& amx_table();           // needs AMX
const OpTable& amx_emulated_table();  // the same driver over emulated tiles; tests only

// Units of their own fill in a set's whole heads of attention.
void fill_attention_portable(OpTable& table);
void fill_attention_avx2(OpTable& table);
void fill_attention_avx512(OpTable& table);
void fill_attention_avx512_dot(OpTable& table);  // bf16 alone

// The table of the chosen set; `vector_table` is the one for work that has no use for tiles.
const OpTable& current_table();
const OpTable& vector_table();
// Tests only: use this table instead of the chosen set's (null: undo).
void override_table(const OpTable* table);

// Called by drivers only, never from a file of one set.
inline const TypedOps& ops_of(const OpTable& table, DType dtype) { return table.typed[dtype == DType::bf16 ? 1 : 0]; }

}  // namespace moebius::kernels
