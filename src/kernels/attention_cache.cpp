// Drivers of attention over packed keys and values. All heads of a group (grouped queries) pass as rows of one product.
// Tasks are (segment, key/value head), several of them where each is small. In, out: attention_cache.h.
#include "kernels/attention_cache.h"

#include <cstring>

#include "base/parallel.h"
#include "kernels/driver.h"

namespace moebius::kernels {

namespace {

constexpr i64 kQueryRows = 32;
constexpr i64 kTasksWanted = 256;  // finer cuts cost more than they balance

// What all tasks of a call share.
struct Call {
  const AttentionShape& shape;
  const TypedOps& ops;
  ConstMatrix qkv_TC;  // queries first
  Matrix out_TA;
  i64 keys_padded;  // row length of strips

  DType dtype() const { return qkv_TC.dtype; }
  i64 dim() const { return shape.head_dim; }
  i64 group() const { return shape.heads / shape.kv_heads; }
  i64 rows_max() const { return std::max(kQueryRows, group()); }
  i64 prepared_bytes() const {
    return ops.prepare == nullptr ? 0 : ops.prepare_bytes(rows_max(), std::max(keys_padded, dim()));
  }
  i64 scratch_bytes() const {
    const i64 strip = rows_max() * keys_padded;
    return Scratch::bytes(rows_max() * 8) + Scratch::bytes(strip * 4) + Scratch::bytes(strip * dtype_bytes(dtype())) +
           Scratch::bytes(prepared_bytes());
  }
  const void* key_row(i64 row, i64 kv_head) const {
    return advance(qkv_TC.row(row), (shape.heads + kv_head) * dim(), dtype());
  }
  const void* value_row(i64 row, i64 kv_head) const {
    return advance(qkv_TC.row(row), (shape.heads + shape.kv_heads + kv_head) * dim(), dtype());
  }
};

// Packed keys and values of one head.
struct PackedHead {
  const void* keys = nullptr;
  const void* values = nullptr;
  i64 key_panel = 0, value_panel = 0;  // elements
};

// Rows of one segment under one key/value head.
class HeadQueries {
 public:
  HeadQueries(const Call& call, i64 kv_head, const PackedHead& packed, Scratch scratch)
      : call_(call), kv_head_(kv_head), packed_(packed) {
    rows_ = scratch.take<const void*>(call.rows_max());
    strip_ = scratch.take<float>(call.rows_max() * call.keys_padded);
    prob_ = scratch.take_bytes(call.rows_max() * call.keys_padded * dtype_bytes(call.dtype()));
    prepared_ = scratch.take_bytes(call.prepared_bytes());
  }

  // Batch rows [row, row + rows), the first at `position`.
  void run(i64 row, i64 rows, i64 position) {
    const i64 step = std::max<i64>(1, kQueryRows / call_.group());
    for (i64 begin = 0; begin < rows; begin += step) block(row + begin, std::min(step, rows - begin), position + begin);
  }

 private:
  i64 first_key(i64 position) const {
    return call_.shape.window > 0 ? std::max<i64>(0, position - call_.shape.window + 1) : 0;
  }
  i64 column(i64 g) const { return (kv_head_ * call_.group() + g) * call_.dim(); }

  void multiply(RowsProduct& p) const {
    if (call_.ops.prepare != nullptr) {
      call_.ops.prepare(p.rows, p.num_rows, p.k, prepared_);
      p.prepared = prepared_;
    }
    call_.ops.rows(p);
  }

  // Row m of the strip is head m / rows of the group, query m % rows.
  void block(i64 row, i64 rows, i64 position) {
    const i64 count = rows * call_.group(), stride = call_.keys_padded;
    const i64 begin = first_key(position) / kBlock * kBlock, keys = position + rows - begin;
    for (i64 m = 0; m < count; ++m)
      rows_[m] = advance(call_.qkv_TC.row(row + m % rows), column(m / rows), call_.dtype());
    RowsProduct scores;
    scores.rows = rows_;
    scores.num_rows = count;
    scores.k = call_.dim();
    scores.panels = advance(packed_.keys, begin / kBlock * packed_.key_panel, call_.dtype());
    scores.panel_stride = packed_.key_panel;
    scores.cols = keys;
    scores.out = strip_;
    scores.out_stride = stride;
    multiply(scores);
    for (i64 m = 0; m < count; ++m) {
      const i64 at = position + m % rows;
      call_.ops.attention_softmax(strip_ + m * stride, first_key(at) - begin, at + 1 - begin, keys, call_.shape.scale,
                                  advance(prob_, m * stride, call_.dtype()));
    }
    // One query: the group's outputs lie side by side and are the rows of one product.
    const bool one = rows == 1;
    for (i64 g = 0; g < (one ? 1 : call_.group()); ++g) weigh(row, one ? count : rows, one, g, begin, keys);
  }

  void weigh(i64 row, i64 count, bool one, i64 g, i64 begin, i64 keys) {
    for (i64 i = 0; i < count; ++i) rows_[i] = advance(prob_, (g * count + i) * call_.keys_padded, call_.dtype());
    const Matrix& out = call_.out_TA;
    RowsProduct p;
    p.rows = rows_;
    p.num_rows = count;
    p.k = keys;
    p.panels = advance(packed_.values, begin * kBlock, call_.dtype());
    p.panel_stride = packed_.value_panel;
    p.cols = call_.dim();
    p.out = advance(out.data, row * out.stride + column(g), out.dtype);
    p.out_stride = one ? call_.dim() : out.stride;
    p.store = store_of(out.dtype, false);
    multiply(p);
  }

  const Call& call_;
  const i64 kv_head_;
  const PackedHead packed_;
  const void** rows_ = nullptr;
  float* strip_ = nullptr;
  void* prob_ = nullptr;
  void* prepared_ = nullptr;
};

// columns: of qkv_TC, in heads.
Call make_call(const AttentionShape& shape, const ConstMatrix& qkv_TC, i64 columns, const Matrix& out_TA, i64 keys) {
  check_operand(qkv_TC.dtype);
  check_operand(out_TA.dtype);
  CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0, "kv_heads must divide heads");
  CHECK(shape.head_dim > 0 && shape.head_dim <= 256 && shape.head_dim % 2 == 0, "head_dim is even and at most 256");
  CHECK(qkv_TC.cols >= columns * shape.head_dim && out_TA.rows == qkv_TC.rows &&
            out_TA.cols >= shape.heads * shape.head_dim,
        "shapes of attention do not fit");
  return {shape, ops_of(vector_table(), qkv_TC.dtype), qkv_TC, out_TA, round_to_block(keys)};
}

// Adds one position to the panels of a head. The place of the next position becomes zero: an odd last one is
// multiplied.
template <class T>
void append(const T* key, const T* value, i64 dim, i64 position, i64 value_panel, T* keys, T* values) {
  T* k = keys + position / kBlock * (kBlock * dim) + position % kBlock * 2;
  for (i64 c = 0; c < dim; c += 2) {
    k[c / 2 * 2 * kBlock] = key[c];
    k[c / 2 * 2 * kBlock + 1] = key[c + 1];
  }
  for (i64 begin = 0; begin < dim; begin += kBlock) {
    T* v = values + begin / kBlock * value_panel + position / 2 * (2 * kBlock) + position % 2;
    const i64 cols = std::min(kBlock, dim - begin);
    for (i64 c = 0; c < cols; ++c) v[2 * c] = value[begin + c];
    if (position % 2 == 0)
      for (i64 c = 0; c < cols; ++c) v[2 * c + 1] = T{};
  }
}

void append_rows(const Call& call, const CachedSegment& segment, i64 kv_head, const CacheLayout& layout, void* keys,
                 void* values) {
  for (i64 r = 0; r < segment.rows; ++r) {
    const void* key = call.key_row(segment.row + r, kv_head);
    const void* value = call.value_row(segment.row + r, kv_head);
    const i64 position = segment.position + r, panel = layout.value_panel_elements();
    if (call.dtype() == DType::bf16) {
      append(static_cast<const bf16*>(key), static_cast<const bf16*>(value), call.dim(), position, panel,
             static_cast<bf16*>(keys), static_cast<bf16*>(values));
    } else {
      append(static_cast<const float*>(key), static_cast<const float*>(value), call.dim(), position, panel,
             static_cast<float*>(keys), static_cast<float*>(values));
    }
  }
}

// Several units (segment, head) to a task; cut by their number alone.
template <class F>
void for_units(i64 units, i64 scratch_bytes, const F& body) {
  const i64 grain = std::max<i64>(1, units / kTasksWanted);
  parallel_for(parallel_chunks(units, grain), [&](i64 task, int thread) {
    void* scratch = workspace_of_thread(thread, scratch_bytes);
    for (i64 u = task * grain; u < std::min(units, (task + 1) * grain); ++u) body(u, Scratch(scratch));
  });
}

}  // namespace

void attention_cached(const AttentionShape& shape, ConstMatrix qkv_TC, std::span<const CachedSegment> segments,
                      Matrix out_TA) {
  i64 keys = 0;
  for (const CachedSegment& s : segments) {
    CHECK(s.row >= 0 && s.row + s.rows <= qkv_TC.rows && s.position + s.rows <= s.positions_max,
          "a segment overflows its cache");
    keys = std::max(keys, s.position + s.rows);
  }
  const Call call = make_call(shape, qkv_TC, shape.heads + 2 * shape.kv_heads, out_TA, keys);
  // Heads of one value panel belong to one task.
  const i64 together = CacheLayout{shape.kv_heads, shape.head_dim, 1}.heads_together();
  const i64 parts = parallel_chunks(shape.kv_heads, together);
  for_units(static_cast<i64>(segments.size()) * parts, call.scratch_bytes(), [&](i64 unit, Scratch scratch) {
    const CachedSegment& segment = segments[static_cast<size_t>(unit / parts)];
    const CacheLayout layout{shape.kv_heads, shape.head_dim, segment.positions_max};
    const i64 begin = unit % parts * together, end = std::min(shape.kv_heads, begin + together);
    const auto at = [&](i64 element) { return advance(segment.cache, element, call.dtype()); };
    for (i64 h = begin; h < end; ++h)
      append_rows(call, segment, h, layout, at(layout.keys_at(h)), at(layout.values_at(h)));
    for (i64 h = begin; h < end; ++h) {
      const PackedHead packed{at(layout.keys_at(h)), at(layout.values_at(h)), layout.key_panel_elements(),
                              layout.value_panel_elements()};
      HeadQueries(call, h, packed, scratch).run(segment.row, segment.rows, segment.position);
    }
  });
}

namespace {

// Keys and values of one head, packed into scratch.
struct PackingHead {
  const Call& call;
  i64 kv_head;
  const void** key_rows;
  const void** value_rows;
  void* keys;
  void* values;

  static i64 bytes(const Call& call) {
    return 2 * Scratch::bytes(call.keys_padded * 8) +
           2 * Scratch::bytes(call.keys_padded * round_to_block(call.dim()) * dtype_bytes(call.dtype()));
  }
  PackingHead(const Call& c, i64 head, Scratch& scratch) : call(c), kv_head(head) {
    key_rows = scratch.take<const void*>(c.keys_padded);
    value_rows = scratch.take<const void*>(c.keys_padded);
    keys = scratch.take_bytes(c.keys_padded * round_to_block(c.dim()) * dtype_bytes(c.dtype()));
    values = scratch.take_bytes(c.keys_padded * round_to_block(c.dim()) * dtype_bytes(c.dtype()));
  }
  PackedHead packed() const { return {keys, values, kBlock * round_to_block(call.dim()), kBlock * call.keys_padded}; }

  // Rows of the batch become positions [position, position + rows).
  void place(i64 row, i64 rows, i64 position) const {
    for (i64 r = 0; r < rows; ++r) {
      key_rows[position + r] = call.key_row(row + r, kv_head);
      value_rows[position + r] = call.value_row(row + r, kv_head);
    }
    pack(position, position + rows);
  }
  // The rows in the lists, blocks from the one of `position` on.
  void pack(i64 position, i64 end) const {
    const i64 begin = position / kBlock * kBlock, dim = call.dim();
    for (i64 key = begin; key < end; key += kBlock)
      call.ops.pack_outputs(key_rows + key, std::min(kBlock, end - key), dim,
                            advance(keys, key * round_to_block(dim), call.dtype()));
    for (i64 col = 0; col < dim; col += kBlock)
      call.ops.interleave(value_rows + begin, end - begin, col, std::min(kBlock, dim - col),
                          advance(values, col * call.keys_padded + begin * kBlock, call.dtype()));
  }
};

}  // namespace

void attention_uncached(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                        Matrix out_TA) {
  i64 keys = 0;
  for (const AttentionSegment& s : segments) {
    CHECK(s.row >= 0 && s.row + s.rows <= q_TA.rows && s.kv_rows >= s.rows, "a segment reaches beyond its batch");
    keys = std::max(keys, s.kv_rows);
  }
  const Call call = make_call(shape, q_TA, shape.heads, out_TA, keys);
  const i64 bytes = call.scratch_bytes() + PackingHead::bytes(call);
  for_units(static_cast<i64>(segments.size()) * shape.kv_heads, bytes, [&](i64 unit, Scratch scratch) {
    const AttentionSegment& segment = segments[static_cast<size_t>(unit / shape.kv_heads)];
    const PackingHead head(call, unit % shape.kv_heads, scratch);
    for (i64 p = 0; p < segment.kv_rows; ++p) {
      const i64 at = p * segment.kv_stride + head.kv_head * shape.head_dim;
      head.key_rows[p] = advance(segment.k, at, call.dtype());
      head.value_rows[p] = advance(segment.v, at, call.dtype());
    }
    head.pack(0, segment.kv_rows);
    HeadQueries(call, head.kv_head, head.packed(), scratch)
        .run(segment.row, segment.rows, segment.kv_rows - segment.rows);
  });
}

void attention_shared(const AttentionShape& shape, ConstMatrix qkv_TC, std::span<const SharedPrefix> prefixes,
                      std::span<const SharingSegment> segments, Matrix out_TA) {
  i64 keys = 0;
  for (const SharedPrefix& b : prefixes) {
    CHECK(b.row >= 0 && b.rows > 0 && b.row + b.rows <= qkv_TC.rows &&
              b.first + b.count <= static_cast<i64>(segments.size()),
          "a prefix reaches beyond its batch");
    for (const SharingSegment& s : segments.subspan(static_cast<size_t>(b.first), static_cast<size_t>(b.count))) {
      CHECK(s.row >= 0 && s.row + s.rows <= qkv_TC.rows, "a segment reaches beyond its batch");
      keys = std::max(keys, b.rows + s.rows);
    }
  }
  const Call call = make_call(shape, qkv_TC, shape.heads + 2 * shape.kv_heads, out_TA, keys);
  const i64 bytes = call.scratch_bytes() + PackingHead::bytes(call);
  for_units(static_cast<i64>(prefixes.size()) * shape.kv_heads, bytes, [&](i64 unit, Scratch scratch) {
    const SharedPrefix& prefix = prefixes[static_cast<size_t>(unit / shape.kv_heads)];
    const PackingHead head(call, unit % shape.kv_heads, scratch);
    head.place(prefix.row, prefix.rows, 0);
    HeadQueries queries(call, head.kv_head, head.packed(), scratch);
    for (i64 i = prefix.first; i < prefix.first + prefix.count; ++i) {
      const SharingSegment& segment = segments[static_cast<size_t>(i)];
      head.place(segment.row, segment.rows, prefix.rows);
      queries.run(segment.row, segment.rows, prefix.rows);
    }
  });
}

}  // namespace moebius::kernels
