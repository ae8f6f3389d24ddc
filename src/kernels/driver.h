// What the drivers share: lists of row pointers, cutting by shape, the loop of a weight gradient.
// In: shapes and row getters. Out: calls of a table's operations. Work is cut by shape alone, never by threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "kernels/packed.h"
#include "kernels/table.h"
#include "kernels/workspace.h"
#include "tensor/view.h"

namespace moebius::kernels {

inline const void* advance(const void* p, i64 elements, DType dtype) {
  return static_cast<const u8*>(p) + elements * (dtype == DType::bf16 ? 2 : 4);
}
inline void* advance(void* p, i64 elements, DType dtype) {
  return static_cast<u8*>(p) + elements * (dtype == DType::bf16 ? 2 : 4);
}
inline Store store_of(DType dtype, bool accumulate) {
  return dtype == DType::bf16 ? Store::bf16 : accumulate ? Store::f32_add : Store::f32;
}
inline void check_operand(DType dtype) {
  CHECK(dtype == DType::bf16 || dtype == DType::f32, "operands of kernels are bf16 or f32");
}

// n items in `parts` ranges as even as can be.
inline i64 part_begin(i64 n, i64 parts, i64 part) { return n * part / parts; }

// How a product of `rows` x `blocks` column blocks is cut: enough tasks for many cores, each worth its start. Tasks of
// less than rows_least rows are cut by columns instead.
struct ProductCut {
  i64 row_parts = 1, col_parts = 1;
  i64 tasks() const { return row_parts * col_parts; }
};
inline ProductCut cut_product(const OpTable& table, i64 rows, i64 blocks, double flops, i64 rows_least) {
  const i64 wanted = std::clamp<i64>(static_cast<i64>(flops / 1e6), 1, 64);
  ProductCut cut;
  cut.row_parts = std::max((rows + table.rows_per_task - 1) / table.rows_per_task,
                           std::min(wanted, (rows + rows_least - 1) / rows_least));
  cut.row_parts = std::max<i64>(cut.row_parts, 1);
  cut.col_parts = std::clamp<i64>((wanted + cut.row_parts - 1) / cut.row_parts, 1, blocks);
  return cut;
}

// Scratch of one task that multiplies rows.
inline i64 rows_scratch_bytes(const TypedOps& ops, i64 rows, i64 k) {
  return Scratch::bytes(rows * 8) + (ops.prepare == nullptr ? 0 : Scratch::bytes(ops.prepare_bytes(rows, k)));
}

// The left operand of a product: pointers to rows, brought into the set's own order if it has one.
struct RowsOperand {
  const void** rows = nullptr;
  void* prepared = nullptr;
  i64 num_rows = 0, k = 0;

  template <class RowOf>
  RowsOperand(const TypedOps& ops, Scratch& scratch, i64 count, i64 k_count, RowOf row_of) {
    num_rows = count;
    k = k_count;
    rows = scratch.take<const void*>(count);
    for (i64 i = 0; i < count; ++i) rows[i] = row_of(i);
    if (ops.prepare != nullptr) {
      prepared = scratch.take_bytes(ops.prepare_bytes(count, k_count));
      ops.prepare(rows, count, k_count, prepared);
    }
  }
  RowsProduct product(const void* panels, i64 panel_stride, i64 cols) const {
    RowsProduct p;
    p.rows = rows;
    p.prepared = prepared;
    p.num_rows = num_rows;
    p.k = k;
    p.panels = panels;
    p.panel_stride = panel_stride;
    p.cols = cols;
    return p;
  }
};

// Blocks of a column are too far apart for the hardware prefetcher: each is prefetched two blocks early.
inline constexpr i64 kBlocksPrefetched = 2;

inline void prefetch_bytes(const void* data, i64 bytes) {
  for (i64 at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const u8*>(data) + at);
}

// Column k_block of w as a panel whose reduction runs over n: for products with w instead of its transpose.
inline void reinterleave_panel(const TypedOps& ops, const void* w, DType dtype, PackedShape shape, i64 k_block,
                               void* panel) {
  const auto block = [&](i64 n_block) {
    return advance(w, (n_block * shape.k_blocks() + k_block) * kBlockElements, dtype);
  };
  const i64 bytes = kBlockElements * dtype_bytes(dtype);
  for (i64 n_block = 0; n_block < shape.n_blocks(); ++n_block) {
    if (n_block + kBlocksPrefetched < shape.n_blocks()) prefetch_bytes(block(n_block + kBlocksPrefetched), bytes);
    ops.reinterleave(block(n_block), advance(panel, n_block * kBlockElements, dtype));
  }
}
inline i64 reinterleaved_elements(PackedShape shape) { return shape.n_blocks() * kBlockElements; }

// Tuned with `moebius bench operation linear` and `experts` (row "weight gradient") on two cores of Sapphire Rapids and
// Zen 5. Rows of a weight gradient that are interleaved at a time, and column blocks of the left operand.
inline constexpr i64 kGradientRows = 256;
inline constexpr i64 kGradientBlocks = 16;
// Column blocks of the right operand that one task takes at most.
inline constexpr i64 kGradientGroup = 8;
// Rows whose column blocks are interleaved one after the other: their lines come from memory once and in order.
inline constexpr i64 kInterleaveRows = 32;

// Bytes of a panel of interleaved rows; one line more, or all panels would map to the same cache sets.
inline i64 gradient_panel_bytes(i64 rows, i64 row_bytes) {
  return (rows + kInterleaveRows - 1) / kInterleaveRows * kInterleaveRows * row_bytes + 64;
}

inline i64 gradient_scratch_bytes(DType dtype) {
  return 2 * Scratch::bytes((kGradientRows + kInterleaveRows) * 8) +
         Scratch::bytes(gradient_panel_bytes(kGradientRows, kBlock * 4) * kGradientBlocks) +
         Scratch::bytes(gradient_panel_bytes(kGradientRows, kBlock * dtype_bytes(dtype)) * kGradientGroup);
}

// A part of a weight gradient: blocks of 32 outputs (n) and of 32 inputs (k).
struct GradientPart {
  i64 n_begin, n_end, k_begin, k_end;
};

// Where the blocks of a weight gradient go, and how they are stored.
struct GradientOut {
  float* dw = nullptr;
  bool overwrite = false, stream = false;
};

// Gradients written by one call that are larger than this have left the caches when they are read.
inline constexpr i64 kStreamBytes = 16 << 20;

// `matrices` gradients of one shape, the first at dw, are about to be written.
inline GradientOut gradient_out(float* dw, GradientSum sum, PackedShape shape, i64 matrices) {
  const bool overwrite = sum == GradientSum::overwrite;
  const bool line = reinterpret_cast<std::uintptr_t>(dw) % 64 == 0;
  return {dw, overwrite, overwrite && line && matrices * shape.elements() * 4 > kStreamBytes};
}

// The gradient of an expert without tokens.
inline void clear_gradient(PackedShape shape, const GradientPart& part, const GradientOut& out) {
  if (!out.overwrite) return;
  for (i64 n = part.n_begin; n < part.n_end; ++n)
    std::fill_n(out.dw + (n * shape.k_blocks() + part.k_begin) * kBlockElements,
                (part.k_end - part.k_begin) * kBlockElements, 0.0f);
}
inline void clear_gradient(PackedShape shape, const GradientOut& out, i64 matrices = 1) {
  if (out.overwrite) std::fill_n(out.dw, matrices * shape.elements(), 0.0f);
}

// Operands of a weight gradient of `rows` that are more than this come from memory or from a cache that is far.
constexpr i64 kFarBytes = 8 << 20;
inline bool operands_far(i64 rows, PackedShape shape, DType dtype) {
  return rows * (shape.n + shape.k) * dtype_bytes(dtype) > kFarBytes;
}

// Prefetches a column block of the rows that are interleaved next: lines a row apart, which the hardware does not
// predict.
inline void prefetch_rows(const void* const* rows, i64 num_rows, DType dtype, i64 block) {
  const i64 bytes = kBlock * dtype_bytes(dtype);
  for (i64 i = 0; i < num_rows; ++i) prefetch_bytes(static_cast<const u8*>(rows[i]) + block * bytes, bytes);
}

// dw[part] (+)= sum over rows of dy[row][n] * x[row][k], in chunks of rows in order. A part has at most kGradientGroup
// blocks of n and kGradientBlocks of k. far: see operands_far.
template <class DyOf, class XOf>
void add_weight_gradient(const TypedOps& ops, DType dtype, Scratch scratch, i64 num_rows, DyOf dy_of, XOf x_of,
                         PackedShape shape, const GradientPart& part, const GradientOut& out, bool far) {
  if (num_rows == 0) {
    clear_gradient(shape, part, out);
    return;
  }
  const void** dy_rows = scratch.take<const void*>(kGradientRows + kInterleaveRows);
  const void** x_rows = scratch.take<const void*>(kGradientRows + kInterleaveRows);
  const i64 right_row = kBlock * dtype_bytes(dtype), chunk = std::min(kGradientRows, num_rows);
  const i64 left_panel = gradient_panel_bytes(chunk, ops.left_row_bytes);
  const i64 right_panel = gradient_panel_bytes(chunk, right_row);
  u8* left = scratch.take<u8>(left_panel * kGradientBlocks);
  u8* right = scratch.take<u8>(right_panel * kGradientGroup);
  for (i64 begin = 0; begin < num_rows; begin += kGradientRows) {
    const i64 count = std::min(kGradientRows, num_rows - begin),
              known = std::min(kGradientRows + kInterleaveRows, num_rows - begin);
    for (i64 i = 0; i < known; ++i) {
      dy_rows[i] = dy_of(begin + i);
      x_rows[i] = x_of(begin + i);
    }
    for (i64 row = 0; row < count; row += kInterleaveRows) {
      const i64 rows = std::min(kInterleaveRows, count - row), next = row + rows;
      const i64 rows_next = far ? std::min(kInterleaveRows, known - next) : 0;
      for (i64 k = part.k_begin; k < part.k_end; ++k) {
        prefetch_rows(x_rows + next, rows_next, dtype, k);
        ops.interleave_left(x_rows + row, rows, k * kBlock, std::min(kBlock, shape.k - k * kBlock),
                            left + (k - part.k_begin) * left_panel + row * ops.left_row_bytes);
      }
      for (i64 n = part.n_begin; n < part.n_end; ++n) {
        prefetch_rows(dy_rows + next, rows_next, dtype, n);
        ops.interleave(dy_rows + row, rows, n * kBlock, std::min(kBlock, shape.n - n * kBlock),
                       right + (n - part.n_begin) * right_panel + row * right_row);
      }
    }
    PairsProduct product;
    product.pairs = (count + 1) / 2;
    product.packed = true;
    product.overwrite = out.overwrite && begin == 0;
    product.stream = out.stream && num_rows <= kGradientRows;  // else the next rows add to it
    for (i64 n = part.n_begin; n < part.n_end; ++n)
      for (i64 k = part.k_begin; k < part.k_end; ++k) {
        product.right = right + (n - part.n_begin) * right_panel;
        product.left = left + (k - part.k_begin) * left_panel;
        product.out = out.dw + (n * shape.k_blocks() + k) * kBlockElements;
        ops.pairs(product);
      }
  }
}

// How a weight gradient is cut: blocks of n that one task takes, and parts of k. `siblings`: matrices in one call.
struct GradientCut {
  i64 n_group = 1, k_parts = 1;
  i64 tasks = 1;  // of one matrix
  GradientPart part(PackedShape shape, i64 task) const {
    const i64 n = task / k_parts * n_group, k = task % k_parts;
    return {n, std::min(shape.n_blocks(), n + n_group), part_begin(shape.k_blocks(), k_parts, k),
            part_begin(shape.k_blocks(), k_parts, k + 1)};
  }
};
inline i64 gradient_tasks_max(PackedShape shape) {
  return shape.n_blocks() * ((shape.k_blocks() + kGradientBlocks - 1) / kGradientBlocks);
}
inline GradientCut cut_gradient(i64 num_rows, PackedShape shape, i64 siblings) {
  GradientCut cut;
  cut.k_parts = (shape.k_blocks() + kGradientBlocks - 1) / kGradientBlocks;
  const double block_flops = 2.0 * static_cast<double>(num_rows) * kBlock * static_cast<double>(shape.k);
  const i64 worth = static_cast<i64>(4e6 / std::max(block_flops, 1.0)) + 1;
  // Blocks of one group share the interleaved left operand; few matrices are cut finer to give every core a task.
  const i64 spread = shape.n_blocks() * cut.k_parts * siblings / 4;
  cut.n_group = std::clamp<i64>(std::max(worth, spread), 1, std::min(kGradientGroup, shape.n_blocks()));
  cut.tasks = (shape.n_blocks() + cut.n_group - 1) / cut.n_group * cut.k_parts;
  return cut;
}

}  // namespace moebius::kernels
