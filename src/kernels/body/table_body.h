// The table of one vector set S except for whole heads of attention (attention_body.h): these are a compile unit of
// their own, since they take as long to compile as all the rest. Built from the bodies; a set then replaces what it
// does better.
#pragma once

#include "kernels/body/exp_body.h"
#include "kernels/body/pack_body.h"
#include "kernels/body/product_body.h"
#include "kernels/body/product_wide_body.h"
#include "kernels/body/route_body.h"
#include "kernels/body/row_body.h"

namespace moebius::kernels {

// Hides a value from the optimiser, so that a loop that measures is not folded.
template <class V>
inline void keep_in_register(V& v) {
#if defined(__AVX512F__)
  asm volatile("" : "+v"(v));
#elif defined(__x86_64__)
  asm volatile("" : "+x"(v));
#else
  asm volatile("" : : "r"(&v) : "memory");
#endif
}

// FLOPs of `repeats` rounds of independent chains of multiply-adds on registers.
template <class S, int kChains>
double roof_fma(i64 repeats) {
  using V = typename S::V;
  V acc[kChains];
  for (int c = 0; c < kChains; ++c) acc[c] = S::set1(static_cast<float>(c));
  V a = S::set1(1e-3f), b = S::set1(1e-9f);
  for (i64 i = 0; i < repeats; ++i) {
    keep_in_register(a);
#pragma GCC unroll 32
    for (int c = 0; c < kChains; ++c) acc[c] = S::fma(a, b, acc[c]);
  }
#pragma GCC unroll 32
  for (int c = 0; c < kChains; ++c) keep_in_register(acc[c]);
  return static_cast<double>(repeats) * kChains * S::kLanes * 2;
}

template <class S>
double roof_read_pass(const float* values, i64 count) {
  using V = typename S::V;
  V acc[8];
  for (V& v : acc) v = S::zero();
  for (i64 i = 0; i + 8 * S::kLanes <= count; i += 8 * S::kLanes)
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) acc[j] = S::max(acc[j], S::load(values + i + j * S::kLanes));
  V all = acc[0];
  for (int j = 1; j < 8; ++j) all = S::max(all, acc[j]);
  return S::largest(all);
}

template <class S, class T>
void fill_typed(TypedOps& ops) {
  ops.prepare_bytes = nullptr;
  ops.prepare = nullptr;
  ops.interleave = ops.interleave_left = interleave_plain<S, T>;
  ops.left_row_bytes = 32 * sizeof(T);
  ops.pack_outputs = pack_outputs_plain<S, T>;
  ops.reinterleave = reinterleave_plain<S, T>;
  ops.norm_forward = norm_forward_row<S, T>;
  ops.norm_backward = norm_backward_row<S, T>;
  ops.swiglu_forward = swiglu_forward_tile<S, T>;
  ops.swiglu_backward = swiglu_backward_tile<S, T>;
  ops.gelu_forward = gelu_forward_tile<S, T>;
  ops.gelu_backward = gelu_backward_tile<S, T>;
  ops.attention_softmax = attention_softmax_row<S, T>;
  ops.softmax_part = softmax_part_row<S, T>;
  ops.scale_row = scale_row<S, T>;
  ops.dot = dot_row<S, T>;
  ops.rope = rope_row<S, T>;
  ops.to_f32 = to_f32_row<S, T>;
  ops.from_f32 = from_f32_row<S, T>;
  ops.adamw = adamw_row<S, T>;
}

template <class S>
void fill_table(OpTable& table) {
  fill_typed<S, float>(table.typed[0]);
  fill_typed<S, bf16>(table.typed[1]);
  table.typed[0].rows = rows_f32<S>;
  table.typed[0].pairs = pairs_f32<S>;
  table.rows_per_task = 192;
  table.add = add_row<S>;
  table.sum_of_squares = sum_of_squares_row<S>;
  table.log_sum_exp = log_sum_exp_row<S>;
  table.route[0] = {route_choose<S, false>, route_sums<S, false>, route_gradient<S, false>};
  table.route[1] = {route_choose<S, true>, route_sums<S, true>, route_gradient<S, true>};
  table.rope_angles = rope_angles_row<S>;
  table.roof_f32 = table.roof_bf16 = roof_fma<S, 12>;
  table.roof_read = roof_read_pass<S>;
}

}  // namespace moebius::kernels
