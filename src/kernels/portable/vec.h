// The vector of the portable set: 4 floats in GCC's vector extension, which becomes SSE2, NEON or plain code.
// In: memory of f32 or bf16; out: the same. One struct of static functions that the bodies (body/*.h) are instantiated
// with; in an unnamed namespace as those of the other sets. No fused multiply-add: products and sums round apart.
#pragma once

#include <cmath>
#include <cstring>

#include "base/types.h"
#include "tensor/dtype.h"

namespace moebius::kernels {
namespace {

struct Portable {
  typedef float V __attribute__((vector_size(16)));
  typedef i32 I __attribute__((vector_size(16)));
  typedef u32 U __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kTileRows = 3;
  static constexpr int kTileVecs = 4;
  static constexpr int kWideRows = 6;

  static V zero() { return V{0, 0, 0, 0}; }
  static V set1(float x) { return V{x, x, x, x}; }
  static V load(const float* p) {
    V v;
    std::memcpy(&v, p, sizeof(v));
    return v;
  }
  static V load_n(const float* p, i64 n) {
    V v = zero();
    for (i64 i = 0; i < n; ++i) v[i] = p[i];
    return v;
  }
  static void store(float* p, V v) { std::memcpy(p, &v, sizeof(v)); }
  static void store_n(float* p, V v, i64 n) {
    for (i64 i = 0; i < n; ++i) p[i] = v[i];
  }
  static V load(const bf16* p) { return reinterpret_cast<V>(U{p[0].bits, p[1].bits, p[2].bits, p[3].bits} << 16); }
  static V load_n(const bf16* p, i64 n) {
    U bits = {0, 0, 0, 0};
    for (i64 i = 0; i < n; ++i) bits[i] = p[i].bits;
    return reinterpret_cast<V>(bits << 16);
  }
  static U narrow(V v) {
    const U bits = reinterpret_cast<U>(v);
    const U rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    const U nan = reinterpret_cast<U>(v != v);
    return ((rounded & ~nan) | ((bits | 0x400000u) & nan)) >> 16;
  }
  static void store(bf16* p, V v) { store_n(p, v, 4); }
  static void store_n(bf16* p, V v, i64 n) {
    const U bits = narrow(v);
    for (i64 i = 0; i < n; ++i) p[i].bits = static_cast<u16>(bits[i]);
  }

  static V fma(V a, V b, V c) { return a * b + c; }
  static V max(V a, V b) { return a > b ? a : b; }
  static V min(V a, V b) { return a < b ? a : b; }
  static V sqrt(V a) { return V{std::sqrt(a[0]), std::sqrt(a[1]), std::sqrt(a[2]), std::sqrt(a[3])}; }
  // To the nearest whole number for |a| < 2^22: adding 1.5 * 2^23 leaves no room for the fraction.
  static V round(V a) {
    const V big = set1(12582912.0f);
    return (a + big) - big;
  }
  static V scale2(V a, V exponent) {
    const I whole = __builtin_convertvector(exponent, I), half = whole >> 1;
    const V first = reinterpret_cast<V>((half + 127) << 23);
    return a * first * reinterpret_cast<V>((whole - half + 127) << 23);
  }
  static V select_less(V a, V b, V yes, V no) { return a < b ? yes : no; }
  static float sum(V v) { return (v[0] + v[2]) + (v[1] + v[3]); }
  static float largest(V v) { return std::max(std::max(v[0], v[2]), std::max(v[1], v[3])); }
  typedef double Doubles __attribute__((vector_size(16)));
  static Doubles zero_doubles() { return Doubles{0, 0}; }
  static Doubles add_squares(V v, Doubles sum) {
    const Doubles low = {v[0], v[1]}, high = {v[2], v[3]};
    return (sum + low * low) + high * high;
  }
  static double sum_doubles(Doubles v) { return v[0] + v[1]; }

  static V broadcast_pair(const float* p) { return V{p[0], p[1], p[0], p[1]}; }
  static V broadcast_last(const float* p) { return V{p[0], 0, p[0], 0}; }
  static V add_pairs(V a, V b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
  }
  static void interleave(V a, V b, V* low, V* high) {
    *low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    *high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  }
  static U pairs(const bf16* p) {
    U bits;
    std::memcpy(&bits, p, sizeof(bits));
    return bits;
  }
  static V even(const bf16* p) { return reinterpret_cast<V>(pairs(p) << 16); }
  static V odd(const bf16* p) { return reinterpret_cast<V>(pairs(p) & 0xffff0000u); }
};

}  // namespace
}  // namespace moebius::kernels
