// Matrix products by multiply-add for any vector set S: f32 operands, and bf16 operands split into even and odd halves.
// In: rows by pointer and packed panels (table.h). Out: tiles stored as f32, added, or rounded to bf16.
// Every output sums over k in one order whatever the size of the tile, so a row does not depend on its neighbours.
// Templates on a type without a name outside its file: no symbol leaves the object.
#pragma once

#include "kernels/table.h"

namespace moebius::kernels {

// Stores one vector of outputs of row `m`, columns [col, col + kLanes), of which `valid` exist.
template <class S>
inline void store_outputs(const RowsProduct& p, i64 m, i64 col, i64 valid, typename S::V v) {
  if (valid <= 0) return;
  const i64 at = m * p.out_stride + col;
  const bool full = valid >= S::kLanes;
  if (p.store == Store::bf16) {
    bf16* out = static_cast<bf16*>(p.out) + at;
    full ? S::store(out, v) : S::store_n(out, v, valid);
    return;
  }
  float* out = static_cast<float*>(p.out) + at;
  if (p.store == Store::f32_add) v = (full ? S::load(out) : S::load_n(out, valid)) + v;
  full ? S::store(out, v) : S::store_n(out, v, valid);
}

// f32: each accumulator holds (n, parity of k) in its lanes; even and odd sums meet at the end.
// `panel` points at this tile's first column; kTileVecs vectors are kTileVecs * kLanes / 2 columns.
template <class S, int M>
inline void tile_f32(const RowsProduct& p, i64 m0, const float* panel, i64 col) {
  using V = typename S::V;
  constexpr int kVecs = S::kTileVecs;
  V acc[M][kVecs];
  const float* row[M];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
    row[m] = static_cast<const float*>(p.rows[m0 + m]);
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) acc[m][v] = S::zero();
  }
  const i64 pairs = p.k / 2;
  for (i64 pair = 0; pair < pairs; ++pair) {
    V b[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) b[v] = S::load(panel + pair * 64 + v * S::kLanes);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const V a = S::broadcast_pair(row[m] + 2 * pair);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) acc[m][v] = S::fma(a, b[v], acc[m][v]);
    }
  }
  if (p.k % 2 != 0) {
    for (int m = 0; m < M; ++m) {
      const V a = S::broadcast_last(row[m] + 2 * pairs);
      for (int v = 0; v < kVecs; ++v)
        acc[m][v] = S::fma(a, S::load(panel + pairs * 64 + v * S::kLanes), acc[m][v]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; v += 2) {
      const i64 first = col + v / 2 * S::kLanes;
      store_outputs<S>(p, m0 + m, first, p.cols - first, S::add_pairs(acc[m][v], acc[m][v + 1]));
    }
}

// bf16 by f32 multiply-add: kHalfRows rows x 2 vectors of outputs.
inline constexpr int kHalfRows = 5;

template <class S, int M>
inline void tile_half(const RowsProduct& p, i64 m0, const bf16* panel, i64 col) {
  using V = typename S::V;
  V acc[M][2];
  const bf16* row[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    row[m] = static_cast<const bf16*>(p.rows[m0 + m]);
    acc[m][0] = acc[m][1] = S::zero();
  }
  const auto as_float = [](bf16 h) {
    const u32 wide = static_cast<u32>(h.bits) << 16;
    float f;
    __builtin_memcpy(&f, &wide, 4);
    return f;
  };
  const i64 pairs = p.k / 2;
  for (i64 pair = 0; pair < pairs; ++pair) {
    const bf16* b = panel + pair * 64;
    const V even0 = S::even(b), odd0 = S::odd(b), even1 = S::even(b + 2 * S::kLanes), odd1 = S::odd(b + 2 * S::kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const V a0 = S::set1(as_float(row[m][2 * pair])), a1 = S::set1(as_float(row[m][2 * pair + 1]));
      acc[m][0] = S::fma(a1, odd0, S::fma(a0, even0, acc[m][0]));
      acc[m][1] = S::fma(a1, odd1, S::fma(a0, even1, acc[m][1]));
    }
  }
  if (p.k % 2 != 0) {
    const bf16* b = panel + pairs * 64;
    for (int m = 0; m < M; ++m) {
      const V a = S::set1(as_float(row[m][2 * pairs]));
      acc[m][0] = S::fma(a, S::even(b), acc[m][0]);
      acc[m][1] = S::fma(a, S::even(b + 2 * S::kLanes), acc[m][1]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    store_outputs<S>(p, m0 + m, col, p.cols - col, acc[m][0]);
    store_outputs<S>(p, m0 + m, col + S::kLanes, p.cols - col - S::kLanes, acc[m][1]);
  }
}

// Columns outside, rows inside: the columns' part of a panel stays in L1 while all rows pass.
template <class S>
void rows_f32(const RowsProduct& p) {
  constexpr int kRows = S::kTileRows;
  constexpr i64 kCols = S::kTileVecs * S::kLanes / 2;
  for (i64 col = 0; col < p.cols; col += kCols) {
    const float* panel = static_cast<const float*>(p.panels) + col / 32 * p.panel_stride + col % 32 * 2;
    i64 m = 0;
    for (; m + kRows <= p.num_rows; m += kRows) tile_f32<S, kRows>(p, m, panel, col);
    for (; m + 2 <= p.num_rows; m += 2) tile_f32<S, 2>(p, m, panel, col);
    if (m < p.num_rows) tile_f32<S, 1>(p, m, panel, col);
  }
}

template <class S>
void rows_half(const RowsProduct& p) {
  constexpr i64 kCols = 2 * S::kLanes;
  for (i64 col = 0; col < p.cols; col += kCols) {
    const bf16* panel = static_cast<const bf16*>(p.panels) + col / 32 * p.panel_stride + col % 32 * 2;
    i64 m = 0;
    for (; m + kHalfRows <= p.num_rows; m += kHalfRows) tile_half<S, kHalfRows>(p, m, panel, col);
    for (; m + 2 <= p.num_rows; m += 2) tile_half<S, 2>(p, m, panel, col);
    if (m < p.num_rows) tile_half<S, 1>(p, m, panel, col);
  }
}

// Adds a finished row `a` of a pairs product: lanes are columns [col, col + kLanes).
template <class S>
inline void add_pairs_row(const PairsProduct& p, i64 a, i64 col, typename S::V v) {
  if (p.packed) {
    float lanes[S::kLanes];
    S::store(lanes, v);
    float* out = p.out + a / 2 * 64 + a % 2;
    for (int i = 0; i < S::kLanes; ++i) out[(col + i) * 2] += lanes[i];
    return;
  }
  const i64 valid = p.cols - col;
  if (a >= p.rows || valid <= 0) return;
  float* out = p.out + a * p.out_stride + col;
  if (valid >= S::kLanes) {
    S::store(out, S::load(out) + v);
  } else {
    S::store_n(out, S::load_n(out, valid) + v, valid);
  }
}

template <class S>
void pairs_f32(const PairsProduct& p) {
  using V = typename S::V;
  constexpr int kRows = 4, kVecs = 2;  // kVecs vectors of pairs are kLanes columns
  const float* left = static_cast<const float*>(p.left);
  const float* right = static_cast<const float*>(p.right);
  for (i64 a = 0; a < 32; a += kRows) {
    if (!p.packed && a >= p.rows) break;
    for (i64 col = 0; col < 32; col += S::kLanes) {
      V acc[kRows][kVecs];
      for (auto& row : acc) row[0] = row[1] = S::zero();
      for (i64 pair = 0; pair < p.pairs; ++pair) {
        const V b0 = S::load(right + pair * 64 + col * 2), b1 = S::load(right + pair * 64 + col * 2 + S::kLanes);
#pragma GCC unroll 4
        for (int m = 0; m < kRows; ++m) {
          const V x = S::broadcast_pair(left + pair * 64 + (a + m) * 2);
          acc[m][0] = S::fma(x, b0, acc[m][0]);
          acc[m][1] = S::fma(x, b1, acc[m][1]);
        }
      }
      for (int m = 0; m < kRows; ++m) add_pairs_row<S>(p, a + m, col, S::add_pairs(acc[m][0], acc[m][1]));
    }
  }
}

template <class S>
void pairs_half(const PairsProduct& p) {
  using V = typename S::V;
  constexpr int kRows = 4;
  const bf16* left = static_cast<const bf16*>(p.left);
  const bf16* right = static_cast<const bf16*>(p.right);
  const auto as_float = [](bf16 h) {
    const u32 wide = static_cast<u32>(h.bits) << 16;
    float f;
    __builtin_memcpy(&f, &wide, 4);
    return f;
  };
  for (i64 a = 0; a < 32; a += kRows) {
    if (!p.packed && a >= p.rows) break;
    for (i64 col = 0; col < 32; col += S::kLanes) {
      V acc[kRows];
      for (V& v : acc) v = S::zero();
      for (i64 pair = 0; pair < p.pairs; ++pair) {
        const V even = S::even(right + pair * 64 + col * 2), odd = S::odd(right + pair * 64 + col * 2);
#pragma GCC unroll 4
        for (int m = 0; m < kRows; ++m) {
          const bf16* x = left + pair * 64 + (a + m) * 2;
          acc[m] = S::fma(S::set1(as_float(x[1])), odd, S::fma(S::set1(as_float(x[0])), even, acc[m]));
        }
      }
      for (int m = 0; m < kRows; ++m) add_pairs_row<S>(p, a + m, col, acc[m]);
    }
  }
}

}  // namespace moebius::kernels
