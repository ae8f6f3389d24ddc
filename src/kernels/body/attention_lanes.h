// How attention's products (attention_body.h) run on the lanes of a vector set: 16 queries side by side, multiply-adds
// of a broadcast element with a vector, sums in registers. In: packed rows; out: f32 sums. LanePolicy is what they
// share; LaneProducts multiplies f32, a set may bring its own (avx512/attention_dot.h). Not for tiles
// (amx/attention_tiles.h).
#pragma once

#include "kernels/body/attention_parts.h"

namespace moebius::kernels {

// out[r][c] (+)= sum over s < steps of left[r * kRow + s * kStep] * right[s * kRight + c]; out's rows are kOut apart.
// All lengths in elements, and known when compiled: a tile's addresses need few registers then.
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

  template <class S, class A, int M, int N>
  static inline void tiles(const typename A::Element* left, const typename A::Element* right, i64 rows, i64 steps,
                           float* out) {
    for (i64 row = 0; row + M <= rows; row += M) tile<S, A, M, N>(left + row * kRow, right, steps, out + row * kOut);
  }

  // rows: a multiple of 16; kCols: of 16.
  template <class S, class A, int kCols>
  static inline void run(const typename A::Element* left, const typename A::Element* right, i64 rows, i64 steps,
                         float* out) {
    constexpr int N = kCols >= 2 * S::kLanes ? 2 : 1, M = S::kLanes >= 16 ? 16 / N : 6;
    const i64 tiled = rows / M * M;
    for (i64 col = 0; col < kCols; col += N * S::kLanes) {
      tiles<S, A, M, N>(left, right + col * A::kStep, tiled, steps, out + col);
      if constexpr (16 % M != 0) {
        tiles<S, A, 2, N>(left + tiled * kRow, right + col * A::kStep, rows - tiled, steps, out + tiled * kOut + col);
      }
    }
  }
};

// What all policies on lanes have in common. A is the policy itself, Element the type it multiplies, kSteps the number
// of reduction steps per multiply-add.
template <class S, class A, class E, int kSteps>
struct LanePolicy {
  using Element = E;
  using V = typename S::V;
  static constexpr int kStep = kSteps;
  static constexpr i64 kQueries = 16;       // of a block; keys are padded to as many
  static constexpr i64 kBatch = 1;          // blocks of queries that `spread` takes at most
  static constexpr i64 kKept = 1;           // blocks of queries whose probabilities lie side by side in backward
  static constexpr i64 kKeysForward = 128;  // keys of a block
  static constexpr i64 kKeysBackward = 64;
  static constexpr i64 kBuffers = 1;          // of a block's scores and weights
  static constexpr int kDimLeast = 16;        // the smallest D
  static constexpr int kTopChains = 2;        // of head_top: largest scores side by side
  static constexpr float kSlack = 0;          // also of head_top
  static constexpr bool kTransposed = false;  // whether weigh's sums lie by [d][query], its rows by [key / 32][d][32]

  static V exp2(V x) { return exp2_of<S>(x); }
  // out[key][query] of the first `count` keys; queries transposed.
  template <int D>
  void scores(const E* key_rows, const E* queries, i64 count, float* out) const {
    LaneProduct<D, kStep, kQueries * kStep, kQueries, false>::template run<S, A, kQueries>(key_rows, queries, count,
                                                                                           D / kStep, out);
  }
  // sum[query][d] += sum over the first `count` keys of weight[key / kStep][query][kStep] * rows (stepped).
  template <int D>
  void weigh(const E* weight, const E* rows, i64 count, float* sum) const {
    LaneProduct<kStep, kQueries * kStep, D * kStep, D, true>::template run<S, A, D>(weight, rows, kQueries,
                                                                                    count / kStep, sum);
  }
  // sum[key][d] += sum over queries of weight[key][query] * rows (stepped).
  template <int D>
  void add_outer(const E* weight, const E* rows, i64 count, float* sum) const {
    LaneProduct<kQueries, kStep, D * kStep, D, true>::template run<S, A, D>(weight, rows, count, kQueries / kStep, sum);
  }
  // Forward of a block of queries: all keys that they see. This and `spread` are not inlined: they are the same code
  // for each type in memory, and compiled once.
  template <int D>
  [[gnu::noinline]] void mix(const HeadMeeting<E>& m, HeadSums<kQueries>& sums) const {
    const i64 start = m.first_key() / kKeysForward * kKeysForward, end = m.first + m.rows;
    for (i64 key = start; key < end; key += kKeysForward) {
      const i64 left = (end - key + kQueries - 1) / kQueries * kQueries,
                count = left < kKeysForward ? left : kKeysForward;
      const HeadSeen<kQueries> seen{m.first - key, m.window};
      scores<D>(m.keys + key * D, m.queries, count, m.score);
      head_top<S, A>(m.score, seen, count, m.factor, kQueries, sums);
      head_weights<S, A>(m.score, seen, count, m.factor, kQueries, true, m.weight, sums);
      for (i64 i = 0; i < m.rows && key > start; ++i) {
        if (sums.rescale[i] == 1.0f) continue;
        for (i64 d = 0; d < D; d += S::kLanes)
          S::store(m.mixed + i * D + d, S::load(m.mixed + i * D + d) * S::set1(sums.rescale[i]));
      }
      weigh<D>(m.weight, m.values + key * D, count, m.mixed);
    }
  }
  // Backward of a block of keys and of queries.
  template <int D>
  [[gnu::noinline]] void spread(const HeadBatch<E>& b) const {
    scores<D>(b.key_rows, b.queries, b.keys, b.score);
    scores<D>(b.value_rows, b.dout, b.keys, b.dprob);
    head_gradient<S, A>(b, {b.first, b.window}, b.keys);
    add_outer<D>(b.prob, b.dout_steps, b.keys, b.dv);
    add_outer<D>(b.dscore, b.query_steps, b.keys, b.dk);
    weigh<D>(b.dscore_steps, b.key_steps, b.keys, b.dq);
  }
};

// Products as f32 multiply-adds, whatever the operands were in memory.
template <class S>
struct LaneProducts : LanePolicy<S, LaneProducts<S>, float, 1> {
  using V = typename S::V;
  using Right = V;
  static Right load(const float* p) { return S::load(p); }
  static V mac(V sum, const float* left, Right right) { return S::fma(S::set1(*left), right, sum); }
  // kLanes columns of kStep neighbouring rows.
  static void store_step(float* dst, const V* rows) { S::store(dst, rows[0]); }
};

}  // namespace moebius::kernels
