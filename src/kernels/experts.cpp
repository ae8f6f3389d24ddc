// Drivers of the grouped experts. A task is a chunk of one expert's rows: it computes up, activation and down while the
// rows are in cache; then each token's rows are summed in the order of its experts. Outputs of narrow experts are added
// directly to the tokens' sums, one expert after the other, which saves a round trip to memory. In, out: experts.h.
#include "kernels/experts.h"

#include "base/parallel.h"
#include "kernels/driver.h"
#include "kernels/profile.h"

namespace moebius::kernels {

namespace {

// Rows [begin, end) of one expert; `part` of its matrix in weight gradients.
struct ExpertTask {
  i64 expert, begin, end;
  GradientPart part;
  bool down;
};

constexpr i64 kCombineRows = 64;
constexpr i64 kRowsPrefetched = 4;  // scattered rows are prefetched this many rows before they are added
// How the experts' outputs are summed by token. A product with at most kInnerMost inner columns takes less time than
// writing its rows to memory and reading them back for the sum. If these rows take more than kRowsBytes, each task
// therefore computes kPartColumns columns of some tokens and adds them to sums that stay in its cache. It reads the
// weights again and transposes them in backward, so an expert should have kPartExpertRows rows in it (more with tiles,
// where products are faster and transposing is not). Smaller parts would give tasks to more cores, but cost 5 to 20 %
// on two. Tuned on two cores of Zen 5 with `moebius bench operation experts` (--experts 8 to 256, --top-k 1 to 16,
// --expert-width 64 to 1024) and `moebius bench grid`.
constexpr i64 kInnerMost = 256, kRowsBytes = 4 << 20, kPartColumns = 4 * kBlock, kSparsityMost = 256;
constexpr i64 kPartTokensLeast = 512, kPartTokensMost = 4096, kPartExpertRows = 64, kPartExpertRowsTiles = 256;

i64 chunk_tasks_max(const OpTable& table, const Routing& routing) {
  return routing.experts + routing.rows() / table.rows_per_task + 1;
}

i64 list_chunks(const OpTable& table, const Routing& routing, ExpertTask* tasks) {
  i64 count = 0;
  const i64 chunk = table.rows_per_task;
  for (i64 e = 0; e < routing.experts; ++e) {
    const i64 rows = routing.expert_rows(e), parts = (rows + chunk - 1) / chunk;
    for (i64 part = 0; part < parts; ++part)
      tasks[count++] = {e,
                        routing.offset_E1[e] + part_begin(rows, parts, part),
                        routing.offset_E1[e] + part_begin(rows, parts, part + 1),
                        {},
                        false};
  }
  return count;
}

void check_bank(const ExpertBank& bank, const Routing& routing, const ConstMatrix& x_TD, const ExpertSaved& saved) {
  check_operand(bank.dtype);
  CHECK(routing.experts == bank.experts && routing.tokens == x_TD.rows, "routing of another layer");
  CHECK(x_TD.dtype == bank.dtype && saved.pre_RU.dtype == bank.dtype && saved.hidden_RF.dtype == bank.dtype,
        "experts' operands must be of the bank's type");
  CHECK(x_TD.cols >= bank.d_model && saved.pre_RU.cols >= bank.up_shape().n && saved.hidden_RF.cols >= bank.width,
        "shapes of the experts' operands do not fit");
  CHECK(saved.pre_RU.rows >= routing.rows() && saved.hidden_RF.rows >= routing.rows(), "too few rows for the routing");
}

// Columns of pre that belong to 32 units: gate and up for SwiGLU.
i64 unit_columns(const ExpertBank& bank) { return bank.activation == Activation::swiglu ? 2 * kBlock : kBlock; }
i64 width_blocks(const ExpertBank& bank) { return (bank.width + kBlock - 1) / kBlock; }

// Tokens [begin, end): out_TD += their rows.
void add_rows(const OpTable& table, const Routing& routing, i64 begin, i64 end, i64 cols, const Matrix& rows_RD,
              const Matrix& out_TD) {
  const auto row = [&](i64 slot) { return rows_RD.f32() + routing.row_TK[slot] * rows_RD.stride; };
  const i64 slots = end * routing.top_k;
  for (i64 slot = begin * routing.top_k; slot < slots; ++slot) {
    if (slot + kRowsPrefetched < slots) prefetch_bytes(row(slot + kRowsPrefetched), cols * 4);
    table.add(row(slot), cols, out_TD.f32() + slot / routing.top_k * out_TD.stride);
  }
}

// Where columns [col, col + cols) of a task's rows go, in f32: consecutive rows, or each row added to its token's row.
struct ExpertOut {
  i64 col = 0, cols = 0;
  float* data = nullptr;
  i64 stride = 0;
  bool add = false;
  float* const* rows = nullptr;

  // `at`: column of the first of the product's.
  void give_to(RowsProduct& product, i64 at) const {
    if (rows == nullptr) product.out = data + at;
    product.out_stride = stride;
    product.out_rows = rows;
    product.out_col = at;
    product.store = add ? Store::f32_add : Store::f32;
  }
};

// True if the weights of a call come from memory.
bool bank_far(const ExpertBank& bank) {
  return bank.experts * (bank.up_shape().elements() + bank.down_shape().elements()) * dtype_bytes(bank.dtype) >
         kFarBytes;
}

// True if row r is token r: then products may add straight into the tokens' rows.
bool is_dense(const Routing& routing) { return routing.experts == 1 && routing.top_k == 1; }

struct ForwardCall {
  const OpTable& table;
  const TypedOps& ops;
  const ConstMatrix& x_TD;
  const Routing& routing;
  const ExpertBank& bank;
  const ExpertSaved& saved;
  bool far = bank_far(bank);

  i64 scratch_bytes() const {
    const i64 rows = table.rows_per_task;
    return std::max(
        rows_scratch_bytes(ops, rows, bank.d_model) + Scratch::bytes(rows * 4) + Scratch::bytes(rows * 2 * kBlock * 4),
        rows_scratch_bytes(ops, rows, bank.width));
  }

  void run_up(const ExpertTask& task, Scratch scratch) const {
    const i64 rows = task.end - task.begin, columns = unit_columns(bank);
    float* gate = scratch.take<float>(rows);
    float* tile = scratch.take<float>(rows * 2 * kBlock);
    for (i64 i = 0; i < rows; ++i) gate[i] = routing.gate_TK[routing.slot_R[task.begin + i]];
    const RowsOperand x(ops, scratch, rows, bank.d_model,
                        [&](i64 i) { return x_TD.row(routing.token_R[task.begin + i]); });
    const PackedShape up_shape = bank.up_shape();
    const i64 up_panel = up_shape.k_blocks() * kBlockElements;
    const void* up = advance(bank.up, task.expert * up_shape.elements(), bank.dtype);
    for (i64 block = 0; block < width_blocks(bank); ++block) {
      const i64 units = std::min(kBlock, bank.width - block * kBlock);
      RowsProduct product = x.product(advance(up, block * (columns / kBlock) * up_panel, bank.dtype), up_panel,
                                      bank.activation == Activation::swiglu ? columns : units);
      product.out = tile;
      product.out_stride = columns;
      product.far = far;
      if (block + 1 < width_blocks(bank))
        product.prefetch = advance(up, (block + 1) * (columns / kBlock) * up_panel, bank.dtype);
      ops.rows(product);
      ActivationForward a;
      a.tile = tile;
      a.rows = rows;
      a.cols = units;
      a.gate = gate;
      a.pre = advance(saved.pre_RU.data, task.begin * saved.pre_RU.stride + block * columns, bank.dtype);
      a.pre_stride = saved.pre_RU.stride;
      a.hidden = advance(saved.hidden_RF.data, task.begin * saved.hidden_RF.stride + block * kBlock, bank.dtype);
      a.hidden_stride = saved.hidden_RF.stride;
      bank.activation == Activation::swiglu ? ops.swiglu_forward(a) : ops.gelu_forward(a);
    }
  }

  void run_down(const ExpertTask& task, Scratch scratch, const ExpertOut& out) const {
    const PackedShape shape = bank.down_shape();
    const i64 panel = shape.k_blocks() * kBlockElements;
    const ConstMatrix hidden_RF = saved.hidden_RF;
    const RowsOperand hidden(ops, scratch, task.end - task.begin, bank.width,
                             [&](i64 i) { return hidden_RF.row(task.begin + i); });
    RowsProduct product = hidden.product(
        advance(bank.down, task.expert * shape.elements() + out.col / kBlock * panel, bank.dtype), panel, out.cols);
    out.give_to(product, 0);
    product.far = far;
    ops.rows(product);
  }
};

// Arguments of run_and_combine: step(task, scratch, out) makes a task's rows, which are then summed into out_TD;
// before(task, scratch) is called once, first. Scratch is what these need in bytes.
struct CombineCall {
  const OpTable& table;
  const Routing& routing;
  const ExpertTask* tasks;
  i64 count, scratch_bytes;
  i64 cols, inner;        // of products
  const Matrix& rows_RD;  // scratch
  const Matrix& out_TD;   // without data: before() alone

  i64 part_tokens() const {
    const i64 rows = table.tiles ? kPartExpertRowsTiles : kPartExpertRows;
    return std::clamp(rows * routing.experts / routing.top_k, kPartTokensLeast, kPartTokensMost);
  }
  // Which products may be added in parts, and the most rows that are not.
  bool narrow() const { return inner <= kInnerMost && routing.experts <= kSparsityMost * routing.top_k; }
  i64 rows_least() const { return kRowsBytes / (4 * cols); }
  bool in_parts() const { return narrow() && routing.rows() > rows_least(); }
  i64 scratch_rows() const {
    return is_dense(routing) ? 0 : narrow() ? std::min(routing.rows(), rows_least()) : routing.rows();
  }
  i64 thread_bytes() const { return scratch_bytes + (in_parts() ? Scratch::bytes(table.rows_per_task * 8) : 0); }

  // Tokens [begin, end), columns [col, col + part).
  template <class Step>
  void run_part(i64 begin, i64 end, i64 col, i64 part, Scratch scratch, Step step) const {
    float** rows = scratch.take<float*>(table.rows_per_task);
    const ExpertOut out{col, part, nullptr, 0, true, rows};
    for (i64 e = 0; e < routing.experts; ++e) {
      // An expert's rows are in the order of their tokens.
      const i32 *first = routing.token_R + routing.offset_E1[e], *last = routing.token_R + routing.offset_E1[e + 1];
      const i64 from = std::lower_bound(first, last, begin) - routing.token_R,
                to = std::lower_bound(first, last, end) - routing.token_R;
      for (i64 row = from; row < to; row += table.rows_per_task) {
        const ExpertTask task{e, row, std::min(to, row + table.rows_per_task), {}, false};
        for (i64 r = row; r < task.end; ++r) rows[r - row] = out_TD.f32() + routing.token_R[r] * out_TD.stride + col;
        step(task, scratch, out);
      }
    }
  }
};

template <class Before, class Step>
void run_and_combine(const CombineCall& call, Before before, Step step) {
  const Routing& routing = call.routing;
  const bool dense = is_dense(routing), all = call.out_TD.data != nullptr, parts = !dense && all && call.in_parts();
  const Matrix& out = dense ? call.out_TD : call.rows_RD;
  CHECK(!all || parts || call.rows_RD.rows >= call.scratch_rows(), "too few rows of scratch for the experts");
  parallel_for(call.count, [&](i64 index, int thread) {
    const Scratch scratch(workspace_of_thread(thread, call.scratch_bytes));
    const ExpertTask& task = call.tasks[index];
    before(task, scratch);
    if (!all || parts) return;
    step(task, scratch, ExpertOut{0, call.cols, out.f32() + task.begin * out.stride, out.stride, dense, nullptr});
  });
  if (dense || !all) return;
  const ProfileScope scope(parts ? Part::experts : Part::combine);
  const i64 tokens = parts ? call.part_tokens() : kCombineRows, columns = parts ? kPartColumns : call.cols;
  const i64 blocks = parallel_chunks(routing.tokens, tokens);
  parallel_for(blocks * parallel_chunks(call.cols, columns), [&](i64 index, int thread) {
    const i64 begin = index % blocks * tokens, end = std::min(routing.tokens, begin + tokens),
              col = index / blocks * columns;
    const i64 part = std::min(columns, call.cols - col);
    if (parts) {
      call.run_part(begin, end, col, part, Scratch(workspace_of_thread(thread, call.thread_bytes())), step);
    } else {
      add_rows(call.table, routing, begin, end, part, call.rows_RD, call.out_TD);
    }
  });
}

}  // namespace

void experts_forward(ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank, const ExpertSaved& saved,
                     Matrix out_RD, Matrix y_TD) {
  check_bank(bank, routing, x_TD, saved);
  const bool saved_only = y_TD.data == nullptr;
  CHECK(out_RD.dtype == DType::f32 && y_TD.dtype == DType::f32, "the experts' outputs are f32");
  CHECK(saved_only || (out_RD.cols >= bank.d_model && y_TD.cols >= bank.d_model && y_TD.rows == routing.tokens),
        "shapes of the experts' outputs do not fit");
  if (routing.tokens == 0) return;
  const OpTable& table = current_table();
  const ForwardCall call{table, ops_of(table, bank.dtype), x_TD, routing, bank, saved};
  auto* tasks = static_cast<ExpertTask*>(
      workspace_shared(chunk_tasks_max(table, routing) * static_cast<i64>(sizeof(ExpertTask))));
  const i64 count = list_chunks(table, routing, tasks), bytes = call.scratch_bytes();
  run_and_combine(
      {table, routing, tasks, count, bytes, bank.d_model, bank.width, out_RD, y_TD},
      [&](const ExpertTask& task, Scratch memory) { call.run_up(task, memory); },
      [&](auto&&... part) { call.run_down(part...); });
}

namespace {

struct BackwardCall {
  const OpTable& table;
  const TypedOps& ops;
  const ConstMatrix& dy_TD;  // in the bank's type
  const ConstMatrix& x_TD;
  const Routing& routing;
  const ExpertBank& bank;
  const ExpertSaved& saved;
  const ExpertBackwardScratch& buffers;
  float* dgate_TK;
  GradientOut dup, ddown;
  bool far = bank_far(bank);

  i64 scratch_bytes() const {
    const i64 rows = table.rows_per_task, size = dtype_bytes(bank.dtype);
    return std::max(rows_scratch_bytes(ops, rows, bank.d_model) + 2 * Scratch::bytes(rows * 4) +
                        Scratch::bytes(rows * kBlock * 4) +
                        Scratch::bytes(reinterleaved_elements(bank.down_shape()) * size),
                    rows_scratch_bytes(ops, rows, bank.up_shape().n) +
                        Scratch::bytes(reinterleaved_elements(bank.up_shape()) * size));
  }

  // While a transposed column of blocks is multiplied, column k_block is prefetched.
  void prefetch_column(RowsProduct& product, const void* w, PackedShape shape, i64 k_block) const {
    product.far = far;
    product.prefetch = advance(w, k_block * kBlockElements, bank.dtype);
    product.prefetch_stride = shape.k_blocks() * kBlockElements * 2;
  }

  // dhidden and through the activation to dpre and dgate.
  void run_activation(const ExpertTask& task, Scratch scratch) const {
    const i64 rows = task.end - task.begin, columns = unit_columns(bank);
    float* gate = scratch.take<float>(rows);
    float* dgate_sum = scratch.take<float>(rows);
    float* tile = scratch.take<float>(rows * kBlock);
    for (i64 i = 0; i < rows; ++i) {
      gate[i] = routing.gate_TK[routing.slot_R[task.begin + i]];
      dgate_sum[i] = 0;
    }
    const PackedShape shape = bank.down_shape();
    const i64 panel = reinterleaved_elements(shape);
    void* transposed = scratch.take_bytes(panel * dtype_bytes(bank.dtype));
    const RowsOperand dy(ops, scratch, rows, bank.d_model,
                         [&](i64 i) { return dy_TD.row(routing.token_R[task.begin + i]); });
    const void* down = advance(bank.down, task.expert * shape.elements(), bank.dtype);
    for (i64 block = 0; block < width_blocks(bank); ++block) {
      reinterleave_panel(ops, down, bank.dtype, shape, block, transposed);
      const i64 units = std::min(kBlock, bank.width - block * kBlock);
      RowsProduct product = dy.product(transposed, panel, units);
      if (block + 1 < shape.k_blocks()) prefetch_column(product, down, shape, block + 1);
      product.out = tile;
      product.out_stride = kBlock;
      ops.rows(product);
      const i64 at = task.begin * saved.pre_RU.stride + block * columns;
      ActivationBackward a;
      a.tile = tile;
      a.rows = rows;
      a.cols = units;
      a.gate = gate;
      a.pre = advance(static_cast<const void*>(saved.pre_RU.data), at, bank.dtype);
      a.dpre = advance(buffers.dpre_RU.data, at, bank.dtype);
      a.pre_stride = saved.pre_RU.stride;
      a.dgate_sum = dgate_sum;
      bank.activation == Activation::swiglu ? ops.swiglu_backward(a) : ops.gelu_backward(a);
    }
    for (i64 i = 0; i < rows; ++i) dgate_TK[routing.slot_R[task.begin + i]] = dgate_sum[i];
  }

  // Of dx.
  void run_input(const ExpertTask& task, Scratch scratch, const ExpertOut& out) const {
    const PackedShape shape = bank.up_shape();
    const i64 panel = reinterleaved_elements(shape);
    void* transposed = scratch.take_bytes(panel * dtype_bytes(bank.dtype));
    const ConstMatrix dpre_RU = buffers.dpre_RU;
    const RowsOperand dpre(ops, scratch, task.end - task.begin, shape.n,
                           [&](i64 i) { return dpre_RU.row(task.begin + i); });
    const void* up = advance(bank.up, task.expert * shape.elements(), bank.dtype);
    for (i64 at = 0; at < out.cols; at += kBlock) {
      reinterleave_panel(ops, up, bank.dtype, shape, (out.col + at) / kBlock, transposed);
      RowsProduct product = dpre.product(transposed, panel, std::min(kBlock, out.cols - at));
      if (at + kBlock < out.cols) prefetch_column(product, up, shape, (out.col + at) / kBlock + 1);
      out.give_to(product, at);
      ops.rows(product);
    }
  }

  i64 list_gradients(ExpertTask* tasks) const {
    i64 count = 0;
    for (const bool down : {false, true}) {
      const PackedShape shape = down ? bank.down_shape() : bank.up_shape();
      for (i64 e = 0; e < routing.experts; ++e) {
        const i64 rows = routing.expert_rows(e);
        if (rows == 0 && !dup.overwrite) continue;
        const GradientCut cut = cut_gradient(rows, shape, routing.experts);
        for (i64 task = 0; task < cut.tasks; ++task)
          tasks[count++] = {e, routing.offset_E1[e], routing.offset_E1[e + 1], cut.part(shape, task), down};
      }
    }
    return count;
  }

  static GradientOut expert_of(GradientOut out, i64 expert, PackedShape shape) {
    out.dw += expert * shape.elements();
    return out;
  }

  void run_gradient(const ExpertTask& task, Scratch scratch) const {
    const i64 rows = task.end - task.begin;
    const i32* token = routing.token_R + task.begin;
    const ConstMatrix dpre_RU = buffers.dpre_RU, hidden_RF = saved.hidden_RF;
    const PackedShape shape = task.down ? bank.down_shape() : bank.up_shape();
    const bool far = operands_far(routing.rows(), shape, bank.dtype);
    if (task.down) {
      add_weight_gradient(
          ops, bank.dtype, scratch, rows, [&](i64 i) { return dy_TD.row(token[i]); },
          [&](i64 i) { return hidden_RF.row(task.begin + i); }, shape, task.part, expert_of(ddown, task.expert, shape),
          far);
    } else {
      add_weight_gradient(
          ops, bank.dtype, scratch, rows, [&](i64 i) { return dpre_RU.row(task.begin + i); },
          [&](i64 i) { return x_TD.row(token[i]); }, shape, task.part, expert_of(dup, task.expert, shape), far);
    }
  }
};

i64 backward_tasks_max(const OpTable& table, const Routing& routing, const ExpertBank& bank) {
  return std::max(chunk_tasks_max(table, routing),
                  bank.experts * (gradient_tasks_max(bank.up_shape()) + gradient_tasks_max(bank.down_shape())));
}

// The list of tasks and dy in the bank's type.
i64 backward_shared_bytes(const OpTable& table, const Routing& routing, const ExpertBank& bank) {
  return Scratch::bytes(backward_tasks_max(table, routing, bank) * static_cast<i64>(sizeof(ExpertTask))) +
         Scratch::bytes(routing.tokens * bank.d_model * 4);
}

// dy in the bank's type: as it is, or rounded into `copy`.
ConstMatrix dy_in_type(const TypedOps& ops, const ConstMatrix& dy_TD, const ExpertBank& bank, void* copy) {
  if (dy_TD.dtype == bank.dtype) return dy_TD;
  CHECK(dy_TD.dtype == DType::f32, "the gradient of the experts' output is f32 or of the bank's type");
  const ConstMatrix result{copy, bank.dtype, dy_TD.rows, bank.d_model, bank.d_model};
  parallel_for(parallel_chunks(dy_TD.rows, kCombineRows), [&](i64 task, int) {
    const i64 end = std::min(dy_TD.rows, (task + 1) * kCombineRows);
    for (i64 t = task * kCombineRows; t < end; ++t)
      ops.from_f32(dy_TD.f32() + t * dy_TD.stride, bank.d_model, const_cast<void*>(result.row(t)));
  });
  return result;
}

}  // namespace

void experts_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank,
                      const ExpertSaved& saved, const ExpertBackwardScratch& scratch, Matrix dx_TD, float* dgate_TK,
                      float* dup, float* ddown, GradientSum sum) {
  check_bank(bank, routing, x_TD, saved);
  CHECK(scratch.dpre_RU.dtype == bank.dtype && scratch.dpre_RU.stride == saved.pre_RU.stride, "dpre must lie as pre");
  CHECK(dx_TD.dtype == DType::f32 && scratch.dx_RD.dtype == DType::f32, "the gradient of the experts' input is f32");
  CHECK(dy_TD.rows == routing.tokens && dx_TD.rows == routing.tokens, "gradients of another batch");
  const GradientOut up_out = gradient_out(dup, sum, bank.up_shape(), bank.experts);
  const GradientOut down_out = gradient_out(ddown, sum, bank.down_shape(), bank.experts);
  if (routing.tokens == 0) {
    clear_gradient(bank.up_shape(), up_out, bank.experts);
    clear_gradient(bank.down_shape(), down_out, bank.experts);
    return;
  }
  const OpTable& table = current_table();
  const TypedOps& ops = ops_of(table, bank.dtype);
  const i64 tasks_max = backward_tasks_max(table, routing, bank);
  Scratch shared(workspace_shared(backward_shared_bytes(table, routing, bank)));
  ExpertTask* tasks = shared.take<ExpertTask>(tasks_max);
  const ConstMatrix dy = dy_in_type(ops, dy_TD, bank, shared.take_bytes(routing.tokens * bank.d_model * 4));
  const BackwardCall call{table, ops, dy, x_TD, routing, bank, saved, scratch, dgate_TK, up_out, down_out};
  const i64 bytes = call.scratch_bytes(), chunks = list_chunks(table, routing, tasks);
  run_and_combine(
      {table, routing, tasks, chunks, bytes, bank.d_model, bank.up_shape().n, scratch.dx_RD, dx_TD},
      [&](const ExpertTask& task, Scratch memory) { call.run_activation(task, memory); },
      [&](auto&&... part) { call.run_input(part...); });
  const ProfileScope scope(Direction::weight_gradient);
  const i64 gradients = call.list_gradients(tasks);
  parallel_for(gradients, [&](i64 task, int thread) {
    call.run_gradient(tasks[task], Scratch(workspace_of_thread(thread, gradient_scratch_bytes(bank.dtype))));
  });
}

i64 experts_scratch_rows(i64 tokens, i64 top_k, const ExpertBank& bank, bool backward) {
  Routing routing;
  routing.tokens = tokens;
  routing.top_k = top_k;
  routing.experts = bank.experts;
  const Matrix none;
  const auto rows = [&](i64 inner) {
    return CombineCall{current_table(), routing, nullptr, 0, 0, bank.d_model, inner, none, none}.scratch_rows();
  };
  return std::max(rows(bank.width), backward ? rows(bank.up_shape().n) : 0);
}

WorkspaceBytes experts_workspace(i64 tokens, i64 top_k, const ExpertBank& bank) {
  const OpTable& table = current_table();
  const TypedOps& ops = ops_of(table, bank.dtype);
  Routing routing;
  routing.tokens = tokens;
  routing.top_k = top_k;
  routing.experts = bank.experts;
  const ConstMatrix in;
  const ExpertSaved saved;
  const ExpertBackwardScratch scratch;
  const ForwardCall forward{table, ops, in, routing, bank, saved};
  const BackwardCall backward{table, ops, in, in, routing, bank, saved, scratch, nullptr, {}, {}};
  const Matrix none;
  const auto combined = [&](i64 bytes, i64 inner) {
    return CombineCall{table, routing, nullptr, 0, bytes, bank.d_model, inner, none, none}.thread_bytes();
  };
  return {std::max({combined(forward.scratch_bytes(), bank.width),
                    combined(backward.scratch_bytes(), bank.up_shape().n), gradient_scratch_bytes(bank.dtype)}),
          backward_shared_bytes(table, routing, bank)};
}

}  // namespace moebius::kernels
