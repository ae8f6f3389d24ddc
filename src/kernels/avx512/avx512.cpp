// The table for AVX-512 with BF16. This file is compiled for that set: it must export this one function and nothing else.
#include "kernels/avx512/vec.h"

#include "kernels/avx512/pack.h"
#include "kernels/avx512/product.h"
#include "kernels/body/table_body.h"

namespace moebius::kernels {

namespace {

double roof_dot(i64 repeats) {
  constexpr int kChains = 24;
  __m512 acc[kChains];
  for (__m512& v : acc) v = _mm512_setzero_ps();
  __m512i a = _mm512_set1_epi32(0x3f803f80), b = a;
  for (i64 i = 0; i < repeats; ++i) {
    asm volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 32
    for (int c = 0; c < kChains; ++c) acc[c] = _mm512_dpbf16_ps(acc[c], (__m512bh)a, (__m512bh)b);
#pragma GCC unroll 32
    for (int c = 0; c < kChains; ++c) asm volatile("" : "+v"(acc[c]));
  }
  return static_cast<double>(repeats) * kChains * 64;
}

OpTable make_table() {
  OpTable t{};
  fill_table<Avx512>(t);
  t.typed[0].pairs = pairs_f32_wide;
  t.typed[1].rows = rows_dot;
  t.typed[1].pairs = pairs_dot;
  t.typed[1].interleave = t.typed[1].interleave_left = interleave_words;
  t.typed[1].pack_outputs = pack_outputs_words;
  t.typed[1].reinterleave = reinterleave_words;
  t.roof_bf16 = roof_dot;
  return t;
}

}  // namespace

const OpTable& avx512_table() {
  static const OpTable table = make_table();
  return table;
}

}  // namespace moebius::kernels
