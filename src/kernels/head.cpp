// Embedding look-ups and the head's driver. Tokens are processed in big blocks: for chunks of rows the logits are
// computed, converted to loss and gradient and used for dx while in cache; the block's logit gradients then give dw,
// cut by vocabulary. In, out: head.h.
#include "kernels/head.h"

#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "kernels/driver.h"
#include "kernels/profile.h"

namespace moebius::kernels {

namespace {

// Tuned with `moebius bench operation head` (d = 64 and 384, vocabularies of 1,024 to 32,768) on two cores.
constexpr i64 kEmbeddingRows = 128;
constexpr i64 kLossRows = 256,
              kLossRowsFew = 128;  // rows of a task of the loss: they share a panel of w while it is in cache
constexpr i64 kRowsMany = 4096;    // of a batch; a smaller one is cut finer
constexpr i64 kPartBlocks = 8;     // blocks of vocabulary whose logits are f32 at once
constexpr i64 kPartCols = kPartBlocks * kBlock;
// Padding of rows that are read in parts: with a power of two as stride, all rows would map to the same cache sets.
constexpr i64 kRowGap = 2 * kBlock;
constexpr i64 kStripStride = kPartCols + kRowGap;
constexpr i64 kGradientElements = 32 << 20;  // logit gradients of a block of tokens
constexpr i64 kChunkElements = 1 << 19;      // f32 logits of a chunk of rows (scores)

struct HeadCall {
  const OpTable& table;
  const TypedOps& ops;
  const ConstMatrix& x_TD;
  const PackedWeight& w;
  const i32* target_T;

  i64 vocab() const { return w.shape.n; }
  i64 vocab_padded() const { return round_to_block(vocab()); }
  i64 chunk_rows() const { return std::clamp<i64>(kChunkElements / vocab_padded() / 48 * 48, 48, table.rows_per_task); }
  i64 panel() const { return w.shape.k_blocks() * kBlockElements; }

  i64 scratch_bytes(i64 rows) const {
    return Scratch::bytes(rows * vocab_padded() * 4) + rows_scratch_bytes(ops, rows, w.shape.k);
  }

  // logits [rows][vocab_padded] of rows [begin, begin + rows).
  void logits(i64 begin, i64 rows, Scratch& scratch, float* out) const {
    const RowsOperand x(ops, scratch, rows, w.shape.k, [&](i64 i) { return x_TD.row(begin + i); });
    RowsProduct product = x.product(w.data, panel(), vocab());
    product.out = out;
    product.out_stride = vocab_padded();
    ops.rows(product);
  }
};

void set_value(void* row, DType dtype, i64 index, float value) {
  if (dtype == DType::bf16) {
    static_cast<bf16*>(row)[index] = to_bf16(value);
  } else {
    static_cast<float*>(row)[index] = value;
  }
}

// Loss of a chunk of rows, its logit gradients and dx. Logits exist for one part of the vocabulary at a time: a part
// leaves exp(logit - top of the part) in the operand's type, and once all parts are known, a factor for each row and
// part turns these into gradients just before dx needs them. So each exponential is computed once.
struct LossCall : HeadCall {
  float scale;
  float* loss_T;
  Matrix dx_TD;
  void* gradient;  // [block rows][vocab_padded] in the weight's type

  i64 parts() const { return (w.shape.n_blocks() + kPartBlocks - 1) / kPartBlocks; }
  // Rows of a task and of a block, of a batch of `rows`.
  static i64 task_rows(i64 rows) { return rows >= kRowsMany ? kLossRows : kLossRowsFew; }
  i64 block_rows(i64 rows) const {
    const i64 task = task_rows(rows), tasks = std::max<i64>(1, kGradientElements / vocab_padded() / task);
    return std::min(tasks, parallel_chunks(rows, task)) * task;
  }
  i64 gradient_stride() const { return vocab_padded() + kRowGap; }
  i64 gradient_bytes(i64 rows) const { return block_rows(rows) * gradient_stride() * dtype_bytes(w.dtype); }
  void* gradient_row(i64 i) const { return advance(gradient, i * gradient_stride(), w.dtype); }
  i64 sum_stride() const { return round_to_block(w.shape.k) + kRowGap; }
  i64 part_cols(i64 part) const { return std::min(kPartCols, vocab() - part * kPartCols); }

  i64 loss_bytes() const {
    return Scratch::bytes(kLossRows * kStripStride * 4) + Scratch::bytes(kLossRows * sum_stride() * 4) +
           Scratch::bytes(kPartBlocks * kBlockElements * 4) + 2 * Scratch::bytes(kLossRows * parts() * 4) +
           Scratch::bytes(kLossRows * 4) + rows_scratch_bytes(ops, kLossRows, w.shape.k) +
           rows_scratch_bytes(ops, kLossRows, kPartCols);
  }

  // What is known of each row: [row][part] largest logit and sum of exponentials (later: factor), and the target's
  // logit.
  struct Rows {
    float* top;
    float* sum;
    float* target;
  };

  // Rows [begin, begin + rows) of the batch are rows [at, at + rows) of the block's gradients.
  void run(i64 begin, i64 at, i64 rows, Scratch scratch) const {
    bool any = false;
    for (i64 i = 0; i < rows; ++i) any = any || target_T[begin + i] >= 0;
    if (any) {
      const Rows known{scratch.take<float>(rows * parts()), scratch.take<float>(rows * parts()),
                       scratch.take<float>(rows)};
      softmax_parts(begin, at, rows, known, scratch);
      for (i64 i = 0; i < rows; ++i) finish_row(begin + i, at + i, i, known);
      input_gradient(begin, at, rows, known, scratch);
      return;
    }
    for (i64 i = 0; i < rows; ++i) {
      clear_row(begin + i, at + i);
      std::memset(dx_TD.row(begin + i), 0, static_cast<size_t>(w.shape.k * dtype_bytes(dx_TD.dtype)));
    }
  }

  void clear_row(i64 t, i64 at) const {
    loss_T[t] = 0;
    std::memset(gradient_row(at), 0, static_cast<size_t>(vocab_padded() * dtype_bytes(w.dtype)));
  }

  void softmax_parts(i64 begin, i64 at, i64 rows, const Rows& known, Scratch scratch) const {
    float* strip = scratch.take<float>(rows * kStripStride);
    const RowsOperand x(ops, scratch, rows, w.shape.k, [&](i64 i) { return x_TD.row(begin + i); });
    for (i64 part = 0; part < parts(); ++part) {
      const i64 first = part * kPartCols, cols = part_cols(part);
      RowsProduct product = x.product(advance(w.data, part * kPartBlocks * panel(), w.dtype), panel(), cols);
      product.out = strip;
      product.out_stride = kStripStride;
      ops.rows(product);
      for (i64 i = 0; i < rows; ++i) {
        const float* logit = strip + i * kStripStride;
        const i64 index = i * parts() + part, target = target_T[begin + i] - first;
        known.top[index] =
            ops.softmax_part(logit, cols, known.sum + index, advance(gradient_row(at + i), first, w.dtype));
        if (target >= 0 && target < cols) known.target[i] = logit[target];
      }
    }
  }

  // The row's loss, and in place of its sums the factors of its parts: scale * exp(top - lse).
  void finish_row(i64 t, i64 at, i64 i, const Rows& known) const {
    if (target_T[t] < 0) {
      clear_row(t, at);
      for (i64 part = 0; part < parts(); ++part) known.sum[i * parts() + part] = 0;
      return;
    }
    const float* top = known.top + i * parts();
    float* sum = known.sum + i * parts();
    double largest = top[0], total = 0;
    for (i64 part = 1; part < parts(); ++part) largest = std::max<double>(largest, top[part]);
    for (i64 part = 0; part < parts(); ++part) total += sum[part] * std::exp(top[part] - largest);
    const double lse = largest + std::log(total);
    loss_T[t] = static_cast<float>(lse - known.target[i]);
    for (i64 part = 0; part < parts(); ++part) sum[part] = static_cast<float>(scale * std::exp(top[part] - lse));
    known.target[i] = static_cast<float>(scale * std::expm1(known.target[i] - lse));
  }

  // Gradients of one part of the vocabulary, from its exponentials.
  void scale_part(i64 begin, i64 at, i64 rows, i64 part, const Rows& known) const {
    const i64 first = part * kPartCols, cols = part_cols(part);
    for (i64 i = 0; i < rows; ++i) {
      const i64 target = target_T[begin + i];
      if (target < 0) continue;
      ops.scale_row(cols, known.sum[i * parts() + part], advance(gradient_row(at + i), first, w.dtype));
      if (target >= first && target < first + cols) set_value(gradient_row(at + i), w.dtype, target, known.target[i]);
    }
  }

  void input_gradient(i64 begin, i64 at, i64 rows, const Rows& known, Scratch scratch) const {
    const i64 stride = sum_stride();
    float* sum = scratch.take<float>(rows * stride);
    void* transposed = scratch.take_bytes(kPartBlocks * kBlockElements * dtype_bytes(w.dtype));
    for (i64 part = 0; part < parts(); ++part) {
      const i64 first = part * kPartBlocks, last = std::min(w.shape.n_blocks(), first + kPartBlocks);
      scale_part(begin, at, rows, part, known);
      Scratch inner = scratch;
      const RowsOperand dlogits(ops, inner, rows, part_cols(part),
                                [&](i64 i) { return advance(gradient_row(at + i), first * kBlock, w.dtype); });
      for (i64 block = 0; block < w.shape.k_blocks(); ++block) {
        for (i64 n = first; n < last; ++n)
          ops.reinterleave(advance(w.data, (n * w.shape.k_blocks() + block) * kBlockElements, w.dtype),
                           advance(transposed, (n - first) * kBlockElements, w.dtype));
        RowsProduct product = dlogits.product(transposed, (last - first) * kBlockElements, kBlock);
        product.out = sum + block * kBlock;
        product.out_stride = stride;
        product.store = part == 0 ? Store::f32 : Store::f32_add;
        ops.rows(product);
      }
    }
    const TypedOps& out_ops = ops_of(table, dx_TD.dtype);
    for (i64 i = 0; i < rows; ++i)
      out_ops.from_f32(sum + i * stride, w.shape.k, const_cast<void*>(ConstMatrix(dx_TD).row(begin + i)));
  }
};

void check_head(const ConstMatrix& x_TD, const PackedWeight& w) {
  check_operand(w.dtype);
  CHECK(x_TD.dtype == w.dtype && x_TD.cols >= w.shape.k, "the head's input does not fit its weight");
}

}  // namespace

void head_loss(ConstMatrix x_TD, const PackedWeight& w_VD, const i32* target_T, float scale, float* loss_T,
               Matrix dx_TD, float* dw, GradientSum sum) {
  check_head(x_TD, w_VD);
  check_operand(dx_TD.dtype);
  CHECK(dx_TD.rows == x_TD.rows && dx_TD.cols >= w_VD.shape.k, "the head's gradient does not fit");
  const OpTable& table = current_table();
  LossCall call{{table, ops_of(table, w_VD.dtype), x_TD, w_VD, target_T}, scale, loss_T, dx_TD, nullptr};
  const i64 chunk = LossCall::task_rows(x_TD.rows), block = call.block_rows(x_TD.rows);
  call.gradient = workspace_shared(call.gradient_bytes(x_TD.rows));
  const i64 bytes = call.loss_bytes();
  GradientOut out = gradient_out(dw, sum, w_VD.shape, 1);
  if (x_TD.rows == 0) clear_gradient(w_VD.shape, out);
  out.stream = out.stream && block >= x_TD.rows;
  for (i64 begin = 0; begin < x_TD.rows; begin += block) {
    const i64 rows = std::min(block, x_TD.rows - begin);
    parallel_for(parallel_chunks(rows, chunk), [&](i64 task, int thread) {
      const i64 at = task * chunk;
      call.run(begin + at, at, std::min(chunk, rows - at), Scratch(workspace_of_thread(thread, bytes)));
    });
    const ProfileScope scope(Direction::weight_gradient);
    const GradientCut cut = cut_gradient(rows, w_VD.shape, 1);
    const bool far = operands_far(rows, w_VD.shape, w_VD.dtype);
    parallel_for(cut.tasks, [&](i64 task, int thread) {
      add_weight_gradient(
          call.ops, w_VD.dtype, Scratch(workspace_of_thread(thread, gradient_scratch_bytes(w_VD.dtype))), rows,
          [&](i64 i) { return call.gradient_row(i); }, [&](i64 i) { return x_TD.row(begin + i); }, w_VD.shape,
          cut.part(w_VD.shape, task), out, far);
    });
    out.overwrite = false;
  }
}

WorkspaceBytes head_loss_workspace(i64 rows, PackedShape shape, DType dtype) {
  const OpTable& table = current_table();
  const ConstMatrix none;
  const PackedWeight w{nullptr, dtype, shape};
  const LossCall call{{table, ops_of(table, dtype), none, w, nullptr}, 0, nullptr, {}, nullptr};
  return {std::max(call.loss_bytes(), gradient_scratch_bytes(dtype)), call.gradient_bytes(rows)};
}

void head_score(ConstMatrix x_RD, const PackedWeight& w_VD, std::span<const HeadTarget> targets, float* logprob,
                i32* argmax) {
  check_head(x_RD, w_VD);
  const OpTable& table = current_table();
  const HeadCall call{table, ops_of(table, w_VD.dtype), x_RD, w_VD, nullptr};
  const i64 chunk = call.chunk_rows(), bytes = call.scratch_bytes(chunk), count = static_cast<i64>(targets.size());
  const auto first_of = [&](i64 row) {
    return std::lower_bound(targets.begin(), targets.end(), row, [](const HeadTarget& t, i64 r) { return t.row < r; }) -
           targets.begin();
  };
  parallel_for(parallel_chunks(x_RD.rows, chunk), [&](i64 task, int thread) {
    const i64 begin = task * chunk, rows = std::min(chunk, x_RD.rows - begin);
    i64 i = first_of(begin);
    if (i == count || targets[static_cast<size_t>(i)].row >= begin + rows) return;
    Scratch scratch(workspace_of_thread(thread, bytes));
    float* values = scratch.take<float>(rows * call.vocab_padded());
    call.logits(begin, rows, scratch, values);
    float lse = 0;
    i32 row = -1, largest = -1;
    for (; i < count && targets[static_cast<size_t>(i)].row < begin + rows; ++i) {
      const HeadTarget& target = targets[static_cast<size_t>(i)];
      const float* logits = values + (target.row - begin) * call.vocab_padded();
      if (target.row != row) lse = table.log_sum_exp(logits, call.vocab(), argmax == nullptr ? nullptr : &largest);
      row = target.row;
      logprob[i] = logits[target.token] - lse;
      if (argmax != nullptr) argmax[i] = largest;
    }
  });
}

void log_sum_exp_rows(ConstMatrix logits_RV, float* lse_R, i32* argmax_R) {
  CHECK(logits_RV.dtype == DType::f32, "logits are f32");
  const OpTable& table = current_table();
  const i64 rows = std::clamp<i64>((1 << 16) / std::max<i64>(1, logits_RV.cols), 1, 64);
  parallel_for(parallel_chunks(logits_RV.rows, rows), [&](i64 task, int) {
    for (i64 r = task * rows; r < std::min(logits_RV.rows, (task + 1) * rows); ++r)
      lse_R[r] = table.log_sum_exp(logits_RV.f32() + r * logits_RV.stride, logits_RV.cols, argmax_R + r);
  });
}

void embedding_forward(const float* table_VD, const i32* token_T, Matrix x_TD) {
  CHECK(x_TD.dtype == DType::f32, "the residual stream is f32");
  parallel_for(parallel_chunks(x_TD.rows, kEmbeddingRows), [&](i64 task, int) {
    const i64 end = std::min(x_TD.rows, (task + 1) * kEmbeddingRows);
    for (i64 t = task * kEmbeddingRows; t < end; ++t)
      std::memcpy(static_cast<float*>(x_TD.data) + t * x_TD.stride, table_VD + token_T[t] * x_TD.cols,
                  static_cast<size_t>(x_TD.cols) * 4);
  });
}

void embedding_backward(const i32* token_T, ConstMatrix dx_TD, float* dtable_VD) {
  CHECK(dx_TD.dtype == DType::f32, "the gradient of the residual stream is f32");
  const OpTable& table = current_table();
  // Columns are cut, not tokens: every sum runs over the tokens in order.
  constexpr i64 kColumns = 64;
  parallel_for(parallel_chunks(dx_TD.cols, kColumns), [&](i64 task, int) {
    const i64 col = task * kColumns, cols = std::min(kColumns, dx_TD.cols - col);
    for (i64 t = 0; t < dx_TD.rows; ++t)
      table.add(dx_TD.f32() + t * dx_TD.stride + col, cols, dtable_VD + token_T[t] * dx_TD.cols + col);
  });
}

}  // namespace moebius::kernels
