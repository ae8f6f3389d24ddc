// Drivers of attention in training and of rotary positions. A task is one key/value head of one segment with the query
// heads that share it, or several of them where there are many, done by the set as a whole (body/attention_body.h). In,
// out: attention.h.
#include "kernels/attention.h"

#include "base/parallel.h"
#include "kernels/driver.h"

namespace moebius::kernels {

namespace {

constexpr i64 kTasksWanted = 64;
constexpr i64 kRopeRows = 64;

// What a call gives to its tasks.
struct HeadCall {
  const AttentionShape& shape;
  ConstMatrix q_TA, out_TA, dout_TA;
  const float* lse_TH;
  ConstMatrix dq_TA, dk_TG, dv_TG;

  // Key/value heads [kv_head, kv_end).
  HeadAttention task(const AttentionSegment& segment, i64 kv_head, i64 kv_end, void* scratch) const {
    const DType dtype = q_TA.dtype;
    const i64 group = shape.heads / shape.kv_heads, head = kv_head * group, kv_col = kv_head * shape.head_dim;
    // The set knows which of these it writes.
    const auto at = [&](const ConstMatrix& m, i64 col) {
      return m.data == nullptr ? nullptr : const_cast<void*>(advance(m.row(segment.row), col, dtype));
    };
    HeadAttention a;
    a.rows = segment.rows;
    a.keys = segment.kv_rows;
    a.dim = shape.head_dim;
    a.heads = (kv_end - kv_head) * group;
    a.group = group;
    a.scale = shape.scale;
    a.window = shape.window;
    a.q = at(q_TA, head * a.dim);
    a.q_stride = q_TA.stride;
    a.k = advance(segment.k, kv_col, dtype);
    a.v = advance(segment.v, kv_col, dtype);
    a.kv_stride = segment.kv_stride;
    a.out = at(out_TA, head * a.dim);
    a.out_stride = out_TA.stride;
    a.lse = const_cast<float*>(lse_TH) + segment.row * shape.heads + head;
    a.lse_stride = shape.heads;
    a.dout = at(dout_TA, head * a.dim);
    a.dout_stride = dout_TA.stride;
    a.dq = at(dq_TA, head * a.dim);
    a.dq_stride = dq_TA.stride;
    a.dk = at(dk_TG, kv_col);
    a.dv = at(dv_TG, kv_col);
    a.dkv_stride = dk_TG.stride;
    a.scratch = scratch;
    return a;
  }
};

// Of one head with `rows` rows.
template <class Head>
i64 head_bytes(Head head, const AttentionShape& shape, i64 keys) {
  HeadAttention a;
  a.rows = a.keys = keys;
  a.dim = shape.head_dim;
  return head(a);
}

template <class Head>
void run_heads(Head head, const HeadCall& call, std::span<const AttentionSegment> segments) {
  const AttentionShape& shape = call.shape;
  check_operand(call.q_TA.dtype);
  CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0, "kv_heads must divide heads");
  CHECK(shape.head_dim > 0 && shape.head_dim <= 256 && shape.head_dim % 2 == 0, "head_dim is even and at most 256");
  CHECK(call.q_TA.cols >= shape.heads * shape.head_dim && call.out_TA.rows == call.q_TA.rows &&
            call.out_TA.cols >= shape.heads * shape.head_dim && call.out_TA.dtype == call.q_TA.dtype,
        "shapes of attention do not fit");
  i64 keys = 0;
  for (const AttentionSegment& segment : segments) {
    CHECK(segment.row >= 0 && segment.row + segment.rows <= call.q_TA.rows && segment.kv_rows >= segment.rows,
          "a segment reaches beyond its batch");
    keys = std::max(keys, segment.kv_rows);
  }
  const i64 bytes = head_bytes(head, shape, keys);
  // While one head is computed, the next one of the same task is prefetched.
  const i64 count = static_cast<i64>(segments.size());
  const i64 parts = std::clamp<i64>(kTasksWanted / std::max<i64>(count, 1), 1, shape.kv_heads);
  parallel_for(count * parts, [&](i64 index, int thread) {
    const i64 part = index % parts;
    head(call.task(segments[static_cast<size_t>(index / parts)], part_begin(shape.kv_heads, parts, part),
                   part_begin(shape.kv_heads, parts, part + 1), workspace_of_thread(thread, bytes)));
  });
}

}  // namespace

void attention_forward(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                       Matrix out_TA, float* lse_TH) {
  run_heads(ops_of(current_table(), q_TA.dtype).head_forward, {shape, q_TA, out_TA, {}, lse_TH, {}, {}, {}}, segments);
}

void attention_backward(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                        ConstMatrix out_TA, ConstMatrix dout_TA, const float* lse_TH, Matrix dq_TA, Matrix dk_TG,
                        Matrix dv_TG) {
  for (const AttentionSegment& segment : segments)
    CHECK(segment.kv_rows == segment.rows, "backward needs the keys of the batch itself");
  const DType dtype = q_TA.dtype;
  CHECK(dout_TA.dtype == dtype && dq_TA.dtype == dtype && dk_TG.dtype == dtype && dv_TG.dtype == dtype,
        "attention's operands must be of one type");
  CHECK(dk_TG.stride == dv_TG.stride, "gradients of keys and values lie in one matrix");
  run_heads(ops_of(current_table(), dtype).head_backward, {shape, q_TA, out_TA, dout_TA, lse_TH, dq_TA, dk_TG, dv_TG},
            segments);
}

WorkspaceBytes attention_workspace(const AttentionShape& shape, i64 keys, DType dtype) {
  const TypedOps& ops = ops_of(current_table(), dtype);
  return {std::max(head_bytes(ops.head_forward, shape, keys), head_bytes(ops.head_backward, shape, keys)), 0};
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

void rope_apply(Matrix x_TA, i64 heads, i64 head_dim, const i32* position_T, const float* frequency_h, bool inverse) {
  check_operand(x_TA.dtype);
  CHECK(head_dim > 0 && head_dim <= 256 && head_dim % 2 == 0, "head_dim is even and at most 256");
  CHECK(x_TA.cols >= heads * head_dim, "shapes of rotary positions do not fit");
  const OpTable& table = vector_table();
  const TypedOps& ops = ops_of(table, x_TA.dtype);
  const i64 half = head_dim / 2;
  const RopeTable known = make_rope_table(table, x_TA.rows, half, position_T, frequency_h, inverse);
  parallel_for(parallel_chunks(x_TA.rows, kRopeRows), [&](i64 task, int) {
    float angles[256];
    const i64 end = std::min(x_TA.rows, (task + 1) * kRopeRows);
    for (i64 t = task * kRopeRows; t < end; ++t) {
      float* cosine = known.count > 0 ? known.cosine(position_T[t]) : angles;
      if (known.count == 0) table.rope_angles(position_T[t], frequency_h, half, inverse, cosine, cosine + half);
      ops.rope(advance(x_TA.data, t * x_TA.stride, x_TA.dtype), heads, head_dim, cosine, cosine + half);
    }
  });
}

}  // namespace moebius::kernels
