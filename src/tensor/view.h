// Non-owning views of row-major matrices. The letters of a name give the shape (GLOSSARY.md):
// x_TD is T rows of D columns.
#pragma once

#include "base/types.h"
#include "tensor/dtype.h"

namespace moebius {

// rows x cols elements; row r begins at element r * stride.
struct ConstMatrix {
  const void* data = nullptr;
  DType dtype = DType::f32;
  i64 rows = 0, cols = 0, stride = 0;

  const float* f32() const { return static_cast<const float*>(data); }
  const bf16* b16() const { return static_cast<const bf16*>(data); }
  const void* row(i64 r) const { return static_cast<const u8*>(data) + r * stride * dtype_bytes(dtype); }
};

struct Matrix {
  void* data = nullptr;
  DType dtype = DType::f32;
  i64 rows = 0, cols = 0, stride = 0;

  float* f32() const { return static_cast<float*>(data); }
  bf16* b16() const { return static_cast<bf16*>(data); }
  void* row(i64 r) const { return static_cast<u8*>(data) + r * stride * dtype_bytes(dtype); }
  operator ConstMatrix() const { return {data, dtype, rows, cols, stride}; }  // NOLINT: implicit, as pointer to const
  // Rows [begin, begin + count), columns [col, col + width).
  Matrix part(i64 begin, i64 count, i64 col, i64 width) const {
    return {static_cast<u8*>(row(begin)) + col * dtype_bytes(dtype), dtype, count, width, stride};
  }
};

inline Matrix matrix_of(float* data, i64 rows, i64 cols) { return {data, DType::f32, rows, cols, cols}; }
inline Matrix matrix_of(bf16* data, i64 rows, i64 cols) { return {data, DType::bf16, rows, cols, cols}; }
inline ConstMatrix matrix_of(const float* data, i64 rows, i64 cols) { return {data, DType::f32, rows, cols, cols}; }
inline ConstMatrix matrix_of(const bf16* data, i64 rows, i64 cols) { return {data, DType::bf16, rows, cols, cols}; }

}  // namespace moebius
