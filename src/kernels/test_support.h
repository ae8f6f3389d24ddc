// What the kernels' tests share: random operands, comparison with the reference, a loop over all sets of this machine.
// Only for *_test.cpp files.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/rng.h"
#include "kernels/isa.h"
#include "kernels/packed.h"
#include "kernels/reference/reference.h"
#include "kernels/table.h"
#include "tensor/buffer.h"
#include "tensor/view.h"

namespace moebius::kernels {

// A matrix that owns its memory. `padding` extra columns at the end of each row hold NaN: whoever reads them shows it,
// and `padding_intact` tells who writes them.
struct TestMatrix {
  Buffer memory;
  Matrix view;
  i64 padding;

  TestMatrix(DType dtype, i64 rows, i64 cols, i64 pad = 3)
      : memory("test", std::max<i64>(1, rows * (cols + pad) * dtype_bytes(dtype))),
        view{memory.data(), dtype, rows, cols, cols + pad},
        padding(pad) {
    for (i64 r = 0; r < rows; ++r)
      for (i64 c = cols; c < cols + pad; ++c) reference::put(view, r, c, NAN);
  }
  TestMatrix& random(u64 seed, double scale = 1) {
    for (i64 r = 0; r < view.rows; ++r)
      for (i64 c = 0; c < view.cols; ++c)
        reference::put(view, r, c,
                       scale * rng_normal_at(seed, RngStream::test, 0, static_cast<u64>(r * view.cols + c)));
    return *this;
  }
  TestMatrix& fill(double value) {
    for (i64 r = 0; r < view.rows; ++r)
      for (i64 c = 0; c < view.cols; ++c) reference::put(view, r, c, value);
    return *this;
  }
  bool padding_intact() const {
    for (i64 r = 0; r < view.rows; ++r)
      for (i64 c = view.cols; c < view.cols + padding; ++c)
        if (!std::isnan(reference::at(view, r, c))) return false;
    return true;
  }
};

// `copies` random packed matrices behind each other, zero where padded.
struct TestWeight {
  Buffer memory;
  PackedWeight weight;

  TestWeight(DType dtype, PackedShape shape, u64 seed, double scale, i64 copies = 1)
      : memory("test", shape.elements() * copies * dtype_bytes(dtype)), weight{memory.data(), dtype, shape} {
    for (i64 copy = 0; copy < copies; ++copy)
      for (i64 n = 0; n < shape.n; ++n)
        for (i64 k = 0; k < shape.k; ++k)
          reference::set_element(
              memory.data(), dtype, copy * shape.elements() + shape.index(n, k),
              scale * rng_normal_at(seed, RngStream::test, static_cast<u64>(copy), static_cast<u64>(n * shape.k + k)));
  }
};

inline std::vector<double> values_of(ConstMatrix m) {
  std::vector<double> values;
  for (i64 r = 0; r < m.rows; ++r)
    for (i64 c = 0; c < m.cols; ++c) values.push_back(reference::at(m, r, c));
  return values;
}
inline std::vector<double> values_of(const std::vector<float>& v) { return {v.begin(), v.end()}; }

// Largest difference as a share of the largest reference value. NaN counts as infinite.
inline double error_of(const std::vector<double>& got, const std::vector<double>& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  double largest = 1e-30, difference = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    largest = std::max(largest, std::fabs(wanted[i]));
    const double d = std::fabs(got[i] - wanted[i]);
    if (!(d <= difference)) difference = std::isnan(d) ? INFINITY : d;
  }
  return difference / largest;
}

// Sums of some hundred products in f32 differ from double by a few of f32's 6e-8; the fast exponential adds 3e-7.
inline constexpr double kToleranceF32 = 2e-5;
// Values rounded to bf16 (half of 2^-8 relative), once or a few times, sums of them less.
inline constexpr double kToleranceBf16 = 1.2e-2;
inline double tolerance(DType dtype) { return dtype == DType::bf16 ? kToleranceBf16 : kToleranceF32; }

// Forms that this machine would not choose.
inline std::vector<const OpTable*> other_tables() {
  std::vector<const OpTable*> tables{&amx_emulated_table()};
#if defined(__x86_64__)
  if (!isa_supported(Isa::avx512)) return tables;
  for (const OpTable* table : {&avx512_dot_table(), &avx512_fma_table()})
    if (table != &avx512_table()) tables.push_back(table);
#endif
  return tables;
}

// Runs `body` under every set of this machine, the forms that it would not choose and (being slow) on request the
// emulated tiles; under one set alone if the environment names it in MOEBIUS_TEST_ISA (for emulated machines, where all
// take long).
template <class Body>
void for_each_set(Body body, bool emulated = true) {
  if (const char* only = std::getenv("MOEBIUS_TEST_ISA")) {
    SCOPED_TRACE(only);
    isa_select(only);
    body();
    isa_select("auto");
    return;
  }
  for (Isa isa : isa_all_supported()) {
    SCOPED_TRACE(isa_name(isa));
    isa_select(isa_name(isa));
    body();
  }
  isa_select("auto");
  for (const OpTable* table : other_tables()) {
    if (table == &amx_emulated_table() && !emulated) continue;
    SCOPED_TRACE("another form of a set");
    override_table(table);
    body();
  }
  override_table(nullptr);
}

inline std::vector<unsigned char> bytes_of(const Matrix& m) {
  std::vector<unsigned char> bytes;
  for (i64 r = 0; r < m.rows; ++r) {
    const auto* row = static_cast<const unsigned char*>(
        static_cast<const void*>(static_cast<u8*>(m.data) + r * m.stride * dtype_bytes(m.dtype)));
    bytes.insert(bytes.end(), row, row + m.cols * dtype_bytes(m.dtype));
  }
  return bytes;
}

inline constexpr DType kTypes[] = {DType::f32, DType::bf16};

}  // namespace moebius::kernels
