// Attention of one key/value head and its queries for any vector set S: small heads and short documents, where packing into
// blocks of 32 columns and a call for each row cost more than the arithmetic. 16 queries at a time are the lanes, so that
// nothing is summed across lanes; all products are one micro-kernel. A says how it runs: A::kStep elements of the reduction
// at a time (1: f32 multiply-add, 2: the dot product of bf16 pairs), and right operands lie in
// [reduction / kStep][columns][kStep], called stepped here. Not with a window, nor over caches.
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
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] = kAdd ? S::load(out + m * kOut + n * S::kLanes) : S::zero();
#pragma GCC unroll 2
    for (i64 s = 0; s < steps; ++s, left += kStep, right += kRight) {
      typename A::Right r[N];
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) r[n] = A::load(right + n * S::kLanes * A::kStep);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) sum[m][n] = A::mac(sum[m][n], left + m * kRow, r[n]);
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) S::store(out + m * kOut + n * S::kLanes, sum[m][n]);
  }

  // rows: a multiple of 8; kCols: of 16.
  template <class S, class A, int kCols>
  static inline void run(const typename A::Element* left, const typename A::Element* right, i64 rows, i64 steps, float* out) {
    constexpr int M = S::kLanes >= 16 ? 8 : 4, N = kCols >= 2 * S::kLanes ? 2 : 1;
    for (i64 row = 0; row < rows; row += M)
      for (i64 col = 0; col < kCols; col += N * S::kLanes)
        tile<S, A, M, N>(left + row * kRow, right + col * A::kStep, steps, out + row * kOut + col);
  }
};

inline constexpr i64 kHeadQueries = 16;

// x, but `other` in the first `hidden` of the 16 queries, which do not see a key; lane: that of x's first.
template <class S>
inline typename S::V seen_lanes(typename S::V x, typename S::V other, i64 lane, i64 hidden) {
  static constexpr float kLane[kHeadQueries] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return S::select_less(S::load(kLane + lane), S::set1(static_cast<float>(hidden)), other, x);
}

// What both ways share: sizes, packing, the scratch.
template <class S, class A, class T, int D>
struct HeadRun {
  using Element = typename A::Element;
  using V = typename S::V;
  static constexpr i64 dim = D, kStep = A::kStep;
  const HeadAttention& a;
  i64 keys = (a.keys + kHeadQueries - 1) / kHeadQueries * kHeadQueries;  // padded
  char* next = static_cast<char*>(a.scratch);

  template <class X>
  X* take(i64 count) {
    X* p = reinterpret_cast<X*>(next);
    next += (count * static_cast<i64>(sizeof(X)) + 63) / 64 * 64;
    return p;
  }
  // kLanes columns of a row; zero for rows at and beyond `end`.
  static V lanes(const void* base, i64 stride, i64 row, i64 end, i64 col) {
    return row < end ? S::load(static_cast<const T*>(base) + row * stride + col) : S::zero();
  }
  // Rows [begin, begin + count) as they are.
  void plain(const void* base, i64 stride, i64 begin, i64 end, i64 count, Element* dst) const {
    for (i64 i = 0; i < count; ++i)
      for (i64 d = 0; d < dim; d += S::kLanes) S::store(dst + i * dim + d, lanes(base, stride, begin + i, end, d));
  }
  // [rows / kStep][dim][kStep]: for reductions over rows.
  void stepped(const void* base, i64 stride, i64 begin, i64 end, i64 count, Element* dst) const {
    for (i64 row = 0; row < count; row += A::kStep)
      for (i64 d = 0; d < dim; d += S::kLanes) {
        V part[A::kStep];
        for (int s = 0; s < A::kStep; ++s) part[s] = lanes(base, stride, begin + row + s, end, d);
        A::store_step(dst + row * dim + d * A::kStep, part);
      }
  }
  // [dim / kStep][16 queries][kStep]: for reductions over dim.
  void turned(const void* base, i64 stride, i64 begin, i64 end, Element* rows, Element* dst) const {
    plain(base, stride, begin, end, kHeadQueries, rows);
    for (i64 d = 0; d < dim; d += A::kStep)
      for (i64 i = 0; i < kHeadQueries; ++i)
        __builtin_memcpy(dst + d * kHeadQueries + i * A::kStep, rows + i * dim + d, A::kStep * sizeof(Element));
  }
  // out[key][query] of the first `count` keys.
  void scores(const Element* key_rows, const Element* turned_queries, i64 count, float* out) const {
    LaneProduct<D, kStep, kHeadQueries * kStep, kHeadQueries, false>::template run<S, A, kHeadQueries>(
        key_rows, turned_queries, count, D / kStep, out);
  }
  // out[query][d] = sum over the first `count` keys of weight[key / kStep][query][kStep] * rows (stepped).
  void weigh(const Element* weight, const Element* rows, i64 count, float* out) const {
    LaneProduct<kStep, kHeadQueries * kStep, D * kStep, D, false>::template run<S, A, D>(weight, rows, kHeadQueries,
                                                                                       count / kStep, out);
  }
  // sum[key][d] += sum over queries of weight[key][query] * rows (stepped).
  void add_outer(const Element* weight, const Element* rows, i64 count, float* sum) const {
    LaneProduct<kHeadQueries, kStep, D * kStep, D, true>::template run<S, A, D>(weight, rows, count, kHeadQueries / kStep, sum);
  }
};

// Softmax over keys of 16 queries, the first of which sees `first` keys and itself: exponentials without their common factor
// to `weight` (stepped), their sums and the largest scaled scores.
template <class S, class A>
inline void head_softmax(const float* score, i64 first, i64 count, float scale, typename A::Element* weight, float* top,
                         float* total) {
  using V = typename S::V;
  const V factor = S::set1(scale);
  for (i64 lane = 0; lane < kHeadQueries; lane += S::kLanes) {
    V most = S::load(score + lane), most_odd = most;
    i64 seen = 1;
    for (; seen + 1 <= first; seen += 2) {
      most = S::max(most, S::load(score + seen * kHeadQueries + lane));
      most_odd = S::max(most_odd, S::load(score + (seen + 1) * kHeadQueries + lane));
    }
    for (; seen < count; ++seen) {
      const V value = S::load(score + seen * kHeadQueries + lane);
      most = S::max(most, seen > first ? seen_lanes<S>(value, most, lane, seen - first) : value);
    }
    const V shift = S::max(most, most_odd) * factor;
    V sum = S::zero();
    const auto step = [&](i64 key, bool all) {
      V e[A::kStep];
#pragma GCC unroll 2
      for (int s = 0; s < A::kStep; ++s) {
        e[s] = exp_of<S>(S::fma(S::load(score + (key + s) * kHeadQueries + lane), factor, S::zero() - shift));
        if (!all) e[s] = seen_lanes<S>(e[s], S::zero(), lane, key + s - first);
        sum = sum + e[s];
      }
      A::store_step(weight + key * kHeadQueries + lane * A::kStep, e);
    };
    i64 key = 0;
    for (; key + A::kStep <= first; key += A::kStep) step(key, true);
    for (; key < count; key += A::kStep) step(key, false);
    S::store(top + lane, shift);
    S::store(total + lane, sum);
  }
}

template <class S, class A, class T, int D>
void head_forward_of(const HeadAttention& a) {
  using Element = typename A::Element;
  using V = typename S::V;
  HeadRun<S, A, T, D> run{a};
  constexpr i64 dim = D;
  const i64 block = kHeadQueries * dim;
  Element* keys = run.template take<Element>(run.keys * dim);
  Element* values = run.template take<Element>(run.keys * dim);
  run.plain(a.k, a.kv_stride, 0, a.keys, run.keys, keys);
  run.stepped(a.v, a.kv_stride, 0, a.keys, run.keys, values);
  Element* q_rows = run.template take<Element>(block);
  Element* q = run.template take<Element>(block);
  float* score = run.template take<float>(kHeadQueries * run.keys);
  Element* weight = run.template take<Element>(kHeadQueries * run.keys);
  float* mixed = run.template take<float>(block);
  for (i64 head = 0; head < a.heads; ++head)
    for (i64 begin = 0; begin < a.rows; begin += kHeadQueries) {
      const i64 n = a.rows - begin < kHeadQueries ? a.rows - begin : kHeadQueries;
      const i64 first = a.keys - a.rows + begin, count = (first + n + kHeadQueries - 1) / kHeadQueries * kHeadQueries;
      run.turned(static_cast<const T*>(a.q) + head * dim, a.q_stride, begin, a.rows, q_rows, q);
      run.scores(keys, q, count, score);
      float top[kHeadQueries], total[kHeadQueries], log_total[kHeadQueries];
      head_softmax<S, A>(score, first, count, a.scale, weight, top, total);
      run.weigh(weight, values, count, mixed);
      log_of_16<S>(total, log_total);
      for (i64 i = 0; i < n; ++i) {
        a.lse[(begin + i) * a.lse_stride + head] = top[i] + log_total[i];
        T* out = static_cast<T*>(a.out) + (begin + i) * a.out_stride + head * dim;
        const V factor = S::set1(1.0f / total[i]);
        for (i64 d = 0; d < dim; d += S::kLanes) S::store(out + d, S::load(mixed + i * dim + d) * factor);
      }
    }
}

// The working memory of a block of queries in backward, by [key][query] what names no other order.
template <class Element>
struct HeadBlock {
  Element *rows, *q, *dout;           // rows: while they are turned
  Element *q_stepped, *dout_stepped;  // [queries / kStep][dim][kStep]
  float *score, *dprob;
  Element *prob, *dscore;
  Element* dscore_stepped;            // [keys / kStep][query][kStep]
};

// Probabilities and gradients of the scores of a block whose first query stands at `first`.
template <class S, class A>
inline void head_gradient(const HeadBlock<typename A::Element>& b, i64 first, i64 count, float scale, const float* lse,
                          const float* delta) {
  using V = typename S::V;
  const V factor = S::set1(scale);
  for (i64 lane = 0; lane < kHeadQueries; lane += S::kLanes) {
    const V shift = S::zero() - S::load(lse + lane), middle = S::load(delta + lane);
    const auto step = [&](i64 key, bool all) {
      V dscore[A::kStep];
#pragma GCC unroll 2
      for (int s = 0; s < A::kStep; ++s) {
        const i64 at = (key + s) * kHeadQueries + lane;
        V prob = exp_of<S>(S::fma(S::load(b.score + at), factor, shift));
        if (!all) prob = seen_lanes<S>(prob, S::zero(), lane, key + s - first);
        dscore[s] = prob * (S::load(b.dprob + at) - middle) * factor;
        S::store(b.prob + at, prob);
        S::store(b.dscore + at, dscore[s]);
      }
      if (A::kStep > 1) A::store_step(b.dscore_stepped + key * kHeadQueries + lane * A::kStep, dscore);
    };
    i64 key = 0;
    for (; key + A::kStep <= first; key += A::kStep) step(key, true);
    for (; key < count; key += A::kStep) step(key, false);
  }
}

template <class S, class T>
inline float head_delta(const T* out, const T* dout, i64 dim) {
  typename S::V sum = S::zero();
  for (i64 d = 0; d < dim; d += S::kLanes) sum = S::fma(S::load(out + d), S::load(dout + d), sum);
  return S::sum(sum);
}

template <class S, class A, class T, int D>
void head_backward_of(const HeadAttention& a) {
  using Element = typename A::Element;
  HeadRun<S, A, T, D> run{a};
  constexpr i64 dim = D;
  const i64 keys = run.keys, strip = kHeadQueries * keys, block = kHeadQueries * dim;
  Element* key_rows = run.template take<Element>(keys * dim);
  Element* value_rows = run.template take<Element>(keys * dim);
  Element* key_steps = run.template take<Element>(keys * dim);
  run.plain(a.k, a.kv_stride, 0, a.keys, keys, key_rows);
  run.plain(a.v, a.kv_stride, 0, a.keys, keys, value_rows);
  run.stepped(a.k, a.kv_stride, 0, a.keys, keys, key_steps);
  float* dk = run.template take<float>(keys * dim);
  float* dv = run.template take<float>(keys * dim);
  __builtin_memset(dk, 0, static_cast<size_t>(keys * dim) * 4);
  __builtin_memset(dv, 0, static_cast<size_t>(keys * dim) * 4);
  float* dq = run.template take<float>(block);
  HeadBlock<Element> b{};
  for (Element** rows : {&b.rows, &b.q, &b.dout, &b.q_stepped, &b.dout_stepped}) *rows = run.template take<Element>(block);
  for (float** scores : {&b.score, &b.dprob}) *scores = run.template take<float>(strip);
  for (Element** scores : {&b.prob, &b.dscore, &b.dscore_stepped}) *scores = run.template take<Element>(strip);
  if (A::kStep == 1) b.dscore_stepped = b.dscore;  // rows are their own steps
  for (i64 head = 0; head < a.heads; ++head)
    for (i64 begin = 0; begin < a.rows; begin += kHeadQueries) {
      const i64 n = a.rows - begin < kHeadQueries ? a.rows - begin : kHeadQueries;
      const i64 count = begin + kHeadQueries;  // keys, padded
      const T* q = static_cast<const T*>(a.q) + head * dim;
      const T* out = static_cast<const T*>(a.out) + begin * a.out_stride + head * dim;
      const T* dout = static_cast<const T*>(a.dout) + head * dim;
      run.turned(q, a.q_stride, begin, a.rows, b.rows, b.q);
      run.turned(dout, a.dout_stride, begin, a.rows, b.rows, b.dout);
      run.stepped(q, a.q_stride, begin, a.rows, kHeadQueries, b.q_stepped);
      run.stepped(dout, a.dout_stride, begin, a.rows, kHeadQueries, b.dout_stepped);
      // Queries beyond the segment: their rows are zero, and so are their gradients.
      float lse[kHeadQueries] = {}, delta[kHeadQueries] = {};
      for (i64 i = 0; i < n; ++i) {
        lse[i] = a.lse[(begin + i) * a.lse_stride + head];
        delta[i] = head_delta<S>(out + i * a.out_stride, dout + (begin + i) * a.dout_stride, dim);
      }
      run.scores(key_rows, b.q, count, b.score);
      run.scores(value_rows, b.dout, count, b.dprob);
      head_gradient<S, A>(b, begin, count, a.scale, lse, delta);
      run.add_outer(b.prob, b.dout_stepped, count, dv);
      run.add_outer(b.dscore, b.q_stepped, count, dk);
      run.weigh(b.dscore_stepped, key_steps, count, dq);
      for (i64 i = 0; i < n; ++i)
        for (i64 d = 0; d < dim; d += S::kLanes)
          S::store(static_cast<T*>(a.dq) + (begin + i) * a.dq_stride + head * dim + d, S::load(dq + i * dim + d));
    }
  for (i64 key = 0; key < a.rows; ++key)
    for (i64 d = 0; d < dim; d += S::kLanes) {
      S::store(static_cast<T*>(a.dk) + key * a.dkv_stride + d, S::load(dk + key * dim + d));
      S::store(static_cast<T*>(a.dv) + key * a.dkv_stride + d, S::load(dv + key * dim + d));
    }
}

template <class S, class A, class T>
void head_forward(const HeadAttention& a) {
  a.dim == 16 ? head_forward_of<S, A, T, 16>(a) : head_forward_of<S, A, T, 32>(a);
}

template <class S, class A, class T>
void head_backward(const HeadAttention& a) {
  a.dim == 16 ? head_backward_of<S, A, T, 16>(a) : head_backward_of<S, A, T, 32>(a);
}

}  // namespace moebius::kernels
