// The same tile driver over tiles in plain memory, so that its loops are tested on every machine. Arithmetic as Intel
// describes TDPBF16PS: even and odd products of a row are summed apart in f32 with fused multiply-adds, the two sums
// are added to the accumulator; denormals count as zero. Tests only: never chosen.
#include <cmath>
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
    float left[16][32], right[16][32];
    widen(tile[A], left);
    widen(tile[B], right);
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 16; ++n) {
        float even = 0, odd = 0;
        for (int k = 0; k < 16; ++k) {
          even = flush(std::fmaf(left[m][2 * k], right[k][2 * n], even));
          odd = flush(std::fmaf(left[m][2 * k + 1], right[k][2 * n + 1], odd));
        }
        float sum;
        std::memcpy(&sum, &tile[C][m][n * 4], 4);
        sum = flush(flush(sum) + flush(even + odd));
        std::memcpy(&tile[C][m][n * 4], &sum, 4);
      }
  }

  static float flush(float x) { return std::fabs(x) < 1.17549435e-38f ? std::copysign(0.0f, x) : x; }
  static void widen(const u8 (&from)[16][64], float (&to)[16][32]) {
    for (int row = 0; row < 16; ++row)
      for (int i = 0; i < 32; ++i) {
        u16 half;
        std::memcpy(&half, &from[row][i * 2], 2);
        const u32 wide = static_cast<u32>(half) << 16;
        std::memcpy(&to[row][i], &wide, 4);
        to[row][i] = flush(to[row][i]);
      }
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
