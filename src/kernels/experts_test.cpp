// Grouped experts against the reference on all sets: uneven segments, experts without rows, dense banks, both
// activations; gradients by finite differences; independence of threads and of neighbours.
#include "kernels/experts.h"

#include "kernels/cases.h"
#include "kernels/test_support.h"

namespace moebius::kernels {
namespace {

// A random routing that leaves the last expert of many without tokens and makes the first one popular.
struct TestRouting {
  std::vector<i32> expert, offset, token, slot, row;
  std::vector<float> gate;
  Routing routing;

  TestRouting(i64 tokens, i64 experts, i64 top_k, u64 seed)
      : expert(static_cast<size_t>(tokens * top_k)),
        offset(static_cast<size_t>(experts + 1)),
        token(expert.size()),
        slot(expert.size()),
        row(expert.size()),
        gate(expert.size()) {
    Rng rng(seed, RngStream::test);
    const i64 used = experts > top_k + 1 ? experts - 1 : experts;
    for (i64 t = 0; t < tokens; ++t)
      for (i64 j = 0; j < top_k; ++j) {
        i32 choice = 0;
        bool taken = true;
        while (taken) {
          choice = static_cast<i32>(rng.next_below(3) == 0 ? 0 : rng.next_below(static_cast<u64>(used)));
          taken = false;
          for (i64 i = 0; i < j; ++i) taken = taken || expert[static_cast<size_t>(t * top_k + i)] == choice;
          if (top_k == used) {
            choice = static_cast<i32>(j);
            taken = false;
          }
        }
        expert[static_cast<size_t>(t * top_k + j)] = choice;
        gate[static_cast<size_t>(t * top_k + j)] = experts == 1 ? 1.0f : static_cast<float>(0.1 + rng.next_uniform());
      }
    routing = {tokens,        top_k,        experts,     expert.data(), gate.data(),
               offset.data(), token.data(), slot.data(), row.data()};
    dispatch_tokens(routing);
  }
};

struct TestExperts {
  ExpertCase c;
  DType dtype;
  TestRouting routed;
  ExpertBank bank;
  TestWeight up, down;
  TestMatrix x, dy;

  TestExperts(const ExpertCase& shape, DType type)
      : c(shape),
        dtype(type),
        routed(c.tokens, c.experts, c.top_k, 7),
        bank(bank_of(shape, type)),
        up(type, bank.up_shape(), 1, 0.15, c.experts),
        down(type, bank.down_shape(), 2, 0.15, c.experts),
        x(type, c.tokens, c.d_model),
        dy(type, c.tokens, c.d_model) {
    bank.up = up.memory.data();
    bank.down = down.memory.data();
    clear_gate_padding();
    x.random(3);
    dy.random(4);
  }
  static ExpertBank bank_of(const ExpertCase& c, DType type) {
    ExpertBank bank;
    bank.experts = c.experts;
    bank.d_model = c.d_model;
    bank.width = c.width;
    bank.activation = c.gelu ? Activation::gelu : Activation::swiglu;
    bank.dtype = type;
    return bank;
  }
  // Rows of the up matrix beyond the width are zero in a real bank.
  void clear_gate_padding() {
    if (c.gelu) return;
    const PackedShape shape = bank.up_shape();
    for (i64 e = 0; e < c.experts; ++e)
      for (i64 f = c.width; f < round_to_block(c.width); ++f)
        for (i64 k = 0; k < c.d_model; ++k)
          for (i64 n : {gate_row(f), up_row(f)})
            reference::set_element(up.memory.data(), dtype, e * shape.elements() + shape.index(n, k), 0);
  }
};

struct ExpertsResults {
  TestMatrix pre, hidden, out, y, dpre, dx_rows, dx;
  std::vector<float> dgate, dup, ddown;

  explicit ExpertsResults(const TestExperts& t)
      : pre(t.dtype, t.routed.routing.rows(), t.bank.up_shape().n),
        hidden(t.dtype, t.routed.routing.rows(), t.c.width),
        out(DType::f32, t.routed.routing.rows(), t.c.d_model),
        y(DType::f32, t.c.tokens, t.c.d_model),
        dpre(t.dtype, t.routed.routing.rows(), t.bank.up_shape().n),
        dx_rows(DType::f32, t.routed.routing.rows(), t.c.d_model),
        dx(DType::f32, t.c.tokens, t.c.d_model),
        dgate(t.routed.gate.size()),
        dup(static_cast<size_t>(t.bank.up_shape().elements() * t.c.experts), 0.0f),
        ddown(static_cast<size_t>(t.bank.down_shape().elements() * t.c.experts), 0.0f) {
    y.random(5);
    dx.random(6, 0.1);
  }
  ExpertSaved saved() const { return {pre.view, hidden.view}; }
  ExpertBackwardScratch scratch() const { return {dpre.view, dx_rows.view}; }
};

void run(const TestExperts& t, ExpertsResults& r, GradientSum sum = GradientSum::add) {
  experts_forward(t.x.view, t.routed.routing, t.bank, r.saved(), r.out.view, r.y.view);
  experts_backward(t.dy.view, t.x.view, t.routed.routing, t.bank, r.saved(), r.scratch(), r.dx.view, r.dgate.data(),
                   r.dup.data(), r.ddown.data(), sum);
}

void run_reference(const TestExperts& t, ExpertsResults& r) {
  reference::experts_forward(t.x.view, t.routed.routing, t.bank, r.saved(), r.out.view, r.y.view);
  reference::experts_backward(t.dy.view, t.x.view, t.routed.routing, t.bank, r.saved(), r.scratch(), r.dx.view,
                              r.dgate.data(), r.dup.data(), r.ddown.data());
}

TEST(Experts, MatchReference) {
  for (const ExpertCase& c : kExpertCases)
    for (DType dtype : kTypes) {
      const TestExperts t(c, dtype);
      ExpertsResults wanted(t);
      run_reference(t, wanted);
      for_each_set([&] {
        SCOPED_TRACE(std::to_string(c.tokens) + " tokens, E=" + std::to_string(c.experts) +
                     " k=" + std::to_string(c.top_k) + " " + dtype_name(dtype));
        ExpertsResults got(t);
        run(t, got);
        const double limit = tolerance(dtype);
        EXPECT_LE(error_of(values_of(got.pre.view), values_of(wanted.pre.view)), limit);
        EXPECT_LE(error_of(values_of(got.hidden.view), values_of(wanted.hidden.view)), limit);
        EXPECT_LE(error_of(values_of(got.y.view), values_of(wanted.y.view)), limit);
        EXPECT_LE(error_of(values_of(got.dx.view), values_of(wanted.dx.view)), limit);
        EXPECT_LE(error_of(values_of(got.dgate), values_of(wanted.dgate)), limit);
        EXPECT_LE(error_of(values_of(got.dup), values_of(wanted.dup)), limit);
        EXPECT_LE(error_of(values_of(got.ddown), values_of(wanted.ddown)), limit);
        EXPECT_TRUE(got.y.padding_intact() && got.dx.padding_intact() && got.pre.padding_intact());
        EXPECT_TRUE(got.hidden.padding_intact() && got.dpre.padding_intact());
      });
    }
}

TEST(Experts, AcceptGradientInF32) {
  const TestExperts t({64, 64, 64, 4, 2, false}, DType::bf16);
  TestMatrix dy(DType::f32, t.c.tokens, t.c.d_model);
  for (i64 r = 0; r < t.c.tokens; ++r)
    for (i64 c = 0; c < t.c.d_model; ++c) reference::put(dy.view, r, c, reference::at(t.dy.view, r, c));
  for_each_set([&] {
    ExpertsResults a(t), b(t);
    run(t, a);
    experts_forward(t.x.view, t.routed.routing, t.bank, b.saved(), b.out.view, b.y.view);
    experts_backward(dy.view, t.x.view, t.routed.routing, t.bank, b.saved(), b.scratch(), b.dx.view, b.dgate.data(),
                     b.dup.data(), b.ddown.data());
    EXPECT_EQ(bytes_of(a.dx.view), bytes_of(b.dx.view));
    EXPECT_EQ(a.dup, b.dup);
    EXPECT_EQ(a.ddown, b.ddown);
  });
}

// What was there goes, experts without tokens get zeros, and the sums are those that adding to zeros gives, to the bit.
TEST(Experts, OverwriteTheirGradient) {
  for (const ExpertCase& c : kExpertCases) {
    const TestExperts t(c, DType::bf16);
    for_each_set([&] {
      ExpertsResults added(t), over(t);
      run(t, added);
      over.dup.assign(over.dup.size(), 7.0f);
      over.ddown.assign(over.ddown.size(), 7.0f);
      run(t, over, GradientSum::overwrite);
      EXPECT_EQ(added.dup, over.dup) << c.tokens << " tokens, E=" << c.experts;
      EXPECT_EQ(added.ddown, over.ddown) << c.tokens << " tokens, E=" << c.experts;
    });
  }
}

// Gradients too large for the caches are written past them.
TEST(Experts, OverwriteALargeGradient) {
  const TestExperts t({64, 256, 128, 72, 2, false}, DType::bf16);
  ExpertsResults added(t), scrap(t);
  run(t, added);
  const Buffer dup("dup", static_cast<i64>(added.dup.size()) * 4),
      ddown("ddown", static_cast<i64>(added.ddown.size()) * 4);
  ASSERT_GT(dup.bytes(), 16 << 20);
  std::fill_n(dup.f32(), added.dup.size(), 7.0f);
  std::fill_n(ddown.f32(), added.ddown.size(), 7.0f);
  experts_forward(t.x.view, t.routed.routing, t.bank, scrap.saved(), scrap.out.view, scrap.y.view);
  experts_backward(t.dy.view, t.x.view, t.routed.routing, t.bank, scrap.saved(), scrap.scratch(), scrap.dx.view,
                   scrap.dgate.data(), dup.f32(), ddown.f32(), GradientSum::overwrite);
  EXPECT_TRUE(std::equal(added.dup.begin(), added.dup.end(), dup.f32()));
  EXPECT_TRUE(std::equal(added.ddown.begin(), added.ddown.end(), ddown.f32()));
}

TEST(Experts, ThreadsDoNotChangeBits) {
  const TestExperts t({300, 64, 32, 8, 2, false}, DType::bf16);
  for_each_set(
      [&] {
        std::vector<ExpertsResults> results;
        for (int threads : {1, 2, 4}) {
          parallel_set_threads(threads);
          results.emplace_back(t);
          run(t, results.back());
        }
        parallel_set_threads(0);
        for (size_t i : {1, 2}) {
          EXPECT_EQ(bytes_of(results[0].y.view), bytes_of(results[i].y.view));
          EXPECT_EQ(bytes_of(results[0].dx.view), bytes_of(results[i].dx.view));
          EXPECT_EQ(results[0].dgate, results[i].dgate);
          EXPECT_EQ(results[0].dup, results[i].dup);
          EXPECT_EQ(results[0].ddown, results[i].ddown);
        }
      },
      false);
}

TEST(Experts, TokenDoesNotDependOnItsBatch) {
  const TestExperts t({40, 64, 64, 8, 2, false}, DType::bf16);
  for_each_set([&] {
    ExpertsResults all(t);
    all.y.fill(0);
    experts_forward(t.x.view, t.routed.routing, t.bank, all.saved(), all.out.view, all.y.view);
    for (i64 token = 0; token < t.c.tokens; ++token) {
      TestRouting one(1, t.c.experts, t.c.top_k, 1);
      for (i64 j = 0; j < t.c.top_k; ++j) {
        one.expert[static_cast<size_t>(j)] = t.routed.expert[static_cast<size_t>(token * t.c.top_k + j)];
        one.gate[static_cast<size_t>(j)] = t.routed.gate[static_cast<size_t>(token * t.c.top_k + j)];
      }
      dispatch_tokens(one.routing);
      TestMatrix pre(t.dtype, 2, t.bank.up_shape().n), hidden(t.dtype, 2, 64), out(DType::f32, 2, 64);
      TestMatrix y(DType::f32, 1, 64);
      y.fill(0);
      Matrix x = t.x.view;
      experts_forward(x.part(token, 1, 0, 64), one.routing, t.bank, {pre.view, hidden.view}, out.view, y.view);
      Matrix y_all = all.y.view;
      ASSERT_EQ(bytes_of(y.view), bytes_of(y_all.part(token, 1, 0, 64)));
    }
  });
}

// More rows than are written whole: the columns' and tokens' parts give the bits that a small batch has.
TEST(Experts, LargeBatchGivesTheBitsOfASmallOne) {
  const TestExperts t({5300, 200, 9, 6, 4, false}, DType::bf16);
  constexpr i64 kBegin = 900, kTokens = 300;  // across the end of a part
  TestExperts small({kTokens, 200, 9, 6, 4, false}, DType::bf16);
  std::copy_n(t.routed.expert.begin() + kBegin * 4, kTokens * 4, small.routed.expert.begin());
  std::copy_n(t.routed.gate.begin() + kBegin * 4, kTokens * 4, small.routed.gate.begin());
  dispatch_tokens(small.routed.routing);
  for (i64 row = 0; row < kTokens; ++row) {
    std::memcpy(small.x.view.row(row), ConstMatrix(t.x.view).row(kBegin + row), 200 * 2);
    std::memcpy(small.dy.view.row(row), ConstMatrix(t.dy.view).row(kBegin + row), 200 * 2);
  }
  ExpertsResults all(t), few(small);
  for_each_set(
      [&] {
        for (TestMatrix* sum : {&all.y, &all.dx, &few.y, &few.dx})
          for (i64 row = 0; row < sum->view.rows; ++row)
            std::fill_n(sum->view.f32() + row * sum->view.stride, sum->view.cols, 0.0f);
        run(t, all);
        run(small, few);
        EXPECT_EQ(bytes_of(all.y.view.part(kBegin, kTokens, 0, 200)), bytes_of(few.y.view));
        EXPECT_EQ(bytes_of(all.dx.view.part(kBegin, kTokens, 0, 200)), bytes_of(few.dx.view));
        EXPECT_TRUE(all.y.padding_intact() && all.dx.padding_intact());
      },
      false);
}

// Fewer rows of scratch than rows where sums follow at once, none for a dense bank, all elsewhere; and no more is
// written.
TEST(Experts, ScratchIsAsLargeAsTheySay) {
  const ExpertCase cases[] = {{1400, 200, 9, 6, 4, false}, {260, 48, 64, 1, 1, true}, {96, 64, 64, 8, 2, false}};
  for (const ExpertCase& c : cases) {
    const TestExperts t(c, DType::bf16);
    const i64 rows = experts_scratch_rows(c.tokens, c.top_k, t.bank, true), all_rows = t.routed.routing.rows();
    EXPECT_TRUE(c.experts == 1 ? rows == 0 : c.tokens > 1000 ? rows > 0 && rows < all_rows : rows == all_rows) << rows;
    for_each_set(
        [&] {
          ExpertsResults with_all(t), got(t);
          run(t, with_all);
          TestMatrix scratch(DType::f32, rows, c.d_model);
          experts_forward(t.x.view, t.routed.routing, t.bank, got.saved(), scratch.view, got.y.view);
          experts_backward(t.dy.view, t.x.view, t.routed.routing, t.bank, got.saved(), {got.dpre.view, scratch.view},
                           got.dx.view, got.dgate.data(), got.dup.data(), got.ddown.data());
          EXPECT_TRUE(scratch.padding_intact());
          EXPECT_EQ(bytes_of(with_all.y.view), bytes_of(got.y.view));
          EXPECT_EQ(bytes_of(with_all.dx.view), bytes_of(got.dx.view));
        },
        false);
  }
}

// <dy, y> by central differences against the reference's backward: input, gates and both weights.
TEST(Experts, ReferenceGradientsAreFiniteDifferences) {
  for (bool gelu : {false, true}) {
    TestExperts t({6, 10, 9, 3, 2, gelu}, DType::f32);
    ExpertsResults r(t);
    r.dx.fill(0);
    run_reference(t, r);
    const auto loss = [&] {
      ExpertsResults now(t);
      now.y.fill(0);
      reference::experts_forward(t.x.view, t.routed.routing, t.bank, now.saved(), now.out.view, now.y.view);
      const auto a = values_of(now.y.view), b = values_of(t.dy.view);
      double sum = 0;
      for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
      return sum;
    };
    const auto slope = [&](float* value) {
      const float old = *value, step = 1.0f / 64;
      *value = old + step;
      const double up = loss();
      *value = old - step;
      const double down = loss();
      *value = old;
      return (up - down) / (2 * static_cast<double>(step));
    };
    for (i64 i = 0; i < 10; ++i) {
      EXPECT_NEAR(slope(t.x.view.f32() + 2 * t.x.view.stride + i), reference::at(r.dx.view, 2, i), 1e-3);
      EXPECT_NEAR(slope(t.routed.gate.data() + i), r.dgate[static_cast<size_t>(i)], 1e-3);
    }
    const i64 expert = t.routed.expert[0];
    for (i64 f = 0; f < 9; ++f) {
      const i64 up = expert * t.bank.up_shape().elements() + t.bank.up_shape().index(gelu ? f : up_row(f), 3);
      const i64 gate = expert * t.bank.up_shape().elements() + t.bank.up_shape().index(gelu ? f : gate_row(f), 1);
      const i64 down = expert * t.bank.down_shape().elements() + t.bank.down_shape().index(4, f);
      EXPECT_NEAR(slope(t.up.memory.f32() + up), r.dup[static_cast<size_t>(up)], 1e-3);
      EXPECT_NEAR(slope(t.up.memory.f32() + gate), r.dup[static_cast<size_t>(gate)], 1e-3);
      EXPECT_NEAR(slope(t.down.memory.f32() + down), r.ddown[static_cast<size_t>(down)], 1e-3);
    }
  }
}

TEST(Dispatch, GroupsTokensInOrder) {
  for (const ExpertCase& c : kExpertCases) {
    TestRouting a(c.tokens, c.experts, c.top_k, 11), b(c.tokens, c.experts, c.top_k, 11);
    reference::dispatch_tokens(b.routing);
    EXPECT_EQ(a.offset, b.offset);
    EXPECT_EQ(a.token, b.token);
    EXPECT_EQ(a.slot, b.slot);
    EXPECT_EQ(a.row, b.row);
  }
}

}  // namespace
}  // namespace moebius::kernels
