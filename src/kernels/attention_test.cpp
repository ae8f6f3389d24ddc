// Attention and rotary positions against the reference on all sets: documents of 1 to 300 rows, grouped queries,
// windows, head sizes that fit no block; a query's bits do not depend on how the keys before it were fed.
#include "kernels/attention.h"

#include "kernels/attention_cache.h"
#include "kernels/cases.h"
#include "kernels/test_support.h"

namespace moebius::kernels {
namespace {

struct TestAttention {
  AttentionShape shape;
  DType dtype;
  i64 tokens = 0;
  TestMatrix q, k, v, dout;
  std::vector<AttentionSegment> segments;

  TestAttention(const AttentionCase& c, DType type)
      : dtype(type),
        tokens(rows_of(c)),
        q(type, tokens, c.heads * c.head_dim),
        k(type, tokens, c.kv_heads * c.head_dim),
        v(type, tokens, c.kv_heads * c.head_dim),
        dout(type, tokens, c.heads * c.head_dim) {
    shape.heads = c.heads;
    shape.kv_heads = c.kv_heads;
    shape.head_dim = c.head_dim;
    shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)));
    shape.window = c.window;
    q.random(1, 1.5);
    k.random(2, 1.5);
    v.random(3);
    dout.random(4);
    i64 row = 0;
    for (i64 rows : c.segments) {
      if (rows == 0) break;
      segments.push_back(segment(row, rows));
      row += rows;
    }
  }
  static i64 rows_of(const AttentionCase& c) {
    i64 rows = 0;
    for (i64 r : c.segments) rows += r;
    return rows;
  }
  AttentionSegment segment(i64 row, i64 rows) const {
    return {row, rows, ConstMatrix(k.view).row(row), ConstMatrix(v.view).row(row), k.view.stride, rows};
  }
};

struct Results {
  TestMatrix out, dq, dk, dv;
  std::vector<float> lse;
  explicit Results(const TestAttention& t)
      : out(t.dtype, t.tokens, t.q.view.cols),
        dq(t.dtype, t.tokens, t.q.view.cols),
        dk(t.dtype, t.tokens, t.k.view.cols),
        dv(t.dtype, t.tokens, t.k.view.cols),
        lse(static_cast<size_t>(t.tokens * t.shape.heads)) {}
};

TEST(Attention, MatchesReference) {
  for (const AttentionCase& c : kAttentionCases)
    for (DType dtype : kTypes) {
      const TestAttention t(c, dtype);
      Results wanted(t);
      reference::attention_forward(t.shape, t.q.view, t.segments, wanted.out.view, wanted.lse.data());
      reference::attention_backward(t.shape, t.q.view, t.segments, wanted.out.view, t.dout.view, wanted.lse.data(),
                                    wanted.dq.view, wanted.dk.view, wanted.dv.view);
      for_each_set([&] {
        SCOPED_TRACE("head_dim " + std::to_string(c.head_dim) + " " + dtype_name(dtype));
        Results got(t);
        attention_forward(t.shape, t.q.view, t.segments, got.out.view, got.lse.data());
        attention_backward(t.shape, t.q.view, t.segments, got.out.view, t.dout.view, got.lse.data(), got.dq.view,
                           got.dk.view, got.dv.view);
        const double limit = tolerance(dtype);
        TestMatrix without_sums(dtype, t.tokens, t.q.view.cols);
        attention_uncached(t.shape, t.q.view, t.segments, without_sums.view);
        EXPECT_LE(error_of(values_of(without_sums.view), values_of(wanted.out.view)), limit);
        EXPECT_TRUE(without_sums.padding_intact());
        EXPECT_LE(error_of(values_of(got.lse), values_of(wanted.lse)), kToleranceF32);
        EXPECT_LE(error_of(values_of(got.out.view), values_of(wanted.out.view)), limit);
        EXPECT_LE(error_of(values_of(got.dq.view), values_of(wanted.dq.view)), limit);
        EXPECT_LE(error_of(values_of(got.dk.view), values_of(wanted.dk.view)), limit);
        EXPECT_LE(error_of(values_of(got.dv.view), values_of(wanted.dv.view)), limit);
        EXPECT_TRUE(got.out.padding_intact() && got.dq.padding_intact() && got.dk.padding_intact());
      });
    }
}

// In one piece, in two, and token by token give the same bits: for inference, and with the sums that training keeps.
void feed_in_parts(bool with_sums) {
  const auto forward = [&](const TestAttention& t, const AttentionSegment& segment, Results& r) {
    with_sums ? attention_forward(t.shape, t.q.view, std::span(&segment, 1), r.out.view, r.lse.data())
              : attention_uncached(t.shape, t.q.view, std::span(&segment, 1), r.out.view);
  };
  for (const AttentionCase& c : kAttentionCases)
    for (DType dtype : kTypes) {
      const TestAttention t(c, dtype);
      for_each_set([&] {
        const AttentionSegment whole = t.segments.back();
        Results all(t);
        forward(t, whole, all);
        for (i64 step : {1, 19}) {
          if (step == 1 && whole.rows > 70) continue;  // a step packs all keys: enough with the short ones
          Results parts(t);
          for (i64 done = 0; done < whole.rows; done += step) {
            AttentionSegment part = whole;
            part.rows = std::min(step, whole.rows - done);
            part.row = whole.row + done;
            part.kv_rows = done + part.rows;
            forward(t, part, parts);
          }
          ASSERT_EQ(bytes_of(all.out.view.part(whole.row, whole.rows, 0, t.q.view.cols)),
                    bytes_of(parts.out.view.part(whole.row, whole.rows, 0, t.q.view.cols)))
              << "steps of " << step << ", head_dim " << c.head_dim;
          if (with_sums) {
            EXPECT_EQ(all.lse, parts.lse) << "head_dim " << c.head_dim;
          }
        }
      });
    }
}

TEST(Attention, QueriesDoNotDependOnHowTheyWereFed) { feed_in_parts(false); }
TEST(Attention, QueriesOfTrainingDoNotDependOnIt) { feed_in_parts(true); }

// Scores of hundreds, the largest of them at keys that come later: no exponential may overflow, none vanish.
TEST(Attention, LargeScoresStayFinite) {
  for (DType dtype : kTypes) {
    TestAttention t({2, 1, 16, 0, {40, 3, 150, 0}}, dtype);
    t.q.random(1, 30);
    t.k.random(2, 30);
    Results wanted(t);
    reference::attention_forward(t.shape, t.q.view, t.segments, wanted.out.view, wanted.lse.data());
    for_each_set([&] {
      Results got(t);
      attention_forward(t.shape, t.q.view, t.segments, got.out.view, got.lse.data());
      EXPECT_LE(error_of(values_of(got.lse), values_of(wanted.lse)), kToleranceF32);
      EXPECT_LE(error_of(values_of(got.out.view), values_of(wanted.out.view)), dtype == DType::bf16 ? 1e-2 : 1e-3);
    });
  }
}

TEST(Attention, ThreadsDoNotChangeBits) {
  const TestAttention t(kAttentionCases[0], DType::bf16);
  for_each_set(
      [&] {
        std::vector<std::vector<unsigned char>> first;
        for (int threads : {1, 2, 4}) {
          parallel_set_threads(threads);
          Results r(t);
          attention_forward(t.shape, t.q.view, t.segments, r.out.view, r.lse.data());
          attention_backward(t.shape, t.q.view, t.segments, r.out.view, t.dout.view, r.lse.data(), r.dq.view, r.dk.view,
                             r.dv.view);
          const std::vector<std::vector<unsigned char>> now{bytes_of(r.out.view), bytes_of(r.dq.view),
                                                            bytes_of(r.dk.view), bytes_of(r.dv.view)};
          if (first.empty()) first = now;
          EXPECT_EQ(first, now);
        }
        parallel_set_threads(0);
      },
      false);
}

// Of many segments a task takes several heads.
TEST(Attention, ManySegmentsGiveTheBitsOfEach) {
  for (DType dtype : kTypes) {
    TestAttention t({6, 3, 48, 0, {300, 0, 0, 0}}, dtype);
    t.segments.clear();
    for (i64 row = 0; row < 300; row += 6) t.segments.push_back(t.segment(row, row % 4 == 0 ? 6 : 5));
    for_each_set([&] {
      Results all(t), each(t);
      const auto run = [&](std::span<const AttentionSegment> segments, Results& r) {
        attention_forward(t.shape, t.q.view, segments, r.out.view, r.lse.data());
        attention_backward(t.shape, t.q.view, segments, r.out.view, t.dout.view, r.lse.data(), r.dq.view, r.dk.view,
                           r.dv.view);
      };
      for (Results* r : {&all, &each})
        for (TestMatrix* m : {&r->out, &r->dq, &r->dk, &r->dv}) m->fill(0);
      run(t.segments, all);
      for (const AttentionSegment& segment : t.segments) run(std::span(&segment, 1), each);
      EXPECT_EQ(all.lse, each.lse);
      EXPECT_EQ(bytes_of(all.out.view), bytes_of(each.out.view));
      EXPECT_EQ(bytes_of(all.dq.view), bytes_of(each.dq.view));
      EXPECT_EQ(bytes_of(all.dk.view), bytes_of(each.dk.view));
      EXPECT_EQ(bytes_of(all.dv.view), bytes_of(each.dv.view));
      EXPECT_TRUE(all.dq.padding_intact() && all.dk.padding_intact() && all.out.padding_intact());
    });
  }
}

TEST(Attention, ReferenceGradientsAreFiniteDifferences) {
  const TestAttention t({2, 1, 6, 4, {7, 3, 0, 0}}, DType::f32);
  Results r(t);
  reference::attention_forward(t.shape, t.q.view, t.segments, r.out.view, r.lse.data());
  reference::attention_backward(t.shape, t.q.view, t.segments, r.out.view, t.dout.view, r.lse.data(), r.dq.view,
                                r.dk.view, r.dv.view);
  const auto loss = [&] {
    Results now(t);
    reference::attention_forward(t.shape, t.q.view, t.segments, now.out.view, nullptr);
    const auto a = values_of(now.out.view), b = values_of(t.dout.view);
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  const auto slope = [&](Matrix m, i64 row, i64 col) {
    float* value = m.f32() + row * m.stride + col;
    const float old = *value, step = 1.0f / 64;
    *value = old + step;
    const double up = loss();
    *value = old - step;
    const double down = loss();
    *value = old;
    return (up - down) / (2 * static_cast<double>(step));
  };
  for (i64 row = 0; row < t.tokens; ++row)
    for (i64 col = 0; col < 6; ++col) {
      EXPECT_NEAR(slope(t.q.view, row, col + 6), reference::at(r.dq.view, row, col + 6), 3e-3);
      EXPECT_NEAR(slope(t.k.view, row, col), reference::at(r.dk.view, row, col), 3e-3);
      EXPECT_NEAR(slope(t.v.view, row, col), reference::at(r.dv.view, row, col), 3e-3);
    }
}

TEST(Rope, MatchesReferenceAndRotatesBack) {
  const i64 heads = 3, head_dim = 40, tokens = 70;
  std::vector<float> frequency;
  for (i64 i = 0; i < head_dim / 2; ++i)
    frequency.push_back(static_cast<float>(std::pow(10000.0, -2.0 * static_cast<double>(i) / head_dim)));
  std::vector<i32> position;
  for (i64 t = 0; t < tokens; ++t) position.push_back(static_cast<i32>(t * t * 17));
  for_each_set([&] {
    for (DType dtype : kTypes) {
      TestMatrix x(dtype, tokens, heads * head_dim), wanted(dtype, tokens, heads * head_dim),
          start(dtype, tokens, heads * head_dim);
      x.random(1);
      wanted.random(1);
      start.random(1);
      rope_apply(x.view, heads, head_dim, position.data(), frequency.data(), false);
      reference::rope_apply(wanted.view, heads, head_dim, position.data(), frequency.data(), false);
      // The angle position * frequency is rounded to f32 as Hugging Face does: at 80,000 radians that is 4e-3.
      const double limit = dtype == DType::bf16 ? 1e-2 : 5e-3;
      EXPECT_LE(error_of(values_of(x.view), values_of(wanted.view)), limit);
      rope_apply(x.view, heads, head_dim, position.data(), frequency.data(), true);
      EXPECT_LE(error_of(values_of(x.view), values_of(start.view)), dtype == DType::bf16 ? 1e-2 : 1e-6);
      EXPECT_TRUE(x.padding_intact());
    }
  });
}

}  // namespace
}  // namespace moebius::kernels
