// Attention of whole heads in training for any vector set S, forward and backward. Queries are the lanes, so nothing is
// summed across lanes; keys are processed in blocks whose scores stay in L1 (online softmax, Dao et al. 2022). Rows are
// packed once. In, out: table.h. A is the policy: how products run and which layouts they need, on lanes
// (attention_lanes.h, avx512/attention_dot.h) or on tiles (amx/attention_tiles.h); T is the type in memory; D is the
// head's size, padded with zeros. Not for cached keys.
#pragma once

#include "kernels/body/attention_lanes.h"
#include "kernels/table.h"

namespace moebius::kernels {

inline constexpr i64 kTransposedRows = 16;

// to[word][row] = word of the 16 rows, of 32 bits each; to's words are `stride` words apart.
template <class S>
inline void transpose_words(const void* rows, i64 row_bytes, i64 words, void* to, i64 stride) {
  const char* from = static_cast<const char*>(rows);
  if constexpr (requires { S::transpose_words(from, row_bytes, words, to, stride); }) {
    S::transpose_words(from, row_bytes, words, to, stride);
  } else {
    for (i64 w = 0; w < words; ++w)
      for (i64 row = 0; row < kTransposedRows; ++row)
        __builtin_memcpy(static_cast<char*>(to) + (w * stride + row) * 4, from + row * row_bytes + w * 4, 4);
  }
}

// What both directions share: sizes, packing, the scratch.
template <class S, class A, class T, int D>
struct HeadRun {
  using Element = typename A::Element;
  using V = typename S::V;
  static constexpr i64 dim = D, kStep = A::kStep, queries = A::kQueries;
  static constexpr bool kAsIs = __is_same(T, Element);
  const HeadAttention& a;
  i64 keys = (a.keys + queries - 1) / queries * queries;  // padded
  i64 used = 0;                                           // bytes of scratch

  template <class X>
  X* take(i64 count) {
    X* p = a.scratch == nullptr ? nullptr : reinterpret_cast<X*>(static_cast<char*>(a.scratch) + used);
    used += (count * static_cast<i64>(sizeof(X)) + 63) / 64 * 64;
    return p;
  }
  i64 window() const { return a.window > 0 ? a.window : i64{1} << 23; }

  // kLanes columns of a row; zero for rows at and beyond `end`.
  V lanes(const void* base, i64 stride, i64 row, i64 end, i64 col) const {
    const T* p = static_cast<const T*>(base) + row * stride + col;
    if (row >= end || col >= a.dim) return S::zero();
    return col + S::kLanes <= a.dim ? S::load(p) : S::load_n(p, a.dim - col);
  }
  // Prefetches rows [begin, begin + count) before `end` of one head, `a.dim` columns. Lines of a head are too far apart
  // for the hardware prefetcher.
  template <bool kWrite>
  void prefetch(const void* base, i64 stride, i64 begin, i64 count, i64 end) const {
    const char* p = static_cast<const char*>(base);
    for (i64 row = begin; row < begin + count && row < end; ++row)
      for (i64 at = 0; at < a.dim * static_cast<i64>(sizeof(T)); at += 64)
        __builtin_prefetch(p + row * stride * static_cast<i64>(sizeof(T)) + at, kWrite, 2);
  }
  // A row of results.
  void put(const float* row, V factor, T* out) const {
    for_lanes<S>(a.dim, [&](i64 d, i64 n) { store_some<S>(out + d, S::load(row + d) * factor, n); });
  }
  // Rows [begin, begin + count) as they are.
  [[gnu::noinline]] void plain(const void* base, i64 stride, i64 begin, i64 end, i64 count, Element* dst) const {
    for (i64 i = 0; i < count; ++i, dst += dim)
      if (kAsIs && a.dim == dim && begin + i < end) {
        __builtin_memcpy(dst, static_cast<const T*>(base) + (begin + i) * stride, sizeof(T) * dim);
      } else {
        for (i64 d = 0; d < dim; d += S::kLanes) S::store(dst + d, lanes(base, stride, begin + i, end, d));
      }
  }
  // [rows / kStep][dim][kStep]: for reductions over rows.
  [[gnu::noinline]] void stepped(const void* base, i64 stride, i64 begin, i64 end, i64 count, Element* dst) const {
    for (i64 row = begin; row < begin + count; row += kStep, dst += kStep * dim) {
      if constexpr (kAsIs && requires(const T* p) { A::step_rows(p, p, dim, dst); }) {
        const T* from = static_cast<const T*>(base) + row * stride;
        if (a.dim == dim && row + kStep <= end) {
          A::step_rows(from, from + stride, dim, dst);
          continue;
        }
      }
      for (i64 d = 0; d < dim; d += S::kLanes) {
        V part[kStep];
        for (int s = 0; s < kStep; ++s) part[s] = lanes(base, stride, row + s, end, d);
        A::store_step(dst + d * kStep, part);
      }
    }
  }
  // [dim / kStep][queries][kStep]: for reductions over dim. An element's steps are one word of 32 bits. work: a block.
  [[gnu::noinline]] void transposed(const void* base, i64 stride, i64 begin, i64 end, Element* work,
                                    Element* dst) const {
    static_assert(kStep * sizeof(Element) == 4);
    const char* from = reinterpret_cast<const char*>(work);
    i64 bytes = dim * static_cast<i64>(sizeof(Element));
    if (kAsIs && a.dim == dim && begin + queries <= end) {
      from = reinterpret_cast<const char*>(static_cast<const T*>(base) + begin * stride);
      bytes = stride * static_cast<i64>(sizeof(T));
    } else {
      plain(base, stride, begin, end, queries, work);
    }
    for (i64 row = 0; row < queries; row += kTransposedRows)
      transpose_words<S>(from + row * bytes, bytes, dim / kStep, dst + row * kStep, queries);
  }
  // Rows for weigh. work: a block.
  [[gnu::noinline]] void weighed(const void* base, i64 stride, i64 end, Element* work, Element* dst) const {
    if constexpr (A::kTransposed) {
      static_assert(queries == kTransposedRows * kStep);
      for (i64 row = 0; row < keys; row += queries) {
        stepped(base, stride, row, end, queries, work);
        transpose_words<S>(work, dim * kStep * static_cast<i64>(sizeof(Element)), dim, dst + row * dim,
                           kTransposedRows);
      }
    } else {
      stepped(base, stride, 0, end, keys, dst);
    }
  }
  // A block of weigh's sums, times a factor of each query, becomes the rows [row, row + queries) before `end`. work:
  // two blocks.
  [[gnu::noinline]] void put_weighed(const float* sums, const float* factor, i64 row, i64 end, T* to, i64 stride,
                                     Element* work) const {
    const i64 count = end - row < queries ? end - row : queries;
    if constexpr (A::kTransposed) {
      Element* rows = work + queries * dim;
      for (i64 d = 0; d < dim; d += kStep)
        for (i64 lane = 0; lane < queries; lane += S::kLanes) {
          V part[kStep];
          for (int s = 0; s < kStep; ++s) part[s] = S::load(sums + (d + s) * queries + lane) * S::load(factor + lane);
          A::store_step(work + d * queries + lane * kStep, part);
        }
      for (i64 d = 0; d < dim; d += kStep * kTransposedRows)
        transpose_words<S>(work + d * queries, queries * 4, queries, rows + d, dim / kStep);
      for (i64 i = 0; i < count; ++i)
        __builtin_memcpy(to + (row + i) * stride, rows + i * dim, sizeof(T) * static_cast<size_t>(a.dim));
    } else {
      for (i64 i = 0; i < count; ++i) put(sums + i * dim, S::set1(factor[i]), to + (row + i) * stride);
    }
  }
};

template <class S, class A, class T, int D>
i64 head_forward_of(const HeadAttention& a) {
  using Element = typename A::Element;
  HeadRun<S, A, T, D> run{a};
  constexpr i64 dim = D, queries = A::kQueries, block = queries * dim, scores = queries * A::kKeysForward * A::kBuffers;
  Element* keys = run.template take<Element>(run.keys * dim);
  Element* values = run.template take<Element>(run.keys * dim);
  Element* work = run.template take<Element>(2 * block);
  Element* q = run.template take<Element>(block);
  float* score = run.template take<float>(scores);
  Element* weight = run.template take<Element>(scores);
  float* mixed = run.template take<float>(block);
  if (a.scratch == nullptr) return run.used;
  A policy;
  const T* k = static_cast<const T*>(a.k);
  const T* v = static_cast<const T*>(a.v);
  for (i64 head = 0; head < a.heads; ++head) {
    const T* q_head = static_cast<const T*>(a.q) + head * a.dim;
    T* out = static_cast<T*>(a.out) + head * a.dim;
    if (head % a.group == 0) {
      if (head > 0) k += a.dim, v += a.dim;
      run.plain(k, a.kv_stride, 0, a.keys, run.keys, keys);
      run.weighed(v, a.kv_stride, a.keys, work, values);
    }
    for (i64 begin = 0; begin < a.rows; begin += queries) {
      const i64 n = a.rows - begin < queries ? a.rows - begin : queries;
      run.template prefetch<true>(out, a.out_stride, begin, queries, a.rows);
      if (head + 1 < a.heads) {
        run.template prefetch<false>(q_head + a.dim, a.q_stride, begin, queries, a.rows);
        if ((head + 1) % a.group == 0) {
          run.template prefetch<false>(k + a.dim, a.kv_stride, begin, queries, a.keys);
          run.template prefetch<false>(v + a.dim, a.kv_stride, begin, queries, a.keys);
        }
      }
      run.transposed(q_head, a.q_stride, begin, a.rows, work, q);
      HeadSums<queries> sums;
      for (i64 i = 0; i < queries; ++i) sums.top[i] = -1e30f, sums.total[i] = 0, sums.rescale[i] = 1;
      __builtin_memset(mixed, 0, static_cast<size_t>(block) * 4);
      const HeadMeeting<Element> meeting{
          keys, values, q, score, weight, mixed, a.keys - a.rows + begin, n, run.window(), a.scale * 1.44269504f};
      policy.template mix<D>(meeting, sums);
      float log_total[queries], inverse[queries];
      for (i64 i = 0; i < queries; i += 16) log_of_16<S>(sums.total + i, log_total + i);
      for (i64 i = 0; i < n; ++i) a.lse[(begin + i) * a.lse_stride + head] = sums.top[i] * 0.69314718f + log_total[i];
      for (i64 i = 0; i < queries; ++i) inverse[i] = 1.0f / sums.total[i];
      run.put_weighed(mixed, inverse, begin, a.rows, out, a.out_stride, work);
    }
  }
  return run.used;
}

// Of one key/value head after the other: all rows packed, then blocks of keys, each met by the blocks of queries that
// see it.
template <class S, class A, class T, int D>
struct HeadBackward {
  using Element = typename A::Element;
  static constexpr i64 dim = D, queries = A::kQueries, block = A::kKeysBackward;
  const HeadAttention& a;
  HeadRun<S, A, T, D> run{a};
  i64 keys = run.keys * dim, rows = (a.rows + queries - 1) / queries * queries;
  Element* key_rows = run.template take<Element>(keys);
  Element* value_rows = run.template take<Element>(keys);
  Element* key_steps = run.template take<Element>(keys);
  float* dk = run.template take<float>(keys);
  float* dv = run.template take<float>(keys);
  Element* work = run.template take<Element>(2 * queries * dim);
  Element* q = run.template take<Element>(rows * dim);
  Element* dout = run.template take<Element>(rows * dim);
  Element* q_stepped = run.template take<Element>(rows * dim);
  Element* dout_stepped = run.template take<Element>(rows * dim);
  float* dq = run.template take<float>(rows * dim);
  float* lse = run.template take<float>(rows);
  float* delta = run.template take<float>(rows);
  float* score = run.template take<float>(queries * block * A::kBuffers);
  float* dprob = run.template take<float>(queries * block * A::kBuffers);
  Element* prob = run.template take<Element>(queries * block * A::kKept);
  Element* dscore = run.template take<Element>(queries * block * A::kKept);
  Element* dscore_steps =
      A::kStep == 1 ? dscore : run.template take<Element>(queries * block * A::kBuffers);  // rows are steps

  static const T* column(const void* base, i64 col) { return static_cast<const T*>(base) + col; }
  static T* column(void* base, i64 col) { return static_cast<T*>(base) + col; }

  void pack_keys(i64 col) const {
    run.plain(column(a.k, col), a.kv_stride, 0, a.keys, run.keys, key_rows);
    run.plain(column(a.v, col), a.kv_stride, 0, a.keys, run.keys, value_rows);
    run.weighed(column(a.k, col), a.kv_stride, a.keys, work, key_steps);
    __builtin_memset(dk, 0, static_cast<size_t>(keys) * 4);
    __builtin_memset(dv, 0, static_cast<size_t>(keys) * 4);
  }
  // Queries beyond the segment: their rows are zero, and so are their gradients.
  void pack_queries(i64 head) const {
    const T *q_head = column(a.q, head * a.dim), *out_head = column(a.out, head * a.dim),
            *dout_head = column(a.dout, head * a.dim);
    for (i64 row = 0; row < rows; row += queries) {
      for (i64 i = row; i < row + queries; ++i) {
        lse[i] = i < a.rows ? a.lse[i * a.lse_stride + head] * 1.44269504f : 0;
        delta[i] = i < a.rows ? dot_row<S, T>(out_head + i * a.out_stride, dout_head + i * a.dout_stride, a.dim) : 0;
      }
      run.transposed(q_head, a.q_stride, row, a.rows, work, q + row * dim);
      run.stepped(q_head, a.q_stride, row, a.rows, queries, q_stepped + row * dim);
      run.transposed(dout_head, a.dout_stride, row, a.rows, work, dout + row * dim);
      run.stepped(dout_head, a.dout_stride, row, a.rows, queries, dout_stepped + row * dim);
    }
    __builtin_memset(dq, 0, static_cast<size_t>(rows * dim) * 4);
  }
  // What is written after this head, and read by the next.
  void prefetch_next(i64 head, i64 row) const {
    const i64 col = head * a.dim, next = col + a.dim, kv = head / a.group * a.dim;
    const bool last = (head + 1) % a.group == 0;  // of its keys
    run.template prefetch<true>(column(a.dq, col), a.dq_stride, row, queries, a.rows);
    if (last)
      for (void* gradient : {a.dk, a.dv})
        run.template prefetch<true>(column(gradient, kv), a.dkv_stride, row, queries, a.rows);
    if (head + 1 == a.heads) return;
    run.template prefetch<false>(column(a.q, next), a.q_stride, row, queries, a.rows);
    run.template prefetch<false>(column(a.out, next), a.out_stride, row, queries, a.rows);
    run.template prefetch<false>(column(a.dout, next), a.dout_stride, row, queries, a.rows);
    if (last)
      for (const void* side : {a.k, a.v})
        run.template prefetch<false>(column(side, kv + a.dim), a.kv_stride, row, queries, a.rows);
  }
  void run_head(i64 head, A& policy) const {
    const i64 window = run.window();
    const auto meets = [&](i64 row, i64 key) { return row < rows && row - window + 1 < key + block; };
    for (i64 key = 0; key < run.keys; key += block)
      for (i64 row = key; meets(row, key); row += queries * A::kBatch) {
        i64 blocks = 0, next = row;
        for (; blocks < A::kBatch && meets(next, key); ++blocks, next += queries)
          if (next < key + block) prefetch_next(head, next);
        const i64 left = next - key, count = left < block ? left : block, at = row * dim, to = key * dim;
        policy.template spread<D>(
            {key_rows + to,     value_rows + to, key_steps + to, dk + to,   dv + to, q + at, dout + at, q_stepped + at,
             dout_stepped + at, lse + row,       delta + row,    dq + at,   score,   dprob,  prob,      dscore,
             dscore_steps,      count,           blocks,         row - key, window,  a.scale});
      }
  }
  void put_rows(const float* from, T* to, i64 stride) const {
    for (i64 i = 0; i < a.rows; ++i) run.put(from + i * dim, S::set1(1.0f), to + i * stride);
  }
  void put_queries(T* to) const {
    float one[queries];
    for (float& factor : one) factor = 1;
    for (i64 row = 0; row < a.rows; row += queries)
      run.put_weighed(dq + row * dim, one, row, a.rows, to, a.dq_stride, work);
  }
};

template <class S, class A, class T, int D>
i64 head_backward_of(const HeadAttention& a) {
  const HeadBackward<S, A, T, D> run{a};
  if (a.scratch == nullptr) return run.run.used;
  A policy;
  for (i64 head = 0; head < a.heads; ++head) {
    const i64 kv = head / a.group * a.dim;
    if (head % a.group == 0) run.pack_keys(kv);
    run.pack_queries(head);
    run.run_head(head, policy);
    run.put_queries(run.column(a.dq, head * a.dim));
    if ((head + 1) % a.group != 0) continue;
    run.put_rows(run.dk, run.column(a.dk, kv), a.dkv_stride);
    run.put_rows(run.dv, run.column(a.dv, kv), a.dkv_stride);
  }
  return run.run.used;
}

template <int D>
struct HeadSize {
  static constexpr int value = D;
};
constexpr int larger(int a, int b) { return a > b ? a : b; }
// run(HeadSize) with the smallest size, not below kLeast, that a head fits into.
template <int kLeast, class Run>
inline i64 with_head_size(i64 dim, Run run) {
  return dim <= 16    ? run(HeadSize<larger(16, kLeast)>{})
         : dim <= 32  ? run(HeadSize<32>{})
         : dim <= 64  ? run(HeadSize<64>{})
         : dim <= 96  ? run(HeadSize<96>{})
         : dim <= 128 ? run(HeadSize<128>{})
                      : run(HeadSize<256>{});
}

template <class S, class A, class T>
i64 head_forward(const HeadAttention& a) {
  return with_head_size<A::kDimLeast>(a.dim,
                                      [&](auto size) { return head_forward_of<S, A, T, decltype(size)::value>(a); });
}

template <class S, class A, class T>
i64 head_backward(const HeadAttention& a) {
  return with_head_size<A::kDimLeast>(a.dim,
                                      [&](auto size) { return head_backward_of<S, A, T, decltype(size)::value>(a); });
}

template <class S>
void fill_attention(OpTable& table) {
  table.typed[0].head_forward = head_forward<S, LaneProducts<S>, float>;
  table.typed[0].head_backward = head_backward<S, LaneProducts<S>, float>;
  table.typed[1].head_forward = head_forward<S, LaneProducts<S>, bf16>;
  table.typed[1].head_backward = head_backward<S, LaneProducts<S>, bf16>;
}

}  // namespace moebius::kernels
