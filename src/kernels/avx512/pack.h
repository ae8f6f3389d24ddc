// Bringing bf16 rows and blocks into panels with AVX-512 shuffles: pairs of rows, transposed rows, transposed blocks.
// In, out: table.h (interleave, pack_outputs, reinterleave). Not for f32 (body/pack_body.h).
#pragma once

#include "kernels/avx512/vec.h"
#include "kernels/table.h"

namespace moebius::kernels {
namespace {

inline __mmask32 mask_words(i64 n) { return n >= 32 ? ~__mmask32{0} : n <= 0 ? __mmask32{0} : (__mmask32{1} << n) - 1; }

// 32 columns of two rows as pairs.
inline void interleave_32(__m512i a, __m512i b, bf16* out) {
  alignas(64) static const u16 kFirst[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                             8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i first = _mm512_load_si512(kFirst), second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
  _mm512_storeu_si512(out, _mm512_permutex2var_epi16(a, first, b));
  _mm512_storeu_si512(out + 32, _mm512_permutex2var_epi16(a, second, b));
}

inline void interleave_words(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel) {
  const __mmask32 mask = mask_words(cols);
  bf16* out = static_cast<bf16*>(panel);
  for (i64 r = 0; r < num_rows; r += 2, out += 64) {
    const __m512i a = _mm512_maskz_loadu_epi16(mask, static_cast<const bf16*>(rows[r]) + col);
    const __m512i b = r + 1 < num_rows ? _mm512_maskz_loadu_epi16(mask, static_cast<const bf16*>(rows[r + 1]) + col)
                                       : _mm512_setzero_si512();
    interleave_32(a, b, out);
  }
}

inline void pack_outputs_words(const void* const* rows, i64 num_rows, i64 k, void* panel) {
  for (i64 n0 = 0; n0 < 32; n0 += 16)
    for (i64 k0 = 0; k0 < k; k0 += 32) {
      __m512i r[16];
      const __mmask32 mask = mask_words(k - k0);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        r[i] = n0 + i < num_rows ? _mm512_maskz_loadu_epi16(mask, static_cast<const bf16*>(rows[n0 + i]) + k0)
                                 : _mm512_setzero_si512();
      Avx512::transpose(r);
      bf16* out = static_cast<bf16*>(panel) + k0 * 32 + n0 * 2;
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) _mm512_storeu_si512(out + i * 64, r[i]);
    }
}

// 8 x 8 of 64 bits from in (row step 64 elements) to out, swapping the middle 16 bits of each unit.
inline void transpose_units(const bf16* in, bf16* out, __m512i swap) {
  __m512i r[8], t[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(in + i * 64), swap);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
  }
  // t[2 g + c] holds, in its part q, column 2 q + c of rows 2 g, 2 g + 1.
#pragma GCC unroll 2
  for (int c = 0; c < 2; ++c) {
    r[c] = _mm512_shuffle_i64x2(t[c], t[2 + c], 0x88);          // columns c, 4 + c; rows 0-3
    r[2 + c] = _mm512_shuffle_i64x2(t[c], t[2 + c], 0xdd);      // columns 2 + c, 6 + c
    r[4 + c] = _mm512_shuffle_i64x2(t[4 + c], t[6 + c], 0x88);  // rows 4-7
    r[6 + c] = _mm512_shuffle_i64x2(t[4 + c], t[6 + c], 0xdd);
  }
#pragma GCC unroll 2
  for (int c = 0; c < 2; ++c) {
    _mm512_storeu_si512(out + c * 64, _mm512_shuffle_i64x2(r[c], r[4 + c], 0x88));
    _mm512_storeu_si512(out + (4 + c) * 64, _mm512_shuffle_i64x2(r[c], r[4 + c], 0xdd));
    _mm512_storeu_si512(out + (2 + c) * 64, _mm512_shuffle_i64x2(r[2 + c], r[6 + c], 0x88));
    _mm512_storeu_si512(out + (6 + c) * 64, _mm512_shuffle_i64x2(r[2 + c], r[6 + c], 0xdd));
  }
}

inline void reinterleave_words(const void* src, void* dst) {
  const bf16* in = static_cast<const bf16*>(src);
  bf16* out = static_cast<bf16*>(dst);
  // Bytes of a unit (n k), (n k+1), (n+1 k), (n+1 k+1) to (n k), (n+1 k), (n k+1), (n+1 k+1).
  const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  for (i64 p = 0; p < 16; p += 8)
    for (i64 q = 0; q < 16; q += 8) transpose_units(in + p * 64 + q * 4, out + q * 64 + p * 4, swap);
}

}  // namespace
}  // namespace moebius::kernels
