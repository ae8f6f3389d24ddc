// How attention's small products (body/attention_body.h) run with AVX-512's dot product of bf16 pairs: two elements of the
// reduction at a time. In: bf16; out: f32 sums. Denormals count as zero there.
#pragma once

#include "kernels/avx512/product.h"
#include "kernels/avx512/vec.h"

namespace moebius::kernels {
namespace {

struct DotProducts {
  using Element = bf16;
  using V = __m512;
  using Right = __m512bh;
  static constexpr int kStep = 2;
  static Right load(const bf16* p) { return load_pairs(p); }
  static V mac(V sum, const bf16* left, Right right) { return _mm512_dpbf16_ps(sum, right, broadcast_pair_of(left)); }
  // 16 columns of two rows as pairs.
  static void store_step(bf16* dst, const V* rows) {
    const __m512i low = _mm512_cvtepu16_epi32(Avx512::narrow(rows[0]));
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(Avx512::narrow(rows[1])), 16);
    _mm512_storeu_si512(dst, _mm512_or_si512(low, high));
  }
};

}  // namespace
}  // namespace moebius::kernels
