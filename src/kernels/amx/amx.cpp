// The table for AMX: bf16 products on tiles, everything else from AVX-512. Compiled for both; exports one function.
// The process requests permission to use tiles when the set is detected (isa.cpp); without it AVX-512 is used.
#include <immintrin.h>

#include "kernels/avx512/vec.h"

#include "kernels/amx/attention_tiles.h"
#include "kernels/amx/driver.h"
#include "kernels/avx512/attention_dot.h"
#include "kernels/avx512/pack.h"
#include "kernels/avx512/product.h"

namespace moebius::kernels {

namespace {

// Palette 1: eight tiles of 16 rows of 64 bytes. In constant storage: it never changes.
struct TileConfig {
  u8 palette;
  u8 start_row;
  u8 reserved[14];
  u16 row_bytes[16];
  u8 rows[16];
};
alignas(64) const TileConfig kTileConfig = {
    1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

// Written as assembly, since the compiler's intrinsics take only literal tile numbers and do not say which memory they
// read; every instruction here names memory as touched.
struct HardwareTiles {
  HardwareTiles() { asm volatile("ldtilecfg %0" : : "m"(kTileConfig) : "memory"); }
  ~HardwareTiles() { asm volatile("tilerelease" : : : "memory"); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  template <int T>
  void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(T));
  }
  template <int T>
  void load(const void* p, i64 stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(T) : "memory");
  }
  template <int T>
  void store(float* p, i64 stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(T) : "memory");
  }
  // C += A B; the operands in the assembler's order: columns, rows, accumulator.
  template <int C, int A, int B>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c0, %%tmm%c1, %%tmm%c2" : : "i"(B), "i"(A), "i"(C));
  }

  static void copy_32(const bf16* from, i64 count, bf16* to) {
    _mm512_storeu_si512(to,
                        from == nullptr ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi16(mask_words(count), from));
  }
  static void store_row(const RowsProduct& p, i64 m, i64 col, const float* row) {
    store_dot_row(p, m, col, p.cols - col, _mm512_loadu_ps(row), _mm512_loadu_ps(row + 16));
  }
  static void interleave(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel) {
    interleave_words(rows, num_rows, col, cols, panel);
  }
  static void store_step(bf16* dst, const __m512* rows) { DotProducts::store_step(dst, rows); }
  static void step_rows(const bf16* a, const bf16* b, i64 count, bf16* dst) {
    for (i64 i = 0; i < count; i += 32)
      interleave_32(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i), dst + 2 * i);
  }
  static void transpose_pairs(const bf16* pairs, bf16* out) {
    __m512i r[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(pairs + i * 64);
    Avx512::transpose(r);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(out + i * 32, r[i]);
  }
  static void add_block(const PairsProduct& p, const float* block) {
    for (i64 a = 0; a < 32; a += 8) {
      if (!p.packed && a >= p.rows) return;
      __m512 acc[8][2];
#pragma GCC unroll 8
      for (int m = 0; m < 8; ++m) {
        acc[m][0] = _mm512_loadu_ps(block + (a + m) * 32);
        acc[m][1] = _mm512_loadu_ps(block + (a + m) * 32 + 16);
      }
      add_dot_rows<8>(p, a, acc);
    }
    end_stream(p);
  }
};

double roof_tiles(i64 repeats) {
  HardwareTiles tiles;
  alignas(64) static const bf16 zeros[4 * kTileElements] = {};
  tiles.zero<0>();
  tiles.zero<1>();
  tiles.zero<2>();
  tiles.zero<3>();
  for (i64 i = 0; i < repeats / 16; ++i) {
    tiles.load<4>(zeros, 64);
    tiles.load<5>(zeros + kTileElements, 64);
    tiles.load<6>(zeros + 2 * kTileElements, 64);
    tiles.load<7>(zeros + 3 * kTileElements, 64);
    tiles.multiply<0, 4, 6>();
    tiles.multiply<1, 4, 7>();
    tiles.multiply<2, 5, 6>();
    tiles.multiply<3, 5, 7>();
  }
  const i64 passes = repeats / 16;
  return static_cast<double>(passes) * 4 * 16 * 16 * 32 * 2;
}

OpTable make_table() {
  OpTable t = avx512_table();
  fill_tiles<HardwareTiles>(t);
  fill_attention_tiles<Avx512, HardwareTiles>(t);
  t.roof_bf16 = roof_tiles;
  return t;
}

}  // namespace

const OpTable& amx_table() {
  static const OpTable table = make_table();
  return table;
}

}  // namespace moebius::kernels
