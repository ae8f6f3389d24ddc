// Small networks and batches for the tests of this folder.
#pragma once

#include <memory>
#include <vector>

#include "base/rng.h"
#include "model/network.h"

namespace moebius::model::testing_network {

inline ModelConfig small_config() {
  ModelConfig config;
  config.name = "small";
  config.vocab = 37;
  config.d_model = 24;
  config.layers = 2;
  config.attention.heads = 4;
  config.attention.kv_heads = 2;
  config.attention.head_dim = 8;
  config.experts = {.experts = 6, .top_k = 2, .width = 20};
  config.init_std = 0.2;  // large enough that every part matters
  config.losses = {.balance_coefficient = 0.3, .z_coefficient = 0.05};
  return config;
}

// Every case of the configuration that the forward pass branches on.
struct Variant {
  const char* name;
  ModelConfig config;
};

inline std::vector<Variant> variants() {
  std::vector<Variant> all;
  const auto add = [&](const char* name, auto change) {
    ModelConfig config = small_config();
    change(config);
    config.resolve();
    all.push_back({name, config});
  };
  add("mixtral", [](ModelConfig&) {});
  add("softmax_after", [](ModelConfig& c) { c.router.softmax_before_top_k = false; });
  add("not_renormalised", [](ModelConfig& c) {
    c.router.renormalise = false;
    c.router.scale = 2.5;
  });
  add("top_1", [](ModelConfig& c) {
    c.router.renormalise = false;
    c.experts.top_k = 1;
  });
  add("sigmoid_bias", [](ModelConfig& c) {
    c.router.score = RouterScore::sigmoid;
    c.router.bias_rate = 0.01;
  });
  add("qk_norm", [](ModelConfig& c) { c.attention.qk_norm = true; });
  add("qk_norm_whole", [](ModelConfig& c) { c.attention.qk_norm = c.attention.qk_norm_whole = true; });
  add("attention_bias", [](ModelConfig& c) { c.attention.bias = true; });
  add("window", [](ModelConfig& c) {
    c.attention.window = 3;
    c.attention.kv_heads = 4;
  });
  add("dense", [](ModelConfig& c) { c.experts.experts = 0; });
  add("dense_gelu", [](ModelConfig& c) {
    c.experts.experts = 1;
    c.experts.activation = Activation::gelu;
  });
  add("gelu", [](ModelConfig& c) { c.experts.activation = Activation::gelu; });
  add("shared", [](ModelConfig& c) { c.experts.shared_experts = 2; });
  add("deepseek", [](ModelConfig& c) {
    c.layers = 3;
    c.experts.shared_experts = 1;
    c.experts.dense_layers_first = 1;
    c.losses.balance_average_layers = true;
  });
  add("megrez", [](ModelConfig& c) {
    c.layers = 5;
    c.experts.shared_experts = 1;
    c.experts.dense_layers_first = 1;
    c.experts.bank_layers = 2;
    c.router.score = RouterScore::sigmoid;
    c.router.bias_rate = 0.01;
    c.router.previous_layer = true;
  });
  add("pre_gating", [](ModelConfig& c) {
    c.router.previous_layer = true;
    c.experts.bank_layers = 2;
  });
  return all;
}

// A training network with initial values and, where it has one, a selection bias that changes choices.
inline std::unique_ptr<Network> make_network(const ModelConfig& config, DType compute, u64 seed = 5) {
  auto network = std::make_unique<Network>(config, compute, true);
  init_weights(network->weights(), seed);
  // Gains and biases away from one and zero, so that they are seen.
  for (const Parameter& p : network->weights().parameters) {
    if (p.kind != ParameterKind::vector) continue;
    for (i64 i = 0; i < p.count; ++i) {
      network->weights().master_data(p)[i] +=
          0.2f * rng_normal_at(seed, RngStream::test, static_cast<u64>(p.offset), static_cast<u64>(i));
    }
  }
  refresh_copy(network->weights());
  std::span<float> bias = network->selection_bias();
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = 0.1f * rng_normal_at(seed, RngStream::test, 1, i);
  return network;
}

struct TestBatch {
  std::vector<i32> token_T, target_T;
  std::vector<Segment> segments;
  NetworkInput input() const { return {token_T, segments}; }
};

// Documents of the given lengths, packed; the last row of each has no target.
inline TestBatch make_batch(i64 vocab, const std::vector<i64>& lengths, u64 seed = 3) {
  TestBatch batch;
  Rng rng(seed, RngStream::test);
  for (const i64 length : lengths) {
    batch.segments.push_back({.row = static_cast<i64>(batch.token_T.size()), .rows = length});
    for (i64 i = 0; i < length; ++i) batch.token_T.push_back(static_cast<i32>(rng.next_below(static_cast<u64>(vocab))));
    for (i64 i = 0; i < length; ++i) {
      const std::size_t row = static_cast<std::size_t>(batch.segments.back().row + i);
      batch.target_T.push_back(i + 1 < length ? batch.token_T[row + 1] : -1);
    }
  }
  return batch;
}

}  // namespace moebius::model::testing_network
