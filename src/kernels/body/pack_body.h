// Bringing rows and blocks into panels (table.h), plain loops for any element type T. S only gives the instantiation a
// type of its own file. In: row pointers or a packed block. Out: [pair][32][2] panels, zero where padded.
#pragma once

#include "kernels/table.h"

namespace moebius::kernels {

template <class S, class T>
void interleave_plain(const void* const* rows, i64 num_rows, i64 col, i64 cols, void* panel) {
  T* out = static_cast<T*>(panel);
  for (i64 r = 0; r < num_rows; r += 2, out += 64) {
    const T* a = static_cast<const T*>(rows[r]) + col;
    const T* b = r + 1 < num_rows ? static_cast<const T*>(rows[r + 1]) + col : nullptr;
    for (i64 c = 0; c < cols; ++c) {
      out[2 * c] = a[c];
      out[2 * c + 1] = b != nullptr ? b[c] : T{};
    }
    for (i64 c = 2 * cols; c < 64; ++c) out[c] = T{};
  }
}

template <class S, class T>
void pack_outputs_plain(const void* const* rows, i64 num_rows, i64 k, void* panel) {
  T* out = static_cast<T*>(panel);
  const i64 padded = (k + 31) / 32 * 32;
  if (num_rows < 32 || padded != k) {
    for (i64 i = 0; i < padded * 32; ++i) out[i] = T{};
  }
  for (i64 n = 0; n < num_rows; ++n) {
    const T* row = static_cast<const T*>(rows[n]);
    for (i64 i = 0; i < k; ++i) out[i / 2 * 64 + n * 2 + i % 2] = row[i];
  }
}

// Units of 2 x 2: (n, k), (n, k+1), (n+1, k), (n+1, k+1) become (k, n), (k, n+1), (k+1, n), (k+1, n+1).
template <class S, class T>
void reinterleave_plain(const void* src, void* dst) {
  const T* in = static_cast<const T*>(src);
  T* out = static_cast<T*>(dst);
  if constexpr (sizeof(T) == 4) {
    typedef T Unit __attribute__((vector_size(16)));
    for (i64 p = 0; p < 16; ++p)
      for (i64 q = 0; q < 16; ++q) {
        Unit unit;
        __builtin_memcpy(&unit, in + p * 64 + q * 4, sizeof(unit));
        unit = __builtin_shufflevector(unit, unit, 0, 2, 1, 3);
        __builtin_memcpy(out + q * 64 + p * 4, &unit, sizeof(unit));
      }
    return;
  }
  // A unit of 16-bit numbers is one word whose middle halves change places.
  for (i64 p = 0; p < 16; ++p)
    for (i64 q = 0; q < 16; ++q) {
      u64 unit;
      __builtin_memcpy(&unit, in + p * 64 + q * 4, sizeof(unit));
      unit = (unit & 0xffff00000000ffffu) | ((unit & 0xffff0000u) << 16) | ((unit >> 16) & 0xffff0000u);
      __builtin_memcpy(out + q * 64 + p * 4, &unit, sizeof(unit));
    }
}

}  // namespace moebius::kernels
