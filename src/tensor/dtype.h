// Storage formats of tensor elements, and the scalar conversions between them.
#pragma once

#include <cstring>
#include <span>
#include <string>

#include "base/types.h"

namespace moebius {

enum class DType { f32, bf16, f16, f64, i32, i64, u8 };

i64 dtype_bytes(DType dtype);
const char* dtype_name(DType dtype);  // as safetensors spells it: F32, BF16, ...
// Throws Error for a format that is not supported.
DType dtype_from_name(const std::string& name, const std::string& where);

// A bfloat16: the upper half of a float, as plain bits, since GCC 12 has no __bf16.
struct bf16 {
  u16 bits;
};

inline float to_float(bf16 v) {
  const u32 wide = static_cast<u32>(v.bits) << 16;
  float f;
  std::memcpy(&f, &wide, 4);
  return f;
}

// Round to nearest, ties to even; NaN stays NaN.
inline bf16 to_bf16(float f) {
  u32 wide;
  std::memcpy(&wide, &f, 4);
  if ((wide & 0x7fffffffu) > 0x7f800000u) return {static_cast<u16>((wide >> 16) | 0x40u)};
  return {static_cast<u16>((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16)};
}

float f16_to_float(u16 bits);

// Whether no value is NaN or infinite.
bool all_finite(std::span<const float> values);
bool all_finite(std::span<const bf16> values);

}  // namespace moebius
