// The vector of AVX-512: 16 floats. In: memory of f32 or bf16; out: the same. One struct of static functions that the
// bodies (body/*.h) are instantiated with; in an unnamed namespace, so that no symbol leaves the object file.
#pragma once

#include <immintrin.h>

#include "base/types.h"
#include "tensor/dtype.h"

namespace moebius::kernels {
namespace {

struct Avx512 {
  using V = __m512;
  typedef double FloatPair __attribute__((may_alias, aligned(4)));
  static constexpr int kLanes = 16;
  static constexpr int kTileRows = 6;  // rows x 4 accumulators of the f32 product
  static constexpr int kTileVecs = 4;
  static constexpr int kWideRows = 12;  // rows x 2 accumulators of the bf16 product

  static __mmask16 mask(i64 n) { return static_cast<__mmask16>((1u << n) - 1u); }
  static V zero() { return _mm512_setzero_ps(); }
  static V set1(float x) { return _mm512_set1_ps(x); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static V load_n(const float* p, i64 n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static void store_n(float* p, V v, i64 n) { _mm512_mask_storeu_ps(p, mask(n), v); }
  static V widen(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
  static __m256i narrow(V v) { return (__m256i)_mm512_cvtneps_pbh(v); }
  static V load(const bf16* p) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static V load_n(const bf16* p, i64 n) { return widen(_mm256_maskz_loadu_epi16(mask(n), p)); }
  static void store(bf16* p, V v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(v)); }
  static void store_n(bf16* p, V v, i64 n) { _mm256_mask_storeu_epi16(p, mask(n), narrow(v)); }

  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V min(V a, V b) { return _mm512_min_ps(a, b); }
  static V sqrt(V a) { return _mm512_sqrt_ps(a); }
  static V round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static constexpr bool kScalesFar = true;  // scale2 takes any exponent
  static V scale2(V a, V exponent) { return _mm512_scalef_ps(a, exponent); }
  static V select_less(V a, V b, V yes, V no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  static float sum(V v) { return _mm512_reduce_add_ps(v); }
  static float largest(V v) { return _mm512_reduce_max_ps(v); }
  using Doubles = __m512d;
  static Doubles zero_doubles() { return _mm512_setzero_pd(); }
  static Doubles add_squares(V v, Doubles sum) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    return _mm512_fmadd_pd(low, low, _mm512_fmadd_pd(high, high, sum));
  }
  static double sum_doubles(Doubles v) { return _mm512_reduce_add_pd(v); }

  // (p[0], p[1]) in every pair of lanes; the last of an odd row as (p[0], 0).
  static V broadcast_pair(const float* p) {
    return _mm512_castpd_ps(_mm512_set1_pd(*reinterpret_cast<const FloatPair*>(p)));
  }
  static V broadcast_last(const float* p) { return _mm512_maskz_mov_ps(0x5555, _mm512_set1_ps(*p)); }
  // Sums of neighbouring lanes: [a0 + a1, a2 + a3, ..., b0 + b1, ...].
  static V add_pairs(V a, V b) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, even, b) + _mm512_permutex2var_ps(a, odd, b);
  }
  // a[0], b[0], a[1], b[1], ... in two vectors.
  static void interleave(V a, V b, V* low, V* high) {
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    *low = _mm512_permutex2var_ps(a, first, b);
    *high = _mm512_permutex2var_ps(a, second, b);
  }
  // The first and the second numbers of 16 pairs of bf16, as floats.
  static V even(const bf16* p) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16)); }
  static V odd(const bf16* p) {
    const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), high));
  }

  // 16 x 16 of 32 bits: row i of out is column i of in.
  static void transpose(__m512i (&r)[16]) {
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
      r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
      r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
      r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // r[4 g + c] holds, in its 128-bit part q, column 4 q + c of rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      t[c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
      t[4 + c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
      t[8 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
      t[12 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      r[c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0x88);
      r[8 + c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0xdd);
      r[4 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88);
      r[12 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xdd);
    }
  }
  // to[word][row] = word of the 16 rows; to's words are `stride` words apart.
  static void transpose_words(const char* from, i64 row_bytes, i64 words, void* to, i64 stride) {
    for (i64 word = 0; word < words; word += 16) {
      const i64 count = words - word < 16 ? words - word : 16;
      __m512i r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) r[i] = _mm512_maskz_loadu_epi32(mask(count), from + i * row_bytes + word * 4);
      transpose(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        if (i < count) _mm512_storeu_si512(static_cast<u32*>(to) + (word + i) * stride, r[i]);
    }
  }
};

}  // namespace
}  // namespace moebius::kernels
