// Panels of weights that lie in memory are asked for while the panel before them is multiplied: the first two tiles of rows ask for
// a line with each pair, so that memory works while the rest is done. In: a product's `far` and `ahead` (table.h). bf16 alone. In
// an unnamed namespace: no symbol leaves the object.
#pragma once

#include "kernels/table.h"

namespace moebius::kernels {
namespace {

// What a tile asks for: of each pair of the panel one line, in blocks of 16 pairs.
struct LinesAhead {
  const char* at = nullptr;  // null: nothing
  i64 stride = 0;            // bytes from block to block

  static LinesAhead of(const RowsProduct& p, i64 col, i64 tile) {
    const bool last = col + 32 >= p.cols;
    if (!p.far || tile > 1 || (last && p.ahead == nullptr)) return {};
    if (last) return {static_cast<const char*>(p.ahead) + tile * 64, p.ahead_stride};
    return {static_cast<const char*>(p.panels) + (col / 32 + 1) * p.panel_stride * 2 + tile * 64, 2048};
  }
  void ask(i64 pair) const { __builtin_prefetch(at + pair / 16 * stride + pair % 16 * 128); }
};

}  // namespace
}  // namespace moebius::kernels
