// Norm, head, embedding, router and optimiser against the reference on all sets; gradients by finite differences.
#include <algorithm>
#include <limits>

#include "kernels/cases.h"
#include "kernels/test_support.h"

namespace moebius::kernels {
namespace {

std::vector<float> random_floats(i64 count, u64 seed, double scale = 1) {
  std::vector<float> values(static_cast<size_t>(count));
  for (i64 i = 0; i < count; ++i)
    values[static_cast<size_t>(i)] =
        static_cast<float>(scale * rng_normal_at(seed, RngStream::test, 1, static_cast<u64>(i)));
  return values;
}

TEST(Norm, MatchesReference) {
  for_each_set([] {
    for (i64 cols : {64, 40, 7, 130})
      for (DType dtype : kTypes) {
        const i64 tokens = 150;
        TestMatrix x(DType::f32, tokens, cols), y(dtype, tokens, cols), wanted(dtype, tokens, cols);
        TestMatrix dy(dtype, tokens, cols), dx(DType::f32, tokens, cols), dx_wanted(DType::f32, tokens, cols);
        const std::vector<float> gain = random_floats(cols, 9);
        std::vector<float> inv(tokens), inv_wanted(tokens), dgain(static_cast<size_t>(cols)), dgain_wanted = dgain;
        x.random(1);
        dy.random(2);
        dx.random(3);
        dx_wanted.random(3);
        rmsnorm_forward(x.view, gain.data(), 1e-5f, y.view, inv.data());
        reference::rmsnorm_forward(x.view, gain.data(), 1e-5f, wanted.view, inv_wanted.data());
        rmsnorm_backward(dy.view, x.view, gain.data(), inv.data(), dx.view, dgain.data());
        reference::rmsnorm_backward(dy.view, x.view, gain.data(), inv.data(), dx_wanted.view, dgain_wanted.data());
        EXPECT_LE(error_of(values_of(y.view), values_of(wanted.view)), dtype == DType::bf16 ? 5e-3 : 1e-6);
        EXPECT_LE(error_of(values_of(inv), values_of(inv_wanted)), 1e-6);
        EXPECT_LE(error_of(values_of(dx.view), values_of(dx_wanted.view)), 2e-6);
        EXPECT_LE(error_of(values_of(dgain), values_of(dgain_wanted)), 1e-5);
        EXPECT_TRUE(y.padding_intact() && dx.padding_intact());
      }
  });
}

// One central difference of `loss` in *value.
template <class Loss>
double slope_of(float* value, Loss loss, float step = 1.0f / 64) {
  const float old = *value;
  *value = old + step;
  const double up = loss();
  *value = old - step;
  const double down = loss();
  *value = old;
  return (up - down) / (2 * static_cast<double>(step));
}

TEST(Norm, ReferenceGradientsAreFiniteDifferences) {
  const i64 tokens = 4, cols = 9;
  TestMatrix x(DType::f32, tokens, cols), dy(DType::f32, tokens, cols), dx(DType::f32, tokens, cols);
  TestMatrix y(DType::f32, tokens, cols);
  std::vector<float> gain = random_floats(cols, 9), inv(tokens), dgain(cols);
  x.random(1);
  dy.random(2);
  dx.fill(0);
  const auto loss = [&] {
    reference::rmsnorm_forward(x.view, gain.data(), 1e-5f, y.view, inv.data());
    const auto a = values_of(y.view), b = values_of(dy.view);
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  loss();
  reference::rmsnorm_backward(dy.view, x.view, gain.data(), inv.data(), dx.view, dgain.data());
  for (i64 i = 0; i < cols; ++i) {
    EXPECT_NEAR(slope_of(x.view.f32() + x.view.stride + i, loss), reference::at(dx.view, 1, i), 2e-3);
    EXPECT_NEAR(slope_of(gain.data() + i, loss), dgain[static_cast<size_t>(i)], 2e-3);
  }
}

struct TestHead {
  HeadCase c;
  TestWeight w;
  TestMatrix x;
  std::vector<i32> target;
  TestHead(const HeadCase& shape, DType dtype)
      : c(shape), w(dtype, {c.vocab, c.d_model}, 1, 0.3), x(dtype, c.tokens, c.d_model) {
    x.random(2);
    Rng rng(3, RngStream::test);
    for (i64 t = 0; t < c.tokens; ++t)
      target.push_back(t % 5 == 4 ? -1 : static_cast<i32>(rng.next_below(static_cast<u64>(c.vocab))));
  }
};

TEST(Head, MatchesReference) {
  for (const HeadCase& c : kHeadCases)
    for (DType dtype : kTypes)
      for (DType out : {DType::bf16, DType::f32}) {
        if (dtype == DType::f32 && out == DType::bf16) continue;
        const TestHead t(c, dtype);
        const size_t elements = static_cast<size_t>(t.w.weight.shape.elements()),
                     tokens = static_cast<size_t>(c.tokens);
        std::vector<float> loss_wanted(tokens), dw_wanted(elements), logprob_wanted(tokens);
        std::vector<i32> argmax_wanted(tokens);
        TestMatrix dx_wanted(out, c.tokens, c.d_model);
        reference::head_loss(t.x.view, t.w.weight, t.target.data(), 0.5f, loss_wanted.data(), dx_wanted.view,
                             dw_wanted.data());
        reference::head_score(t.x.view, t.w.weight, t.target.data(), logprob_wanted.data(), argmax_wanted.data());
        // Every third row has two targets; rows without a target have none.
        std::vector<HeadTarget> targets;
        std::vector<float> logprob_listed;
        std::vector<i32> argmax_listed;
        for (size_t r = 0; r < tokens; ++r)
          for (size_t again = 0; again < (r % 3 == 0 ? 2u : 1u) && t.target[r] >= 0; ++again) {
            targets.push_back({static_cast<i32>(r), t.target[r]});
            logprob_listed.push_back(logprob_wanted[r]);
            argmax_listed.push_back(argmax_wanted[r]);
          }
        for_each_set([&] {
          std::vector<float> loss(tokens), dw(elements), logprob(targets.size());
          std::vector<i32> argmax(targets.size());
          TestMatrix dx(out, c.tokens, c.d_model);
          head_loss(t.x.view, t.w.weight, t.target.data(), 0.5f, loss.data(), dx.view, dw.data());
          head_score(t.x.view, t.w.weight, targets, logprob.data(), argmax.data());
          EXPECT_LE(error_of(values_of(loss), values_of(loss_wanted)), kToleranceF32);
          EXPECT_LE(error_of(values_of(logprob), values_of(logprob_listed)), kToleranceF32);
          EXPECT_LE(error_of(values_of(dx.view), values_of(dx_wanted.view)), tolerance(dtype));
          EXPECT_LE(error_of(values_of(dw), values_of(dw_wanted)), tolerance(dtype));
          EXPECT_EQ(argmax, argmax_listed);
          EXPECT_TRUE(dx.padding_intact());
          std::vector<float> over(elements, 7.0f);
          head_loss(t.x.view, t.w.weight, t.target.data(), 0.5f, loss.data(), dx.view, over.data(),
                    GradientSum::overwrite);
          EXPECT_EQ(over, dw);
        });
      }
}

TEST(Head, ThreadsDoNotChangeBits) {
  const TestHead t({400, 32, 500}, DType::bf16);
  for_each_set(
      [&] {
        std::vector<float> first;
        for (int threads : {1, 2, 4}) {
          parallel_set_threads(threads);
          std::vector<float> loss(400), dw(static_cast<size_t>(t.w.weight.shape.elements()));
          TestMatrix dx(DType::f32, 400, 32, 0);
          head_loss(t.x.view, t.w.weight, t.target.data(), 1.0f, loss.data(), dx.view, dw.data());
          std::vector<float> all = loss;
          all.insert(all.end(), dw.begin(), dw.end());
          all.insert(all.end(), dx.view.f32(), dx.view.f32() + 400 * 32);
          if (first.empty()) first = all;
          EXPECT_EQ(first, all);
        }
        parallel_set_threads(0);
      },
      false);
}

TEST(Head, ReferenceGradientsAreFiniteDifferences) {
  TestHead t({5, 6, 11}, DType::f32);
  std::vector<float> loss_T(5), dw(static_cast<size_t>(t.w.weight.shape.elements())), scrap = dw;
  TestMatrix dx(DType::f32, 5, 6), dx_scrap(DType::f32, 5, 6);
  reference::head_loss(t.x.view, t.w.weight, t.target.data(), 0.5f, loss_T.data(), dx.view, dw.data());
  const auto loss = [&] {
    reference::head_loss(t.x.view, t.w.weight, t.target.data(), 0.5f, loss_T.data(), dx_scrap.view, scrap.data());
    double sum = 0;
    for (float l : loss_T) sum += 0.5 * l;
    return sum;
  };
  for (i64 i = 0; i < 6; ++i) {
    EXPECT_NEAR(slope_of(t.x.view.f32() + t.x.view.stride + i, loss), reference::at(dx.view, 1, i), 1e-3);
    const i64 at = t.w.weight.shape.index(t.target[1], i);
    EXPECT_NEAR(slope_of(t.w.memory.f32() + at, loss), dw[static_cast<size_t>(at)], 1e-3);
  }
}

TEST(Embedding, MatchesReference) {
  for_each_set([] {
    const i64 tokens = 300, vocab = 20, cols = 70;
    const std::vector<float> table = random_floats(vocab * cols, 1);
    std::vector<i32> token;
    Rng rng(4, RngStream::test);
    for (i64 t = 0; t < tokens; ++t) token.push_back(static_cast<i32>(rng.next_below(static_cast<u64>(vocab))));
    TestMatrix x(DType::f32, tokens, cols), wanted(DType::f32, tokens, cols);
    embedding_forward(table.data(), token.data(), x.view);
    reference::embedding_forward(table.data(), token.data(), wanted.view);
    EXPECT_EQ(bytes_of(x.view), bytes_of(wanted.view));
    std::vector<float> dtable(table.size()), dtable_wanted(table.size());
    embedding_backward(token.data(), x.view, dtable.data());
    reference::embedding_backward(token.data(), x.view, dtable_wanted.data());
    EXPECT_EQ(dtable, dtable_wanted);
  });
}

struct TestRouter {
  RouterShape shape;
  i64 tokens, cols;
  TestMatrix x;
  std::vector<float> w, bias, dgate;
  TestRouter(const RouterShape& s, i64 t, i64 d, DType dtype) : shape(s), tokens(t), cols(d), x(dtype, t, d) {
    x.random(1);
    w = random_floats(s.experts * d, 2, 0.2);
    bias = random_floats(s.experts, 3, 0.01);
    dgate = random_floats(t * s.top_k, 4);
  }
};

struct RouterResults {
  std::vector<float> logits, prob, gate, dlogits, dw;
  std::vector<i32> expert;
  TestMatrix dx;
  Routing routing;
  explicit RouterResults(const TestRouter& t)
      : logits(static_cast<size_t>(t.tokens * t.shape.experts)),
        prob(logits.size()),
        gate(static_cast<size_t>(t.tokens * t.shape.top_k)),
        dlogits(logits.size()),
        dw(t.w.size()),
        expert(gate.size()),
        dx(DType::f32, t.tokens, t.cols) {
    dx.fill(0);
    routing.tokens = t.tokens;
    routing.top_k = t.shape.top_k;
    routing.experts = t.shape.experts;
    routing.expert_TK = expert.data();
    routing.gate_TK = gate.data();
  }
};

std::vector<RouterShape> router_shapes() {
  std::vector<RouterShape> shapes;
  for (i64 experts : {2, 8, 33, 128})
    for (i64 top_k : {1, 2, 8}) {
      if (top_k > experts || (experts == 128 && top_k != 8)) continue;
      shapes.push_back({experts, top_k});
      shapes.push_back({experts, top_k, false, false, true, 1.0f});
      shapes.push_back({experts, top_k, false, true, false, 2.0f});
      shapes.push_back({experts, top_k, true, true, true, 1.5f});
      shapes.push_back({experts, top_k, true, true, false, 1.0f});
    }
  return shapes;
}

// Of the probabilities, or of a sigmoid's scores over their sum.
double mean_entropy(const std::vector<float>& prob, const RouterShape& shape, i64 tokens) {
  double total = 0;
  for (i64 t = 0; t < tokens; ++t) {
    double sum = 0;
    for (i64 e = 0; e < shape.experts; ++e) sum += prob[static_cast<size_t>(t * shape.experts + e)];
    for (i64 e = 0; e < shape.experts; ++e) {
      const double p = prob[static_cast<size_t>(t * shape.experts + e)] / sum;
      if (p > 0) total -= p * std::log(p);
    }
  }
  return total / static_cast<double>(tokens);
}

TEST(Router, MatchesReference) {
  for (const RouterShape& shape : router_shapes())
    for (DType dtype : kTypes) {
      const TestRouter t(shape, 70, 24, dtype);
      const float* bias = shape.sigmoid ? t.bias.data() : nullptr;
      RouterLossGradients losses;
      losses.balance_coefficient = 0.3f;
      losses.z_coefficient = 0.2f;
      RouterResults wanted(t);
      reference::route_forward(t.x.view, t.w.data(), shape, bias, wanted.logits.data(), wanted.prob.data(),
                               wanted.routing);
      reference::route_backward(t.x.view, t.w.data(), shape, wanted.logits.data(), wanted.prob.data(), wanted.routing,
                                t.dgate.data(), losses, wanted.dlogits.data(), wanted.dw.data(), wanted.dx.view);
      const RouterLosses loss_wanted =
          reference::router_losses(shape, wanted.logits.data(), wanted.prob.data(), wanted.routing);
      for_each_set([&] {
        SCOPED_TRACE("E=" + std::to_string(shape.experts) + " k=" + std::to_string(shape.top_k));
        RouterResults got(t);
        route_forward(t.x.view, t.w.data(), shape, bias, got.logits.data(), got.prob.data(), got.routing);
        EXPECT_LE(error_of(values_of(got.logits), values_of(wanted.logits)), 1e-5);
        EXPECT_LE(error_of(values_of(got.prob), values_of(wanted.prob)), 1e-5);
        EXPECT_EQ(got.expert, wanted.expert);
        EXPECT_LE(error_of(values_of(got.gate), values_of(wanted.gate)), 1e-5);
        route_backward(t.x.view, t.w.data(), shape, got.logits.data(), got.prob.data(), got.routing, t.dgate.data(),
                       losses, got.dlogits.data(), got.dw.data(), got.dx.view);
        EXPECT_LE(error_of(values_of(got.dlogits), values_of(wanted.dlogits)), 3e-5);
        EXPECT_LE(error_of(values_of(got.dw), values_of(wanted.dw)), 3e-5);
        EXPECT_LE(error_of(values_of(got.dx.view), values_of(wanted.dx.view)), 3e-5);
        const RouterLosses loss = router_losses(shape, got.logits.data(), got.prob.data(), got.routing);
        EXPECT_NEAR(loss.balance, loss_wanted.balance, 1e-5 * loss_wanted.balance);
        EXPECT_NEAR(loss.z, loss_wanted.z, 1e-5 * loss_wanted.z);
        EXPECT_NEAR(loss.entropy, mean_entropy(wanted.prob, shape, 70), 2e-5);
      });
    }
}

TEST(Router, TiesGoToTheLowestIndex) {
  for_each_set([] {
    const RouterShape shape{20, 3};
    TestRouter t(shape, 4, 8, DType::f32);
    std::fill(t.w.begin(), t.w.end(), 0.0f);
    RouterResults r(t);
    route_forward(t.x.view, t.w.data(), shape, nullptr, r.logits.data(), r.prob.data(), r.routing);
    for (size_t i = 0; i < r.expert.size(); ++i) EXPECT_EQ(r.expert[i], static_cast<i32>(i % 3));
    EXPECT_NEAR(router_losses(shape, r.logits.data(), r.prob.data(), r.routing).balance, 1.0, 1e-6);
  });
}

TEST(Router, GatesOfAChoiceMadeElsewhere) {
  for (const RouterShape& shape : router_shapes()) {
    TestRouter t(shape, 70, 8, DType::f32);
    RouterResults r(t);
    route_forward(t.x.view, t.w.data(), shape, nullptr, r.logits.data(), r.prob.data(), r.routing);
    const std::vector<float> own = r.gate;
    std::fill(r.gate.begin(), r.gate.end(), 0.0f);
    route_gates(shape, r.prob.data(), r.routing);
    EXPECT_EQ(r.gate, own);
    // The k experts that come first, liked or not.
    const bool to_one = shape.renormalise || !shape.softmax_before_top_k;
    for (size_t i = 0; i < r.expert.size(); ++i) r.expert[i] = static_cast<i32>(i) % static_cast<i32>(shape.top_k);
    route_gates(shape, r.prob.data(), r.routing);
    for (i64 token = 0; token < 70; ++token) {
      double sum = 0;
      for (i64 j = 0; j < shape.top_k; ++j) sum += r.prob[static_cast<size_t>(token * shape.experts + j)];
      for (i64 j = 0; j < shape.top_k; ++j) {
        const double wanted =
            shape.scale * r.prob[static_cast<size_t>(token * shape.experts + j)] / (to_one ? sum : 1.0);
        EXPECT_NEAR(r.gate[static_cast<size_t>(token * shape.top_k + j)], wanted, 1e-6 * wanted);
      }
    }
  }
}

// <dgate, gate> + coefficients * losses, the choice of experts held fixed, in the logits.
TEST(Router, ReferenceGradientsAreFiniteDifferences) {
  for (RouterShape shape : router_shapes()) {
    if (shape.experts != 8 || shape.top_k != 2) continue;
    TestRouter t(shape, 5, 6, DType::f32);
    RouterLossGradients losses;
    losses.balance_coefficient = 0.3f;
    losses.z_coefficient = 0.2f;
    RouterResults r(t);
    reference::route_forward(t.x.view, t.w.data(), shape, nullptr, r.logits.data(), r.prob.data(), r.routing);
    reference::route_backward(t.x.view, t.w.data(), shape, r.logits.data(), r.prob.data(), r.routing, t.dgate.data(),
                              losses, r.dlogits.data(), r.dw.data(), r.dx.view);
    const std::vector<i32> chosen = r.expert;
    const auto loss = [&] {
      RouterResults now(t);
      reference::route_forward(t.x.view, t.w.data(), shape, nullptr, now.logits.data(), now.prob.data(), now.routing);
      EXPECT_EQ(now.expert, chosen);
      const RouterLosses l = reference::router_losses(shape, now.logits.data(), now.prob.data(), now.routing);
      double sum = 0.3 * l.balance + 0.2 * l.z;
      for (size_t i = 0; i < now.gate.size(); ++i) sum += static_cast<double>(now.gate[i]) * t.dgate[i];
      return sum;
    };
    for (i64 i = 0; i < 6; ++i) {
      EXPECT_NEAR(slope_of(t.w.data() + 3 * 6 + i, loss, 1.0f / 256), r.dw[static_cast<size_t>(18 + i)], 2e-3);
      EXPECT_NEAR(slope_of(t.x.view.f32() + i, loss, 1.0f / 256), reference::at(r.dx.view, 0, i), 2e-3);
    }
  }
}

TEST(Adamw, MatchesReference) {
  for_each_set([] {
    for (DType copy_type : kTypes) {
      const i64 count = 70001;
      AdamwStep step;
      step.learning_rate = 1e-2f;
      step.gradient_scale = 0.7f;
      step.bias1 = 0.19f;
      step.bias2 = 0.0975f;
      std::vector<std::vector<float>> a, b;
      for (u64 s : {1, 2, 3, 4}) a.push_back(random_floats(count, s));
      for (float& v : a[2]) v = v * v;
      b = a;
      std::vector<float> copy_a(static_cast<size_t>(count)), copy_b = copy_a;
      adamw_update(step, count, a[0].data(), a[1].data(), a[2].data(), a[3].data(), copy_a.data(), copy_type);
      reference::adamw_update(step, count, b[0].data(), b[1].data(), b[2].data(), b[3].data(), copy_b.data(),
                              copy_type);
      for (size_t i : {0, 1, 2, 3}) EXPECT_LE(error_of(values_of(a[i]), values_of(b[i])), 1e-6);
      const ConstMatrix ca{copy_a.data(), copy_type, 1, count, count}, cb{copy_b.data(), copy_type, 1, count, count};
      EXPECT_LE(error_of(values_of(ca), values_of(cb)), copy_type == DType::bf16 ? 5e-3 : 1e-6);
    }
  });
}

TEST(Flat, SumOfSquaresAndConversion) {
  for_each_set([] {
    const std::vector<float> values = random_floats(100003, 5);
    const double wanted = reference::sum_of_squares(values.data(), 100003);
    for (int threads : {1, 4}) {
      parallel_set_threads(threads);
      EXPECT_NEAR(sum_of_squares(values.data(), 100003), wanted, 1e-9 * wanted);
    }
    parallel_set_threads(0);
    std::vector<bf16> got(values.size()), expected(values.size());
    convert_from_f32(values.data(), 100003, got.data(), DType::bf16);
    reference::convert_from_f32(values.data(), 100003, expected.data(), DType::bf16);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i].bits, expected[i].bits);
  });
}

TEST(Flat, NotANumberSurvivesRounding) {
  for_each_set([] {
    const std::vector<float> values(20, std::numeric_limits<float>::quiet_NaN());
    std::vector<bf16> got(20);
    convert_from_f32(values.data(), 20, got.data(), DType::bf16);
    for (bf16 v : got) EXPECT_TRUE(std::isnan(to_float(v)));
  });
}

}  // namespace
}  // namespace moebius::kernels
