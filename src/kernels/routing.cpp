// Drivers of the router: logits as an f32 product, choice of K, counting sort by expert, auxiliary losses and
// gradients. In, out: routing.h. All sums over tokens run in fixed chunks.
#include "kernels/routing.h"

#include <cstring>

#include "base/parallel.h"
#include "kernels/driver.h"

namespace moebius::kernels {

namespace {

constexpr i64 kRouteRows = 64;
constexpr i64 kLossRows = 128;

void check_router(const ConstMatrix& x_TD, const RouterShape& shape, const Routing& routing) {
  check_operand(x_TD.dtype);
  CHECK(routing.tokens == x_TD.rows && routing.top_k == shape.top_k && routing.experts == shape.experts,
        "routing of another router");
  CHECK(shape.top_k >= 1 && shape.top_k <= shape.experts, "top_k lies between 1 and the number of experts");
}

// Rows of x in f32: pointers into x itself, or converted into `copy`.
void f32_rows(const OpTable& table, const ConstMatrix& x_TD, i64 begin, i64 count, i64 col, i64 cols, float* copy,
              const void** rows) {
  for (i64 i = 0; i < count; ++i) {
    const void* row = advance(x_TD.row(begin + i), col, x_TD.dtype);
    if (x_TD.dtype == DType::f32) {
      rows[i] = row;
      continue;
    }
    table.typed[1].to_f32(row, cols, copy + i * cols);
    rows[i] = copy + i * cols;
  }
}

const RouteOps& route_ops(const OpTable& table, const RouterShape& shape) { return table.route[shape.sigmoid ? 1 : 0]; }

bool gates_sum_to_one(const RouterShape& shape) {
  return shape.renormalise || (!shape.sigmoid && !shape.softmax_before_top_k);
}

RouteRows route_rows(const RouterShape& shape, const Routing& routing, const float* logits_TE, const float* prob_TE,
                     i64 begin, i64 count) {
  RouteRows r;
  r.rows = count;
  r.experts = shape.experts;
  r.top_k = shape.top_k;
  r.logits = logits_TE + begin * shape.experts;
  r.prob = const_cast<float*>(prob_TE) + begin * shape.experts;  // written by route_choose alone
  if (routing.expert_TK != nullptr) r.expert = routing.expert_TK + begin * shape.top_k;
  r.scale = shape.scale;
  r.sum_to_one = gates_sum_to_one(shape);
  return r;
}

// Whose gradient is in route_gradient (body/route_body.h).
void gates_of_rows(const RouterShape& shape, const float* prob_TE, const Routing& routing, i64 begin, i64 count) {
  for (i64 t = begin; t < begin + count; ++t) {
    const float* prob = prob_TE + t * shape.experts;
    const i32* chosen = routing.expert_TK + t * shape.top_k;
    float sum = 0;
    for (i64 j = 0; j < shape.top_k; ++j) sum += prob[chosen[j]];
    const float factor = gates_sum_to_one(shape) ? shape.scale / sum : shape.scale;
    for (i64 j = 0; j < shape.top_k; ++j) routing.gate_TK[t * shape.top_k + j] = prob[chosen[j]] * factor;
  }
}

// Panels of w_ED with experts as columns: reduction over D.
const float* pack_experts(const OpTable& table, const float* w_ED, i64 experts, i64 cols, Scratch& shared) {
  const i64 blocks = parallel_chunks(experts, kBlock), panel = parallel_chunks(cols, kBlock) * kBlockElements;
  float* panels = shared.take<float>(blocks * panel);
  for (i64 block = 0; block < blocks; ++block) {
    const void* rows[kBlock];
    const i64 count = std::min(kBlock, experts - block * kBlock);
    for (i64 i = 0; i < count; ++i) rows[i] = w_ED + (block * kBlock + i) * cols;
    table.typed[0].pack_outputs(rows, count, cols, panels + block * panel);
  }
  return panels;
}

struct RouteCall {
  const OpTable& table;
  const ConstMatrix& x_TD;
  const RouterShape& shape;
  const float* selection_bias_E;
  const float* panels;
  float* logits_TE;
  float* prob_TE;
  Routing& routing;

  i64 scratch_bytes() const {
    return Scratch::bytes(kRouteRows * 8) + Scratch::bytes(kRouteRows * x_TD.cols * 4) +
           Scratch::bytes((shape.experts + 16) * 4);
  }

  void run(i64 begin, i64 count, Scratch scratch) const {
    const void** rows = scratch.take<const void*>(kRouteRows);
    float* copy = scratch.take<float>(kRouteRows * x_TD.cols);
    float* score = scratch.take<float>(shape.experts + 16);
    f32_rows(table, x_TD, begin, count, 0, x_TD.cols, copy, rows);
    RowsProduct p;
    p.rows = rows;
    p.num_rows = count;
    p.k = x_TD.cols;
    p.panels = panels;
    p.panel_stride = parallel_chunks(x_TD.cols, kBlock) * kBlockElements;
    p.cols = shape.experts;
    p.out = logits_TE + begin * shape.experts;
    p.out_stride = shape.experts;
    table.typed[0].rows(p);
    RouteRows r = route_rows(shape, routing, logits_TE, prob_TE, begin, count);
    r.bias = selection_bias_E;
    r.score = score;
    route_ops(table, shape).choose(r);
    if (routing.expert_TK != nullptr) gates_of_rows(shape, prob_TE, routing, begin, count);
  }
};

}  // namespace

void route_forward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* selection_bias_E,
                   float* logits_TE, float* prob_TE, Routing& routing) {
  check_router(x_TD, shape, routing);
  const OpTable& table = vector_table();
  const i64 blocks = parallel_chunks(shape.experts, kBlock);
  Scratch shared(workspace_shared(Scratch::bytes(blocks * round_to_block(x_TD.cols) * kBlock * 4)));
  const float* panels = pack_experts(table, w_ED, shape.experts, x_TD.cols, shared);
  const RouteCall call{table, x_TD, shape, selection_bias_E, panels, logits_TE, prob_TE, routing};
  const i64 bytes = call.scratch_bytes();
  parallel_for(parallel_chunks(x_TD.rows, kRouteRows), [&](i64 task, int thread) {
    const i64 begin = task * kRouteRows;
    call.run(begin, std::min(kRouteRows, x_TD.rows - begin), Scratch(workspace_of_thread(thread, bytes)));
  });
}

void route_gates(const RouterShape& shape, const float* prob_TE, const Routing& routing) {
  parallel_for(parallel_chunks(routing.tokens, kRouteRows), [&](i64 task, int) {
    const i64 begin = task * kRouteRows;
    gates_of_rows(shape, prob_TE, routing, begin, std::min(kRouteRows, routing.tokens - begin));
  });
}

void dispatch_tokens(Routing& routing) {
  const i64 rows = routing.rows();
  i32* offset = routing.offset_E1;
  std::memset(offset, 0, static_cast<size_t>(routing.experts + 1) * 4);
  for (i64 i = 0; i < rows; ++i) {
    DCHECK(routing.expert_TK[i] >= 0 && routing.expert_TK[i] < routing.experts, "no such expert");
    ++offset[routing.expert_TK[i] + 1];
  }
  for (i64 e = 0; e < routing.experts; ++e) offset[e + 1] += offset[e];
  // offset[e] serves as the next free row of e and ends as the begin of e + 1; it is moved back afterwards.
  for (i64 slot = 0, t = 0; t < routing.tokens; ++t) {
    i32* rows_K = routing.row_TK + slot;
    for (i64 j = 0; j < routing.top_k; ++j, ++slot) {
      const i32 row = offset[routing.expert_TK[slot]]++;
      routing.token_R[row] = static_cast<i32>(t);
      routing.slot_R[row] = static_cast<i32>(slot);
      i64 at = j;
      for (; at > 0 && rows_K[at - 1] > row; --at) rows_K[at] = rows_K[at - 1];
      rows_K[at] = row;
    }
  }
  std::memmove(offset + 1, offset, static_cast<size_t>(routing.experts) * 4);
  offset[0] = 0;
}

namespace {

// balance_i = E * f_i for each expert.
void load_factors(const RouterShape& shape, const Routing& routing, float* out) {
  const i64 experts = shape.experts;
  const double assignments = static_cast<double>(routing.tokens * shape.top_k);
  for (i64 e = 0; e < experts; ++e) out[e] = 0;
  for (i64 i = 0; i < routing.rows(); ++i) out[routing.expert_TK[i]] += 1.0f;
  for (i64 e = 0; e < experts; ++e)
    out[e] = static_cast<float>(static_cast<double>(experts) * static_cast<double>(out[e]) / assignments);
}

}  // namespace

RouterLosses router_losses(const RouterShape& shape, const float* logits_TE, const float* prob_TE,
                           const Routing& routing) {
  RouterLosses losses;
  if (routing.tokens == 0) return losses;
  const OpTable& table = vector_table();
  const i64 experts = shape.experts, chunks = parallel_chunks(routing.tokens, kLossRows);
  Scratch shared(workspace_shared(Scratch::bytes(experts * 4) + Scratch::bytes(chunks * 24)));
  float* factor = shared.take<float>(experts);
  double* partial = shared.take<double>(chunks * 3);
  load_factors(shape, routing, factor);
  parallel_for(chunks, [&](i64 chunk, int) {
    double* sums = partial + 3 * chunk;
    sums[0] = sums[1] = sums[2] = 0;
    const i64 begin = chunk * kLossRows, end = std::min(routing.tokens, begin + kLossRows);
    route_ops(table, shape).sums(route_rows(shape, routing, logits_TE, prob_TE, begin, end - begin), factor, sums);
  });
  for (i64 chunk = 0; chunk < chunks; ++chunk) {
    losses.balance += partial[3 * chunk];
    losses.z += partial[3 * chunk + 1];
    losses.entropy += partial[3 * chunk + 2];
  }
  losses.balance /= static_cast<double>(routing.tokens);
  losses.z /= static_cast<double>(routing.tokens);
  losses.entropy /= static_cast<double>(routing.tokens);
  return losses;
}

namespace {

struct RouteBackwardCall {
  const OpTable& table;
  const ConstMatrix& x_TD;
  const RouterShape& shape;
  const float* logits_TE;
  const float* prob_TE;
  const Routing& routing;
  const float* dgate_TK;
  const RouterLossGradients& losses;
  const float* factor_E;  // E * f_i
  const float* panels;    // w with D as columns
  float* dlogits_TE;
  float* dw_ED;
  Matrix dx_TD;

  i64 panel_elements() const { return parallel_chunks(shape.experts, kBlock) * kBlockElements; }

  void rows_gradient(i64 begin, i64 count) const {
    const float tokens = static_cast<float>(routing.tokens);
    RouteGradient g;
    g.dgate = dgate_TK + begin * shape.top_k;
    g.factor = factor_E;
    g.balance = losses.balance_coefficient / tokens;
    g.z = losses.z_coefficient * 2.0f / tokens;
    g.dlogits = dlogits_TE + begin * shape.experts;
    route_ops(table, shape).gradient(route_rows(shape, routing, logits_TE, prob_TE, begin, count), g);
  }

  void run_rows(i64 begin, i64 count, Scratch scratch) const {
    const void** rows = scratch.take<const void*>(kRouteRows);
    rows_gradient(begin, count);
    for (i64 i = 0; i < count; ++i) rows[i] = dlogits_TE + (begin + i) * shape.experts;
    RowsProduct p;
    p.rows = rows;
    p.num_rows = count;
    p.k = shape.experts;
    p.panels = panels;
    p.panel_stride = panel_elements();
    p.cols = x_TD.cols;
    p.out = static_cast<float*>(dx_TD.data) + begin * dx_TD.stride;
    p.out_stride = dx_TD.stride;
    p.store = Store::f32_add;
    table.typed[0].rows(p);
  }

  // dw of columns [col, col + cols): all tokens in order, in chunks.
  void run_weight(i64 col, i64 cols, Scratch scratch) const {
    const void** rows = scratch.take<const void*>(kGradientRows);
    float* copy = scratch.take<float>(kGradientRows * kBlock);
    float* left = scratch.take<float>(kGradientRows * kBlock);
    float* right = scratch.take<float>(kGradientRows * kBlock);
    for (i64 begin = 0; begin < x_TD.rows; begin += kGradientRows) {
      const i64 count = std::min(kGradientRows, x_TD.rows - begin);
      f32_rows(table, x_TD, begin, count, col, cols, copy, rows);
      table.typed[0].interleave(rows, count, 0, cols, right);
      for (i64 i = 0; i < count; ++i) rows[i] = dlogits_TE + (begin + i) * shape.experts;
      for (i64 e = 0; e < shape.experts; e += kBlock) {
        PairsProduct p;
        p.rows = std::min(kBlock, shape.experts - e);
        p.cols = cols;
        table.typed[0].interleave_left(rows, count, e, p.rows, left);
        p.left = left;
        p.right = right;
        p.pairs = (count + 1) / 2;
        p.out = dw_ED + e * x_TD.cols + col;
        p.out_stride = x_TD.cols;
        table.typed[0].pairs(p);
      }
    }
  }
};

// Panels of w_ED with D as columns: reduction over experts.
const float* pack_inputs(const OpTable& table, const float* w_ED, i64 experts, i64 cols, Scratch& shared) {
  const i64 panel = parallel_chunks(experts, kBlock) * kBlockElements;
  float* panels = shared.take<float>(parallel_chunks(cols, kBlock) * panel);
  const void** rows = shared.take<const void*>(experts);
  for (i64 e = 0; e < experts; ++e) rows[e] = w_ED + e * cols;
  for (i64 col = 0; col < cols; col += kBlock)
    table.typed[0].interleave(rows, experts, col, std::min(kBlock, cols - col), panels + col / kBlock * panel);
  return panels;
}

}  // namespace

void route_backward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* logits_TE,
                    const float* prob_TE, const Routing& routing, const float* dgate_TK,
                    const RouterLossGradients& losses, float* dlogits_TE, float* dw_ED, Matrix dx_TD) {
  check_router(x_TD, shape, routing);
  CHECK(dx_TD.dtype == DType::f32 && dx_TD.rows == x_TD.rows, "the gradient of the router's input is f32");
  if (x_TD.rows == 0) return;
  const OpTable& table = vector_table();
  const i64 experts = shape.experts, cols = x_TD.cols;
  const i64 panels_elements = parallel_chunks(experts, kBlock) * parallel_chunks(cols, kBlock) * kBlockElements;
  Scratch shared(workspace_shared(Scratch::bytes(panels_elements * 4) + Scratch::bytes(experts * 8) +
                                  Scratch::bytes(experts * 4)));
  const float* panels = pack_inputs(table, w_ED, experts, cols, shared);
  float* factor = shared.take<float>(experts);
  load_factors(shape, routing, factor);
  const RouteBackwardCall call{table,  x_TD,   shape,  logits_TE,  prob_TE, routing, dgate_TK,
                               losses, factor, panels, dlogits_TE, dw_ED,   dx_TD};
  const i64 bytes = Scratch::bytes(kGradientRows * 8) + 3 * Scratch::bytes(kGradientRows * kBlock * 4);
  parallel_for(parallel_chunks(x_TD.rows, kRouteRows), [&](i64 task, int thread) {
    const i64 begin = task * kRouteRows;
    call.run_rows(begin, std::min(kRouteRows, x_TD.rows - begin), Scratch(workspace_of_thread(thread, bytes)));
  });
  parallel_for(parallel_chunks(cols, kBlock), [&](i64 task, int thread) {
    const i64 col = task * kBlock;
    call.run_weight(col, std::min(kBlock, cols - col), Scratch(workspace_of_thread(thread, bytes)));
  });
}

}  // namespace moebius::kernels
