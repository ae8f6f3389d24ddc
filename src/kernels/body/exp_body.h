// Everything with an exponential in it, for any vector set S: softmax rows, activations of experts and their gradients.
// Routers: route_body.h. T is the type of activations in memory; arithmetic is f32.
#pragma once

#include "kernels/body/row_body.h"
#include "kernels/table.h"

namespace moebius::kernels {

// e^x: 2^n * e^r with |r| <= ln(2)/2, a polynomial of degree 6; relative error below 3e-7. Clamped to normal numbers.
template <class S>
inline typename S::V exp_of(typename S::V x) {
  using V = typename S::V;
  x = S::max(S::min(x, S::set1(88.7f)), S::set1(-87.3f));
  const V n = S::round(x * S::set1(1.44269504f));
  V r = S::fma(n, S::set1(-0.693359375f), x);
  r = S::fma(n, S::set1(2.12194440e-4f), r);
  V p = S::fma(S::set1(1.3981999e-3f), r, S::set1(8.3334519e-3f));
  p = S::fma(p, r, S::set1(4.1665796e-2f));
  p = S::fma(p, r, S::set1(1.6666666e-1f));
  p = S::fma(p, r, S::set1(0.5f));
  p = S::fma(p, r, S::set1(1.0f));
  p = S::fma(p, r, S::set1(1.0f));
  return S::scale2(p, n);
}

// 2^x, 1 for 0: a polynomial of degree 5 that fits best on [-1/2, 1/2], relative error below 2e-7. Not below 2^-126.
template <class S>
inline typename S::V exp2_of(typename S::V x) {
  using V = typename S::V;
  x = S::max(x, S::set1(-126.0f));
  const V n = S::round(x), r = x - n;
  V p = S::fma(S::set1(1.3276472e-3f), r, S::set1(9.6755419e-3f));
  p = S::fma(p, r, S::set1(5.5507131e-2f));
  p = S::fma(p, r, S::set1(2.4022120e-1f));
  p = S::fma(p, r, S::set1(6.9314694e-1f));
  p = S::fma(p, r, S::set1(1.0f));
  return S::scale2(p, n);
}

template <class S>
inline typename S::V sigmoid_of(typename S::V x) {
  return S::set1(1.0f) / (S::set1(1.0f) + exp_of<S>(-x));
}

// erf by Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7); `gauss` receives exp(-x^2).
template <class S>
inline typename S::V erf_of(typename S::V x, typename S::V& gauss) {
  using V = typename S::V;
  const V size = S::max(x, -x);
  const V t = S::set1(1.0f) / S::fma(S::set1(0.3275911f), size, S::set1(1.0f));
  V p = S::fma(S::set1(1.061405429f), t, S::set1(-1.453152027f));
  p = S::fma(p, t, S::set1(1.421413741f));
  p = S::fma(p, t, S::set1(-0.284496736f));
  p = S::fma(p, t, S::set1(0.254829592f));
  gauss = exp_of<S>(-(x * x));
  const V magnitude = S::set1(1.0f) - p * t * gauss;
  return S::select_less(x, S::zero(), -magnitude, magnitude);
}

template <class S>
inline float largest_of(const float* values, i64 count) {
  using V = typename S::V;
  V top = S::set1(-3.0e38f);
  i64 i = 0;
  for (; i + S::kLanes <= count; i += S::kLanes) top = S::max(top, S::load(values + i));
  float result = S::largest(top);
  for (; i < count; ++i) result = values[i] > result ? values[i] : result;
  return result;
}

// ln x for x > 0: exponent and a series in (m - 1) / (m + 1), in double; one call a row.
template <class S>
inline float log_of(float x) {
  return static_cast<float>(__builtin_log(static_cast<double>(x)));
}

// y = ln x for 16 normal numbers: the exponent and a series in (m - 1) / (m + 1) for m in [0.7, 1.41], error below
// 1e-7. Of zero it is -88. Plain code that the compiler vectorises.
template <class S>
inline void log_of_16(const float* x, float* y) {
  for (i64 i = 0; i < 16; ++i) {
    u32 bits;
    __builtin_memcpy(&bits, x + i, 4);
    const i32 exponent =
        static_cast<i32>(bits - 0x3f3504f3u) >> 23;  // of the power of two next to x, by the square root
    bits -= static_cast<u32>(exponent) << 23;
    float m;
    __builtin_memcpy(&m, &bits, 4);
    const float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
    const float series = s2 * (0.33333333f + s2 * (0.2f + s2 * (0.14285714f + s2 * 0.11111111f)));
    y[i] = static_cast<float>(exponent) * 0.69314718f + 2.0f * (s + s * series);
  }
}

// The numbers 0, 1, ... of the lanes.
template <class S>
inline typename S::V lane_numbers() {
  static constexpr float kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return S::load(kLane);
}

// Values beyond `n` lanes become zero.
template <class S>
inline typename S::V keep_lanes(typename S::V v, i64 n) {
  return n == S::kLanes ? v : S::select_less(lane_numbers<S>(), S::set1(static_cast<float>(n)), v, S::zero());
}

template <class S>
inline void zero_range(float* p, i64 begin, i64 end) {
  for (i64 i = begin; i < end; ++i) p[i] = 0;
}
template <class S>
inline void zero_range(bf16* p, i64 begin, i64 end) {
  for (i64 i = begin; i < end; ++i) p[i].bits = 0;
}

// Lanes start at multiples of kLanes from 0, whatever `first` is: a query's sums do not depend on how keys were cut.
template <class S, class T>
float attention_softmax_row(const float* score, i64 first, i64 last, i64 count, float scale, void* prob_row) {
  using V = typename S::V;
  T* prob = static_cast<T*>(prob_row);
  const float top = largest_of<S>(score + first, last - first) * scale;
  const V shift = S::set1(top), factor = S::set1(scale);
  const i64 begin = first / S::kLanes * S::kLanes;
  V sum = S::zero();
  // Exponentials go back over the scores; the caller does not need them again.
  float* work = const_cast<float*>(score);
  zero_range<S>(prob, 0, begin);
  for (i64 i = begin; i < first; ++i) work[i] = -3.0e38f;
  for (i64 i = begin; i < last; i += S::kLanes) {
    const i64 n = last - i < S::kLanes ? last - i : S::kLanes;
    V e = keep_lanes<S>(exp_of<S>(S::fma(load_some<S>(work + i, n), factor, -shift)), n);
    if (i < first) {
      float lanes[S::kLanes];
      S::store(lanes, e);
      for (i64 j = 0; j < first - i; ++j) lanes[j] = 0;
      e = S::load(lanes);
    }
    sum = sum + e;
    store_some<S>(work + i, e, n);
  }
  const float total = S::sum(sum);
  const V inverse = S::set1(1.0f / total);
  for (i64 i = begin; i < last; i += S::kLanes) {
    const i64 n = last - i < S::kLanes ? last - i : S::kLanes;
    store_some<S>(prob + i, load_some<S>(work + i, n) * inverse, n);
  }
  zero_range<S>(prob, last, count);
  return top + log_of<S>(total);
}

template <class S>
float log_sum_exp_row(const float* values, i64 count, i32* argmax) {
  using V = typename S::V;
  const float top = largest_of<S>(values, count);
  const V shift = S::set1(top);
  V sum = S::zero();
  for_lanes<S>(count,
               [&](i64 i, i64 n) { sum = sum + keep_lanes<S>(exp_of<S>(load_some<S>(values + i, n) - shift), n); });
  if (argmax != nullptr) {
    i64 best = 0;
    while (best < count - 1 && values[best] != top) ++best;
    *argmax = static_cast<i32>(best);
  }
  return top + log_of<S>(S::sum(sum));
}

template <class S, class T>
float softmax_part_row(const float* logit, i64 count, float* sum, void* out) {
  using V = typename S::V;
  T* to = static_cast<T*>(out);
  const float top = largest_of<S>(logit, count);
  const V shift = S::set1(top);
  V total = S::zero();
  for_lanes<S>(count, [&](i64 i, i64 n) {
    const V e = keep_lanes<S>(exp_of<S>(load_some<S>(logit + i, n) - shift), n);
    total = total + e;
    store_some<S>(to + i, e, n);
  });
  *sum = S::sum(total);
  return top;
}

template <class S, class T>
void scale_row(i64 count, float factor, void* row) {
  T* values = static_cast<T*>(row);
  for_lanes<S>(count,
               [&](i64 i, i64 n) { store_some<S>(values + i, load_some<S>(values + i, n) * S::set1(factor), n); });
}

template <class S, class T>
void swiglu_forward_tile(const ActivationForward& a) {
  using V = typename S::V;
  for (i64 r = 0; r < a.rows; ++r) {
    const float* tile = a.tile + r * 64;
    T* pre = static_cast<T*>(a.pre) + r * a.pre_stride;
    T* hidden = static_cast<T*>(a.hidden) + r * a.hidden_stride;
    const V weight = S::set1(a.gate[r]);
    for (i64 i = 0; i < 32; i += S::kLanes) {
      const V gate = S::load(tile + i), up = S::load(tile + 32 + i);
      S::store(pre + i, gate);
      S::store(pre + 32 + i, up);
      if (i >= a.cols) continue;
      const i64 n = a.cols - i < S::kLanes ? a.cols - i : S::kLanes;
      store_some<S>(hidden + i, gate * sigmoid_of<S>(gate) * up * weight, n);
    }
  }
}

template <class S, class T>
void swiglu_backward_tile(const ActivationBackward& a) {
  using V = typename S::V;
  for (i64 r = 0; r < a.rows; ++r) {
    const float* tile = a.tile + r * 32;
    const T* pre = static_cast<const T*>(a.pre) + r * a.pre_stride;
    T* dpre = static_cast<T*>(a.dpre) + r * a.pre_stride;
    const V weight = S::set1(a.gate[r]);
    V dot = S::zero();
    for (i64 i = 0; i < 32; i += S::kLanes) {
      if (i >= a.cols) {
        S::store(dpre + i, S::zero());
        S::store(dpre + 32 + i, S::zero());
        continue;
      }
      const i64 n = a.cols - i < S::kLanes ? a.cols - i : S::kLanes;
      const V dhidden = load_some<S>(tile + i, n);  // zero beyond cols, and so are all gradients
      const V gate = S::load(pre + i), up = S::load(pre + 32 + i);
      const V s = sigmoid_of<S>(gate), silu = gate * s;
      dot = S::fma(dhidden, silu * up, dot);
      const V dact = dhidden * weight;
      S::store(dpre + i, dact * up * S::fma(silu, S::set1(1.0f) - s, s));
      S::store(dpre + 32 + i, dact * silu);
    }
    a.dgate_sum[r] += S::sum(dot);
  }
}

template <class S, class T>
void gelu_forward_tile(const ActivationForward& a) {
  using V = typename S::V;
  for (i64 r = 0; r < a.rows; ++r) {
    T* pre = static_cast<T*>(a.pre) + r * a.pre_stride;
    T* hidden = static_cast<T*>(a.hidden) + r * a.hidden_stride;
    for_lanes<S>(a.cols, [&](i64 i, i64 n) {
      const V x = load_some<S>(a.tile + r * 32 + i, n);
      V gauss;
      const V half = S::set1(0.5f) * (S::set1(1.0f) + erf_of<S>(x * S::set1(0.70710678f), gauss));
      store_some<S>(pre + i, x, n);
      store_some<S>(hidden + i, x * half * S::set1(a.gate[r]), n);
    });
  }
}

template <class S, class T>
void gelu_backward_tile(const ActivationBackward& a) {
  using V = typename S::V;
  for (i64 r = 0; r < a.rows; ++r) {
    const T* pre = static_cast<const T*>(a.pre) + r * a.pre_stride;
    T* dpre = static_cast<T*>(a.dpre) + r * a.pre_stride;
    V dot = S::zero();
    for_lanes<S>(a.cols, [&](i64 i, i64 n) {
      const V x = load_some<S>(pre + i, n), dhidden = load_some<S>(a.tile + r * 32 + i, n);
      V gauss;
      const V half = S::set1(0.5f) * (S::set1(1.0f) + erf_of<S>(x * S::set1(0.70710678f), gauss));
      dot = S::fma(dhidden, x * half, dot);
      const V slope = S::fma(x * gauss, S::set1(0.39894228f), half);
      store_some<S>(dpre + i, dhidden * S::set1(a.gate[r]) * slope, n);
    });
    a.dgate_sum[r] += S::sum(dot);
  }
}

}  // namespace moebius::kernels
