// Linear layers against the reference on all sets, odd shapes, both types; independence of neighbours and of threads.
#include "kernels/linear.h"

#include "kernels/cases.h"
#include "kernels/test_support.h"

namespace moebius::kernels {
namespace {

double round_error(DType out, DType in) {
  return out == DType::bf16 || in == DType::bf16 ? (out == DType::bf16 ? 5e-3 : 5e-5) : kToleranceF32;
}

TEST(Linear, ForwardMatchesReference) {
  for_each_set([] {
    for (const LinearCase& c : kLinearCases)
      for (DType in : kTypes)
        for (DType out : kTypes) {
          const TestWeight w(in, {c.n, c.k}, 1, 0.1);
          TestMatrix x(in, c.tokens, c.k), y(out, c.tokens, c.n), wanted(out, c.tokens, c.n);
          x.random(2);
          linear_forward(x.view, w.weight, y.view, false);
          reference::linear_forward(x.view, w.weight, wanted.view, false);
          EXPECT_LE(error_of(values_of(y.view), values_of(wanted.view)), round_error(out, in))
              << c.tokens << " " << c.n << " " << c.k;
          EXPECT_TRUE(y.padding_intact());
        }
  });
}

TEST(Linear, ForwardAccumulates) {
  for_each_set([] {
    const TestWeight w(DType::bf16, {72, 40}, 1, 0.1);
    TestMatrix x(DType::bf16, 50, 40), y(DType::f32, 50, 72), wanted(DType::f32, 50, 72);
    x.random(2);
    y.random(3);
    wanted.random(3);
    linear_forward(x.view, w.weight, y.view, true);
    reference::linear_forward(x.view, w.weight, wanted.view, true);
    EXPECT_LE(error_of(values_of(y.view), values_of(wanted.view)), kToleranceF32);
  });
}

TEST(Linear, BackwardInputMatchesReference) {
  for_each_set([] {
    for (const LinearCase& c : kLinearCases)
      for (DType in : kTypes)
        for (bool accumulate : {false, true}) {
          const TestWeight w(in, {c.n, c.k}, 1, 0.1);
          TestMatrix dy(in, c.tokens, c.n), dx(DType::f32, c.tokens, c.k), wanted(DType::f32, c.tokens, c.k);
          dy.random(2);
          dx.random(4);
          wanted.random(4);
          linear_backward_input(dy.view, w.weight, dx.view, accumulate);
          reference::linear_backward_input(dy.view, w.weight, wanted.view, accumulate);
          EXPECT_LE(error_of(values_of(dx.view), values_of(wanted.view)), 5e-5) << c.tokens << " " << c.n << " " << c.k;
          EXPECT_TRUE(dx.padding_intact());
        }
  });
}

TEST(Linear, BackwardWeightMatchesReference) {
  for_each_set([] {
    for (const LinearCase& c : kLinearCases)
      for (DType in : kTypes) {
        const PackedShape shape{c.n, c.k};
        TestMatrix dy(in, c.tokens, c.n), x(in, c.tokens, c.k);
        dy.random(2);
        x.random(3);
        std::vector<float> dw(static_cast<size_t>(shape.elements()), 0.0f), wanted = dw;
        dw[0] = wanted[0] = 5;  // both add
        linear_backward_weight(dy.view, x.view, shape, dw.data());
        reference::linear_backward_weight(dy.view, x.view, shape, wanted.data());
        EXPECT_LE(error_of(values_of(dw), values_of(wanted)), 5e-5) << c.tokens << " " << c.n << " " << c.k;

        // What was there goes, and the sums are those that adding to zeros gives, to the bit.
        std::vector<float> clean(dw.size(), 0.0f), over(dw.size(), 7.0f);
        linear_backward_weight(dy.view, x.view, shape, clean.data());
        linear_backward_weight(dy.view, x.view, shape, over.data(), GradientSum::overwrite);
        EXPECT_EQ(clean, over) << c.tokens << " " << c.n << " " << c.k;
      }
  });
}

// y = x w^T, so <dy, y> has the gradients that the backward functions give: checked by central differences.
TEST(Linear, ReferenceGradientsAreFiniteDifferences) {
  const LinearCase c{5, 6, 7};
  TestWeight w(DType::f32, {c.n, c.k}, 1, 0.5);
  TestMatrix x(DType::f32, c.tokens, c.k), dy(DType::f32, c.tokens, c.n), dx(DType::f32, c.tokens, c.k);
  x.random(2);
  dy.random(3);
  const auto loss = [&] {
    TestMatrix y(DType::f32, c.tokens, c.n);
    reference::linear_forward(x.view, w.weight, y.view, false);
    const auto a = values_of(y.view), b = values_of(dy.view);
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  const auto slope = [&](float* value) {
    const float old = *value;
    *value = old + 0.125f;
    const double up = loss();
    *value = old - 0.125f;
    const double down = loss();
    *value = old;
    return (up - down) / 0.25;
  };
  std::vector<float> dw(static_cast<size_t>(w.weight.shape.elements()));
  reference::linear_backward_input(dy.view, w.weight, dx.view, false);
  reference::linear_backward_weight(dy.view, x.view, w.weight.shape, dw.data());
  for (i64 i = 0; i < c.k; ++i) {
    EXPECT_NEAR(slope(x.view.f32() + x.view.stride + i), reference::at(dx.view, 1, i), 1e-4);
    const i64 at = w.weight.shape.index(2, i);
    EXPECT_NEAR(slope(w.memory.f32() + at), dw[static_cast<size_t>(at)], 1e-4);
  }
}

TEST(Linear, RowsDoNotDependOnTheirNeighbours) {
  for_each_set([] {
    for (DType in : kTypes) {
      const i64 tokens = 61, n = 70, k = 90;
      const TestWeight w(in, {n, k}, 1, 0.1);
      TestMatrix x(in, tokens, k), all(DType::f32, tokens, n), one(DType::f32, tokens, n);
      x.random(2);
      linear_forward(x.view, w.weight, all.view, false);
      for (i64 t = 0; t < tokens; ++t)
        linear_forward(x.view.part(t, 1, 0, k), w.weight, one.view.part(t, 1, 0, n), false);
      EXPECT_EQ(bytes_of(all.view), bytes_of(one.view));
    }
  });
}

TEST(Linear, ThreadsDoNotChangeBits) {
  for_each_set(
      [] {
        const i64 tokens = 500, n = 200, k = 64;
        const PackedShape shape{n, k};
        const TestWeight w(DType::bf16, shape, 1, 0.1);
        TestMatrix x(DType::bf16, tokens, k), dy(DType::bf16, tokens, n);
        x.random(2);
        dy.random(3);
        std::vector<std::vector<unsigned char>> first;
        for (int threads : {1, 2, 4}) {
          parallel_set_threads(threads);
          TestMatrix y(DType::bf16, tokens, n), dx(DType::f32, tokens, k);
          std::vector<float> dw(static_cast<size_t>(shape.elements()));
          linear_forward(x.view, w.weight, y.view, false);
          linear_backward_input(dy.view, w.weight, dx.view, false);
          linear_backward_weight(dy.view, x.view, shape, dw.data());
          const std::vector<std::vector<unsigned char>> now{bytes_of(y.view), bytes_of(dx.view),
                                                            bytes_of(matrix_of(dw.data(), 1, shape.elements()))};
          if (first.empty()) first = now;
          EXPECT_EQ(first, now) << threads;
        }
        parallel_set_threads(0);
      },
      false);
}

TEST(Linear, SteadyStateAllocatesNothing) {
  const TestWeight w(DType::bf16, {64, 64}, 1, 0.1);
  TestMatrix x(DType::bf16, 256, 64), y(DType::f32, 256, 64);
  x.random(2);
  const auto pass = [&] {
    for (int i = 0; i < 20; ++i) linear_forward(x.view, w.weight, y.view, false);
  };
  parallel_set_threads(1);
  pass();
  const i64 before = buffer_allocations();
  pass();
  EXPECT_EQ(buffer_allocations(), before);
  parallel_set_threads(0);
}

// Every element of a matrix has a place of its own in the padded blocks.
TEST(Packed, PlacesDiffer) {
  const PackedShape shape{45, 33};
  EXPECT_EQ(shape.elements(), 64 * 64);
  std::vector<int> used(static_cast<size_t>(shape.elements()));
  for (i64 n = 0; n < shape.n; ++n) {
    for (i64 k = 0; k < shape.k; ++k) ++used.at(static_cast<size_t>(shape.index(n, k)));
  }
  EXPECT_EQ(std::count(used.begin(), used.end(), 1), 45 * 33);
}

}  // namespace
}  // namespace moebius::kernels
