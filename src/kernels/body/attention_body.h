// Attention of whole heads in training for any vector set S, forward and backward. 16 queries are the lanes, so nothing is
// summed across lanes; keys pass in blocks whose scores stay in L1 (online softmax, Dao et al. 2022). Every product is one
// micro-kernel on rows that are packed once. In, out: table.h. A is how products run: LaneProducts here, or a set's own
// (avx512/attention_dot.h); T is the type in memory; D is the head's size, padded with zeros. Not for cached keys.
#pragma once

#include "kernels/body/exp_body.h"
#include "kernels/table.h"

namespace moebius::kernels {

// Products as f32 multiply-adds, whatever the operands were in memory.
template <class S>
struct LaneProducts {
  using Element = float;
  using V = typename S::V;
  using Right = V;
  static constexpr int kStep = 1;
  static Right load(const float* p) { return S::load(p); }
  static V mac(V sum, const float* left, Right right) { return S::fma(S::set1(*left), right, sum); }
  // kLanes columns of kStep neighbouring rows.
  static void store_step(float* dst, const V* rows) { S::store(dst, rows[0]); }
};

// out[r][c] (+)= sum over s < steps of left[r * kRow + s * kStep] * right[s * kRight + c]; out's rows are kOut apart. All
// lengths in elements, and known when compiled: a tile's addresses need few registers then.
template <i64 kRow, i64 kStep, i64 kRight, i64 kOut, bool kAdd>
struct LaneProduct {
  template <class S, class A, int M, int N>
  static inline void tile(const typename A::Element* left, const typename A::Element* right, i64 steps, float* out) {
    typename S::V sum[M][N];
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] = kAdd ? S::load(out + m * kOut + n * S::kLanes) : S::zero();
#pragma GCC unroll 2
    for (i64 s = 0; s < steps; ++s, left += kStep, right += kRight) {
      typename A::Right r[N];
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) r[n] = A::load(right + n * S::kLanes * A::kStep);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) sum[m][n] = A::mac(sum[m][n], left + m * kRow, r[n]);
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) S::store(out + m * kOut + n * S::kLanes, sum[m][n]);
  }

  // rows: a multiple of 16; kCols: of 16.
  template <class S, class A, int kCols>
  static inline void run(const typename A::Element* left, const typename A::Element* right, i64 rows, i64 steps, float* out) {
    constexpr int N = kCols >= 2 * S::kLanes ? 2 : 1, M = (S::kLanes >= 16 ? 16 : 8) / N;
    for (i64 row = 0; row < rows; row += M)
      for (i64 col = 0; col < kCols; col += N * S::kLanes)
        tile<S, A, M, N>(left + row * kRow, right + col * A::kStep, steps, out + row * kOut + col);
  }
};

inline constexpr i64 kHeadQueries = 16;       // of a block; keys are padded to as many
inline constexpr i64 kHeadKeysForward = 128;  // keys of a block
inline constexpr i64 kHeadKeysBackward = 64;

// Which of a block's keys its queries see: query i those in (first + i - window, first + i], counted from the block's first.
struct HeadSeen {
  i64 first, window;

  // step(key, all) for the block's keys, kStep at a time: whether all queries see them.
  template <i64 kStep, class Step>
  inline void walk(i64 count, Step step) const {
    const i64 from = first + kHeadQueries - window, all_begin = from > 0 ? (from + kStep - 1) / kStep * kStep : 0;
    const i64 all_end = first + 1 < count ? first + 1 : count;
    i64 key = 0;
    for (; key < all_begin && key < count; key += kStep) step(key, false);
    for (; key + kStep <= all_end; key += kStep) step(key, true);
    for (; key < count; key += kStep) step(key, false);
  }
  // x, but `other` for those of the queries [lane, lane + kLanes) that do not see the key.
  template <class S>
  inline typename S::V choose(typename S::V x, typename S::V other, i64 key, i64 lane) const {
    static constexpr float kLane[kHeadQueries] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const typename S::V query = S::load(kLane + lane), least = S::set1(static_cast<float>(key - first));
    const typename S::V end = S::set1(static_cast<float>(key - first + window));
    return S::select_less(query, least, other, S::select_less(query, end, x, other));
  }
};

// to[word][row] = word of the 16 rows, of 32 bits each.
template <class S>
inline void turn_words(const char* from, i64 row_bytes, i64 words, void* to) {
  if constexpr (requires { S::turn_words(from, row_bytes, words, to); }) {
    S::turn_words(from, row_bytes, words, to);
  } else {
    for (i64 w = 0; w < words; ++w)
      for (i64 row = 0; row < kHeadQueries; ++row)
        __builtin_memcpy(static_cast<char*>(to) + (w * kHeadQueries + row) * 4, from + row * row_bytes + w * 4, 4);
  }
}

// What both ways share: sizes, packing, the scratch.
template <class S, class A, class T, int D>
struct HeadRun {
  using Element = typename A::Element;
  using V = typename S::V;
  static constexpr i64 dim = D, kStep = A::kStep;
  static constexpr bool kAsIs = __is_same(T, Element);
  const HeadAttention& a;
  i64 keys = (a.keys + kHeadQueries - 1) / kHeadQueries * kHeadQueries;  // padded
  i64 used = 0;  // bytes of scratch

  template <class X>
  X* take(i64 count) {
    X* p = a.scratch == nullptr ? nullptr : reinterpret_cast<X*>(static_cast<char*>(a.scratch) + used);
    used += (count * static_cast<i64>(sizeof(X)) + 63) / 64 * 64;
    return p;
  }
  HeadSeen seen(i64 first) const { return {first, a.window > 0 ? a.window : i64{1} << 23}; }
  // The first key that any of the queries sees, the first of which stands at `position`.
  i64 first_key(i64 position) const { return a.window > 0 && position >= a.window ? position - a.window + 1 : 0; }

  // kLanes columns of a row; zero for rows at and beyond `end`.
  V lanes(const void* base, i64 stride, i64 row, i64 end, i64 col) const {
    const T* p = static_cast<const T*>(base) + row * stride + col;
    if (row >= end || col >= a.dim) return S::zero();
    return col + S::kLanes <= a.dim ? S::load(p) : S::load_n(p, a.dim - col);
  }
  // Asks for rows [begin, begin + count) before `end` of one head, `a.dim` columns. Lines of a head lie far apart, where no
  // prefetching follows.
  template <bool kWrite>
  void ask(const void* base, i64 stride, i64 begin, i64 count, i64 end) const {
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
  void plain(const void* base, i64 stride, i64 begin, i64 end, i64 count, Element* dst) const {
    for (i64 i = 0; i < count; ++i, dst += dim)
      if (kAsIs && a.dim == dim && begin + i < end) {
        __builtin_memcpy(dst, static_cast<const T*>(base) + (begin + i) * stride, sizeof(T) * dim);
      } else {
        for (i64 d = 0; d < dim; d += S::kLanes) S::store(dst + d, lanes(base, stride, begin + i, end, d));
      }
  }
  // [rows / kStep][dim][kStep]: for reductions over rows.
  void stepped(const void* base, i64 stride, i64 begin, i64 end, i64 count, Element* dst) const {
    for (i64 row = 0; row < count; row += kStep)
      for (i64 d = 0; d < dim; d += S::kLanes) {
        V part[kStep];
        for (int s = 0; s < kStep; ++s) part[s] = lanes(base, stride, begin + row + s, end, d);
        A::store_step(dst + row * dim + d * kStep, part);
      }
  }
  // [dim / kStep][queries][kStep]: for reductions over dim. An element's steps are one word of 32 bits.
  void turned(const void* base, i64 stride, i64 begin, i64 end, Element* rows, Element* dst) const {
    static_assert(kStep * sizeof(Element) == 4);
    constexpr i64 words = dim / kStep;
    const void* from = rows;
    i64 bytes = dim * static_cast<i64>(sizeof(Element));
    if (kAsIs && a.dim == dim && begin + kHeadQueries <= end) {
      from = static_cast<const T*>(base) + begin * stride;
      bytes = stride * static_cast<i64>(sizeof(T));
    } else {
      plain(base, stride, begin, end, kHeadQueries, rows);
    }
    turn_words<S>(static_cast<const char*>(from), bytes, words, dst);
  }
  // out[key][query] of the first `count` keys.
  void scores(const Element* key_rows, const Element* turned_queries, i64 count, float* out) const {
    LaneProduct<D, kStep, kHeadQueries * kStep, kHeadQueries, false>::template run<S, A, kHeadQueries>(key_rows, turned_queries, count,
                                                                                         D / kStep, out);
  }
  // sum[query][d] += sum over the first `count` keys of weight[key / kStep][query][kStep] * rows (stepped).
  void weigh(const Element* weight, const Element* rows, i64 count, float* sum) const {
    LaneProduct<kStep, kHeadQueries * kStep, D * kStep, D, true>::template run<S, A, D>(weight, rows, kHeadQueries, count / kStep, sum);
  }
  // sum[key][d] += sum over queries of weight[key][query] * rows (stepped).
  void add_outer(const Element* weight, const Element* rows, i64 count, float* sum) const {
    LaneProduct<kHeadQueries, kStep, D * kStep, D, true>::template run<S, A, D>(weight, rows, count, kHeadQueries / kStep, sum);
  }
};

// The queries of a block while keys pass: the largest score so far, in powers of two, and the sum of exponentials below it.
struct HeadSums {
  float top[kHeadQueries], total[kHeadQueries], rescale[kHeadQueries];
};

// One block of keys: exponentials to `weight` (stepped); what came before is to be multiplied by `rescale`.
template <class S, class A>
inline void head_softmax(const float* score, const HeadSeen& seen, i64 count, float factor, typename A::Element* weight,
                         HeadSums& sums) {
  using V = typename S::V;
  const V by = S::set1(factor);
  for (i64 lane = 0; lane < kHeadQueries; lane += S::kLanes) {
    const float* from = score + lane;
    V most[2] = {S::set1(-1e30f), S::set1(-1e30f)};
    seen.walk<2>(count, [&](i64 key, bool all) {
#pragma GCC unroll 2
      for (i64 s = 0; s < 2; ++s) {
        const V value = S::load(from + (key + s) * kHeadQueries);
        most[s] = S::max(most[s], all ? value : seen.choose<S>(value, most[s], key + s, lane));
      }
    });
    const V old = S::load(sums.top + lane), top = S::max(old, S::max(most[0], most[1]) * by);
    V sum = S::zero();
    seen.walk<A::kStep>(count, [&](i64 key, bool all) {
      V e[A::kStep];
#pragma GCC unroll 2
      for (int s = 0; s < A::kStep; ++s) {
        e[s] = exp2_of<S>(S::fma(S::load(from + (key + s) * kHeadQueries), by, S::zero() - top));
        if (!all) e[s] = seen.choose<S>(e[s], S::zero(), key + s, lane);
        sum = sum + e[s];
      }
      A::store_step(weight + key * kHeadQueries + lane * A::kStep, e);
    });
    const V rescale = exp2_of<S>(old - top);
    S::store(sums.top + lane, top);
    S::store(sums.total + lane, S::fma(S::load(sums.total + lane), rescale, sum));
    S::store(sums.rescale + lane, rescale);
  }
}

template <class S, class A, class T, int D>
i64 head_forward_of(const HeadAttention& a) {
  using Element = typename A::Element;
  HeadRun<S, A, T, D> run{a};
  constexpr i64 dim = D, queries = kHeadQueries, block = queries * dim;
  Element* keys = run.template take<Element>(run.keys * dim);
  Element* values = run.template take<Element>(run.keys * dim);
  Element* q_rows = run.template take<Element>(block);
  Element* q = run.template take<Element>(block);
  float* score = run.template take<float>(queries * kHeadKeysForward);
  Element* weight = run.template take<Element>(queries * kHeadKeysForward);
  float* mixed = run.template take<float>(block);
  if (a.scratch == nullptr) return run.used;
  const T* k = static_cast<const T*>(a.k);
  const T* v = static_cast<const T*>(a.v);
  for (i64 head = 0; head < a.heads; ++head) {
    const T* q_head = static_cast<const T*>(a.q) + head * a.dim;
    T* out = static_cast<T*>(a.out) + head * a.dim;
    if (head % a.group == 0) {
      if (head > 0) k += a.dim, v += a.dim;
      run.plain(k, a.kv_stride, 0, a.keys, run.keys, keys);
      run.stepped(v, a.kv_stride, 0, a.keys, run.keys, values);
    }
    for (i64 begin = 0; begin < a.rows; begin += queries) {
      const i64 n = a.rows - begin < queries ? a.rows - begin : queries, first = a.keys - a.rows + begin;
      run.template ask<true>(out, a.out_stride, begin, queries, a.rows);
      if (head + 1 < a.heads) {
        run.template ask<false>(q_head + a.dim, a.q_stride, begin, queries, a.rows);
        if ((head + 1) % a.group == 0) {
          run.template ask<false>(k + a.dim, a.kv_stride, begin, queries, a.keys);
          run.template ask<false>(v + a.dim, a.kv_stride, begin, queries, a.keys);
        }
      }
      run.turned(q_head, a.q_stride, begin, a.rows, q_rows, q);
      HeadSums sums;
      for (i64 i = 0; i < queries; ++i) sums.top[i] = -1e30f, sums.total[i] = 0;
      __builtin_memset(mixed, 0, static_cast<size_t>(block) * 4);
      const i64 start = run.first_key(first) / kHeadKeysForward * kHeadKeysForward;
      for (i64 key = start; key < first + n; key += kHeadKeysForward) {
        const i64 left = (first + n - key + kHeadQueries - 1) / kHeadQueries * kHeadQueries;
        const i64 count = left < kHeadKeysForward ? left : kHeadKeysForward;
        run.scores(keys + key * dim, q, count, score);
        head_softmax<S, A>(score, run.seen(first - key), count, a.scale * 1.44269504f, weight, sums);
        for (i64 i = 0; i < n && key > start; ++i) {
          if (sums.rescale[i] == 1.0f) continue;
          for (i64 d = 0; d < dim; d += S::kLanes)
            S::store(mixed + i * dim + d, S::load(mixed + i * dim + d) * S::set1(sums.rescale[i]));
        }
        run.weigh(weight, values + key * dim, count, mixed);
      }
      float log_total[queries];
      log_of_16<S>(sums.total, log_total);
      for (i64 i = 0; i < n; ++i) {
        a.lse[(begin + i) * a.lse_stride + head] = sums.top[i] * 0.69314718f + log_total[i];
        run.put(mixed + i * dim, S::set1(1.0f / sums.total[i]), out + (begin + i) * a.out_stride);
      }
    }
  }
  return run.used;
}

// Backward's working memory: a block of queries meets a block of keys. What names no other order lies by [key][query].
template <class Element>
struct HeadBlock {
  float *score, *dprob;
  Element *prob, *dscore;
  Element* dscore_stepped;  // [keys / kStep][query][kStep]
};

// Probabilities and gradients of the scores; lse: in powers of two.
template <class S, class A>
inline void head_gradient(const HeadBlock<typename A::Element>& b, const HeadSeen& seen, i64 count, float scale, const float* lse,
                          const float* delta) {
  using V = typename S::V;
  const V by = S::set1(scale * 1.44269504f), factor = S::set1(scale);
  for (i64 lane = 0; lane < kHeadQueries; lane += S::kLanes) {
    const V shift = S::zero() - S::load(lse + lane), middle = S::load(delta + lane);
    seen.walk<A::kStep>(count, [&](i64 key, bool all) {
      V dscore[A::kStep];
#pragma GCC unroll 2
      for (int s = 0; s < A::kStep; ++s) {
        const i64 at = (key + s) * kHeadQueries + lane;
        V prob = exp2_of<S>(S::fma(S::load(b.score + at), by, shift));
        if (!all) prob = seen.choose<S>(prob, S::zero(), key + s, lane);
        dscore[s] = prob * (S::load(b.dprob + at) - middle) * factor;
        S::store(b.prob + at, prob);
        S::store(b.dscore + at, dscore[s]);
      }
      if (A::kStep > 1) A::store_step(b.dscore_stepped + key * kHeadQueries + lane * A::kStep, dscore);
    });
  }
}

// Of one key/value head after the other: all rows packed, then blocks of keys, each met by the blocks of queries that see it.
template <class S, class A, class T, int D>
struct HeadBackward {
  using Element = typename A::Element;
  static constexpr i64 dim = D, queries = kHeadQueries, block = kHeadKeysBackward;
  const HeadAttention& a;
  HeadRun<S, A, T, D> run{a};
  i64 keys = run.keys * dim, rows = (a.rows + queries - 1) / queries * queries;
  Element* key_rows = run.template take<Element>(keys);
  Element* value_rows = run.template take<Element>(keys);
  Element* key_steps = run.template take<Element>(keys);
  float* dk = run.template take<float>(keys);
  float* dv = run.template take<float>(keys);
  Element* unturned = run.template take<Element>(queries * dim);
  Element* q = run.template take<Element>(rows * dim);
  Element* dout = run.template take<Element>(rows * dim);
  Element* q_stepped = run.template take<Element>(rows * dim);
  Element* dout_stepped = run.template take<Element>(rows * dim);
  float* dq = run.template take<float>(rows * dim);
  float* lse = run.template take<float>(rows);
  float* delta = run.template take<float>(rows);
  HeadBlock<Element> b = take_block();

  HeadBlock<Element> take_block() {
    HeadBlock<Element> result;
    for (float** scores : {&result.score, &result.dprob}) *scores = run.template take<float>(queries * block);
    for (Element** scores : {&result.prob, &result.dscore, &result.dscore_stepped})
      *scores = run.template take<Element>(queries * block);
    if (A::kStep == 1) result.dscore_stepped = result.dscore;  // rows are their own steps
    return result;
  }
  static const T* column(const void* base, i64 col) { return static_cast<const T*>(base) + col; }
  static T* column(void* base, i64 col) { return static_cast<T*>(base) + col; }

  void pack_keys(i64 col) const {
    run.plain(column(a.k, col), a.kv_stride, 0, a.keys, run.keys, key_rows);
    run.plain(column(a.v, col), a.kv_stride, 0, a.keys, run.keys, value_rows);
    run.stepped(column(a.k, col), a.kv_stride, 0, a.keys, run.keys, key_steps);
    __builtin_memset(dk, 0, static_cast<size_t>(keys) * 4);
    __builtin_memset(dv, 0, static_cast<size_t>(keys) * 4);
  }
  // Queries beyond the segment: their rows are zero, and so are their gradients.
  void pack_queries(i64 head) const {
    const T *q_head = column(a.q, head * a.dim), *out_head = column(a.out, head * a.dim), *dout_head = column(a.dout, head * a.dim);
    for (i64 row = 0; row < rows; row += queries) {
      for (i64 i = row; i < row + queries; ++i) {
        lse[i] = i < a.rows ? a.lse[i * a.lse_stride + head] * 1.44269504f : 0;
        delta[i] = i < a.rows ? dot_row<S, T>(out_head + i * a.out_stride, dout_head + i * a.dout_stride, a.dim) : 0;
      }
      run.turned(q_head, a.q_stride, row, a.rows, unturned, q + row * dim);
      run.stepped(q_head, a.q_stride, row, a.rows, queries, q_stepped + row * dim);
      run.turned(dout_head, a.dout_stride, row, a.rows, unturned, dout + row * dim);
      run.stepped(dout_head, a.dout_stride, row, a.rows, queries, dout_stepped + row * dim);
    }
    __builtin_memset(dq, 0, static_cast<size_t>(rows * dim) * 4);
  }
  // What is written after this head, and read by the next.
  void ask_ahead(i64 head, i64 row) const {
    const i64 col = head * a.dim, next = col + a.dim, kv = head / a.group * a.dim;
    const bool last = (head + 1) % a.group == 0;  // of its keys
    run.template ask<true>(column(a.dq, col), a.dq_stride, row, queries, a.rows);
    if (last)
      for (void* gradient : {a.dk, a.dv}) run.template ask<true>(column(gradient, kv), a.dkv_stride, row, queries, a.rows);
    if (head + 1 == a.heads) return;
    run.template ask<false>(column(a.q, next), a.q_stride, row, queries, a.rows);
    run.template ask<false>(column(a.out, next), a.out_stride, row, queries, a.rows);
    run.template ask<false>(column(a.dout, next), a.dout_stride, row, queries, a.rows);
    if (last)
      for (const void* side : {a.k, a.v}) run.template ask<false>(column(side, kv + a.dim), a.kv_stride, row, queries, a.rows);
  }
  void run_head(i64 head) const {
    for (i64 key = 0; key < run.keys; key += block)
      for (i64 row = key; row < rows && run.first_key(row) < key + block; row += queries) {
        if (row < key + block) ask_ahead(head, row);
        const i64 left = row + queries - key, count = left < block ? left : block, at = row * dim;
        run.scores(key_rows + key * dim, q + at, count, b.score);
        run.scores(value_rows + key * dim, dout + at, count, b.dprob);
        head_gradient<S, A>(b, run.seen(row - key), count, a.scale, lse + row, delta + row);
        run.add_outer(b.prob, dout_stepped + at, count, dv + key * dim);
        run.add_outer(b.dscore, q_stepped + at, count, dk + key * dim);
        run.weigh(b.dscore_stepped, key_steps + key * dim, count, dq + at);
      }
  }
  void put_rows(const float* from, T* to, i64 stride) const {
    for (i64 i = 0; i < a.rows; ++i) run.put(from + i * dim, S::set1(1.0f), to + i * stride);
  }
};

template <class S, class A, class T, int D>
i64 head_backward_of(const HeadAttention& a) {
  const HeadBackward<S, A, T, D> way{a};
  for (i64 head = 0; a.scratch != nullptr && head < a.heads; ++head) {
    const i64 kv = head / a.group * a.dim;
    if (head % a.group == 0) way.pack_keys(kv);
    way.pack_queries(head);
    way.run_head(head);
    way.put_rows(way.dq, way.column(a.dq, head * a.dim), a.dq_stride);
    if ((head + 1) % a.group != 0) continue;
    way.put_rows(way.dk, way.column(a.dk, kv), a.dkv_stride);
    way.put_rows(way.dv, way.column(a.dv, kv), a.dkv_stride);
  }
  return way.run.used;
}

template <int D>
struct HeadSize {
  static constexpr int value = D;
};
// run(HeadSize) with the smallest size that a head fits into.
template <class Run>
inline i64 with_head_size(i64 dim, Run run) {
  return dim <= 16   ? run(HeadSize<16>{})
         : dim <= 32 ? run(HeadSize<32>{})
         : dim <= 64 ? run(HeadSize<64>{})
         : dim <= 96 ? run(HeadSize<96>{})
         : dim <= 128 ? run(HeadSize<128>{})
                      : run(HeadSize<256>{});
}

template <class S, class A, class T>
i64 head_forward(const HeadAttention& a) {
  return with_head_size(a.dim, [&](auto size) { return head_forward_of<S, A, T, decltype(size)::value>(a); });
}

template <class S, class A, class T>
i64 head_backward(const HeadAttention& a) {
  return with_head_size(a.dim, [&](auto size) { return head_backward_of<S, A, T, decltype(size)::value>(a); });
}

}  // namespace moebius::kernels
