// The element-wise parts of attention's heads (attention_body.h), the same for every policy (how products run): masks,
// the online softmax of a block of scores, and its gradient. In: f32 scores, [key][query] with A::kQueries queries;
// out: weights of type A::Element. S is a vector set. Not for rows of scores by query: exp_body.h.
#pragma once

#include "kernels/body/exp_body.h"

namespace moebius::kernels {

// Which of a block's keys its queries see: query i those in (first + i - window, first + i], counted from the block's
// first.
template <i64 kQueries>
struct HeadSeen {
  i64 first, window;

  // The same for keys that begin `keys` later.
  HeadSeen from(i64 keys) const { return {first - keys, window}; }
  // step(key, all) for the block's keys, kStep at a time: whether all queries see them.
  template <i64 kStep, class Step>
  inline void walk(i64 count, Step step) const {
    const i64 from = first + kQueries - window, all_begin = from > 0 ? (from + kStep - 1) / kStep * kStep : 0;
    const i64 all_end = first + 1 < count ? first + 1 : count;
    i64 key = 0;
    for (; key < all_begin && key < count; key += kStep) step(key, false);
    for (; key + kStep <= all_end; key += kStep) step(key, true);
    for (; key < count; key += kStep) step(key, false);
  }
  // x, but `other` for those of the queries [lane, lane + kLanes) that do not see the key.
  template <class S>
  inline typename S::V choose(typename S::V x, typename S::V other, i64 key, i64 lane) const {
    static constexpr float kLane[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
    static_assert(kQueries <= 32);
    const i64 least = key - first, end = least + window;
    const typename S::V query = S::load(kLane + lane);
    if (end < kQueries) x = S::select_less(query, S::set1(static_cast<float>(end)), x, other);
    return S::select_less(query, S::set1(static_cast<float>(least)), other, x);
  }
};

// A block of queries and what it meets in forward: rows packed as A wants them, from the segment's first key on.
template <class Element>
struct HeadMeeting {
  const Element *keys, *values, *queries;
  float* score;     // scratch
  Element* weight;  // scratch
  float* mixed;     // the sums; zero
  i64 first, rows;  // the first query's position; queries that exist
  i64 window;
  float factor;  // of scores, to powers of two

  // The first key that any of the queries sees.
  i64 first_key() const { return first >= window ? first - window + 1 : 0; }
};

// The queries of a block while keys pass: the largest score so far, in powers of two, and the sum of exponentials below
// it.
template <i64 kQueries>
struct HeadSums {
  float top[kQueries], total[kQueries], rescale[kQueries];
};

// Takes the largest scores of a block of keys into account: what came before is to be multiplied by `rescale`. The top
// is left as it is while no score is more than 2^kSlack times above it: rescaling is rarer then, and exponentials stay
// as exact.
template <class S, class A>
inline void head_top(const float* score, const HeadSeen<A::kQueries>& seen, i64 count, float factor, i64 lanes,
                     HeadSums<A::kQueries>& sums) {
  using V = typename S::V;
  for (i64 lane = 0; lane < lanes; lane += S::kLanes) {
    const float* from = score + lane;
    V most[A::kTopChains];
    for (V& chain : most) chain = S::set1(-1e30f);
    seen.template walk<A::kTopChains>(count, [&](i64 key, bool all) {
#pragma GCC unroll 8
      for (i64 s = 0; s < A::kTopChains; ++s) {
        const V value = S::load(from + (key + s) * A::kQueries);
        most[s] = S::max(most[s], all ? value : seen.template choose<S>(value, most[s], key + s, lane));
      }
    });
    for (i64 s = 1; s < A::kTopChains; ++s) most[0] = S::max(most[0], most[s]);
    const V old = S::load(sums.top + lane);
    V top = S::max(old, most[0] * S::set1(factor));
    if constexpr (A::kSlack > 0) top = S::select_less(old + S::set1(A::kSlack), top, top, old);
    S::store(sums.top + lane, top);
    S::store(sums.rescale + lane, A::exp2(old - top));
  }
}

// Exponentials of a block of keys, or of a part of it, to `weight` (stepped), and their sums. first: the block's first
// part.
template <class S, class A>
inline void head_weights(const float* score, const HeadSeen<A::kQueries>& seen, i64 count, float factor, i64 lanes,
                         bool first, typename A::Element* weight, HeadSums<A::kQueries>& sums) {
  using V = typename S::V;
  const V by = S::set1(factor);
  for (i64 lane = 0; lane < lanes; lane += S::kLanes) {
    const V top = S::load(sums.top + lane);
    V sum = S::zero();
    seen.template walk<A::kStep>(count, [&](i64 key, bool all) {
      V e[A::kStep];
#pragma GCC unroll 2
      for (int s = 0; s < A::kStep; ++s) {
        e[s] = A::exp2(S::fma(S::load(score + lane + (key + s) * A::kQueries), by, S::zero() - top));
        if (!all) e[s] = seen.template choose<S>(e[s], S::zero(), key + s, lane);
        sum = sum + e[s];
      }
      A::store_step(weight + key * A::kQueries + lane * A::kStep, e);
    });
    const V rescale = first ? S::load(sums.rescale + lane) : S::set1(1.0f);
    S::store(sums.total + lane, S::fma(S::load(sums.total + lane), rescale, sum));
  }
}

// A block of keys and a batch of blocks of queries in backward. Arrays are [key][query] unless they say otherwise.
template <class Element>
struct HeadBatch {
  const Element *key_rows, *value_rows, *key_steps;
  float *dk, *dv;
  const Element *queries, *dout;  // transposed
  const Element *query_steps, *dout_steps;
  const float *lse, *delta;  // lse: in powers of two
  float* dq;
  float *score, *dprob;    // scratch, as the next two lines
  Element *prob, *dscore;  // of A::kKept blocks of queries, side by side
  Element* dscore_steps;   // [keys / kStep][query][kStep]
  i64 keys, blocks;        // number of keys and of blocks of queries
  i64 first, window;       // the first query, counted from the first key
  float scale;
};

// Probabilities and gradients of the scores of some keys, for the block of queries to which the pointers lead.
template <class S, class A>
inline void head_gradient(const HeadBatch<typename A::Element>& b, const HeadSeen<A::kQueries>& seen, i64 count) {
  using V = typename S::V;
  const V by = S::set1(b.scale * 1.44269504f), factor = S::set1(b.scale);
  for (i64 lane = 0; lane < A::kQueries; lane += S::kLanes) {
    const V shift = S::zero() - S::load(b.lse + lane), middle = S::load(b.delta + lane);
    // Copies, because the compiler must otherwise assume that a store changes one of the pointers.
    const float *score = b.score + lane, *dprob = b.dprob + lane;
    typename A::Element *probs = b.prob + lane, *dscores = b.dscore + lane, *steps = b.dscore_steps + lane * A::kStep;
    seen.template walk<A::kStep>(count, [=](i64 key, bool all) {
      V dscore[A::kStep];
#pragma GCC unroll 2
      for (int s = 0; s < A::kStep; ++s) {
        const i64 at = (key + s) * A::kQueries, to = at * A::kKept;
        V prob = A::exp2(S::fma(S::load(score + at), by, shift));
        if (!all) prob = seen.template choose<S>(prob, S::zero(), key + s, lane);
        dscore[s] = prob * (S::load(dprob + at) - middle) * factor;
        S::store(probs + to, prob);
        S::store(dscores + to, dscore[s]);
      }
      if (A::kStep > 1) A::store_step(steps + key * A::kQueries, dscore);
    });
  }
}

}  // namespace moebius::kernels
