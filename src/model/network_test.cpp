// Equalities that must hold to the bit: alone and packed, cached and whole, one thread and many, recorded and replayed.
#include "model/network.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/attention_cache.h"
#include "model/activations.h"
#include "model/test_news.h"
#include "model/test_network.h"

namespace moebius::model {
namespace {

using testing_network::make_batch;
using testing_network::make_network;
using testing_network::TestBatch;
using testing_network::Variant;
using testing_network::variants;

// The log-probability of each row's target; 0 where there is none.
std::vector<float> scores(Network& network, const TestBatch& batch) {
  std::vector<kernels::HeadTarget> targets;
  for (std::size_t t = 0; t < batch.target_T.size(); ++t) {
    if (batch.target_T[t] >= 0) targets.push_back({static_cast<i32>(t), batch.target_T[t]});
  }
  std::vector<float> listed(targets.size()), logprob(batch.token_T.size());
  network.score_targets(batch.input(), targets, listed, {});
  for (std::size_t i = 0; i < targets.size(); ++i) logprob[static_cast<std::size_t>(targets[i].row)] = listed[i];
  return logprob;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

class Equality : public testing::TestWithParam<Variant> {};

// A document alone scores as it does between others; the content of one document changes nothing in another.
TEST_P(Equality, AloneIsPacked) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto network = make_network(GetParam().config, compute);
    TestBatch packed = make_batch(GetParam().config.vocab, {9, 21, 6});
    const std::vector<float> together = scores(*network, packed);
    for (const Segment& segment : packed.segments) {
      TestBatch alone;
      const auto begin = segment.row, end = segment.row + segment.rows;
      alone.token_T.assign(packed.token_T.begin() + begin, packed.token_T.begin() + end);
      alone.target_T.assign(packed.target_T.begin() + begin, packed.target_T.begin() + end);
      alone.segments = {{.row = 0, .rows = segment.rows}};
      const std::vector<float> expected(together.begin() + begin, together.begin() + end);
      EXPECT_TRUE(same_bits(scores(*network, alone), expected)) << dtype_name(compute);
    }
    TestBatch changed = packed;
    for (i64 i = 0; i < 9; ++i)
      changed.token_T[static_cast<std::size_t>(i)] =
          static_cast<i32>((packed.token_T[static_cast<std::size_t>(i)] + 1) % 37);
    const std::vector<float> after = scores(*network, changed);
    EXPECT_FALSE(same_bits(after, together));
    EXPECT_EQ(std::memcmp(after.data() + 9, together.data() + 9, (after.size() - 9) * 4), 0) << dtype_name(compute);
  }
}

// Keys and values of `sequences` sequences.
struct TestCache {
  TestCache(const ModelConfig& config, DType compute, i64 sequences, i64 positions)
      : layer(kernels::CacheLayout{config.attention.kv_heads, config.attention.head_dim, positions}.elements()),
        memory("test", sequences * config.layers * layer * dtype_bytes(compute)) {
    for (i64 s = 0; s < sequences; ++s) {
      slots.push_back(
          {static_cast<u8*>(memory.data()) + s * config.layers * layer * dtype_bytes(compute), layer, positions, 0});
    }
  }
  i64 layer;
  Buffer memory;
  std::vector<KvSlot> slots;
};

// Fed piece by piece through a cache, two sequences at a time, every logit is the one of the whole pass.
TEST_P(Equality, CachedIsWhole) {
  const ModelConfig& config = GetParam().config;
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto network = make_network(config, compute);
    const i64 length = 11, V = config.vocab;
    const TestBatch whole = make_batch(V, {length, length});
    std::vector<i32> all_rows;
    for (i32 r = 0; r < 2 * length; ++r) all_rows.push_back(r);
    std::vector<float> expected(static_cast<std::size_t>(2 * length * V));
    network->logits_pass(whole.input(), all_rows, matrix_of(expected.data(), 2 * length, V));
    TestCache cache(config, compute, 2, length);
    for (i64 begin = 0, count = 4; begin < length; begin += count, count = 1) {  // a prompt of four, then one by one
      TestBatch step;
      for (i64 s = 0; s < 2; ++s) {
        step.segments.push_back(
            {.row = s * count, .rows = count, .position = begin, .cache = &cache.slots[static_cast<std::size_t>(s)]});
        for (i64 i = 0; i < count; ++i)
          step.token_T.push_back(whole.token_T[static_cast<std::size_t>(s * length + begin + i)]);
      }
      const std::vector<i32> last = {static_cast<i32>(count - 1), static_cast<i32>(2 * count - 1)};
      std::vector<float> logits(static_cast<std::size_t>(2 * V));
      network->logits_pass(step.input(), last, matrix_of(logits.data(), 2, V));
      for (i64 s = 0; s < 2; ++s) {
        const i64 row = s * length + begin + count - 1;
        EXPECT_EQ(std::memcmp(logits.data() + s * V, expected.data() + row * V, static_cast<std::size_t>(V) * 4), 0)
            << dtype_name(compute) << " position " << begin + count - 1;
        cache.slots[static_cast<std::size_t>(s)].positions += count;
      }
    }
  }
}

// Continuations of a shared prefix score as the whole documents do; some rows have several targets.
TEST_P(Equality, SharedBeginningIsWhole) {
  const ModelConfig& config = GetParam().config;
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto network = make_network(config, compute);
    const TestBatch whole = make_batch(config.vocab, {9 + 4, 9 + 1, 9 + 6, 20});
    TestBatch apart = whole, shared;
    for (std::size_t s = 1; s < 3; ++s)
      std::copy_n(apart.token_T.begin(), 9, apart.token_T.begin() + apart.segments[s].row);
    shared.token_T.assign(apart.token_T.begin(), apart.token_T.begin() + 9);
    shared.segments = {{.row = 0, .rows = 9}};
    std::vector<kernels::HeadTarget> targets_apart, targets_shared;
    for (const Segment& segment : apart.segments) {
      const bool continues = segment.rows < 20;
      const i64 begin = continues ? 9 : 0, row = static_cast<i64>(shared.token_T.size());
      shared.segments.push_back({.row = row, .rows = segment.rows - begin, .position = begin, .prefix_rows = begin});
      for (i64 r = begin; r < segment.rows; ++r) {
        shared.token_T.push_back(apart.token_T[static_cast<std::size_t>(segment.row + r)]);
        for (const i32 token : {3, 30}) {
          targets_apart.push_back({static_cast<i32>(segment.row + r), token});
          targets_shared.push_back({static_cast<i32>(row + r - begin), token});
        }
      }
    }
    std::vector<float> expected(targets_apart.size()), got(targets_apart.size());
    std::vector<i32> likeliest_expected(expected.size()), likeliest(expected.size());
    network->score_targets(apart.input(), targets_apart, expected, likeliest_expected);
    network->score_targets(shared.input(), targets_shared, got, likeliest);
    EXPECT_TRUE(same_bits(got, expected)) << dtype_name(compute);
    EXPECT_EQ(likeliest, likeliest_expected);
  }
}

TEST_P(Equality, OneThreadIsMany) {
  const ModelConfig& config = GetParam().config;
  const TestBatch batch = make_batch(config.vocab, {40, 70, 3, 50});
  for (const DType compute : {DType::f32, DType::bf16}) {
    std::vector<std::vector<float>> gradients, losses;
    for (const int threads : {1, 3}) {
      parallel_set_threads(threads);
      const auto network = make_network(config, compute);
      losses.emplace_back(batch.token_T.size());
      network->train_pass(batch.input(), batch.target_T, 0.1f, 1.0f, losses.back());
      const Weights& w = network->weights();
      gradients.emplace_back(w.gradient.f32(), w.gradient.f32() + w.elements);
    }
    parallel_set_threads(0);
    EXPECT_TRUE(same_bits(losses[0], losses[1])) << dtype_name(compute);
    EXPECT_TRUE(same_bits(gradients[0], gradients[1])) << dtype_name(compute);
  }
}

// Training's losses are the scores, to the bit or to rounding of one fused product.
TEST_P(Equality, TrainedLossIsScore) {
  const ModelConfig& config = GetParam().config;
  const auto network = make_network(config, DType::f32);
  const TestBatch batch = make_batch(config.vocab, {12, 8});
  std::vector<float> loss(batch.token_T.size());
  const PassResult trained = network->train_pass(batch.input(), batch.target_T, 1, 1, loss);
  const std::vector<float> logprob = scores(*network, batch);
  for (std::size_t i = 0; i < loss.size(); ++i) EXPECT_NEAR(loss[i], -logprob[i], 1e-5f);
  EXPECT_EQ(trained.targets, 18);
}

TEST_P(Equality, ReplayedIsRecorded) {
  const ModelConfig& config = GetParam().config;
  if (config.moe_layers() == 0) return;
  const auto network = make_network(config, DType::f32);
  const TestBatch batch = make_batch(config.vocab, {10, 10});
  std::vector<std::vector<i32>> record;
  network->record_routing(&record);
  const std::vector<float> first = scores(*network, batch);
  network->record_routing(nullptr);
  ASSERT_EQ(static_cast<i64>(record.size()), config.moe_layers());
  network->replay_routing(&record);
  EXPECT_TRUE(same_bits(scores(*network, batch), first));
  for (std::vector<i32>& layer : record) {
    for (i32& expert : layer) expert = static_cast<i32>((expert + 1) % config.experts.experts);
  }
  EXPECT_FALSE(same_bits(scores(*network, batch), first));  // another choice is another result
}

INSTANTIATE_TEST_SUITE_P(Variants, Equality, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Network, SteadyStateAllocatesNothing) {
  for (const Variant& variant : variants()) {
    const auto network = make_network(variant.config, DType::bf16);
    const TestBatch batch = make_batch(variant.config.vocab, {30, 34});
    const NetworkInput input = batch.input();
    std::vector<float> values(64);
    network->reserve(64);
    const std::vector<kernels::HeadTarget> targets = {{3, 1}, {3, 2}, {50, 0}};
    std::vector<float> logprob(3);
    network->train_pass(input, batch.target_T, 1, 1, values);  // the kernels allocate their scratch at first use
    network->score_targets(input, targets, logprob, {});
    const i64 reserved = buffer_bytes_in_use();
    const i64 buffers = buffer_allocations(), objects = count_news();
    for (int i = 0; i < 3; ++i) {
      network->train_pass(input, batch.target_T, 1, 1, values);
      network->score_targets(input, targets, logprob, {});
    }
    EXPECT_EQ(count_news(), objects) << variant.name;
    EXPECT_EQ(buffer_allocations(), buffers) << variant.name;
    EXPECT_EQ(buffer_bytes_in_use(), reserved) << variant.name;
  }
}

TEST(Network, PlanSaysWhatReserveTakes) {
  const ModelConfig config = variants().back().config;
  for (const bool training : {false, true}) {
    Network network(config, DType::bf16, training);
    const i64 before = buffer_bytes_in_use();
    network.reserve(100);
    EXPECT_EQ(buffer_bytes_in_use() - before, plan_activations(config, DType::bf16, {training}, 100, nullptr).bytes);
    network.reserve(50);
    EXPECT_EQ(buffer_bytes_in_use() - before, plan_activations(config, DType::bf16, {training}, 100, nullptr).bytes);
  }
}

struct Trained {
  std::vector<float> loss, gradient;
  PassResult result;
};

Trained train_once(const ModelConfig& config, DType compute, Recompute recompute, const TestBatch& batch,
                   const std::vector<std::vector<i32>>* replay = nullptr, bool tied = false) {
  const auto network = make_network(config, compute);
  network->set_recompute(recompute);
  for (const Parameter& p : network->weights().parameters) {
    if (tied && p.kind == ParameterKind::router) std::fill_n(network->weights().master_data(p), p.count, 0.0f);
  }
  network->replay_routing(replay);
  Trained trained;
  trained.loss.resize(batch.token_T.size());
  network->train_pass(batch.input(), batch.target_T, 0.1f, 1.0f, trained.loss);
  trained.result = network->train_pass(batch.input(), batch.target_T, 0.1f, 1.0f, trained.loss);
  const Weights& w = network->weights();
  trained.gradient.assign(w.gradient.f32(), w.gradient.f32() + w.elements);
  return trained;
}

void expect_same(const Trained& a, const Trained& b, const char* what) {
  EXPECT_TRUE(same_bits(a.loss, b.loss)) << what;
  EXPECT_TRUE(same_bits(a.gradient, b.gradient)) << what;
  ASSERT_EQ(a.result.layers.size(), b.result.layers.size());
  for (std::size_t l = 0; l < a.result.layers.size(); ++l) {
    EXPECT_EQ(a.result.layers[l].count_E, b.result.layers[l].count_E) << what;
    EXPECT_EQ(a.result.layers[l].balance, b.result.layers[l].balance) << what;
  }
}

TEST_P(Equality, RecomputedIsKept) {
  const ModelConfig& config = GetParam().config;
  const TestBatch batch = make_batch(config.vocab, {40, 13, 30});
  for (const DType compute : {DType::f32, DType::bf16}) {
    expect_same(train_once(config, compute, Recompute::none, batch),
                train_once(config, compute, Recompute::layer, batch), dtype_name(compute));
  }
}

// Recomputation takes the recorded routing, also where a router's scores are all equal or it would choose otherwise.
TEST_P(Equality, RecomputationReplaysTheRouting) {
  const ModelConfig& config = GetParam().config;
  if (config.moe_layers() == 0) return;
  const TestBatch batch = make_batch(config.vocab, {20, 17});
  expect_same(train_once(config, DType::bf16, Recompute::none, batch, nullptr, true),
              train_once(config, DType::bf16, Recompute::layer, batch, nullptr, true), "ties");
  std::vector<std::vector<i32>> forced(static_cast<std::size_t>(config.moe_layers()));
  for (std::size_t l = 0; l < forced.size(); ++l) {
    for (i64 t = 0; t < 37; ++t) {
      for (i64 j = 0; j < config.experts.top_k; ++j) {
        forced[l].push_back(static_cast<i32>((t + 2 * j + static_cast<i64>(l)) % config.experts.experts));
      }
    }
  }
  const Trained kept = train_once(config, DType::bf16, Recompute::none, batch, &forced);
  expect_same(kept, train_once(config, DType::bf16, Recompute::layer, batch, &forced), "forced");
  EXPECT_FALSE(same_bits(kept.gradient, train_once(config, DType::bf16, Recompute::layer, batch).gradient))
      << "the forced routing is another one than the routers' own";
}

TEST(Network, RecomputationTakesLess) {
  for (const Variant& variant : variants()) {
    ModelConfig config = variant.config;
    config.layers = 8;
    config.resolve();
    const auto bytes = [&](Recompute recompute) {
      return plan_activations(config, DType::bf16, {true, recompute}, 256, nullptr).bytes;
    };
    const i64 kept = bytes(Recompute::none), recomputed = bytes(Recompute::layer);
    EXPECT_LT(recomputed, kept * 6 / 10) << variant.name;
  }
}

// An inference network's plan (layers share one place) gives a training network's scores.
TEST(Network, InferencePlanIsTrainingPlan) {
  for (const Variant& variant : variants()) {
    for (const DType compute : {DType::f32, DType::bf16}) {
      const auto training = make_network(variant.config, compute);
      Network inference(variant.config, compute, false);
      for (const Parameter& p : training->weights().parameters) {
        std::vector<float> rows(static_cast<std::size_t>(p.rows() * p.shape.k));
        for (i64 copy = 0; copy < p.copies; ++copy) {
          weights_get_rows(training->weights(), p, copy, 0, p.rows(), rows.data());
          weights_set_rows(inference.weights(), p, copy, 0, p.rows(), rows.data());
        }
      }
      std::copy(training->selection_bias().begin(), training->selection_bias().end(),
                inference.selection_bias().begin());
      const TestBatch batch = make_batch(variant.config.vocab, {12, 30});
      EXPECT_TRUE(same_bits(scores(*training, batch), scores(inference, batch))) << variant.name;
    }
  }
}

// Softmax before top-k and renormalised is softmax over the chosen (facts: both are Mixtral's).
TEST(Network, TwoWaysToSayMixtral) {
  const auto all = variants();
  const auto before = make_network(all[0].config, DType::f32), after = make_network(all[1].config, DType::f32);
  const TestBatch batch = make_batch(37, {20});
  const std::vector<float> a = scores(*before, batch), b = scores(*after, batch);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 2e-5f);
}

TEST(Network, BalancedRouterHasBalanceOne) {
  const auto network = make_network(testing_network::small_config(), DType::f32);
  for (const Parameter& p : network->weights().parameters) {
    if (p.kind == ParameterKind::router) std::fill_n(network->weights().master_data(p), p.count, 0.0f);
  }
  const TestBatch batch = make_batch(37, {24});
  const PassResult& result = network->train_pass(batch.input(), batch.target_T, 1, 0, {});
  for (const LayerRouting& layer : result.layers) {
    EXPECT_NEAR(layer.balance, 1.0, 1e-6);  // equal probabilities: sum f_i P_i = 1/E whatever the counts
    EXPECT_NEAR(layer.entropy, std::log(6.0), 1e-6);
    EXPECT_NEAR(layer.z, std::log(6.0) * std::log(6.0), 1e-5);
    EXPECT_EQ(layer.count_E[0], 24);  // ties go to the lowest indices
    EXPECT_EQ(layer.count_E[1], 24);
    EXPECT_EQ(layer.count_E[2], 0);
  }
}

TEST(Network, RefusesForeignTokens) {
  const auto network = make_network(testing_network::small_config(), DType::f32);
  TestBatch batch = make_batch(37, {4});
  batch.token_T[2] = 37;
  EXPECT_THROW(scores(*network, batch), Error);
}

// A row whose logits are NaN or infinite has no score and no likeliest token; other segments are not affected. Earlier rows
// of the segment may be NaN as well: attention multiplies masked values by zero, and 0 * NaN is NaN.
TEST(Network, NanIsNoScore) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto network = make_network(testing_network::small_config(), compute);
    TestBatch batch = make_batch(37, {6, 6});
    for (i64 i = 0; i < 6; ++i) batch.token_T[static_cast<std::size_t>(i)] = static_cast<i32>(10 + i);
    for (i64 i = 6; i < 12; ++i) batch.token_T[static_cast<std::size_t>(i)] = static_cast<i32>(20 + i);
    const std::vector<kernels::HeadTarget> targets = {{2, 3}, {2, 4}, {5, 0}, {6, 3}, {6, 7}, {11, 1}};
    std::vector<float> good(targets.size()), got(targets.size());
    std::vector<i32> likeliest(targets.size());
    network->score_targets(batch.input(), targets, good, likeliest);
    for (const i32 token : likeliest) EXPECT_GE(token, 0);
    const Parameter& embedding = network->weights().find("embedding");
    network->weights().master_data(embedding)[12 * embedding.shape.k + 5] = std::numeric_limits<float>::quiet_NaN();
    network->score_targets(batch.input(), targets, got, likeliest);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const bool damaged = targets[i].row < 6;
      EXPECT_EQ(std::isnan(got[i]), damaged) << i;
      EXPECT_EQ(likeliest[i] == -1, damaged) << i;
      if (damaged) continue;
      EXPECT_EQ(got[i], good[i]) << i;
    }
  }
}

// Initial values depend neither on the number of threads nor, for an expert, on the number of experts.
TEST(Weights, InitialValues) {
  ModelConfig small = testing_network::small_config(), large = small;
  large.experts.experts = 12;
  parallel_set_threads(1);
  const auto a = std::make_unique<Network>(small, DType::f32, true);
  init_weights(a->weights(), 11);
  parallel_set_threads(3);
  const auto b = std::make_unique<Network>(large, DType::f32, true);
  init_weights(b->weights(), 11);
  parallel_set_threads(0);
  const Weights &wa = a->weights(), &wb = b->weights();
  for (const char* name : {"embedding", "head", "banks.1.up", "banks.1.down", "layers.0.attention.query_key_value"}) {
    const Parameter &pa = wa.find(name), &pb = wb.find(name);
    EXPECT_EQ(std::memcmp(wa.master_data(pa), wb.master_data(pb), static_cast<std::size_t>(pa.count) * 4), 0) << name;
  }
  double sum = 0, squares = 0;
  const Parameter& p = wa.find("head");
  std::vector<float> rows(static_cast<std::size_t>(p.rows() * p.shape.k));
  weights_get_rows(wa, p, 0, 0, p.rows(), rows.data());
  for (const float v : rows) sum += v, squares += static_cast<double>(v) * static_cast<double>(v);
  const double n = static_cast<double>(rows.size());
  EXPECT_NEAR(sum / n, 0, 4 * 0.2 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), 0.2, 4 * 0.2 / std::sqrt(2 * n));
}

}  // namespace
}  // namespace moebius::model
