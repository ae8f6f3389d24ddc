// Names and sizes of storage formats, conversions and checks of their values.
#include "tensor/dtype.h"

#include <bit>

#include "base/error.h"

namespace moebius {

namespace {
// In the order of DType.
struct Row {
  const char* name;
  i64 bytes;
};
constexpr Row kRows[] = {{"F32", 4}, {"BF16", 2}, {"F16", 2}, {"F64", 8}, {"I32", 4}, {"I64", 8}, {"U8", 1}};
const Row& row_of(DType dtype) { return kRows[static_cast<std::size_t>(dtype)]; }
}  // namespace

i64 dtype_bytes(DType dtype) { return row_of(dtype).bytes; }
const char* dtype_name(DType dtype) { return row_of(dtype).name; }

DType dtype_from_name(const std::string& name, const std::string& where) {
  for (std::size_t i = 0; i < std::size(kRows); ++i) {
    if (name == kRows[i].name) return static_cast<DType>(i);
  }
  const bool eight_bits = name.starts_with("F8") || name.starts_with("F4") || name.starts_with("F6");
  throw Error({.where = where,
               .what = eight_bits ? "the tensor is quantised; quantised weights are not supported"
                                  : "this tensor format is not supported",
               .wanted = "F32, BF16, F16, F64, I32, I64 or U8",
               .got = name,
               .fix = eight_bits ? "use the checkpoint from which this one was quantised" : ""});
}

// NaN and infinity are the values whose exponent is all ones. No early exit, so that the loops are vectorised.
bool all_finite(std::span<const float> values) {
  constexpr u32 kExponent = 0x7f800000u;
  u32 found = 0;
  for (const float value : values) found |= static_cast<u32>((std::bit_cast<u32>(value) & kExponent) == kExponent);
  return found == 0;
}

bool all_finite(std::span<const bf16> values) {
  constexpr u32 kExponent = 0x7f80u;
  u32 found = 0;
  for (const bf16 value : values) found |= static_cast<u32>((value.bits & kExponent) == kExponent);
  return found == 0;
}

float f16_to_float(u16 bits) {
  const u32 sign = static_cast<u32>(bits & 0x8000u) << 16;
  const u32 exponent = (bits >> 10) & 0x1fu;
  u32 mantissa = bits & 0x3ffu;
  u32 wide;
  if (exponent == 0x1fu) {
    wide = sign | 0x7f800000u | (mantissa << 13);
  } else if (exponent != 0) {
    wide = sign | ((exponent + 112u) << 23) | (mantissa << 13);
  } else if (mantissa == 0) {
    wide = sign;
  } else {  // subnormal: shift up until the hidden bit appears
    u32 shift = 0;
    while ((mantissa & 0x400u) == 0) {
      mantissa <<= 1;
      ++shift;
    }
    wide = sign | ((113u - shift) << 23) | ((mantissa & 0x3ffu) << 13);
  }
  float f;
  std::memcpy(&f, &wide, 4);
  return f;
}

}  // namespace moebius
