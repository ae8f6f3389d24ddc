// Attention of one key/value head and its queries for any vector set S: small heads and short documents, where packing into
// blocks of 32 columns and a call for each row cost more than the arithmetic. Blocks of 16 queries; all five products are
// one micro-kernel. A says how a product runs: A::kStep elements of the reduction at a time (1: f32 multiply-add, 2: the
// dot product of bf16 pairs), right operands in [reduction / kStep][columns][kStep]. Not with a window, nor over caches.
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

// out[r][c] (+)= sum over s of left[r * row + s * step] * right[s * right_stride + c], s < steps; lengths in elements.
template <class Element>
struct LaneProduct {
  const Element* left;
  i64 left_row, left_step;
  const Element* right;
  i64 right_stride;
  i64 steps;
  float* out;
  i64 out_stride;
  bool add;
};

template <class S, class A, int M, int N>
inline void lane_tile(const LaneProduct<typename A::Element>& p, i64 row, i64 col) {
  typename S::V sum[M][N];
  float* out = p.out + row * p.out_stride + col;
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sum[m][n] = p.add ? S::load(out + m * p.out_stride + n * S::kLanes) : S::zero();
  const typename A::Element* left = p.left + row * p.left_row;
  const typename A::Element* right = p.right + col * A::kStep;
  for (i64 s = 0; s < p.steps; ++s, left += p.left_step, right += p.right_stride) {
    typename A::Right r[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) r[n] = A::load(right + n * S::kLanes * A::kStep);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] = A::mac(sum[m][n], left + m * p.left_row, r[n]);
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) S::store(out + m * p.out_stride + n * S::kLanes, sum[m][n]);
}

// rows: a multiple of the tile's; cols: of kLanes.
template <class S, class A>
inline void lane_product(const LaneProduct<typename A::Element>& p, i64 rows, i64 cols) {
  constexpr int kRows = S::kLanes >= 16 ? 8 : 4;
  for (i64 row = 0; row < rows; row += kRows) {
    i64 col = 0;
    for (; col + 2 * S::kLanes <= cols; col += 2 * S::kLanes) lane_tile<S, A, kRows, 2>(p, row, col);
    if (col < cols) lane_tile<S, A, kRows, 1>(p, row, col);
  }
}

// The numbers 0, 1, ... in lanes, and x where its lane is below n, else `other`.
template <class S>
inline typename S::V lanes_below(i64 n, typename S::V x, typename S::V other) {
  static constexpr float kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return S::select_less(S::load(kLane), S::set1(static_cast<float>(n)), x, other);
}

inline constexpr i64 kHeadQueries = 16;

// What both ways share: sizes, packing, the scratch.
template <class S, class A, class T>
struct HeadRun {
  using Element = typename A::Element;
  using V = typename S::V;
  const HeadAttention& a;
  i64 dim = a.dim;
  i64 keys = (a.keys + kHeadQueries - 1) / kHeadQueries * kHeadQueries;  // padded
  char* next = static_cast<char*>(a.scratch);

  template <class X>
  X* take(i64 count) {
    X* p = reinterpret_cast<X*>(next);
    next += (count * static_cast<i64>(sizeof(X)) + 63) / 64 * 64;
    return p;
  }
  static V row_lanes(const void* base, i64 stride, i64 row, i64 col) { return S::load(static_cast<const T*>(base) + row * stride + col); }

  // [dim / kStep][keys][kStep] of rows [0, a.keys), zero behind them.
  Element* transposed(const void* base) {
    Element* dst = take<Element>(keys * dim);
    float row[kHeadDimMax];
    for (i64 key = 0; key < keys; ++key) {
      for (i64 d = 0; d < dim; d += S::kLanes)
        S::store(row + d, key < a.keys ? row_lanes(base, a.kv_stride, key, d) : S::zero());
      Element narrow[kHeadDimMax];
      for (i64 d = 0; d < dim; d += S::kLanes) S::store(narrow + d, S::load(row + d));
      for (i64 d = 0; d < dim; d += A::kStep)
        __builtin_memcpy(dst + (d * keys + key * A::kStep), narrow + d, A::kStep * sizeof(Element));
    }
    return dst;
  }
  // [rows / kStep][dim][kStep] of rows [begin, end) of `count`, zero behind `end`; `count` a multiple of kStep.
  void stepped(const void* base, i64 stride, i64 begin, i64 end, i64 count, Element* dst) {
    for (i64 row = 0; row < count; row += A::kStep)
      for (i64 d = 0; d < dim; d += S::kLanes) {
        V part[A::kStep];
        for (int s = 0; s < A::kStep; ++s)
          part[s] = begin + row + s < end ? row_lanes(base, stride, begin + row + s, d) : S::zero();
        A::store_step(dst + row * dim + d * A::kStep, part);
      }
  }
  // Rows [begin, begin + n) as they are, zero up to kHeadQueries.
  void plain(const void* base, i64 stride, i64 begin, i64 n, Element* dst) {
    for (i64 i = 0; i < kHeadQueries; ++i)
      for (i64 d = 0; d < dim; d += S::kLanes)
        S::store(dst + i * dim + d, i < n ? row_lanes(base, stride, begin + i, d) : S::zero());
  }
  // The block's rows times a transposed operand: out[i][key].
  void against_keys(const Element* rows, const Element* panels, i64 cols, float* out) const {
    lane_product<S, A>({rows, dim, A::kStep, panels, keys * A::kStep, dim / A::kStep, out, keys, false}, kHeadQueries, cols);
  }
  // out[i][d] = sum over keys of weight[i][key] * rows[key][d].
  void weigh(const Element* weight, const Element* rows, i64 cols, float* out) const {
    lane_product<S, A>({weight, keys, A::kStep, rows, dim * A::kStep, cols / A::kStep, out, dim, false}, kHeadQueries, dim);
  }
};

// One row's softmax over its first `last` keys: exponentials without their common factor, zero up to `cols`.
template <class S, class Element>
inline float head_softmax(const float* score, i64 last, i64 cols, float scale, float& top, Element* weight) {
  using V = typename S::V;
  const i64 whole = last / S::kLanes * S::kLanes;
  V most = S::set1(-3.0e38f);
  for (i64 j = 0; j < whole; j += S::kLanes) most = S::max(most, S::load(score + j));
  if (whole < last) most = S::max(most, lanes_below<S>(last - whole, S::load(score + whole), most));
  top = S::largest(most) * scale;
  const V factor = S::set1(scale), shift = S::set1(-top);
  V sum = S::zero();
  i64 j = 0;
  for (; j < whole; j += S::kLanes) {
    const V e = exp_of<S>(S::fma(S::load(score + j), factor, shift));
    sum = sum + e;
    S::store(weight + j, e);
  }
  if (j < last) {
    const V e = lanes_below<S>(last - j, exp_of<S>(S::fma(S::load(score + j), factor, shift)), S::zero());
    sum = sum + e;
    S::store(weight + j, e);
    j += S::kLanes;
  }
  for (; j < cols; j += S::kLanes) S::store(weight + j, S::zero());
  return S::sum(sum);
}

template <class S, class A, class T>
void head_forward(const HeadAttention& a) {
  using Element = typename A::Element;
  using V = typename S::V;
  HeadRun<S, A, T> run{a};
  const Element* key_panels = run.transposed(a.k);
  Element* values = run.template take<Element>(run.keys * run.dim);
  run.stepped(a.v, a.kv_stride, 0, a.keys, run.keys, values);
  Element* q = run.template take<Element>(kHeadQueries * run.dim);
  float* score = run.template take<float>(kHeadQueries * run.keys);
  Element* weight = run.template take<Element>(kHeadQueries * run.keys);
  float* mixed = run.template take<float>(kHeadQueries * run.dim);
  for (i64 head = 0; head < a.heads; ++head)
    for (i64 begin = 0; begin < a.rows; begin += kHeadQueries) {
      const i64 n = a.rows - begin < kHeadQueries ? a.rows - begin : kHeadQueries;
      const i64 first = a.keys - a.rows + begin, cols = (first + n + kHeadQueries - 1) / kHeadQueries * kHeadQueries;
      run.plain(static_cast<const T*>(a.q) + head * run.dim, a.q_stride, begin, n, q);
      run.against_keys(q, key_panels, cols, score);
      float inverse[kHeadQueries];
      for (i64 i = 0; i < kHeadQueries; ++i) {
        float top = 0;
        const i64 last = i < n ? first + i + 1 : first + n;
        const float total = head_softmax<S>(score + i * run.keys, last, cols, a.scale, top, weight + i * run.keys);
        inverse[i] = 1.0f / total;
        if (i < n) a.lse[(begin + i) * a.lse_stride + head] = top + __builtin_logf(total);
      }
      run.weigh(weight, values, cols, mixed);
      for (i64 i = 0; i < n; ++i) {
        T* out = static_cast<T*>(a.out) + (begin + i) * a.out_stride + head * run.dim;
        const V factor = S::set1(inverse[i]);
        for (i64 d = 0; d < run.dim; d += S::kLanes) S::store(out + d, S::load(mixed + i * run.dim + d) * factor);
      }
    }
}

// The working memory of a block of queries in backward.
template <class Element>
struct HeadBlock {
  Element *q, *dout;                     // rows
  Element *q_stepped, *dout_stepped;     // [queries / kStep][dim][kStep]
  float *score, *dprob;                  // [queries][keys]
  Element* dscore;                       // [queries][keys]
  Element *prob_stepped, *dscore_stepped;  // [queries / kStep][keys][kStep]
};

// Probabilities and gradients of the scores of kStep rows; rows beyond the block have last = 0 and become zero.
template <class S, class A, class T>
inline void head_gradient(const HeadRun<S, A, T>& run, const HeadBlock<typename A::Element>& b, i64 i, i64 cols, const i64* last,
                          const float* lse, const float* delta) {
  using V = typename S::V;
  const V factor = S::set1(run.a.scale);
  for (i64 j = 0; j < cols; j += S::kLanes) {
    V prob[A::kStep], dscore[A::kStep];
    for (int s = 0; s < A::kStep; ++s) {
      const i64 at = (i + s) * run.keys + j;
      V p = exp_of<S>(S::fma(S::load(b.score + at), factor, S::set1(-lse[s])));
      if (j + S::kLanes > last[s]) p = lanes_below<S>(last[s] - j, p, S::zero());
      prob[s] = p;
      dscore[s] = p * (S::load(b.dprob + at) - S::set1(delta[s])) * factor;
      S::store(b.dscore + at, dscore[s]);
    }
    A::store_step(b.prob_stepped + i * run.keys + j * A::kStep, prob);
    if (A::kStep > 1) A::store_step(b.dscore_stepped + i * run.keys + j * A::kStep, dscore);
  }
}

template <class S, class T>
inline float head_delta(const T* out, const T* dout, i64 dim) {
  typename S::V sum = S::zero();
  for (i64 d = 0; d < dim; d += S::kLanes) sum = S::fma(S::load(out + d), S::load(dout + d), sum);
  return S::sum(sum);
}

template <class S, class A, class T>
void head_backward(const HeadAttention& a) {
  using Element = typename A::Element;
  HeadRun<S, A, T> run{a};
  const i64 dim = run.dim, keys = run.keys, strip = kHeadQueries * keys, block = kHeadQueries * dim;
  const Element* key_panels = run.transposed(a.k);
  const Element* value_panels = run.transposed(a.v);
  Element* key_rows = run.template take<Element>(keys * dim);
  run.stepped(a.k, a.kv_stride, 0, a.keys, keys, key_rows);
  float* dk = run.template take<float>(keys * dim);
  float* dv = run.template take<float>(keys * dim);
  __builtin_memset(dk, 0, static_cast<size_t>(keys * dim) * 4);
  __builtin_memset(dv, 0, static_cast<size_t>(keys * dim) * 4);
  float* dq = run.template take<float>(block);
  HeadBlock<Element> b{};
  for (Element** rows : {&b.q, &b.dout, &b.q_stepped, &b.dout_stepped}) *rows = run.template take<Element>(block);
  for (float** scores : {&b.score, &b.dprob}) *scores = run.template take<float>(strip);
  for (Element** scores : {&b.dscore, &b.prob_stepped, &b.dscore_stepped}) *scores = run.template take<Element>(strip);
  if (A::kStep == 1) b.dscore_stepped = b.dscore;  // rows are their own steps
  for (i64 head = 0; head < a.heads; ++head)
    for (i64 begin = 0; begin < a.rows; begin += kHeadQueries) {
      const i64 n = a.rows - begin < kHeadQueries ? a.rows - begin : kHeadQueries;
      const i64 cols = (begin + n + kHeadQueries - 1) / kHeadQueries * kHeadQueries;
      const T* q = static_cast<const T*>(a.q) + head * dim;
      const T* out = static_cast<const T*>(a.out) + head * dim;
      const T* dout = static_cast<const T*>(a.dout) + head * dim;
      run.plain(q, a.q_stride, begin, n, b.q);
      run.plain(dout, a.dout_stride, begin, n, b.dout);
      run.stepped(q, a.q_stride, begin, begin + n, kHeadQueries, b.q_stepped);
      run.stepped(dout, a.dout_stride, begin, begin + n, kHeadQueries, b.dout_stepped);
      run.against_keys(b.q, key_panels, cols, b.score);
      run.against_keys(b.dout, value_panels, cols, b.dprob);
      for (i64 i = 0; i < kHeadQueries; i += A::kStep) {
        i64 last[A::kStep];
        float lse[A::kStep], delta[A::kStep];
        for (int s = 0; s < A::kStep; ++s) {
          const i64 row = begin + i + s;
          const bool real = i + s < n;
          last[s] = real ? row + 1 : 0;
          lse[s] = real ? a.lse[row * a.lse_stride + head] : 0;
          delta[s] = real ? head_delta<S>(out + row * a.out_stride, dout + row * a.dout_stride, dim) : 0;
        }
        head_gradient<S, A, T>(run, b, i, cols, last, lse, delta);
      }
      constexpr i64 kSteps = kHeadQueries / A::kStep;
      const i64 stepped = keys * A::kStep, row_step = dim * A::kStep;
      lane_product<S, A>({b.prob_stepped, A::kStep, stepped, b.dout_stepped, row_step, kSteps, dv, dim, true}, cols, dim);
      lane_product<S, A>({b.dscore_stepped, A::kStep, stepped, b.q_stepped, row_step, kSteps, dk, dim, true}, cols, dim);
      run.weigh(b.dscore, key_rows, cols, dq);
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

}  // namespace moebius::kernels
