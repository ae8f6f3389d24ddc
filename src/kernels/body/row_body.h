// Element-wise work on rows for any vector set S: norms, rotary positions, conversions, sums, the optimiser.
// T is float or bf16, the type of the operands in memory; arithmetic is f32. Sums run in one fixed order.
#pragma once

#include "kernels/table.h"

namespace moebius::kernels {

// Calls step(i, n) for whole vectors (n = kLanes) and once for the rest.
template <class S, class Step>
inline void for_lanes(i64 count, Step step) {
  i64 i = 0;
  for (; i + S::kLanes <= count; i += S::kLanes) step(i, static_cast<i64>(S::kLanes));
  if (i < count) step(i, count - i);
}

template <class S, class T>
inline typename S::V load_some(const T* p, i64 n) {
  return n == S::kLanes ? S::load(p) : S::load_n(p, n);
}
template <class S, class T>
inline void store_some(T* p, typename S::V v, i64 n) {
  if (n == S::kLanes) {
    S::store(p, v);
  } else {
    S::store_n(p, v, n);
  }
}

template <class S, class T>
void norm_forward_row(const float* x, const float* gain, i64 cols, float eps, void* y, float* inv_rms) {
  using V = typename S::V;
  V squares = S::zero();
  for_lanes<S>(cols, [&](i64 i, i64 n) {
    const V v = load_some<S>(x + i, n);
    squares = S::fma(v, v, squares);
  });
  const float inv = 1.0f / __builtin_sqrtf(S::sum(squares) / static_cast<float>(cols) + eps);
  if (inv_rms != nullptr) *inv_rms = inv;
  T* out = static_cast<T*>(y);
  const V scale = S::set1(inv);
  for_lanes<S>(cols, [&](i64 i, i64 n) {
    store_some<S>(out + i, load_some<S>(x + i, n) * scale * load_some<S>(gain + i, n), n);
  });
}

template <class S, class T>
void norm_backward_row(const void* dy_row, const float* x, const float* gain, i64 cols, float inv_rms, float* dx,
                       float* dgain) {
  using V = typename S::V;
  const T* dy = static_cast<const T*>(dy_row);
  V dot = S::zero();
  const V inv = S::set1(inv_rms);
  for_lanes<S>(cols, [&](i64 i, i64 n) {
    const V product = load_some<S>(dy + i, n) * load_some<S>(x + i, n);
    dot = S::fma(product, load_some<S>(gain + i, n), dot);
    store_some<S>(dgain + i, S::fma(product, inv, load_some<S>(dgain + i, n)), n);
  });
  const V mean = S::set1(S::sum(dot) * inv_rms * inv_rms / static_cast<float>(cols));
  for_lanes<S>(cols, [&](i64 i, i64 n) {
    const V inner = load_some<S>(dy + i, n) * load_some<S>(gain + i, n) - load_some<S>(x + i, n) * mean;
    store_some<S>(dx + i, S::fma(inner, inv, load_some<S>(dx + i, n)), n);
  });
}

template <class S, class T>
float dot_row(const void* a, const void* b, i64 count) {
  typename S::V sum = S::zero();
  for_lanes<S>(count, [&](i64 i, i64 n) {
    sum = S::fma(load_some<S>(static_cast<const T*>(a) + i, n), load_some<S>(static_cast<const T*>(b) + i, n), sum);
  });
  return S::sum(sum);
}

template <class S, class T>
void rope_row(void* row, i64 heads, i64 head_dim, const float* cosine, const float* sine) {
  using V = typename S::V;
  const i64 half = head_dim / 2;
  for (i64 head = 0; head < heads; ++head) {
    T* low = static_cast<T*>(row) + head * head_dim;
    T* high = low + half;
    for_lanes<S>(half, [&](i64 i, i64 n) {
      const V a = load_some<S>(low + i, n), b = load_some<S>(high + i, n);
      const V c = load_some<S>(cosine + i, n), s = load_some<S>(sine + i, n);
      store_some<S>(low + i, a * c - b * s, n);
      store_some<S>(high + i, b * c + a * s, n);
    });
  }
}

// Sine and cosine of position * frequency. The angle is an f32 product as in Hugging Face's models; it is reduced by
// multiples of pi/2 in double, then Taylor polynomials on [-pi/4, pi/4] (errors below 1e-7).
template <class S>
void rope_angles_row(i32 position, const float* frequency, i64 half, bool inverse, float* cosine, float* sine) {
  for (i64 i = 0; i < half; ++i) {
    const float angle = static_cast<float>(position) * frequency[i];
    const double turns = static_cast<double>(angle) * 0.63661977236758134308;
    const i32 quarter = static_cast<i32>(turns + (turns < 0 ? -0.5 : 0.5));
    const float r = static_cast<float>(static_cast<double>(angle) - quarter * 1.57079632679489661923);
    const float r2 = r * r;
    const float s = r + r * r2 * (-1.6666667e-1f + r2 * (8.3333333e-3f + r2 * (-1.9841270e-4f + r2 * 2.7557319e-6f)));
    const float c =
        1.0f + r2 * (-0.5f + r2 * (4.1666667e-2f + r2 * (-1.3888889e-3f + r2 * (2.4801587e-5f - r2 * 2.7557319e-7f))));
    const bool swap = (quarter & 1) != 0;
    const float si = swap ? c : s, co = swap ? s : c;
    const float si_signed = (quarter & 2) != 0 ? -si : si;
    cosine[i] = ((quarter + 1) & 2) != 0 ? -co : co;
    sine[i] = inverse ? -si_signed : si_signed;
  }
}

template <class S, class T>
void to_f32_row(const void* src, i64 count, float* dst) {
  for_lanes<S>(count,
               [&](i64 i, i64 n) { store_some<S>(dst + i, load_some<S>(static_cast<const T*>(src) + i, n), n); });
}

template <class S, class T>
void from_f32_row(const float* src, i64 count, void* dst) {
  for_lanes<S>(count, [&](i64 i, i64 n) { store_some<S>(static_cast<T*>(dst) + i, load_some<S>(src + i, n), n); });
}

template <class S>
void add_row(const float* src, i64 count, float* dst) {
  for_lanes<S>(count,
               [&](i64 i, i64 n) { store_some<S>(dst + i, load_some<S>(dst + i, n) + load_some<S>(src + i, n), n); });
}

template <class S>
double sum_of_squares_row(const float* values, i64 count) {
  constexpr int kSums = 4;
  typename S::Doubles sum[kSums];
  for (auto& part : sum) part = S::zero_doubles();
  i64 i = 0;
  for (; i + kSums * S::kLanes <= count; i += kSums * S::kLanes)
#pragma GCC unroll 4
    for (int s = 0; s < kSums; ++s) sum[s] = S::add_squares(S::load(values + i + s * S::kLanes), sum[s]);
  for_lanes<S>(count - i, [&](i64 j, i64 n) { sum[0] = S::add_squares(load_some<S>(values + i + j, n), sum[0]); });
  return S::sum_doubles((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <class S, class T>
void adamw_row(const AdamwCoefficients& c, i64 count, float* master, float* m, float* v, const float* gradient,
               void* copy) {
  using V = typename S::V;
  for_lanes<S>(count, [&](i64 i, i64 n) {
    const V g = load_some<S>(gradient + i, n) * S::set1(c.gradient_scale);
    const V m1 = S::set1(c.beta1) * load_some<S>(m + i, n) + S::set1(c.one_minus_beta1) * g;
    const V v1 = S::set1(c.beta2) * load_some<S>(v + i, n) + S::set1(c.one_minus_beta2) * g * g;
    const V root = S::sqrt(v1) * S::set1(c.inverse_sqrt_bias2) + S::set1(c.epsilon);
    const V old = load_some<S>(master + i, n);
    const V direction = m1 * S::set1(c.inverse_bias1) / root;
    const V now = old - (S::set1(c.rate) * direction + S::set1(c.decay) * old);
    store_some<S>(m + i, m1, n);
    store_some<S>(v + i, v1, n);
    store_some<S>(master + i, now, n);
    if (copy != nullptr) store_some<S>(static_cast<T*>(copy) + i, now, n);
  });
}

}  // namespace moebius::kernels
