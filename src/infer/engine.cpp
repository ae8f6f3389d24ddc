// An Engine over a Network: forwards every call.
#include "infer/engine.h"

namespace moebius::infer {

Engine engine_of(model::Network& network) {
  const model::ModelConfig& config = network.config();
  Engine engine;
  engine.vocab = config.vocab;
  engine.positions_max = config.sequence_max;
  engine.cache = {config.layers, config.attention.kv_heads, config.attention.head_dim, network.weights().compute};
  engine.score = [&network](const model::NetworkInput& input, std::span<const kernels::HeadTarget> targets,
                            std::span<float> logprob,
                            std::span<i32> argmax) { network.score_targets(input, targets, logprob, argmax); };
  engine.logits = [&network](const model::NetworkInput& input, std::span<const i32> rows, Matrix logits_RV) {
    network.logits_pass(input, rows, logits_RV);
  };
  engine.reserve = [&network](i64 rows_max) { network.reserve(rows_max); };
  return engine;
}

}  // namespace moebius::infer
