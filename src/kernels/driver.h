// What the drivers share: lists of row pointers, cutting by shape, the loop of a weight gradient.
// In: shapes and row getters. Out: calls of a table's operations. Work is cut by shape alone, never by threads.
#pragma once

#include <algorithm>

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

// How a product of `rows` x `blocks` column blocks is cut: enough tasks for many cores, each worth its start.
struct ProductCut {
  i64 row_parts = 1, col_parts = 1;
  i64 tasks() const { return row_parts * col_parts; }
};
inline ProductCut cut_product(const OpTable& table, i64 rows, i64 blocks, double flops) {
  const i64 wanted = std::clamp<i64>(static_cast<i64>(flops / 1e6), 1, 64);
  ProductCut cut;
  cut.row_parts = std::max((rows + table.rows_per_task - 1) / table.rows_per_task,
                           std::min(wanted, (rows + 47) / 48));
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

// Column k_block of w as a panel whose reduction runs over n: for products with w instead of its transpose.
inline void reinterleave_panel(const TypedOps& ops, const void* w, DType dtype, PackedShape shape, i64 k_block,
                               void* panel) {
  for (i64 n_block = 0; n_block < shape.n_blocks(); ++n_block)
    ops.reinterleave(advance(w, (n_block * shape.k_blocks() + k_block) * kBlockElements, dtype),
                     advance(panel, n_block * kBlockElements, dtype));
}
inline i64 reinterleaved_elements(PackedShape shape) { return shape.n_blocks() * kBlockElements; }

// Rows of a weight gradient that are interleaved at a time, and column blocks of the left operand.
inline constexpr i64 kGradientRows = 256;
inline constexpr i64 kGradientBlocks = 8;

inline constexpr i64 kLeftPanelBytes = kGradientRows * kBlock * 4;

inline i64 gradient_scratch_bytes(DType dtype) {
  return 2 * Scratch::bytes(kGradientRows * 8) + Scratch::bytes(kLeftPanelBytes * kGradientBlocks) +
         Scratch::bytes(kGradientRows * kBlock * dtype_bytes(dtype));
}

// dw[n blocks begin..end) += sum over rows of dy[row][n] * x[row][k], in chunks of rows in order.
template <class DyOf, class XOf>
void add_weight_gradient(const TypedOps& ops, DType dtype, Scratch scratch, i64 num_rows, DyOf dy_of, XOf x_of,
                         PackedShape shape, i64 n_begin, i64 n_end, float* dw) {
  const void** dy_rows = scratch.take<const void*>(kGradientRows);
  const void** x_rows = scratch.take<const void*>(kGradientRows);
  u8* left = scratch.take<u8>(kLeftPanelBytes * kGradientBlocks);
  void* right = scratch.take_bytes(kGradientRows * kBlock * dtype_bytes(dtype));
  for (i64 begin = 0; begin < num_rows; begin += kGradientRows) {
    const i64 count = std::min(kGradientRows, num_rows - begin);
    for (i64 i = 0; i < count; ++i) {
      dy_rows[i] = dy_of(begin + i);
      x_rows[i] = x_of(begin + i);
    }
    for (i64 k_begin = 0; k_begin < shape.k_blocks(); k_begin += kGradientBlocks) {
      const i64 k_end = std::min(shape.k_blocks(), k_begin + kGradientBlocks);
      for (i64 k_block = k_begin; k_block < k_end; ++k_block)
        ops.interleave_left(x_rows, count, k_block * kBlock, std::min(kBlock, shape.k - k_block * kBlock),
                            left + (k_block - k_begin) * kLeftPanelBytes);
      for (i64 n_block = n_begin; n_block < n_end; ++n_block) {
        ops.interleave(dy_rows, count, n_block * kBlock, std::min(kBlock, shape.n - n_block * kBlock), right);
        PairsProduct product;
        product.right = right;
        product.pairs = (count + 1) / 2;
        product.packed = true;
        for (i64 k_block = k_begin; k_block < k_end; ++k_block) {
          product.left = left + (k_block - k_begin) * kLeftPanelBytes;
          product.out = dw + (n_block * shape.k_blocks() + k_block) * kBlockElements;
          ops.pairs(product);
        }
      }
    }
  }
}

// Blocks of n that one task of a weight gradient takes.
inline i64 gradient_group(i64 num_rows, PackedShape shape) {
  const double block_flops = 2.0 * static_cast<double>(num_rows) * kBlock * static_cast<double>(shape.k);
  const i64 wanted = static_cast<i64>(4e6 / std::max(block_flops, 1.0)) + 1;
  // Two blocks share the interleaved left operand; small matrices are cut finer to give every core a task.
  const i64 least = shape.n_blocks() >= 8 ? 2 : 1;
  return std::min(shape.n_blocks(), std::clamp<i64>(wanted, least, 16));
}

}  // namespace moebius::kernels
