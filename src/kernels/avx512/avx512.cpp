// The table for AVX-512 with BF16. This file is compiled for that set: it exports the functions of table.h and nothing
// else.
#include "kernels/avx512/vec.h"

#include "kernels/avx512/pack.h"
#include "kernels/avx512/product.h"
#include "kernels/body/table_body.h"

namespace moebius::kernels {

namespace {

double roof_dot(i64 repeats) {
  constexpr int kChains = 24;
  __m512 acc[kChains];
  for (int c = 0; c < kChains; ++c) acc[c] = _mm512_set1_ps(static_cast<float>(c));
  __m512i a = _mm512_set1_epi32(0x3f803f80), b = _mm512_set1_epi32(0x30003000);
  for (i64 i = 0; i < repeats; ++i) {
    keep_in_register(a);
#pragma GCC unroll 32
    for (int c = 0; c < kChains; ++c) acc[c] = _mm512_dpbf16_ps(acc[c], (__m512bh)a, (__m512bh)b);
  }
#pragma GCC unroll 32
  for (int c = 0; c < kChains; ++c) keep_in_register(acc[c]);
  return static_cast<double>(repeats) * kChains * 64;
}

// Heads of 16 are one vector, whose halves change places: as rope_row, to the bit.
template <class T>
void rope_heads(void* row, i64 heads, i64 head_dim, const float* cosine, const float* sine) {
  if (head_dim != 16) return rope_row<Avx512, T>(row, heads, head_dim, cosine, sine);
  const __m256 half_c = _mm256_loadu_ps(cosine), half_s = _mm256_loadu_ps(sine);
  const __m512 c = _mm512_insertf32x8(_mm512_castps256_ps512(half_c), half_c, 1);
  const __m512 s = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_setzero_ps() - half_s), half_s, 1);
  T* values = static_cast<T*>(row);
  for (i64 head = 0; head < heads; ++head, values += 16) {
    const __m512 x = Avx512::load(values), swapped = _mm512_shuffle_f32x4(x, x, 0x4e);
    Avx512::store(values, x * c + swapped * s);
  }
}

// dot: bf16 products by the dot product of pairs, else by multiply-add of halves.
OpTable make_table(bool dot) {
  OpTable t{};
  fill_table<Avx512>(t);
  fill_attention_avx512(t);
  t.typed[0].pairs = pairs_f32_wide;
  t.typed[0].rope = rope_heads<float>;
  t.typed[1].rope = rope_heads<bf16>;
  TypedOps& half = t.typed[1];
  half.interleave = half.interleave_left = interleave_words;
  half.pack_outputs = pack_outputs_words;
  half.reinterleave = reinterleave_words;
  if (!dot) {
    fill_wide<Avx512>(half);
    return t;
  }
  half.rows = rows_dot;
  half.pairs = pairs_dot;
  fill_attention_avx512_dot(t);
  t.roof_bf16 = roof_dot;
  return t;
}

}  // namespace

const OpTable& avx512_dot_table() {
  static const OpTable table = make_table(true);
  return table;
}

const OpTable& avx512_fma_table() {
  static const OpTable table = make_table(false);
  return table;
}

// Intel's dot product takes two cycles where a multiply-add takes half of one (measured on Sapphire Rapids: 90 against
// 170 GFLOP/s a core); on AMD it is twice as fast as the multiply-add. A fixed rule, so that bits do not depend on
// timing.
const OpTable& avx512_table() { return __builtin_cpu_is("intel") ? avx512_fma_table() : avx512_dot_table(); }

}  // namespace moebius::kernels
