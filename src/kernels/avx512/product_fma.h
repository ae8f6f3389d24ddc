// bf16 products by f32 multiply-add, for processors whose dot product of pairs is no faster: the left operand is widened
// to f32 once (prepare, interleave_left), the packed block is split into even and odd halves in registers.
// A tile is M rows x 32 columns in 2 M accumulators. Products of bf16 are exact in f32, so only sums round.
// In, out: table.h. The other form: avx512/product.h.
#pragma once

#include "kernels/avx512/product.h"
#include "kernels/avx512/vec.h"
#include "kernels/table.h"

namespace moebius::kernels {
namespace {

// Row length of the widened operand: whole pairs, and never a multiple of 4 KiB, which would crowd a few cache sets.
inline i64 wide_stride(i64 k) { return (k + 15) / 16 * 16 + 16; }

inline i64 widen_bytes(i64 rows, i64 k) { return rows * wide_stride(k) * 4; }

inline void widen_rows(const void* const* rows, i64 num_rows, i64 k, void* dst) {
  for (i64 r = 0; r < num_rows; ++r) {
    const bf16* from = static_cast<const bf16*>(rows[r]);
    float* to = static_cast<float*>(dst) + r * wide_stride(k);
    i64 i = 0;
    for (; i + 16 <= k; i += 16) Avx512::store(to + i, Avx512::load(from + i));
    Avx512::store(to + i, i < k ? Avx512::load_n(from + i, k - i) : Avx512::zero());
  }
}

inline __m512 even_half(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
inline __m512 odd_half(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}

template <int M>
inline void tile_fma(const RowsProduct& p, i64 m0, const bf16* panel, i64 col) {
  const i64 stride = wide_stride(p.k);
  const float* a = static_cast<const float*>(p.prepared) + m0 * stride;
  __m512 acc[M][2];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) acc[m][0] = acc[m][1] = _mm512_setzero_ps();
  const i64 pairs = (p.k + 1) / 2;
  for (i64 pair = 0; pair < pairs; ++pair, a += 2) {
    const __m512i b0 = _mm512_loadu_si512(panel + pair * 64), b1 = _mm512_loadu_si512(panel + pair * 64 + 32);
    const __m512 even0 = even_half(b0), even1 = even_half(b1), odd0 = odd_half(b0), odd1 = odd_half(b1);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const __m512 x = _mm512_set1_ps(a[m * stride]);
      acc[m][0] = _mm512_fmadd_ps(x, even0, acc[m][0]);
      acc[m][1] = _mm512_fmadd_ps(x, even1, acc[m][1]);
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const __m512 x = _mm512_set1_ps(a[m * stride + 1]);
      acc[m][0] = _mm512_fmadd_ps(x, odd0, acc[m][0]);
      acc[m][1] = _mm512_fmadd_ps(x, odd1, acc[m][1]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) store_dot_row(p, m0 + m, col, p.cols - col, acc[m][0], acc[m][1]);
}

inline void tile_fma_of(int rows, const RowsProduct& p, i64 m0, const bf16* panel, i64 col) {
  switch (rows) {
    case 1: return tile_fma<1>(p, m0, panel, col);
    case 2: return tile_fma<2>(p, m0, panel, col);
    case 3: return tile_fma<3>(p, m0, panel, col);
    case 4: return tile_fma<4>(p, m0, panel, col);
    case 5: return tile_fma<5>(p, m0, panel, col);
    case 6: return tile_fma<6>(p, m0, panel, col);
    case 7: return tile_fma<7>(p, m0, panel, col);
    case 8: return tile_fma<8>(p, m0, panel, col);
    case 9: return tile_fma<9>(p, m0, panel, col);
    case 10: return tile_fma<10>(p, m0, panel, col);
    case 11: return tile_fma<11>(p, m0, panel, col);
    default: return tile_fma<12>(p, m0, panel, col);
  }
}

inline void rows_fma(const RowsProduct& p) {
  if (p.num_rows <= 0) return;
  const i64 tiles = (p.num_rows + 11) / 12;
  for (i64 col = 0; col < p.cols; col += 32) {
    const bf16* panel = static_cast<const bf16*>(p.panels) + col / 32 * p.panel_stride;
    i64 m = 0;
    for (i64 tile = 0; tile < tiles; ++tile) {
      const i64 next = p.num_rows * (tile + 1) / tiles;
      tile_fma_of(static_cast<int>(next - m), p, m, panel, col);
      m = next;
    }
  }
}

// The left operand of a pairs product: [row][32] in f32, a zero row behind an odd last one.
inline void widen_left(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel) {
  float* out = static_cast<float*>(panel);
  for (i64 r = 0; r < num_rows; ++r, out += 32) {
    const bf16* from = static_cast<const bf16*>(rows[r]) + col;
    Avx512::store(out, Avx512::load_n(from, cols < 16 ? cols : 16));
    Avx512::store(out + 16, cols > 16 ? Avx512::load_n(from + 16, cols - 16) : Avx512::zero());
  }
  if (num_rows % 2 != 0) {
    Avx512::store(out, Avx512::zero());
    Avx512::store(out + 16, Avx512::zero());
  }
}

template <int M>
inline void pairs_tile(const PairsProduct& p, i64 a) {
  const float* left = static_cast<const float*>(p.left) + a;
  const bf16* right = static_cast<const bf16*>(p.right);
  __m512 acc[M][2];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) acc[m][0] = acc[m][1] = _mm512_setzero_ps();
  for (i64 pair = 0; pair < p.pairs; ++pair, left += 64) {
    const __m512i b0 = _mm512_loadu_si512(right + pair * 64), b1 = _mm512_loadu_si512(right + pair * 64 + 32);
    const __m512 even0 = even_half(b0), even1 = even_half(b1), odd0 = odd_half(b0), odd1 = odd_half(b1);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const __m512 x = _mm512_set1_ps(left[m]);
      acc[m][0] = _mm512_fmadd_ps(x, even0, acc[m][0]);
      acc[m][1] = _mm512_fmadd_ps(x, even1, acc[m][1]);
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const __m512 x = _mm512_set1_ps(left[32 + m]);
      acc[m][0] = _mm512_fmadd_ps(x, odd0, acc[m][0]);
      acc[m][1] = _mm512_fmadd_ps(x, odd1, acc[m][1]);
    }
  }
  add_pairs_rows<M>(p, a, acc);
}

inline void pairs_fma(const PairsProduct& p) {
  const i64 rows = p.packed ? 32 : p.rows;
  pairs_tile<12>(p, 0);
  if (rows > 12) pairs_tile<10>(p, 12);
  if (rows > 22) pairs_tile<10>(p, 22);
}

}  // namespace
}  // namespace moebius::kernels
