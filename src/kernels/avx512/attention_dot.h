// How attention's small products (body/attention_body.h) run with AVX-512's dot product of bf16 pairs: two elements of
// the reduction at a time. In: bf16; out: f32 sums. Denormals count as zero there.
#pragma once

#include "kernels/avx512/product.h"
#include "kernels/avx512/vec.h"
#include "kernels/body/attention_lanes.h"

namespace moebius::kernels {
namespace {

struct DotProducts : LanePolicy<Avx512, DotProducts, bf16, 2> {
  using Right = __m512bh;
  static Right load(const bf16* p) { return load_pairs(p); }
  static V mac(V sum, const bf16* left, Right right) { return _mm512_dpbf16_ps(sum, right, broadcast_pair_of(left)); }
  // 16 columns of two rows as pairs.
  static void store_step(bf16* dst, const V* rows) {
    alignas(64) static const u16 kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                               8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(rows[1], rows[0]);
    _mm512_storeu_si512(dst, _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), both));
  }
};

}  // namespace
}  // namespace moebius::kernels
