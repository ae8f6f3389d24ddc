// Drivers of the linear layers: cut by rows and columns, hand tiles to the chosen set. In, out: linear.h.
#include "kernels/linear.h"

#include "base/parallel.h"
#include "kernels/driver.h"

namespace moebius::kernels {

namespace {

void check_product(const ConstMatrix& in, i64 in_cols, const PackedWeight& w, const Matrix& out, i64 out_cols,
                   bool accumulate) {
  check_operand(w.dtype);
  CHECK(in.dtype == w.dtype, "operand and weight must be of one type");
  CHECK(in.cols >= in_cols && out.cols >= out_cols && in.rows == out.rows, "shapes of a linear layer do not fit");
  CHECK(!accumulate || out.dtype == DType::f32, "only f32 outputs accumulate");
  CHECK(out.dtype == DType::f32 || out.dtype == DType::bf16, "outputs of kernels are bf16 or f32");
}

// Least rows of a task. Backward transposes each block of weights for the rows of a task, so its tasks have more rows.
// Tuned with `moebius bench operation linear` on two cores of Zen 5.
constexpr i64 kForwardRows = 48, kBackwardRows = 192;

struct LinearCut : ProductCut {
  LinearCut(const OpTable& table, i64 rows, i64 blocks, PackedShape shape, i64 rows_least)
      : ProductCut(cut_product(table, rows, blocks,
                               2.0 * static_cast<double>(rows * shape.n) * static_cast<double>(shape.k), rows_least)) {}
};

i64 forward_bytes(const TypedOps& ops, const ProductCut& cut, i64 rows, PackedShape shape) {
  return rows_scratch_bytes(ops, rows / cut.row_parts + 1, shape.k);
}
i64 backward_bytes(const TypedOps& ops, const ProductCut& cut, i64 rows, PackedShape shape, DType dtype) {
  return rows_scratch_bytes(ops, rows / cut.row_parts + 1, shape.n) +
         Scratch::bytes(reinterleaved_elements(shape) * dtype_bytes(dtype));
}

}  // namespace

void linear_forward(ConstMatrix x_TI, const PackedWeight& w, Matrix y_TN, bool accumulate) {
  check_product(x_TI, w.shape.k, w, y_TN, w.shape.n, accumulate);
  const OpTable& table = current_table();
  const TypedOps& ops = ops_of(table, w.dtype);
  const i64 rows = x_TI.rows, blocks = w.shape.n_blocks(), panel = w.shape.k_blocks() * kBlockElements;
  if (rows == 0) return;
  const LinearCut cut(table, rows, blocks, w.shape, kForwardRows);
  const i64 bytes = forward_bytes(ops, cut, rows, w.shape);
  parallel_for(cut.tasks(), [&](i64 task, int thread) {
    const i64 row = part_begin(rows, cut.row_parts, task / cut.col_parts);
    const i64 row_end = part_begin(rows, cut.row_parts, task / cut.col_parts + 1);
    const i64 block = part_begin(blocks, cut.col_parts, task % cut.col_parts);
    const i64 block_end = part_begin(blocks, cut.col_parts, task % cut.col_parts + 1);
    Scratch scratch(workspace_of_thread(thread, bytes));
    const RowsOperand x(ops, scratch, row_end - row, w.shape.k, [&](i64 i) { return x_TI.row(row + i); });
    RowsProduct product = x.product(advance(w.data, block * panel, w.dtype), panel,
                                    std::min(block_end * kBlock, w.shape.n) - block * kBlock);
    product.out = advance(y_TN.row(row), block * kBlock, y_TN.dtype);
    product.out_stride = y_TN.stride;
    product.store = store_of(y_TN.dtype, accumulate);
    ops.rows(product);
  });
}

void linear_backward_input(ConstMatrix dy_TN, const PackedWeight& w, Matrix dx_TI, bool accumulate) {
  check_product(dy_TN, w.shape.n, w, dx_TI, w.shape.k, accumulate);
  const OpTable& table = current_table();
  const TypedOps& ops = ops_of(table, w.dtype);
  const i64 rows = dy_TN.rows, blocks = w.shape.k_blocks();
  if (rows == 0) return;
  const LinearCut cut(table, rows, blocks, w.shape, kBackwardRows);
  const i64 panel = reinterleaved_elements(w.shape), bytes = backward_bytes(ops, cut, rows, w.shape, w.dtype);
  parallel_for(cut.tasks(), [&](i64 task, int thread) {
    const i64 row = part_begin(rows, cut.row_parts, task / cut.col_parts);
    const i64 row_end = part_begin(rows, cut.row_parts, task / cut.col_parts + 1);
    const i64 block_end = part_begin(blocks, cut.col_parts, task % cut.col_parts + 1);
    Scratch scratch(workspace_of_thread(thread, bytes));
    void* transposed = scratch.take_bytes(panel * dtype_bytes(w.dtype));
    const RowsOperand dy(ops, scratch, row_end - row, w.shape.n, [&](i64 i) { return dy_TN.row(row + i); });
    for (i64 block = part_begin(blocks, cut.col_parts, task % cut.col_parts); block < block_end; ++block) {
      reinterleave_panel(ops, w.data, w.dtype, w.shape, block, transposed);
      RowsProduct product = dy.product(transposed, panel, std::min(kBlock, w.shape.k - block * kBlock));
      product.out = advance(dx_TI.row(row), block * kBlock, dx_TI.dtype);
      product.out_stride = dx_TI.stride;
      product.store = store_of(dx_TI.dtype, accumulate);
      ops.rows(product);
    }
  });
}

void linear_backward_weight(ConstMatrix dy_TN, ConstMatrix x_TI, PackedShape shape, float* dw, GradientSum sum) {
  check_operand(x_TI.dtype);
  CHECK(dy_TN.dtype == x_TI.dtype, "operands of a weight gradient must be of one type");
  CHECK(dy_TN.rows == x_TI.rows && dy_TN.cols >= shape.n && x_TI.cols >= shape.k, "shapes do not fit");
  const TypedOps& ops = ops_of(current_table(), x_TI.dtype);
  const GradientCut cut = cut_gradient(x_TI.rows, shape, 1);
  const GradientOut out = gradient_out(dw, sum, shape, 1);
  const bool far = operands_far(x_TI.rows, shape, x_TI.dtype);
  parallel_for(cut.tasks, [&](i64 task, int thread) {
    const Scratch scratch(workspace_of_thread(thread, gradient_scratch_bytes(x_TI.dtype)));
    add_weight_gradient(
        ops, x_TI.dtype, scratch, x_TI.rows, [&](i64 t) { return dy_TN.row(t); }, [&](i64 t) { return x_TI.row(t); },
        shape, cut.part(shape, task), out, far);
  });
}

WorkspaceBytes linear_workspace(i64 rows, PackedShape shape, DType dtype) {
  const OpTable& table = current_table();
  const TypedOps& ops = ops_of(table, dtype);
  const LinearCut forward(table, rows, shape.n_blocks(), shape, kForwardRows);
  const LinearCut backward(table, rows, shape.k_blocks(), shape, kBackwardRows);
  return {std::max({forward_bytes(ops, forward, rows, shape), backward_bytes(ops, backward, rows, shape, dtype),
                    gradient_scratch_bytes(dtype)}),
          0};
}

}  // namespace moebius::kernels
