// The layout of every weight matrix that takes part in a matrix product: 32 x 32 blocks in which pairs of inputs are
// interleaved, so that one packed copy serves AMX tiles (16 rows of 16 columns x 2), the bf16 dot product of AVX-512
// and, split into even and odd halves, f32 FMA. Master weights, gradients, moments and the compute copy all lie in this
// order, so the optimiser is one pass over flat arrays. Backward re-interleaves a block when it needs it.
//
// w_NI (N outputs, I inputs; y = x w^T) is padded with zeros to multiples of 32. Element (n, k) lies at
//   ((n/32) * k_blocks + k/32) * 1024 + ((k%32)/2) * 64 + (n%32) * 2 + k%2.
#pragma once

#include "base/types.h"
#include "tensor/dtype.h"

namespace moebius::kernels {

inline constexpr i64 kBlock = 32;
inline constexpr i64 kBlockElements = kBlock * kBlock;

inline i64 round_to_block(i64 n) { return (n + kBlock - 1) / kBlock * kBlock; }

struct PackedShape {
  i64 n = 0, k = 0;  // outputs and inputs, unpadded

  i64 n_blocks() const { return (n + kBlock - 1) / kBlock; }
  i64 k_blocks() const { return (k + kBlock - 1) / kBlock; }
  i64 elements() const { return n_blocks() * k_blocks() * kBlockElements; }
  i64 index(i64 row_n, i64 col_k) const {
    return ((row_n / kBlock) * k_blocks() + col_k / kBlock) * kBlockElements + ((col_k % kBlock) / 2) * (2 * kBlock) +
           (row_n % kBlock) * 2 + col_k % 2;
  }
};

// The compute copy of one weight matrix: bf16, or f32 in f32 precision.
struct PackedWeight {
  const void* data = nullptr;
  DType dtype = DType::bf16;
  PackedShape shape;
};

// What a weight gradient does with the values that are there: the first micro-batch of a step overwrites them.
enum class GradientSum { add, overwrite };

// Gate and up projections of an expert share one packed matrix of 2 * round_to_block(F) outputs in which blocks of 32
// gate rows and blocks of 32 up rows alternate: gate 0-31, up 0-31, gate 32-63, ... A matrix without gate (GELU) is
// packed plainly.
inline i64 gate_row(i64 f) { return (f / kBlock) * 2 * kBlock + f % kBlock; }
inline i64 up_row(i64 f) { return gate_row(f) + kBlock; }

}  // namespace moebius::kernels
