// bf16 products with AVX-512's dot product of pairs (vdpbf16ps): a tile is M rows x 32 columns in 2 M accumulators, the
// right operand is a packed block, the left one a broadcast pair of the row. Denormals count as zero there.
// In, out: table.h. Not for f32 (body/product_body.h).
#pragma once

#include "kernels/avx512/vec.h"
#include "kernels/body/prefetch_body.h"
#include "kernels/table.h"

namespace moebius::kernels {
namespace {

inline __m512bh load_pairs(const bf16* p) { return (__m512bh)_mm512_loadu_si512(p); }
typedef int HalfPair __attribute__((may_alias, aligned(2)));
inline __m512bh broadcast_pair_of(const bf16* p) {
  return (__m512bh)_mm512_set1_epi32(*reinterpret_cast<const HalfPair*>(p));
}

inline float* f32_row(const RowsProduct& p, i64 m) {
  return p.out_rows != nullptr ? p.out_rows[m] + p.out_col : static_cast<float*>(p.out) + m * p.out_stride;
}

// Stores 32 outputs of a row; valid in [1, 32].
inline void store_dot_row(const RowsProduct& p, i64 m, i64 col, i64 valid, __m512 low, __m512 high) {
  const __mmask32 mask = valid >= 32 ? ~__mmask32{0} : (__mmask32{1} << valid) - 1;
  if (p.store == Store::bf16) {
    bf16* out = static_cast<bf16*>(p.out) + m * p.out_stride + col;
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    _mm512_mask_storeu_epi16(out, mask, both);
    return;
  }
  float* out = f32_row(p, m) + col;
  const __mmask16 mask0 = static_cast<__mmask16>(mask), mask1 = static_cast<__mmask16>(mask >> 16);
  if (p.store == Store::f32_add) {
    low += _mm512_maskz_loadu_ps(mask0, out);
    high += _mm512_maskz_loadu_ps(mask1, out + 16);
  }
  _mm512_mask_storeu_ps(out, mask0, low);
  if (mask1 != 0) _mm512_mask_storeu_ps(out + 16, mask1, high);
}

template <int M, bool kPrefetch>
inline void tile_dot(const RowsProduct& p, i64 m0, const bf16* panel, i64 col, PrefetchLines lines) {
  __m512 acc[M][2];
  const bf16* row[M];
  if (p.out_rows != nullptr) {  // they lie anywhere, and are read after the product
    for (int m = 0; m < M; ++m) {
      __builtin_prefetch(f32_row(p, m0 + m) + col, 1);
      __builtin_prefetch(f32_row(p, m0 + m) + col + 16, 1);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
    row[m] = static_cast<const bf16*>(p.rows[m0 + m]);
    acc[m][0] = acc[m][1] = _mm512_setzero_ps();
  }
  const i64 pairs = p.k / 2;
  for (i64 pair = 0; pair < pairs; ++pair) {
    if constexpr (kPrefetch) lines.prefetch(pair);
    const __m512bh b0 = load_pairs(panel + pair * 64), b1 = load_pairs(panel + pair * 64 + 32);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const __m512bh a = broadcast_pair_of(row[m] + 2 * pair);
      acc[m][0] = _mm512_dpbf16_ps(acc[m][0], a, b0);
      acc[m][1] = _mm512_dpbf16_ps(acc[m][1], a, b1);
    }
  }
  if (p.k % 2 != 0) {
    const __m512bh b0 = load_pairs(panel + pairs * 64), b1 = load_pairs(panel + pairs * 64 + 32);
#pragma GCC unroll 16
    for (int m = 0; m < M;
         ++m) {  // unrolled like all of these loops: sums with a variable index would be kept in memory
      const __m512bh a = (__m512bh)_mm512_set1_epi32(row[m][2 * pairs].bits);
      acc[m][0] = _mm512_dpbf16_ps(acc[m][0], a, b0);
      acc[m][1] = _mm512_dpbf16_ps(acc[m][1], a, b1);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) store_dot_row(p, m0 + m, col, p.cols - col, acc[m][0], acc[m][1]);
}

template <bool kPrefetch>
inline void tile_dot_of(int rows, const RowsProduct& p, i64 m0, const bf16* panel, i64 col, PrefetchLines lines) {
  switch (rows) {
    case 1: return tile_dot<1, kPrefetch>(p, m0, panel, col, lines);
    case 2: return tile_dot<2, kPrefetch>(p, m0, panel, col, lines);
    case 3: return tile_dot<3, kPrefetch>(p, m0, panel, col, lines);
    case 4: return tile_dot<4, kPrefetch>(p, m0, panel, col, lines);
    case 5: return tile_dot<5, kPrefetch>(p, m0, panel, col, lines);
    case 6: return tile_dot<6, kPrefetch>(p, m0, panel, col, lines);
    case 7: return tile_dot<7, kPrefetch>(p, m0, panel, col, lines);
    case 8: return tile_dot<8, kPrefetch>(p, m0, panel, col, lines);
    case 9: return tile_dot<9, kPrefetch>(p, m0, panel, col, lines);
    case 10: return tile_dot<10, kPrefetch>(p, m0, panel, col, lines);
    case 11: return tile_dot<11, kPrefetch>(p, m0, panel, col, lines);
    default: return tile_dot<12, kPrefetch>(p, m0, panel, col, lines);
  }
}

// Gathered rows are scattered over memory, so those of the next tile are prefetched.
inline void prefetch_rows(const RowsProduct& p, i64 begin, i64 end) {
  for (i64 m = begin; m < end; ++m)
    for (i64 k = 0; k < p.k; k += 32) __builtin_prefetch(static_cast<const bf16*>(p.rows[m]) + k);
}

// A panel (32 columns) stays in L1 while all rows pass; tiles of at most 12 rows, as even as can be.
inline void rows_dot(const RowsProduct& p) {
  if (p.num_rows <= 0) return;
  const i64 tiles = (p.num_rows + 11) / 12;
  for (i64 col = 0; col < p.cols; col += 32) {
    const bf16* panel = static_cast<const bf16*>(p.panels) + col / 32 * p.panel_stride;
    i64 m = 0;
    for (i64 tile = 0; tile < tiles; ++tile) {
      const i64 next = p.num_rows * (tile + 1) / tiles;
      if (col == 0 && tile + 1 < tiles) prefetch_rows(p, next, p.num_rows * (tile + 2) / tiles);
      const PrefetchLines lines = PrefetchLines::of(p, col, tile);
      const int rows = static_cast<int>(next - m);
      lines.at == nullptr ? tile_dot_of<false>(rows, p, m, panel, col, lines)
                          : tile_dot_of<true>(rows, p, m, panel, col, lines);
      m = next;
    }
  }
}

// 32 numbers of a packed block. A block that is not read soon is written with non-temporal stores: memory is not read
// before it is written.
inline void put_interleaved(const PairsProduct& p, float* out, __m512 a, __m512 b) {
  __m512 low, high;
  Avx512::interleave(a, b, &low, &high);
  if (!p.overwrite) {
    _mm512_storeu_ps(out, _mm512_loadu_ps(out) + low);
    _mm512_storeu_ps(out + 16, _mm512_loadu_ps(out + 16) + high);
  } else if (p.stream) {
    _mm512_stream_ps(out, low);
    _mm512_stream_ps(out + 16, high);
  } else {
    _mm512_storeu_ps(out, low);
    _mm512_storeu_ps(out + 16, high);
  }
}

// Stores past the caches are seen by other threads only behind a fence.
inline void end_stream(const PairsProduct& p) {
  if (p.stream) _mm_sfence();
}

// Adds or writes M (even) finished rows a, a + 1, ... of a pairs product.
template <int M>
inline void add_dot_rows(const PairsProduct& p, i64 a, const __m512 (&acc)[M][2]) {
  if (p.packed) {
#pragma GCC unroll 8
    for (int m = 0; m < M; m += 2)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half)
        put_interleaved(p, p.out + (a + m) / 2 * 64 + half * 32, acc[m][half], acc[m + 1][half]);
    return;
  }
  const __mmask32 mask = p.cols >= 32 ? ~__mmask32{0} : (__mmask32{1} << p.cols) - 1;
  const __mmask16 mask0 = static_cast<__mmask16>(mask), mask1 = static_cast<__mmask16>(mask >> 16);
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
    if (a + m >= p.rows) return;
    float* out = p.out + (a + m) * p.out_stride;
    _mm512_mask_storeu_ps(out, mask0, _mm512_maskz_loadu_ps(mask0, out) + acc[m][0]);
    if (mask1 != 0) _mm512_mask_storeu_ps(out + 16, mask1, _mm512_maskz_loadu_ps(mask1, out + 16) + acc[m][1]);
  }
}

// A packed block of sums is 4 KiB that often lies in memory: prefetched before the product, which takes longer.
inline void prefetch_block(const PairsProduct& p) {
  if (!p.packed || p.stream) return;
  for (i64 line = 0; line < 64; ++line) __builtin_prefetch(p.out + line * 16, 1);
}

template <int M>
inline void pairs_tile_dot(const PairsProduct& p, i64 a) {
  const bf16* left = static_cast<const bf16*>(p.left) + a * 2;
  const bf16* right = static_cast<const bf16*>(p.right);
  __m512 acc[M][2];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) acc[m][0] = acc[m][1] = _mm512_setzero_ps();
  for (i64 pair = 0; pair < p.pairs; ++pair) {
    const __m512bh b0 = load_pairs(right + pair * 64), b1 = load_pairs(right + pair * 64 + 32);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const __m512bh x = broadcast_pair_of(left + pair * 64 + m * 2);
      acc[m][0] = _mm512_dpbf16_ps(acc[m][0], x, b0);
      acc[m][1] = _mm512_dpbf16_ps(acc[m][1], x, b1);
    }
  }
  add_dot_rows<M>(p, a, acc);
}

inline void pairs_dot(const PairsProduct& p) {
  const i64 rows = p.packed ? 32 : p.rows;
  prefetch_block(p);
  for (i64 a = 0; a < rows; a += 8) pairs_tile_dot<8>(p, a);
  end_stream(p);
}

// The same for f32: lanes (column, parity of row), even and odd sums meet at the end.
inline void pairs_f32_wide(const PairsProduct& p) {
  const float* right = static_cast<const float*>(p.right);
  const i64 rows = p.packed ? 32 : p.rows;
  for (i64 a = 0; a < rows; a += 8) {
    const float* left = static_cast<const float*>(p.left) + a * 2;
    __m512 acc[8][2];
    for (int half = 0; half < 2; ++half) {
      __m512 sum[8][2];
#pragma GCC unroll 8
      for (int m = 0; m < 8; ++m) sum[m][0] = sum[m][1] = _mm512_setzero_ps();
      for (i64 pair = 0; pair < p.pairs; ++pair) {
        const float* b = right + pair * 64 + half * 32;
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 8
        for (int m = 0; m < 8; ++m) {
          const __m512 x = Avx512::broadcast_pair(left + pair * 64 + m * 2);
          sum[m][0] = _mm512_fmadd_ps(x, b0, sum[m][0]);
          sum[m][1] = _mm512_fmadd_ps(x, b1, sum[m][1]);
        }
      }
#pragma GCC unroll 8
      for (int m = 0; m < 8; ++m) acc[m][half] = Avx512::add_pairs(sum[m][0], sum[m][1]);
    }
    add_dot_rows<8>(p, a, acc);
  }
  end_stream(p);
}

}  // namespace
}  // namespace moebius::kernels
