// Prefetch of weight panels that come from memory while the panel before them is multiplied: the first two tiles of
// rows prefetch one line for each pair, so that memory is read in parallel with the product. In: a product's `far` and
// `prefetch` (table.h). For bf16 panels only. In an unnamed namespace: no symbol leaves the object.
#pragma once

#include "kernels/table.h"

namespace moebius::kernels {
namespace {

// What a tile prefetches: one line for each pair of the panel, in blocks of 16 pairs.
struct PrefetchLines {
  const char* at = nullptr;  // null: nothing
  i64 stride = 0;            // bytes from block to block

  static PrefetchLines of(const RowsProduct& p, i64 col, i64 tile) {
    const bool last = col + 32 >= p.cols;
    if (!p.far || tile > 1 || (last && p.prefetch == nullptr)) return {};
    if (last) return {static_cast<const char*>(p.prefetch) + tile * 64, p.prefetch_stride};
    return {static_cast<const char*>(p.panels) + (col / 32 + 1) * p.panel_stride * 2 + tile * 64, 2048};
  }
  void prefetch(i64 pair) const { __builtin_prefetch(at + pair / 16 * stride + pair % 16 * 128); }
};

}  // namespace
}  // namespace moebius::kernels
