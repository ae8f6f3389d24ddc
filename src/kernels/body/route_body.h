// The router's element-wise work for any vector set S, rows of one block in one call: softmax, choice of k and gates; what
// the auxiliary losses sum; the gradient of the logits. Softmax routers only. All f32; a row's bits depend on it alone.
#pragma once

#include "kernels/body/exp_body.h"
#include "kernels/table.h"

namespace moebius::kernels {

// The numbers 0, 1, ... of the lanes.
template <class S>
inline typename S::V lane_numbers() {
  static constexpr float kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return S::load(kLane);
}

// n lanes of p, `other` in the rest.
template <class S>
inline typename S::V load_or(const float* p, i64 n, float other) {
  if (n == S::kLanes) return S::load(p);
  return S::select_less(lane_numbers<S>(), S::set1(static_cast<float>(n)), S::load_n(p, n), S::set1(other));
}

// Index of the largest of score[0, padded), the lowest of equal ones; at most count - 1.
template <class S>
inline i64 index_of_largest(const float* score, i64 padded, i64 count) {
  using V = typename S::V;
  V best = S::load(score), index = lane_numbers<S>();
  for (i64 i = S::kLanes; i < padded; i += S::kLanes) {
    const V x = S::load(score + i);
    index = S::select_less(best, x, lane_numbers<S>() + S::set1(static_cast<float>(i)), index);
    best = S::select_less(best, x, x, best);
  }
  const V far = S::select_less(best, S::set1(S::largest(best)), S::set1(1e9f), index);
  const float lowest = -S::largest(S::zero() - far);
  return lowest < static_cast<float>(count) ? static_cast<i64>(lowest) : count - 1;
}

template <class S>
void route_choose(const RouteRows& r) {
  using V = typename S::V;
  const i64 padded = (r.experts + S::kLanes - 1) / S::kLanes * S::kLanes;
  for (i64 t = 0; t < r.rows; ++t) {
    const float* logits = r.logits + t * r.experts;
    float* prob = r.prob + t * r.experts;
    V most = S::set1(-3.0e38f);
    for_lanes<S>(r.experts, [&](i64 i, i64 n) { most = S::max(most, load_or<S>(logits + i, n, -3.0e38f)); });
    const V shift = S::set1(S::largest(most));
    V sum = S::zero();
    for_lanes<S>(r.experts, [&](i64 i, i64 n) {
      const V e = exp_of<S>(load_some<S>(logits + i, n) - shift);
      sum = sum + (n == S::kLanes ? e : S::select_less(lane_numbers<S>(), S::set1(static_cast<float>(n)), e, S::zero()));
      store_some<S>(prob + i, e, n);
    });
    const V inverse = S::set1(1.0f / S::sum(sum));
    for_lanes<S>(r.experts, [&](i64 i, i64 n) { store_some<S>(prob + i, load_some<S>(prob + i, n) * inverse, n); });
    if (r.expert == nullptr) continue;
    for_lanes<S>(r.experts, [&](i64 i, i64 n) {
      V score = load_or<S>(logits + i, n, -3.0e38f);
      if (r.bias != nullptr) score = load_or<S>(prob + i, n, -3.0e38f) + load_some<S>(r.bias + i, n);
      S::store(r.score + i, score);
    });
    float chosen = 0;
    for (i64 j = 0; j < r.top_k; ++j) {
      const i64 e = index_of_largest<S>(r.score, padded, r.experts);
      r.expert[t * r.top_k + j] = static_cast<i32>(e);
      if (j + 1 < r.top_k) r.score[e] = -3.0e38f;
      chosen += prob[e];
    }
    const float factor = r.sum_to_one ? r.scale / chosen : r.scale;
    for (i64 j = 0; j < r.top_k; ++j) r.gate[t * r.top_k + j] = prob[r.expert[t * r.top_k + j]] * factor;
  }
}

// Of at most 16 rows: the largest logits, and the logarithms of the largest probabilities. Their difference is the
// log-sum-exp of a row, without an exponential.
template <class S>
inline void route_tops(const float* logits, const float* prob, i64 rows, i64 experts, float* top, float* log_prob) {
  using V = typename S::V;
  float most_prob[16];
  for (i64 t = 0; t < 16; ++t) most_prob[t] = 1;
  for (i64 t = 0; t < rows; ++t) {
    V x = S::set1(-3.0e38f), p = S::zero();
    for_lanes<S>(experts, [&](i64 i, i64 n) {
      x = S::max(x, load_or<S>(logits + t * experts + i, n, -3.0e38f));
      p = S::max(p, load_some<S>(prob + t * experts + i, n));
    });
    top[t] = S::largest(x);
    most_prob[t] = S::largest(p);
  }
  log_of_16<S>(most_prob, log_prob);
}

template <class S>
void route_sums(const RouteRows& r, const float* factor, double* sums) {
  using V = typename S::V;
  for (i64 begin = 0; begin < r.rows; begin += 16) {
    const i64 rows = r.rows - begin < 16 ? r.rows - begin : 16;
    const float *logits = r.logits + begin * r.experts, *prob = r.prob + begin * r.experts;
    float top[16], log_prob[16];
    route_tops<S>(logits, prob, rows, r.experts, top, log_prob);
    for (i64 t = 0; t < rows; ++t) {
      V balance = S::zero(), below = S::zero();
      for_lanes<S>(r.experts, [&](i64 i, i64 n) {
        const V p = load_some<S>(prob + t * r.experts + i, n);
        balance = S::fma(p, load_some<S>(factor + i, n), balance);
        below = S::fma(p, load_some<S>(logits + t * r.experts + i, n) - S::set1(top[t]), below);
      });
      const double lse = static_cast<double>(top[t]) - static_cast<double>(log_prob[t]);
      sums[0] += static_cast<double>(S::sum(balance));
      sums[1] += lse * lse;
      sums[2] -= static_cast<double>(log_prob[t]) + static_cast<double>(S::sum(below));
    }
  }
}

template <class S>
void route_gradient(const RouteRows& r, const RouteGradient& g) {
  using V = typename S::V;
  const V balance = S::set1(g.balance);
  for (i64 begin = 0; begin < r.rows; begin += 16) {
    const i64 rows = r.rows - begin < 16 ? r.rows - begin : 16;
    float top[16], log_prob[16];
    route_tops<S>(r.logits + begin * r.experts, r.prob + begin * r.experts, rows, r.experts, top, log_prob);
    for (i64 t = 0; t < rows; ++t) {
      const float* prob = r.prob + (begin + t) * r.experts;
      float* dlogits = g.dlogits + (begin + t) * r.experts;
      const i32* chosen = r.expert + (begin + t) * r.top_k;
      const float* dgate = g.dgate + (begin + t) * r.top_k;
      float sum = 0, weighted = 0;
      for (i64 j = 0; j < r.top_k; ++j) sum += prob[chosen[j]];
      for (i64 j = 0; j < r.top_k; ++j) weighted += dgate[j] * prob[chosen[j]] / sum;
      const auto dweight = [&](i64 j) { return r.scale * (r.sum_to_one ? (dgate[j] - weighted) / sum : dgate[j]); };
      V dot = S::zero();
      for_lanes<S>(r.experts, [&](i64 i, i64 n) { dot = S::fma(load_some<S>(prob + i, n), load_some<S>(g.factor + i, n), dot); });
      float mean = g.balance * S::sum(dot);
      for (i64 j = 0; j < r.top_k; ++j) mean += dweight(j) * prob[chosen[j]];
      const V rest = S::set1(g.z * (top[t] - log_prob[t]) - mean);
      for_lanes<S>(r.experts, [&](i64 i, i64 n) {
        const V slope = S::fma(balance, load_some<S>(g.factor + i, n), rest);
        store_some<S>(dlogits + i, load_some<S>(prob + i, n) * slope, n);
      });
      for (i64 j = 0; j < r.top_k; ++j) dlogits[chosen[j]] += prob[chosen[j]] * dweight(j);
    }
  }
}

}  // namespace moebius::kernels
