// bf16 products over tiles of 16 x 32: the loops, the same for real tiles and for emulated ones (policy P).
// A pair of row tiles meets a pair of column tiles in four accumulators: 0-3 accumulate, 4-5 hold rows, 6-7 columns.
// Left operands are prepared as [row tile][block of 32 k][16][32]; right ones are packed blocks, unchanged.
// In, out: table.h. P provides the tile instructions and the element-wise parts (stores, transposes).
#pragma once

#include "kernels/body/prefetch_body.h"
#include "kernels/table.h"

namespace moebius::kernels {

inline constexpr i64 kTileElements = 16 * 32;

template <class P>
i64 tiles_prepare_bytes(i64 rows, i64 k) {
  return (rows + 15) / 16 * ((k + 31) / 32) * kTileElements * 2;
}

template <class P>
void tiles_prepare(const void* const* rows, i64 num_rows, i64 k, void* dst) {
  const i64 k_blocks = (k + 31) / 32, padded = (num_rows + 15) / 16 * 16;
  for (i64 r = 0; r < padded; ++r) {
    bf16* out = static_cast<bf16*>(dst) + (r / 16 * k_blocks * 16 + r % 16) * 32;
    const bf16* from = r < num_rows ? static_cast<const bf16*>(rows[r]) : nullptr;
    for (i64 block = 0; block < k_blocks; ++block) {
      const i64 left = k - block * 32;
      P::copy_32(from == nullptr ? nullptr : from + block * 32, left < 32 ? left : 32, out + block * kTileElements);
    }
  }
}

// One or two row tiles (kTwo) times a panel of 32 columns.
template <class P, bool kTwo>
inline void multiply_tiles(P& tiles, const bf16* a0, const bf16* a1, const bf16* panel, i64 k_blocks, float* out,
                           const PrefetchLines& lines) {
  tiles.template zero<0>();
  tiles.template zero<1>();
  if constexpr (kTwo) {
    tiles.template zero<2>();
    tiles.template zero<3>();
  }
  for (i64 block = 0; block < k_blocks; ++block) {
    const bf16* b = panel + block * 1024;
    if (lines.at != nullptr)
      for (i64 pair = block * 16; pair < block * 16 + 16; ++pair) lines.prefetch(pair);
    tiles.template load<4>(a0 + block * kTileElements, 64);
    tiles.template load<6>(b, 128);
    tiles.template load<7>(b + 32, 128);
    tiles.template multiply<0, 4, 6>();
    tiles.template multiply<1, 4, 7>();
    if constexpr (kTwo) {
      tiles.template load<5>(a1 + block * kTileElements, 64);
      tiles.template multiply<2, 5, 6>();
      tiles.template multiply<3, 5, 7>();
    }
  }
  tiles.template store<0>(out, 128);
  tiles.template store<1>(out + 16, 128);
  if constexpr (kTwo) {
    tiles.template store<2>(out + 16 * 32, 128);
    tiles.template store<3>(out + 16 * 32 + 16, 128);
  }
}

template <class P>
void tiles_rows(const RowsProduct& p) {
  P tiles;
  alignas(64) float out[32 * 32];
  const i64 k_blocks = (p.k + 31) / 32, row_tiles = (p.num_rows + 15) / 16;
  const bf16* prepared = static_cast<const bf16*>(p.prepared);
  for (i64 col = 0; col < p.cols; col += 32) {
    const bf16* panel = static_cast<const bf16*>(p.panels) + col / 32 * p.panel_stride;
    for (i64 tile = 0; tile < row_tiles; tile += 2) {
      const bf16* a0 = prepared + tile * k_blocks * kTileElements;
      const bf16* a1 = a0 + k_blocks * kTileElements;
      const PrefetchLines lines = PrefetchLines::of(p, col, tile / 2);
      if (tile + 1 < row_tiles) {
        multiply_tiles<P, true>(tiles, a0, a1, panel, k_blocks, out, lines);
      } else {
        multiply_tiles<P, false>(tiles, a0, nullptr, panel, k_blocks, out, lines);
      }
      const i64 end = p.num_rows < tile * 16 + 32 ? p.num_rows : tile * 16 + 32;
      for (i64 m = tile * 16; m < end; ++m) P::store_row(p, m, col, out + (m - tile * 16) * 32);
    }
  }
}

// Pairs of rows as the right operand, whole tiles of 16 pairs: the rest is zero.
template <class P>
void tiles_interleave(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel) {
  P::interleave(rows, num_rows, col, cols, panel);
  bf16* out = static_cast<bf16*>(panel);
  const i64 pairs = (num_rows + 1) / 2, padded = (pairs + 15) / 16 * 16;
  for (i64 i = pairs * 64; i < padded * 64; ++i) out[i].bits = 0;
}

// The left operand of a pairs product: for 32 rows, two tiles [16 columns][32 rows].
template <class P>
void tiles_interleave_left(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel) {
  alignas(64) bf16 pairs[16 * 64];
  bf16* out = static_cast<bf16*>(panel);
  for (i64 row = 0; row < num_rows; row += 32, out += 2 * kTileElements) {
    const i64 left = num_rows - row;
    tiles_interleave<P>(rows + row, left < 32 ? left : 32, col, cols, pairs);
    P::transpose_pairs(pairs, out);
    P::transpose_pairs(pairs + 32, out + kTileElements);
  }
}

template <class P>
void tiles_pairs(const PairsProduct& p) {
  P tiles;
  alignas(64) float out[32 * 32];
  const bf16* left = static_cast<const bf16*>(p.left);
  const bf16* right = static_cast<const bf16*>(p.right);
  tiles.template zero<0>();
  tiles.template zero<1>();
  tiles.template zero<2>();
  tiles.template zero<3>();
  for (i64 pair = 0; pair < p.pairs; pair += 16) {
    tiles.template load<4>(left + pair * 64, 64);
    tiles.template load<5>(left + pair * 64 + kTileElements, 64);
    tiles.template load<6>(right + pair * 64, 128);
    tiles.template load<7>(right + pair * 64 + 32, 128);
    tiles.template multiply<0, 4, 6>();
    tiles.template multiply<1, 4, 7>();
    tiles.template multiply<2, 5, 6>();
    tiles.template multiply<3, 5, 7>();
  }
  tiles.template store<0>(out, 128);
  tiles.template store<1>(out + 16, 128);
  tiles.template store<2>(out + 16 * 32, 128);
  tiles.template store<3>(out + 16 * 32 + 16, 128);
  P::add_block(p, out);
}

// Replaces the bf16 products of `table`, which brings everything else.
template <class P>
void fill_tiles(OpTable& table) {
  TypedOps& ops = table.typed[1];
  ops.prepare_bytes = tiles_prepare_bytes<P>;
  ops.prepare = tiles_prepare<P>;
  ops.rows = tiles_rows<P>;
  ops.interleave = tiles_interleave<P>;
  ops.interleave_left = tiles_interleave_left<P>;
  ops.left_row_bytes = 64;
  ops.pairs = tiles_pairs<P>;
  table.rows_per_task = 256;
  table.tiles = true;
}

}  // namespace moebius::kernels
