// The same tile driver over tiles in plain memory, so that its loops are tested on every machine. Arithmetic as Intel
// describes TDPBF16PS: even and odd products of a row are summed apart in f32 with fused multiply-adds, the two sums are
// added to the accumulator; denormals count as zero. Tests only: never chosen.
#include <cmath>
#include <cstring>

#include "kernels/amx/driver.h"
#include "kernels/portable/vec.h"

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
  void load(const bf16* p, i64 stride) {
    for (i64 row = 0; row < 16; ++row)
      std::memcpy(tile[T][row], reinterpret_cast<const u8*>(p) + row * stride, 64);
  }
  template <int T>
  void store(float* p, i64 stride) {
    for (i64 row = 0; row < 16; ++row) std::memcpy(reinterpret_cast<u8*>(p) + row * stride, tile[T][row], 64);
  }
  template <int C, int A, int B>
  void multiply() {
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 16; ++n) {
        float even = 0, odd = 0;
        for (int k = 0; k < 16; ++k) {
          even = flush(std::fmaf(value(A, m, 2 * k), value(B, k, 2 * n), even));
          odd = flush(std::fmaf(value(A, m, 2 * k + 1), value(B, k, 2 * n + 1), odd));
        }
        float sum;
        std::memcpy(&sum, &tile[C][m][n * 4], 4);
        sum = flush(flush(sum) + flush(even + odd));
        std::memcpy(&tile[C][m][n * 4], &sum, 4);
      }
  }

  static float flush(float x) { return std::fabs(x) < 1.17549435e-38f ? std::copysign(0.0f, x) : x; }
  float value(int t, int row, int index) const {
    u16 half;
    std::memcpy(&half, &tile[t][row][index * 2], 2);
    const u32 wide = static_cast<u32>(half) << 16;
    float f;
    std::memcpy(&f, &wide, 4);
    return flush(f);
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
  return t;
}

}  // namespace

const OpTable& amx_emulated_table() {
  static const OpTable table = make_table();
  return table;
}

}  // namespace moebius::kernels
