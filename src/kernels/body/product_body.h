// Matrix products of f32 operands by multiply-add for any vector set S. bf16: product_wide_body.h.
// In: rows by pointer and packed panels (table.h). Out: tiles stored as f32, added, or bf16.
// Every output sums over k in one order whatever the size of the tile, so a row does not depend on its neighbours.
// Templates on a type without a name outside its file: no symbol leaves the object.
#pragma once

#include "kernels/table.h"

namespace moebius::kernels {

// Stores one vector of outputs of row `m`, columns [col, col + kLanes), of which `valid` exist.
template <class S>
inline void store_outputs(const RowsProduct& p, i64 m, i64 col, i64 valid, typename S::V v) {
  if (valid <= 0) return;
  const bool full = valid >= S::kLanes;
  if (p.store == Store::bf16) {
    bf16* out = static_cast<bf16*>(p.out) + m * p.out_stride + col;
    full ? S::store(out, v) : S::store_n(out, v, valid);
    return;
  }
  float* out =
      (p.out_rows != nullptr ? p.out_rows[m] + p.out_col : static_cast<float*>(p.out) + m * p.out_stride) + col;
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
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const V a = S::broadcast_last(row[m] + 2 * pairs);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) acc[m][v] = S::fma(a, S::load(panel + pairs * 64 + v * S::kLanes), acc[m][v]);
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

// Adds the finished rows a and a + 1 (a is even): lanes are columns [col, col + kLanes).
template <class S>
inline void add_pairs_rows(const PairsProduct& p, i64 a, i64 col, typename S::V v0, typename S::V v1) {
  if (p.packed) {
    float* out = p.out + a / 2 * 64 + col * 2;
    typename S::V low, high;
    S::interleave(v0, v1, &low, &high);
    S::store(out, p.overwrite ? low : S::load(out) + low);
    S::store(out + S::kLanes, p.overwrite ? high : S::load(out + S::kLanes) + high);
    return;
  }
  const i64 valid = p.cols - col;
  if (valid <= 0) return;
  const typename S::V rows[2] = {v0, v1};
  for (i64 i = 0; i < 2 && a + i < p.rows; ++i) {
    float* out = p.out + (a + i) * p.out_stride + col;
    if (valid >= S::kLanes) {
      S::store(out, S::load(out) + rows[i]);
    } else {
      S::store_n(out, S::load_n(out, valid) + rows[i], valid);
    }
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
      for (int m = 0; m < kRows; m += 2)
        add_pairs_rows<S>(p, a + m, col, S::add_pairs(acc[m][0], acc[m][1]),
                          S::add_pairs(acc[m + 1][0], acc[m + 1][1]));
    }
  }
}

}  // namespace moebius::kernels
