// The vector of AVX2 with FMA: 8 floats. In: memory of f32 or bf16; out: the same. One struct of static functions that
// the bodies (body/*.h) are instantiated with; in an unnamed namespace, so that no symbol leaves the object file.
#pragma once

#include <immintrin.h>

#include "base/types.h"
#include "tensor/dtype.h"

namespace moebius::kernels {
namespace {

struct Avx2 {
  using V = __m256;
  typedef double FloatPair __attribute__((may_alias, aligned(4)));
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 3;
  static constexpr int kTileVecs = 4;
  static constexpr int kWideRows = 6;

  static __m256i mask(i64 n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static V zero() { return _mm256_setzero_ps(); }
  static V set1(float x) { return _mm256_set1_ps(x); }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static V load_n(const float* p, i64 n) { return _mm256_maskload_ps(p, mask(n)); }
  static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static void store_n(float* p, V v, i64 n) { _mm256_maskstore_ps(p, mask(n), v); }
  static V widen(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
  // Round to nearest even, as to_bf16; not-a-numbers stay so.
  static __m128i narrow(V v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
    const __m256i high = _mm256_srli_epi32(rounded, 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x88);
    return _mm256_castsi256_si128(packed);
  }
  static V load(const bf16* p) { return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static V load_n(const bf16* p, i64 n) {
    alignas(16) u16 part[8] = {};
    for (i64 i = 0; i < n; ++i) part[i] = p[i].bits;
    return widen(_mm_load_si128(reinterpret_cast<const __m128i*>(part)));
  }
  static void store(bf16* p, V v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(v)); }
  static void store_n(bf16* p, V v, i64 n) {
    alignas(16) u16 part[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(part), narrow(v));
    for (i64 i = 0; i < n; ++i) p[i].bits = part[i];
  }

  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V max(V a, V b) { return _mm256_max_ps(a, b); }
  static V min(V a, V b) { return _mm256_min_ps(a, b); }
  static V sqrt(V a) { return _mm256_sqrt_ps(a); }
  static V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // a * 2^exponent for a in [0.5, 2) and a normal result: an addition to the bits of the exponent.
  static V scale2(V a, V exponent) {
    const __m256i bits = _mm256_slli_epi32(_mm256_cvtps_epi32(exponent), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), bits));
  }
  static V select_less(V a, V b, V yes, V no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
  static float sum(V v) {
    __m128 s = _mm256_castps256_ps128(v) + _mm256_extractf128_ps(v, 1);
    s = s + _mm_movehl_ps(s, s);
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  static float largest(V v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  using Doubles = __m256d;
  static Doubles zero_doubles() { return _mm256_setzero_pd(); }
  static Doubles add_squares(V v, Doubles sum) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    return _mm256_fmadd_pd(low, low, _mm256_fmadd_pd(high, high, sum));
  }
  static double sum_doubles(Doubles v) { return (v[0] + v[1]) + (v[2] + v[3]); }

  static V broadcast_pair(const float* p) {
    return _mm256_castpd_ps(_mm256_set1_pd(*reinterpret_cast<const FloatPair*>(p)));
  }
  static V broadcast_last(const float* p) { return _mm256_blend_ps(_mm256_setzero_ps(), _mm256_set1_ps(*p), 0x55); }
  static V add_pairs(V a, V b) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_hadd_ps(a, b)), 0xd8));
  }
  // a[0], b[0], a[1], b[1], ... in two vectors.
  static void interleave(V a, V b, V* first, V* second) {
    const V low = _mm256_unpacklo_ps(a, b), high = _mm256_unpackhi_ps(a, b);
    *first = _mm256_permute2f128_ps(low, high, 0x20);
    *second = _mm256_permute2f128_ps(low, high, 0x31);
  }
  // The first and the second numbers of 8 pairs of bf16, as floats.
  static V even(const bf16* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), 16));
  }
  static V odd(const bf16* p) {
    const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), high));
  }
};

}  // namespace
}  // namespace moebius::kernels
