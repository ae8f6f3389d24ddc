// The same tile driver over tiles in plain memory, so that its loops are tested on every machine. Arithmetic as Intel
// describes TDPBF16PS: even and odd products of a row are summed apart in f32 with fused multiply-adds, the two sums
// are added to the accumulator; denormals count as zero. Tests only: never chosen.
#include <cstring>

#include "kernels/portable/vec.h"

#include "kernels/amx/attention_tiles.h"
#include "kernels/amx/driver.h"
#include "kernels/body/pack_body.h"
#include "kernels/body/product_body.h"

namespace moebius::kernels {

namespace {

struct EmulatedTiles {
  u8 tile[8][16][64];

  template <int T>
  void zero() {
    std::memset(tile[T], 0, sizeof(tile[T]));
  }
  template <int T>
  void load(const void* p, i64 stride) {
    for (i64 row = 0; row < 16; ++row) std::memcpy(tile[T][row], static_cast<const u8*>(p) + row * stride, 64);
  }
  template <int T>
  void store(float* p, i64 stride) {
    for (i64 row = 0; row < 16; ++row) std::memcpy(reinterpret_cast<u8*>(p) + row * stride, tile[T][row], 64);
  }
  template <int C, int A, int B>
  void multiply() {
    Floats right_even[16], right_odd[16];
    for (int k = 0; k < 16; ++k) halves(tile[B][k], &right_even[k], &right_odd[k]);
    for (int m = 0; m < 16; ++m) {
      Floats left_even, left_odd, even{}, odd{}, sum;
      halves(tile[A][m], &left_even, &left_odd);
      for (int k = 0; k < 16; ++k) {
        even = flush(fma(left_even[k], right_even[k], even));
        odd = flush(fma(left_odd[k], right_odd[k], odd));
      }
      std::memcpy(&sum, tile[C][m], sizeof(sum));
      sum = flush(flush(sum) + flush(even + odd));
      std::memcpy(tile[C][m], &sum, sizeof(sum));
    }
  }

  // Vectors and not loops over numbers: under a sanitizer, without optimisation, these are ten times as fast.
  typedef float Floats __attribute__((vector_size(64)));
  typedef double Doubles __attribute__((vector_size(128)));
  typedef u32 Bits __attribute__((vector_size(64)));

  // Exactly a fused multiply-add: a product of bf16 has 16 bits, so its sum with an f32 is exact in double, or the
  // smaller term is too small to bring the rounded sum to the middle between two f32.
  static Floats fma(float a, Floats b, Floats c) {
    const Doubles sum =
        __builtin_convertvector(b, Doubles) * static_cast<double>(a) + __builtin_convertvector(c, Doubles);
    return __builtin_convertvector(sum, Floats);
  }
  // Denormals become zeros of their sign.
  static Floats flush(Floats x) {
    const Bits bits = reinterpret_cast<Bits>(x);
    const Bits small = reinterpret_cast<Bits>((bits & 0x7f800000u) == 0);
    return reinterpret_cast<Floats>(bits & ~(small & 0x7fffffffu));
  }
  // The first and the second numbers of the 16 pairs of a row.
  static void halves(const u8* row, Floats* even, Floats* odd) {
    Bits pairs;
    std::memcpy(&pairs, row, sizeof(pairs));
    *even = flush(reinterpret_cast<Floats>(pairs << 16));
    *odd = flush(reinterpret_cast<Floats>(pairs & 0xffff0000u));
  }

  static void copy_32(const bf16* from, i64 count, bf16* to) {
    for (i64 i = 0; i < 32; ++i) to[i] = from != nullptr && i < count ? from[i] : bf16{0};
  }
  static void store_row(const RowsProduct& p, i64 m, i64 col, const float* row) {
    for (i64 i = 0; i < 32; i += Portable::kLanes)
      store_outputs<Portable>(p, m, col + i, p.cols - col - i, Portable::load(row + i));
  }
  static void interleave(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel) {
    interleave_plain<Portable, bf16>(rows, num_rows, col, cols, panel);
  }
  static void store_step(bf16* dst, const Portable::V* rows) {
    bf16 narrow[2][Portable::kLanes];
    for (int s = 0; s < 2; ++s) Portable::store(narrow[s], rows[s]);
    step_rows(narrow[0], narrow[1], Portable::kLanes, dst);
  }
  static void step_rows(const bf16* a, const bf16* b, i64 count, bf16* dst) {
    for (i64 i = 0; i < count; ++i) dst[2 * i] = a[i], dst[2 * i + 1] = b[i];
  }
  static void transpose_pairs(const bf16* pairs, bf16* out) {
    for (i64 row = 0; row < 16; ++row)
      for (i64 c = 0; c < 16; ++c) {
        out[c * 32 + 2 * row] = pairs[row * 64 + 2 * c];
        out[c * 32 + 2 * row + 1] = pairs[row * 64 + 2 * c + 1];
      }
  }
  static void add_block(const PairsProduct& p, const float* block) {
    for (i64 a = 0; a < 32; a += 2)
      for (i64 col = 0; col < 32; col += Portable::kLanes)
        add_pairs_rows<Portable>(p, a, col, Portable::load(block + a * 32 + col),
                                 Portable::load(block + (a + 1) * 32 + col));
  }
};

OpTable make_table() {
  OpTable t = portable_table();
  fill_tiles<EmulatedTiles>(t);
  fill_attention_tiles<Portable, EmulatedTiles>(t);
  return t;
}

}  // namespace

const OpTable& amx_emulated_table() {
  static const OpTable table = make_table();
  return table;
}

}  // namespace moebius::kernels
