// The router's element-wise work for any vector set S, rows of one block in one call: scores and choice of k; what the
// auxiliary losses sum; the gradient of the logits. kSigmoid: the score function, else a softmax over all experts.
// All f32; a row's bits depend on it alone.
#pragma once

#include "kernels/body/exp_body.h"
#include "kernels/table.h"

namespace moebius::kernels {

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
inline float exp_sum(const float* x, i64 count, float shift) {
  typename S::V sum = S::zero();
  for_lanes<S>(count,
               [&](i64 i, i64 n) { sum = sum + keep_lanes<S>(exp_of<S>(load_some<S>(x + i, n) - S::set1(shift)), n); });
  return S::sum(sum);
}

// One row's scores: the softmax over all experts, or each expert's sigmoid.
template <class S, bool kSigmoid>
inline void route_scores(const RouteRows& r, const float* logits, float* prob) {
  using V = typename S::V;
  if constexpr (kSigmoid) {
    for_lanes<S>(r.experts,
                 [&](i64 i, i64 n) { store_some<S>(prob + i, sigmoid_of<S>(load_some<S>(logits + i, n)), n); });
    return;
  }
  V most = S::set1(-3.0e38f);
  for_lanes<S>(r.experts, [&](i64 i, i64 n) { most = S::max(most, load_or<S>(logits + i, n, -3.0e38f)); });
  const V shift = S::set1(S::largest(most));
  V sum = S::zero();
  for_lanes<S>(r.experts, [&](i64 i, i64 n) {
    const V e = keep_lanes<S>(exp_of<S>(load_some<S>(logits + i, n) - shift), n);
    sum = sum + e;
    store_some<S>(prob + i, e, n);
  });
  const V inverse = S::set1(1.0f / S::sum(sum));
  for_lanes<S>(r.experts, [&](i64 i, i64 n) { store_some<S>(prob + i, load_some<S>(prob + i, n) * inverse, n); });
}

template <class S, bool kSigmoid>
void route_choose(const RouteRows& r) {
  using V = typename S::V;
  const i64 padded = (r.experts + S::kLanes - 1) / S::kLanes * S::kLanes;
  for (i64 t = 0; t < r.rows; ++t) {
    const float* logits = r.logits + t * r.experts;
    float* prob = r.prob + t * r.experts;
    route_scores<S, kSigmoid>(r, logits, prob);
    if (r.expert == nullptr) continue;
    for_lanes<S>(r.experts, [&](i64 i, i64 n) {
      V score = load_or<S>(logits + i, n, -3.0e38f);
      if (r.bias != nullptr) score = load_or<S>(prob + i, n, -3.0e38f) + load_some<S>(r.bias + i, n);
      S::store(r.score + i, score);
    });
    for (i64 j = 0; j < r.top_k; ++j) {
      const i64 e = index_of_largest<S>(r.score, padded, r.experts);
      r.expert[t * r.top_k + j] = static_cast<i32>(e);
      if (j + 1 < r.top_k) r.score[e] = -3.0e38f;
    }
  }
}

// Of rows [begin, begin + count), at most 16: the largest logits, and what their log-sum-exps exceed them by. With a
// softmax that is minus the logarithm of the largest probability, without an exponential.
template <class S, bool kSigmoid>
inline void route_log_sums(const RouteRows& r, i64 begin, i64 count, float* top, float* log_sum) {
  using V = typename S::V;
  const float *logits = r.logits + begin * r.experts, *prob = r.prob + begin * r.experts;
  const i64 experts = r.experts;
  float value[16];
  for (i64 t = 0; t < 16; ++t) value[t] = 1;
  for (i64 t = 0; t < count; ++t) {
    V x = S::set1(-3.0e38f), p = S::zero();
    for_lanes<S>(experts, [&](i64 i, i64 n) {
      x = S::max(x, load_or<S>(logits + t * experts + i, n, -3.0e38f));
      p = S::max(p, load_some<S>(prob + t * experts + i, n));
    });
    top[t] = S::largest(x);
    value[t] = S::largest(p);
  }
  if constexpr (kSigmoid) {
    for (i64 t = 0; t < count; ++t) value[t] = exp_sum<S>(logits + t * experts, experts, top[t]);
  }
  log_of_16<S>(value, log_sum);
  for (i64 t = 0; t < 16 && !kSigmoid; ++t) log_sum[t] = -log_sum[t];
}

// sum s and sum s ln s over a row of scores; the logarithm of a score of zero is finite here.
template <class S>
inline void score_sums(const float* score, i64 count, float* sum, float* weighted) {
  using V = typename S::V;
  V all = S::zero(), with_log = S::zero();
  for (i64 begin = 0; begin < count; begin += 16) {
    const float* s = score + begin;
    float padded[16], log_s[16];
    if (begin + 16 > count) {
      for (i64 i = 0; i < 16; ++i) padded[i] = begin + i < count ? s[i] : 0;
      s = padded;
    }
    log_of_16<S>(s, log_s);
    for (i64 i = 0; i < 16; i += S::kLanes) {
      all = all + S::load(s + i);
      with_log = S::fma(S::load(s + i), S::load(log_s + i), with_log);
    }
  }
  *sum = S::sum(all);
  *weighted = S::sum(with_log);
}

// Entropies of the shares that at most 16 rows of scores have in their sums.
template <class S>
inline void sigmoid_entropies(const RouteRows& r, i64 begin, i64 count, double* entropy) {
  float sum[16], log_of_sum[16], weighted[16];
  for (i64 t = 0; t < 16; ++t) sum[t] = 1;
  for (i64 t = 0; t < count; ++t) score_sums<S>(r.prob + (begin + t) * r.experts, r.experts, sum + t, weighted + t);
  log_of_16<S>(sum, log_of_sum);
  for (i64 t = 0; t < count; ++t)
    entropy[t] = static_cast<double>(log_of_sum[t]) - static_cast<double>(weighted[t] / sum[t]);
}

template <class S, bool kSigmoid>
void route_sums(const RouteRows& r, const float* factor, double* sums) {
  using V = typename S::V;
  for (i64 begin = 0; begin < r.rows; begin += 16) {
    const i64 count = r.rows - begin < 16 ? r.rows - begin : 16;
    const float *logits = r.logits + begin * r.experts, *prob = r.prob + begin * r.experts;
    float top[16], log_sum[16];
    double entropy[16];
    route_log_sums<S, kSigmoid>(r, begin, count, top, log_sum);
    if constexpr (kSigmoid) sigmoid_entropies<S>(r, begin, count, entropy);
    for (i64 t = 0; t < count; ++t) {
      V balance = S::zero(), below = S::zero();
      for_lanes<S>(r.experts, [&](i64 i, i64 n) {
        const V p = load_some<S>(prob + t * r.experts + i, n);
        balance = S::fma(p, load_some<S>(factor + i, n), balance);
        below = S::fma(p, load_some<S>(logits + t * r.experts + i, n) - S::set1(top[t]), below);
      });
      const double lse = static_cast<double>(top[t]) + static_cast<double>(log_sum[t]);
      sums[0] += static_cast<double>(S::sum(balance));
      sums[1] += lse * lse;
      // Of a softmax the entropy is the log-sum-exp less the mean of the logits.
      sums[2] += kSigmoid ? entropy[t] : static_cast<double>(log_sum[t]) - static_cast<double>(S::sum(below));
    }
  }
}

// The gradient of a row's logits but for what the gates add at the chosen experts. mean: of the scores' gradients under
// a softmax, which its sum to one takes from each of them.
template <class S, bool kSigmoid>
inline void route_row_gradient(const RouteRows& r, const RouteGradient& g, i64 row, float lse, float mean) {
  using V = typename S::V;
  const float *logits = r.logits + row * r.experts, *prob = r.prob + row * r.experts;
  float* dlogits = g.dlogits + row * r.experts;
  const V balance = S::set1(g.balance);
  if constexpr (kSigmoid) {
    const V z = S::set1(g.z * lse), shift = S::set1(lse), one = S::set1(1.0f);
    for_lanes<S>(r.experts, [&](i64 i, i64 n) {
      const V p = load_some<S>(prob + i, n), through = balance * load_some<S>(g.factor + i, n) * p * (one - p);
      store_some<S>(dlogits + i, S::fma(z, exp_of<S>(load_some<S>(logits + i, n) - shift), through), n);
    });
    return;
  }
  const V rest = S::set1(g.z * lse - mean);
  for_lanes<S>(r.experts, [&](i64 i, i64 n) {
    store_some<S>(dlogits + i, load_some<S>(prob + i, n) * S::fma(balance, load_some<S>(g.factor + i, n), rest), n);
  });
}

template <class S, bool kSigmoid>
void route_gradient(const RouteRows& r, const RouteGradient& g) {
  for (i64 begin = 0; begin < r.rows; begin += 16) {
    const i64 count = r.rows - begin < 16 ? r.rows - begin : 16;
    float top[16], log_sum[16];
    route_log_sums<S, kSigmoid>(r, begin, count, top, log_sum);
    for (i64 t = 0; t < count; ++t) {
      const float* prob = r.prob + (begin + t) * r.experts;
      float* dlogits = g.dlogits + (begin + t) * r.experts;
      const i32* chosen = r.expert + (begin + t) * r.top_k;
      const float* dgate = g.dgate + (begin + t) * r.top_k;
      float sum = 0, weighted = 0;
      for (i64 j = 0; j < r.top_k; ++j) sum += prob[chosen[j]];
      for (i64 j = 0; j < r.top_k; ++j) weighted += dgate[j] * prob[chosen[j]] / sum;
      const auto dprob = [&](i64 j) { return r.scale * (r.sum_to_one ? (dgate[j] - weighted) / sum : dgate[j]); };
      float mean = kSigmoid ? 0 : g.balance * dot_row<S, float>(prob, g.factor, r.experts);
      for (i64 j = 0; j < r.top_k; ++j) mean += dprob(j) * prob[chosen[j]];
      route_row_gradient<S, kSigmoid>(r, g, begin + t, top[t] + log_sum[t], mean);
      for (i64 j = 0; j < r.top_k; ++j) {
        const float p = prob[chosen[j]];
        dlogits[chosen[j]] += (kSigmoid ? p * (1.0f - p) : p) * dprob(j);
      }
    }
  }
}

}  // namespace moebius::kernels
