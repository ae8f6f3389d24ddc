// Engine: the forward passes that generation and scoring need, as a struct of functions.
// In: a Network, which must outlive the engine (in tests, a table of bigrams). Out: logits and log-probabilities.
// Not a second model: there is no arithmetic here.
#pragma once

#include <functional>
#include <span>

#include "kernels/attention_cache.h"
#include "model/network.h"

namespace moebius::infer {

// The shape of a key-value cache.
struct CacheShape {
  i64 layers = 0;
  i64 kv_heads = 0, head_dim = 0;
  DType dtype = DType::f32;

  // Elements of one layer of one sequence (kernels::CacheLayout).
  i64 layer_elements(i64 positions_max) const {
    return kernels::CacheLayout{kv_heads, head_dim, positions_max}.elements();
  }
};

struct Engine {
  i64 vocab = 0;
  i64 positions_max = 0;  // longest sequence of the model
  CacheShape cache;
  // As Network::score_targets and Network::logits_pass.
  std::function<void(const model::NetworkInput& input, std::span<const kernels::HeadTarget> targets,
                     std::span<float> logprob, std::span<i32> argmax)>
      score;
  std::function<void(const model::NetworkInput& input, std::span<const i32> rows, Matrix logits_RV)> logits;
  // As Network::reserve.
  std::function<void(i64 rows_max)> reserve;
};

Engine engine_of(model::Network& network);

}  // namespace moebius::infer
