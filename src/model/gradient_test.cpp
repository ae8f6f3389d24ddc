// The gradient of the whole network against finite differences of its loss, for every variant of the configuration.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "model/test_network.h"

namespace moebius::model {
namespace {

using testing_network::make_batch;
using testing_network::make_network;
using testing_network::TestBatch;
using testing_network::Variant;
using testing_network::variants;

constexpr float kLossScale = 0.25f, kAuxiliaryScale = 0.5f;

struct Problem {
  Network& network;
  const TestBatch& batch;

  double loss() const {
    const PassResult& result = network.train_pass(batch.input(), batch.target_T, 0, 0, {});
    const LossConfig& losses = network.config().losses;
    double auxiliary = 0;
    for (const LayerRouting& layer : result.layers) {
      auxiliary += losses.balance_coefficient * layer.balance + losses.z_coefficient * layer.z;
    }
    if (losses.balance_average_layers) auxiliary /= static_cast<double>(result.layers.size());
    return static_cast<double>(kLossScale) * result.loss_sum + static_cast<double>(kAuxiliaryScale) * auxiliary;
  }

  // Central difference along `direction`, whose values are `count` numbers from the master at `offset`.
  double difference(const Parameter& p, const std::vector<double>& direction, double step) const {
    float* values = network.weights().master_data(p);
    const std::vector<float> before(values, values + p.count);
    const auto at = [&](double h) {
      for (i64 i = 0; i < p.count; ++i) {
        values[i] = static_cast<float>(static_cast<double>(before[static_cast<std::size_t>(i)]) +
                                       h * direction[static_cast<std::size_t>(i)]);
      }
      return loss();
    };
    const double value = (at(step) - at(-step)) / (2 * step);
    std::memcpy(values, before.data(), before.size() * 4);
    return value;
  }
};

class Gradient : public testing::TestWithParam<Variant> {};

// The direction is half the gradient and half random, so that an error in any direction is seen. The choice of experts is
// replayed, since the loss is discontinuous where it changes. Each loss has a rounding error of about 1e-6 and the step
// changes the loss by about 0.02, so differences are accurate to about 1e-4. Richardson extrapolation removes the cubic
// term; 4e-3 leaves room for the fifth.
TEST_P(Gradient, EqualsDifferences) {
  const ModelConfig& config = GetParam().config;
  const auto network = make_network(config, DType::f32);
  const TestBatch batch = make_batch(config.vocab, {7, 1, 9});
  std::vector<std::vector<i32>> routing;
  network->record_routing(&routing);
  network->train_pass(batch.input(), batch.target_T, kLossScale, kAuxiliaryScale, {});
  network->record_routing(nullptr);
  network->replay_routing(&routing);
  const Problem problem{*network, batch};
  // Later passes add to the gradient.
  const float* gradient = network->weights().gradient.f32();
  const std::vector<float> first_gradient(gradient, gradient + network->weights().elements);
  for (const Parameter& p : network->weights().parameters) {
    const float* g = first_gradient.data() + p.offset;
    std::vector<double> direction(static_cast<std::size_t>(p.count));
    double norm = 0, random_norm = 0;
    for (i64 i = 0; i < p.count; ++i) norm += static_cast<double>(g[i]) * static_cast<double>(g[i]);
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 1e-4) << p.name << " gets no gradient";
    // Padding of packed matrices must stay zero: the random part moves only what has a gradient at all.
    const auto random = [&](i64 i) {
      return g[i] == 0 ? 0.0
                       : static_cast<double>(
                             rng_normal_at(9, RngStream::test, static_cast<u64>(p.offset), static_cast<u64>(i)));
    };
    for (i64 i = 0; i < p.count; ++i) random_norm += random(i) * random(i);
    random_norm = std::sqrt(random_norm);
    double expected = 0;
    for (i64 i = 0; i < p.count; ++i) {
      direction[static_cast<std::size_t>(i)] =
          (static_cast<double>(g[i]) / norm + random(i) / random_norm) / 1.4142135623730951;
      expected += direction[static_cast<std::size_t>(i)] * static_cast<double>(g[i]);
    }
    const double step = std::min(0.02 / norm, 0.05);
    const double coarse = problem.difference(p, direction, step), fine = problem.difference(p, direction, step / 2);
    const double measured = (4 * fine - coarse) / 3;
    EXPECT_NEAR(measured, expected, 4e-3 * norm) << p.name << ", gradient's norm " << norm;
  }
}

// The first pass after begin_gradient overwrites whatever was there, bit-identical to a pass from zeros; the next one adds.
TEST_P(Gradient, BeginOverwrites) {
  const auto clean = make_network(GetParam().config, DType::bf16), dirty = make_network(GetParam().config, DType::bf16);
  const TestBatch batch = make_batch(clean->config().vocab, {8, 5});
  for (const Parameter& p : dirty->weights().parameters) std::fill_n(dirty->weights().gradient_data(p), p.count, 7.0f);
  dirty->begin_gradient();
  for (i64 pass = 0; pass < 2; ++pass) {
    clean->train_pass(batch.input(), batch.target_T, 0.5f, 0.5f, {});
    dirty->train_pass(batch.input(), batch.target_T, 0.5f, 0.5f, {});
    for (const Parameter& p : clean->weights().parameters) {
      const float *a = clean->weights().gradient_data(p), *b = dirty->weights().gradient_data(p);
      EXPECT_TRUE(std::equal(a, a + p.count, b)) << p.name << ", pass " << pass;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, Gradient, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(info.param.name); });

// Two passes add up, and scales are linear.
TEST(GradientSums, TwoPassesAdd) {
  const ModelConfig config = testing_network::small_config();
  const auto one = make_network(config, DType::f32), two = make_network(config, DType::f32);
  const TestBatch batch = make_batch(config.vocab, {8, 5});
  one->train_pass(batch.input(), batch.target_T, 1.0f, 1.0f, {});
  two->train_pass(batch.input(), batch.target_T, 0.5f, 0.5f, {});
  two->train_pass(batch.input(), batch.target_T, 0.5f, 0.5f, {});
  const Weights &a = one->weights(), &b = two->weights();
  double difference = 0, norm = 0;
  for (i64 i = 0; i < a.elements; ++i) {
    const double x = a.gradient.f32()[i], y = b.gradient.f32()[i];
    difference += (x - y) * (x - y);
    norm += x * x;
  }
  EXPECT_LT(std::sqrt(difference), 1e-5 * std::sqrt(norm));
  EXPECT_GT(norm, 0);
}

// bf16 storage: the same gradient up to rounding of activations (8 bits: about 1 % after the sums of a few layers).
TEST(GradientBf16, NearF32) {
  ModelConfig config = testing_network::small_config();
  config.resolve();
  const auto exact = make_network(config, DType::f32), rounded = make_network(config, DType::bf16);
  const TestBatch batch = make_batch(config.vocab, {16, 9});
  std::vector<std::vector<i32>> routing;
  exact->record_routing(&routing);
  exact->train_pass(batch.input(), batch.target_T, 1.0f, 1.0f, {});
  rounded->replay_routing(&routing);
  rounded->train_pass(batch.input(), batch.target_T, 1.0f, 1.0f, {});
  for (const Parameter& p : exact->weights().parameters) {
    const float *x = exact->weights().gradient_data(p), *y = rounded->weights().gradient_data(p);
    double difference = 0, norm = 0;
    for (i64 i = 0; i < p.count; ++i) {
      difference += static_cast<double>(x[i] - y[i]) * static_cast<double>(x[i] - y[i]);
      norm += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    EXPECT_LT(std::sqrt(difference), 0.05 * std::sqrt(norm)) << p.name;
  }
}

}  // namespace
}  // namespace moebius::model
