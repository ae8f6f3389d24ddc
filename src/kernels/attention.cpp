// Drivers of attention: a task is one key/value head of one segment. Its keys and values are packed once; queries pass
// in blocks of 32 rows whose scores (a strip of 32 x keys) never leave the cache. In, out: attention.h.
#include "kernels/attention.h"

#include <cstring>

#include "base/parallel.h"
#include "kernels/driver.h"

namespace moebius::kernels {

namespace {

constexpr i64 kQueryRows = 32;
constexpr i64 kRopeRows = 64;
constexpr i64 kHeadQueriesRoom = 16;  // rows of a block there

void check_attention(const AttentionShape& shape, const ConstMatrix& q_TH, std::span<const AttentionSegment> segments) {
  check_operand(q_TH.dtype);
  CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0, "kv_heads must divide heads");
  CHECK(shape.head_dim > 0 && shape.head_dim <= 256 && shape.head_dim % 2 == 0, "head_dim is even and at most 256");
  CHECK(q_TH.cols >= shape.heads * shape.head_dim, "shapes of attention do not fit");
  for (const AttentionSegment& segment : segments)
    CHECK(segment.row >= 0 && segment.row + segment.rows <= q_TH.rows && segment.kv_rows >= segment.rows,
          "a segment reaches beyond its batch");
}

i64 keys_max(std::span<const AttentionSegment> segments) {
  i64 keys = 0;
  for (const AttentionSegment& segment : segments) keys = std::max(keys, segment.kv_rows);
  return round_to_block(keys);
}

// Room for a block of queries, or of their weights, in the order that the set prepares.
i64 prepared_bytes(const TypedOps& ops, i64 keys, i64 dim) {
  return ops.prepare == nullptr ? 0 : Scratch::bytes(ops.prepare_bytes(kQueryRows, std::max(keys, dim)));
}

// One (segment, kv head): what forward and backward share.
struct HeadTask {
  const AttentionShape& shape;
  const TypedOps& ops;
  DType dtype;
  const AttentionSegment& segment;
  i64 kv_head;
  i64 keys_padded;  // row length of strips
  void* prepared = nullptr;

  i64 dim() const { return shape.head_dim; }
  i64 dim_blocks() const { return (dim() + kBlock - 1) / kBlock; }
  i64 group() const { return shape.heads / shape.kv_heads; }
  i64 position(i64 i) const { return segment.kv_rows - segment.rows + i; }
  i64 first_key(i64 i) const { return shape.window > 0 ? std::max<i64>(0, position(i) - shape.window + 1) : 0; }
  i64 panel_elements() const { return dim_blocks() * kBlockElements; }
  void multiply(RowsProduct& p) const {
    if (ops.prepare != nullptr) {
      ops.prepare(p.rows, p.num_rows, p.k, prepared);
      p.prepared = prepared;
    }
    ops.rows(p);
  }
  static i64 panels_bytes(i64 keys, i64 head_dim, DType dtype) {
    return Scratch::bytes(keys * round_to_block(head_dim) * dtype_bytes(dtype));
  }

  const void** row_pointers(const void* base, Scratch& scratch) const {
    const void** rows = scratch.take<const void*>(segment.kv_rows);
    for (i64 p = 0; p < segment.kv_rows; ++p)
      rows[p] = advance(base, p * segment.kv_stride + kv_head * dim(), dtype);
    return rows;
  }
  // Panels whose columns are keys, for products over head_dim.
  void* pack_keys(const void* const* rows, Scratch& scratch) const {
    void* panels = scratch.take_bytes(keys_padded * round_to_block(dim()) * dtype_bytes(dtype));
    for (i64 key = 0; key < segment.kv_rows; key += kBlock)
      ops.pack_outputs(rows + key, std::min(kBlock, segment.kv_rows - key), dim(),
                       advance(panels, key / kBlock * panel_elements(), dtype));
    return panels;
  }
  // Panels whose columns are head_dim, for products over keys.
  void* pack_values(const void* const* rows, Scratch& scratch) const {
    void* panels = scratch.take_bytes(keys_padded * round_to_block(dim()) * dtype_bytes(dtype));
    for (i64 block = 0; block < dim_blocks(); ++block)
      ops.interleave(rows, segment.kv_rows, block * kBlock, std::min(kBlock, dim() - block * kBlock),
                     advance(panels, block * keys_padded * kBlock, dtype));
    return panels;
  }
};

// Queries [begin, begin + rows) of a segment and the keys [key_begin, key_end) that any of them sees.
struct QueryBlock {
  const HeadTask& task;
  i64 head, begin, rows, key_begin, key_end;

  QueryBlock(const HeadTask& t, i64 head_index, i64 first)
      : task(t), head(head_index), begin(first), rows(std::min(kQueryRows, t.segment.rows - first)) {
    key_begin = task.first_key(begin) / kBlock * kBlock;
    key_end = task.position(begin + rows - 1) + 1;
  }
  i64 keys() const { return key_end - key_begin; }
  i64 first(i64 i) const { return task.first_key(begin + i) - key_begin; }
  i64 last(i64 i) const { return task.position(begin + i) + 1 - key_begin; }
  i64 batch_row(i64 i) const { return task.segment.row + begin + i; }
  i64 col() const { return head * task.dim(); }

  void pointers(const ConstMatrix& m, const void** rows_out) const {
    for (i64 i = 0; i < rows; ++i) rows_out[i] = advance(m.row(batch_row(i)), col(), m.dtype);
  }
  // strip[i][key - key_begin] = rows[i] . key
  void scores(const void* const* row_list, const void* key_panels, float* strip) const {
    RowsProduct p;
    p.rows = row_list;
    p.num_rows = rows;
    p.k = task.dim();
    p.panels = advance(key_panels, key_begin / kBlock * task.panel_elements(), task.dtype);
    p.panel_stride = task.panel_elements();
    p.cols = keys();
    p.out = strip;
    p.out_stride = task.keys_padded;
    task.multiply(p);
  }
  // out rows of this head = strip (in the operand type) times values.
  void weigh(const void* strip, const void** row_list, const void* value_panels, const Matrix& out) const {
    for (i64 i = 0; i < rows; ++i) row_list[i] = advance(strip, i * task.keys_padded, task.dtype);
    RowsProduct p;
    p.rows = row_list;
    p.num_rows = rows;
    p.k = keys();
    p.panels = advance(value_panels, key_begin * kBlock, task.dtype);
    p.panel_stride = task.keys_padded * kBlock;
    p.cols = task.dim();
    p.out = advance(out.data, batch_row(0) * out.stride + col(), out.dtype);
    p.out_stride = out.stride;
    p.store = store_of(out.dtype, false);
    task.multiply(p);
  }
};

// Small heads of documents in training are done by the set as a whole (table.h). Inference keeps to the way of the cached keys
// (attention_cache.h), whose bits it must have.
bool small_heads(const AttentionShape& shape) { return shape.window == 0 && (shape.head_dim == 16 || shape.head_dim == 32); }

// Of head_backward, which needs more than head_forward: elements as f32.
i64 small_bytes(i64 keys, i64 dim) {
  const i64 padded = round_to_block(keys);
  return Scratch::bytes(4 * (5 * padded * dim + 5 * kHeadQueriesRoom * dim + 5 * kHeadQueriesRoom * padded)) + 16 * 64;
}

HeadAttention head_attention(const AttentionShape& shape, const AttentionSegment& segment, i64 kv_head, ConstMatrix q_TH,
                             const float* lse_TH, void* scratch) {
  const i64 group = shape.heads / shape.kv_heads, head = kv_head * group;
  HeadAttention a;
  a.rows = segment.rows;
  a.keys = segment.kv_rows;
  a.dim = shape.head_dim;
  a.heads = group;
  a.scale = shape.scale;
  a.q = advance(q_TH.row(segment.row), head * a.dim, q_TH.dtype);
  a.q_stride = q_TH.stride;
  a.k = advance(segment.k, kv_head * a.dim, q_TH.dtype);
  a.v = advance(segment.v, kv_head * a.dim, q_TH.dtype);
  a.kv_stride = segment.kv_stride;
  a.lse = const_cast<float*>(lse_TH) + segment.row * shape.heads + head;  // backward reads it
  a.lse_stride = shape.heads;
  a.scratch = scratch;
  return a;
}

i64 forward_bytes(const TypedOps& ops, i64 keys, i64 dim, DType dtype) {
  return Scratch::bytes(keys * 8) + 2 * HeadTask::panels_bytes(keys, dim, dtype) + Scratch::bytes(kQueryRows * 8) +
         Scratch::bytes(kQueryRows * keys * 4) + Scratch::bytes(kQueryRows * keys * dtype_bytes(dtype)) +
         prepared_bytes(ops, keys, dim);
}

void forward_task(HeadTask task, const ConstMatrix& q_TH, const Matrix& out_TH, float* lse_TH, Scratch scratch) {
  Scratch lists = scratch;
  const void* keys = nullptr;
  const void* values = nullptr;
  scratch.take<const void*>(task.keys_padded);
  {
    Scratch once = lists;
    keys = task.pack_keys(task.row_pointers(task.segment.k, once), scratch);
  }
  values = task.pack_values(task.row_pointers(task.segment.v, lists), scratch);
  task.prepared = scratch.take_bytes(prepared_bytes(task.ops, task.keys_padded, task.dim()));
  const void** rows = scratch.take<const void*>(kQueryRows);
  float* strip = scratch.take<float>(kQueryRows * task.keys_padded);
  void* prob = scratch.take_bytes(kQueryRows * task.keys_padded * dtype_bytes(task.dtype));
  for (i64 head = task.kv_head * task.group(); head < (task.kv_head + 1) * task.group(); ++head)
    for (i64 begin = 0; begin < task.segment.rows; begin += kQueryRows) {
      const QueryBlock block(task, head, begin);
      block.pointers(q_TH, rows);
      block.scores(rows, keys, strip);
      for (i64 i = 0; i < block.rows; ++i) {
        const float lse =
            task.ops.attention_softmax(strip + i * task.keys_padded, block.first(i), block.last(i), block.keys(),
                                       task.shape.scale, advance(prob, i * task.keys_padded, task.dtype));
        if (lse_TH != nullptr) lse_TH[block.batch_row(i) * task.shape.heads + head] = lse;
      }
      block.weigh(prob, rows, values, out_TH);
    }
}

}  // namespace

void attention_forward(const AttentionShape& shape, ConstMatrix q_TH, std::span<const AttentionSegment> segments,
                       Matrix out_TH, float* lse_TH) {
  check_attention(shape, q_TH, segments);
  CHECK(out_TH.rows == q_TH.rows && out_TH.cols >= shape.heads * shape.head_dim, "shapes of attention do not fit");
  check_operand(out_TH.dtype);
  const TypedOps& ops = ops_of(vector_table(), q_TH.dtype);
  const bool small = lse_TH != nullptr && small_heads(shape);
  const i64 keys = keys_max(segments);
  const i64 bytes = small ? small_bytes(keys, shape.head_dim) : forward_bytes(ops, keys, shape.head_dim, q_TH.dtype);
  parallel_for(static_cast<i64>(segments.size()) * shape.kv_heads, [&](i64 index, int thread) {
    const AttentionSegment& segment = segments[static_cast<size_t>(index / shape.kv_heads)];
    if (small) {
      HeadAttention a = head_attention(shape, segment, index % shape.kv_heads, q_TH, lse_TH, workspace_of_thread(thread, bytes));
      a.out = advance(out_TH.row(segment.row), index % shape.kv_heads * a.heads * a.dim, q_TH.dtype);
      a.out_stride = out_TH.stride;
      return ops.head_forward(a);
    }
    const HeadTask task{shape, ops, q_TH.dtype, segment, index % shape.kv_heads, round_to_block(segment.kv_rows)};
    forward_task(task, q_TH, out_TH, lse_TH, Scratch(workspace_of_thread(thread, bytes)));
  });
}

namespace {

struct BackwardInputs {
  ConstMatrix q_TH, out_TH, dout_TH;
  const float* lse_TH;
  Matrix dq_TH, dk_TG, dv_TG;
};

i64 backward_bytes(const TypedOps& ops, i64 keys, i64 dim, DType dtype) {
  const i64 strip = Scratch::bytes(kQueryRows * keys * 4), small = Scratch::bytes(kQueryRows * 8);
  return Scratch::bytes(keys * 8) * 2 + 3 * HeadTask::panels_bytes(keys, dim, dtype) + 4 * strip + 4 * small +
         2 * Scratch::bytes(keys * dim * 4) + 2 * Scratch::bytes(kQueryRows * round_to_block(dim) * 4) +
         Scratch::bytes(kQueryRows * kBlock * 4) + prepared_bytes(ops, keys, dim);
}

// Working memory of one backward task.
struct BackwardTask {
  const HeadTask& task;
  const BackwardInputs& in;
  const void* keys;        // columns are keys
  const void* values;      // columns are values' positions
  const void* key_values;  // columns are head_dim, for dq
  const void** rows;
  const void** dout_rows;
  const void** strip_rows;
  float* score;
  float* dprob;
  void* prob;
  void* dscore;
  float* dk;
  float* dv;
  void* q_panels;
  void* dout_panels;
  void* left;

  // d[key][dim] += sum over the block's queries of strip[query][key] * right[query][dim].
  void add_outer(const QueryBlock& block, const void* strip, const void* right, float* sum) const {
    for (i64 i = 0; i < block.rows; ++i) strip_rows[i] = advance(strip, i * task.keys_padded, task.dtype);
    for (i64 key = 0; key < block.keys(); key += kBlock) {
      task.ops.interleave_left(strip_rows, block.rows, key, std::min(kBlock, block.keys() - key), left);
      for (i64 b = 0; b < task.dim_blocks(); ++b) {
        PairsProduct p;
        p.left = left;
        p.right = advance(right, b * kQueryRows * kBlock, task.dtype);
        p.pairs = (block.rows + 1) / 2;
        p.out = sum + (block.key_begin + key) * task.dim() + b * kBlock;
        p.out_stride = task.dim();
        p.rows = std::min(kBlock, block.keys() - key);
        p.cols = std::min(kBlock, task.dim() - b * kBlock);
        task.ops.pairs(p);
      }
    }
  }

  void run_block(i64 head, i64 begin) const {
    const QueryBlock block(task, head, begin);
    block.pointers(in.q_TH, rows);
    block.pointers(in.dout_TH, dout_rows);
    block.scores(rows, keys, score);
    block.scores(dout_rows, values, dprob);
    for (i64 i = 0; i < block.rows; ++i) {
      const void* out_row = advance(in.out_TH.row(block.batch_row(i)), block.col(), task.dtype);
      const float delta = task.ops.dot(out_row, dout_rows[i], task.dim());
      const float lse = in.lse_TH[block.batch_row(i) * task.shape.heads + head];
      const i64 at = i * task.keys_padded;
      task.ops.attention_gradient(score + at, dprob + at, block.first(i), block.last(i), block.keys(),
                                  task.shape.scale, lse, delta, advance(prob, at, task.dtype),
                                  advance(dscore, at, task.dtype));
    }
    for (i64 b = 0; b < task.dim_blocks(); ++b) {
      const i64 cols = std::min(kBlock, task.dim() - b * kBlock), at = b * kQueryRows * kBlock;
      task.ops.interleave(rows, block.rows, b * kBlock, cols, advance(q_panels, at, task.dtype));
      task.ops.interleave(dout_rows, block.rows, b * kBlock, cols, advance(dout_panels, at, task.dtype));
    }
    add_outer(block, prob, dout_panels, dv);
    add_outer(block, dscore, q_panels, dk);
    block.weigh(dscore, strip_rows, key_values, in.dq_TH);
  }
};

void backward_task(HeadTask task, const BackwardInputs& in, Scratch scratch) {
  const i64 keys = task.keys_padded, size = dtype_bytes(task.dtype), dim = task.dim();
  const void* const* key_rows = task.row_pointers(task.segment.k, scratch);
  const void* const* value_rows = task.row_pointers(task.segment.v, scratch);
  task.prepared = scratch.take_bytes(prepared_bytes(task.ops, keys, dim));
  BackwardTask b{task, in, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                 nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  b.keys = task.pack_keys(key_rows, scratch);
  b.values = task.pack_keys(value_rows, scratch);
  b.key_values = task.pack_values(key_rows, scratch);
  b.rows = scratch.take<const void*>(kQueryRows);
  b.dout_rows = scratch.take<const void*>(kQueryRows);
  b.strip_rows = scratch.take<const void*>(kQueryRows);
  b.score = scratch.take<float>(kQueryRows * keys);
  b.dprob = scratch.take<float>(kQueryRows * keys);
  b.prob = scratch.take_bytes(kQueryRows * keys * size);
  b.dscore = scratch.take_bytes(kQueryRows * keys * size);
  b.dk = scratch.take<float>(keys * dim);
  b.dv = scratch.take<float>(keys * dim);
  b.q_panels = scratch.take_bytes(kQueryRows * round_to_block(dim) * size);
  b.dout_panels = scratch.take_bytes(kQueryRows * round_to_block(dim) * size);
  b.left = scratch.take_bytes(kQueryRows * kBlock * 4);
  std::memset(b.dk, 0, static_cast<size_t>(keys * dim) * 4);
  std::memset(b.dv, 0, static_cast<size_t>(keys * dim) * 4);
  for (i64 head = task.kv_head * task.group(); head < (task.kv_head + 1) * task.group(); ++head)
    for (i64 begin = 0; begin < task.segment.rows; begin += kQueryRows) b.run_block(head, begin);
  for (i64 p = 0; p < task.segment.rows; ++p) {
    const i64 row = task.segment.row + p, col = task.kv_head * dim;
    task.ops.from_f32(b.dk + p * dim, dim, advance(in.dk_TG.data, row * in.dk_TG.stride + col, task.dtype));
    task.ops.from_f32(b.dv + p * dim, dim, advance(in.dv_TG.data, row * in.dv_TG.stride + col, task.dtype));
  }
}

void small_backward(const TypedOps& ops, const AttentionShape& shape, const AttentionSegment& segment, i64 kv_head,
                    const BackwardInputs& in, void* scratch) {
  HeadAttention a = head_attention(shape, segment, kv_head, in.q_TH, in.lse_TH, scratch);
  const DType dtype = in.q_TH.dtype;
  const i64 head_col = kv_head * a.heads * a.dim, kv_col = kv_head * a.dim;
  a.out = const_cast<void*>(advance(in.out_TH.row(segment.row), head_col, dtype));  // read alone
  a.out_stride = in.out_TH.stride;
  a.dout = advance(in.dout_TH.row(segment.row), head_col, dtype);
  a.dout_stride = in.dout_TH.stride;
  a.dq = advance(in.dq_TH.row(segment.row), head_col, dtype);
  a.dq_stride = in.dq_TH.stride;
  a.dk = advance(in.dk_TG.row(segment.row), kv_col, dtype);
  a.dv = advance(in.dv_TG.row(segment.row), kv_col, dtype);
  a.dkv_stride = in.dk_TG.stride;
  ops.head_backward(a);
}

}  // namespace

void attention_backward(const AttentionShape& shape, ConstMatrix q_TH, std::span<const AttentionSegment> segments,
                        ConstMatrix out_TH, ConstMatrix dout_TH, const float* lse_TH, Matrix dq_TH, Matrix dk_TG,
                        Matrix dv_TG) {
  check_attention(shape, q_TH, segments);
  for (const AttentionSegment& segment : segments)
    CHECK(segment.kv_rows == segment.rows, "backward needs the keys of the batch itself");
  const DType dtype = q_TH.dtype;
  CHECK(out_TH.dtype == dtype && dout_TH.dtype == dtype && dq_TH.dtype == dtype && dk_TG.dtype == dtype &&
            dv_TG.dtype == dtype, "attention's operands must be of one type");
  CHECK(dk_TG.stride == dv_TG.stride, "gradients of keys and values lie in one matrix");
  const TypedOps& ops = ops_of(vector_table(), dtype);
  const BackwardInputs in{q_TH, out_TH, dout_TH, lse_TH, dq_TH, dk_TG, dv_TG};
  const bool small = small_heads(shape);
  const i64 keys = keys_max(segments);
  const i64 bytes = small ? small_bytes(keys, shape.head_dim) : backward_bytes(ops, keys, shape.head_dim, dtype);
  parallel_for(static_cast<i64>(segments.size()) * shape.kv_heads, [&](i64 index, int thread) {
    const AttentionSegment& segment = segments[static_cast<size_t>(index / shape.kv_heads)];
    if (small) return small_backward(ops, shape, segment, index % shape.kv_heads, in, workspace_of_thread(thread, bytes));
    const HeadTask task{shape, ops, dtype, segment, index % shape.kv_heads, round_to_block(segment.kv_rows)};
    backward_task(task, in, Scratch(workspace_of_thread(thread, bytes)));
  });
}

WorkspaceBytes attention_workspace(const AttentionShape& shape, i64 keys, DType dtype) {
  const TypedOps& ops = ops_of(vector_table(), dtype);
  const i64 padded = round_to_block(keys), dim = shape.head_dim;
  const i64 backward = small_heads(shape) ? small_bytes(padded, dim) : backward_bytes(ops, padded, dim, dtype);
  return {std::max(forward_bytes(ops, padded, dim, dtype), backward), 0};
}

namespace {

// Sines and cosines of the positions [first, first + count), each [head_dim / 2], cosines first.
struct RopeTable {
  i64 first = 0, count = 0, half = 0;
  float* values = nullptr;
  float* cosine(i64 position) const { return values + (position - first) * 2 * half; }
};

// A batch of documents repeats few positions: then their angles are made once. Else (count 0) each row makes its own.
RopeTable make_rope_table(const OpTable& table, i64 rows, i64 half, const i32* position_T, const float* frequency_h,
                          bool inverse) {
  if (rows == 0) return {};
  const auto [least, most] = std::minmax_element(position_T, position_T + rows);
  RopeTable result{*least, static_cast<i64>(*most) - *least + 1, half, nullptr};
  if (result.count * 2 > rows) return {};
  result.values = static_cast<float*>(workspace_shared(result.count * 2 * half * 4));
  parallel_for(parallel_chunks(result.count, kRopeRows), [&](i64 task, int) {
    const i64 end = std::min(result.count, (task + 1) * kRopeRows);
    for (i64 i = task * kRopeRows; i < end; ++i) {
      float* cosine = result.cosine(result.first + i);
      table.rope_angles(static_cast<i32>(result.first + i), frequency_h, half, inverse, cosine, cosine + half);
    }
  });
  return result;
}

}  // namespace

void rope_apply(Matrix x_TH, i64 heads, i64 head_dim, const i32* position_T, const float* frequency_h, bool inverse) {
  check_operand(x_TH.dtype);
  CHECK(head_dim > 0 && head_dim <= 256 && head_dim % 2 == 0, "head_dim is even and at most 256");
  CHECK(x_TH.cols >= heads * head_dim, "shapes of rotary positions do not fit");
  const OpTable& table = vector_table();
  const TypedOps& ops = ops_of(table, x_TH.dtype);
  const i64 half = head_dim / 2;
  const RopeTable known = make_rope_table(table, x_TH.rows, half, position_T, frequency_h, inverse);
  parallel_for(parallel_chunks(x_TH.rows, kRopeRows), [&](i64 task, int) {
    float angles[256];
    const i64 end = std::min(x_TH.rows, (task + 1) * kRopeRows);
    for (i64 t = task * kRopeRows; t < end; ++t) {
      float* cosine = known.count > 0 ? known.cosine(position_T[t]) : angles;
      if (known.count == 0) table.rope_angles(position_T[t], frequency_h, half, inverse, cosine, cosine + half);
      ops.rope(advance(x_TH.data, t * x_TH.stride, x_TH.dtype), heads, head_dim, cosine, cosine + half);
    }
  });
}

}  // namespace moebius::kernels
