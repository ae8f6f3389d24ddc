// bf16 products by f32 multiply-add for any vector set S: the left operand is widened to f32 once (prepare,
// interleave_left), packed blocks are split into even and odd halves in registers. Products of bf16 are exact in f32,
// so only sums round. A tile is M rows x 2 vectors of columns. In, out: table.h. Sets with a fast dot product of bf16
// pairs have their own form (avx512/product.h).
#pragma once

#include "kernels/body/prefetch_body.h"
#include "kernels/body/product_body.h"
#include "kernels/table.h"

namespace moebius::kernels {

// Row length of the widened operand: whole pairs, and never a multiple of 4 KiB, which would crowd a few cache sets.
template <class S>
inline i64 wide_stride(i64 k) {
  return (k + 15) / 16 * 16 + 16;
}

template <class S>
i64 wide_bytes(i64 rows, i64 k) {
  return rows * wide_stride<S>(k) * 4;
}

template <class S>
void widen_rows(const void* const* rows, i64 num_rows, i64 k, void* dst) {
  for (i64 r = 0; r < num_rows; ++r) {
    const bf16* from = static_cast<const bf16*>(rows[r]);
    float* to = static_cast<float*>(dst) + r * wide_stride<S>(k);
    i64 i = 0;
    for (; i + S::kLanes <= k; i += S::kLanes) S::store(to + i, S::load(from + i));
    S::store(to + i, i < k ? S::load_n(from + i, k - i) : S::zero());
  }
}

template <class S, int M>
inline void tile_wide(const RowsProduct& p, i64 m0, const bf16* panel, i64 col, const PrefetchLines& lines) {
  using V = typename S::V;
  const i64 stride = wide_stride<S>(p.k);
  const float* a = static_cast<const float*>(p.prepared) + m0 * stride;
  V acc[M][2];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) acc[m][0] = acc[m][1] = S::zero();
  const i64 pairs = (p.k + 1) / 2;
  for (i64 pair = 0; pair < pairs; ++pair, a += 2, panel += 64) {
    if (lines.at != nullptr) lines.prefetch(pair);
    const V even0 = S::even(panel), even1 = S::even(panel + 2 * S::kLanes);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const V x = S::set1(a[m * stride]);
      acc[m][0] = S::fma(x, even0, acc[m][0]);
      acc[m][1] = S::fma(x, even1, acc[m][1]);
    }
    const V odd0 = S::odd(panel), odd1 = S::odd(panel + 2 * S::kLanes);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const V x = S::set1(a[m * stride + 1]);
      acc[m][0] = S::fma(x, odd0, acc[m][0]);
      acc[m][1] = S::fma(x, odd1, acc[m][1]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
    store_outputs<S>(p, m0 + m, col, p.cols - col, acc[m][0]);
    store_outputs<S>(p, m0 + m, col + S::kLanes, p.cols - col - S::kLanes, acc[m][1]);
  }
}

// Tiles of M rows, then of smaller M for what is left.
template <class S, int M>
inline void tiles_wide(const RowsProduct& p, i64& m, i64& tile, const bf16* panel, i64 col) {
  for (; m + M <= p.num_rows; m += M, ++tile) tile_wide<S, M>(p, m, panel, col, PrefetchLines::of(p, col, tile));
  if constexpr (M > 1) {
    if (m < p.num_rows) tiles_wide<S, (M > 8 ? 8 : M > 4 ? 4 : M > 2 ? 2 : 1)>(p, m, tile, panel, col);
  }
}

template <class S>
void rows_wide(const RowsProduct& p) {
  for (i64 col = 0; col < p.cols; col += 2 * S::kLanes) {
    const bf16* panel = static_cast<const bf16*>(p.panels) + col / 32 * p.panel_stride + col % 32 * 2;
    i64 m = 0, tile = col % 32 == 0 ? 0 : 2;  // the first columns of a panel prefetch the next panel
    tiles_wide<S, S::kWideRows>(p, m, tile, panel, col);
  }
}

// The left operand of a pairs product: [row][32] in f32, a zero row behind an odd last one.
template <class S>
void widen_left(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel) {
  float* out = static_cast<float*>(panel);
  for (i64 r = 0; r < num_rows + num_rows % 2; ++r, out += 32)
    for (i64 i = 0; i < 32; i += S::kLanes) {
      const i64 left = r < num_rows ? cols - i : 0;
      if (left <= 0) {
        S::store(out + i, S::zero());
        continue;
      }
      const bf16* from = static_cast<const bf16*>(rows[r]) + col + i;
      S::store(out + i, left >= S::kLanes ? S::load(from) : S::load_n(from, left));
    }
}

template <class S, int M>
inline void pairs_tile_wide(const PairsProduct& p, i64 a, i64 col) {
  using V = typename S::V;
  const float* left = static_cast<const float*>(p.left) + a;
  const bf16* right = static_cast<const bf16*>(p.right) + col * 2;
  V acc[M][2];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) acc[m][0] = acc[m][1] = S::zero();
  for (i64 pair = 0; pair < p.pairs; ++pair, left += 64, right += 64) {
    const V even0 = S::even(right), even1 = S::even(right + 2 * S::kLanes);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const V x = S::set1(left[m]);
      acc[m][0] = S::fma(x, even0, acc[m][0]);
      acc[m][1] = S::fma(x, even1, acc[m][1]);
    }
    const V odd0 = S::odd(right), odd1 = S::odd(right + 2 * S::kLanes);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const V x = S::set1(left[32 + m]);
      acc[m][0] = S::fma(x, odd0, acc[m][0]);
      acc[m][1] = S::fma(x, odd1, acc[m][1]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; m += 2) {
    add_pairs_rows<S>(p, a + m, col, acc[m][0], acc[m + 1][0]);
    add_pairs_rows<S>(p, a + m, col + S::kLanes, acc[m][1], acc[m + 1][1]);
  }
}

template <class S>
void pairs_wide(const PairsProduct& p) {
  // 32 rows as tiles of kRows and, for what is left, of kRest: as even as can be, since a small tile waits for its
  // sums.
  constexpr int kRows = S::kWideRows, kLeft = 32 % kRows;
  constexpr int kRest = kLeft == 0 || 2 * kLeft >= kRows ? kLeft : (kRows + kLeft) / 2;
  constexpr int kLarge = kRest == kLeft ? 32 - kLeft : 32 - kLeft - kRows;
  static_assert(kRest % 2 == 0);
  const i64 rows = p.packed ? 32 : p.rows;
  for (i64 col = 0; col < 32; col += 2 * S::kLanes) {
    if (!p.packed && col >= p.cols) return;
    i64 a = 0;
    for (; a < kLarge && a < rows; a += kRows) pairs_tile_wide<S, kRows>(p, a, col);
    if constexpr (kRest > 0)
      for (; a < 32 && a < rows; a += kRest) pairs_tile_wide<S, kRest>(p, a, col);
  }
}

// Gives a table the products of this file for bf16.
template <class S>
void fill_wide(TypedOps& ops) {
  ops.prepare_bytes = wide_bytes<S>;
  ops.prepare = widen_rows<S>;
  ops.rows = rows_wide<S>;
  ops.interleave_left = widen_left<S>;
  ops.left_row_bytes = 128;
  ops.pairs = pairs_wide<S>;
}

}  // namespace moebius::kernels
