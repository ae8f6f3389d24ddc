// The network: the only forward and the only backward pass of the project. Training, scoring and generation all call it.
// In: token ids cut into segments (documents or sequences of a cache). Out: losses and gradients, scores, or logits.
// Activations come from one plan, made once: steady state allocates nothing. A token outside the vocabulary is an Error.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/head.h"
#include "kernels/routing.h"
#include "model/weights.h"

namespace moebius::model {

// Keys and values of one sequence in a cache that somebody else owns (infer/kv_cache.h), in the compute dtype. Layer l
// lies at element l * layer_stride, in the order of kernels::CacheLayout.
struct KvSlot {
  void* data = nullptr;
  i64 layer_stride = 0;
  i64 positions_max = 0;
  i64 positions = 0;  // how many are filled before this call; the call appends the segment's rows
};

// A segment sees itself; with a cache also what stands there; with a beginning also rows of an earlier segment.
struct Segment {
  i64 row = 0, rows = 0;  // rows of the batch
  i64 position = 0;       // position of its first row (RoPE)
  const KvSlot* cache = nullptr;
  // Rows [beginning_row, + beginning_rows) of the batch: the first rows of a segment without cache and beginning, which
  // starts at position 0. `position` is then beginning_rows. Segments of one beginning that follow each other share work.
  i64 beginning_row = 0, beginning_rows = 0;
};

struct NetworkInput {
  std::span<const i32> token_T;
  std::span<const Segment> segments;  // cover all rows in order
};

// What the routers did in one pass, per MoE layer: losses and assignments per expert.
struct LayerRouting {
  double balance = 0, z = 0;
  double entropy = 0;        // mean entropy of the router's probabilities, nats
  std::vector<i64> count_E;  // assignments
};

struct PassResult {
  double loss_sum = 0;  // nats, over rows with a target
  i64 targets = 0;
  std::vector<LayerRouting> layers;
};

class Network {
 public:
  Network(ModelConfig config, DType compute, bool training);
  ~Network();

  const ModelConfig& config() const;
  Weights& weights();
  const Weights& weights() const;

  // What training keeps for backward; without a call everything. Losses, gradients and weights are the same, to the bit.
  // Call it before the first pass.
  void set_recompute(Recompute recompute);

  // Makes the plan of activations for passes of at most `tokens_max` rows. Called again: grows only. A pass with more
  // rows calls it itself.
  void reserve(i64 tokens_max);
  // Bytes that reserve(tokens_max) would take, without taking them.
  static i64 activation_bytes(const ModelConfig& config, DType compute, bool training, i64 tokens_max,
                              Recompute recompute = Recompute::none);

  // The next train_pass writes the gradient, whatever it is, instead of adding to it: once a step.
  void begin_gradient();

  // Forward and backward of one micro-batch: adds the gradients of
  //   loss_scale * (sum of cross-entropies) + auxiliary_scale * (auxiliary losses)
  // to the weights' gradient. target_T = -1 where there is none. loss_T (may be empty) receives the rows' losses.
  // The result stays valid until the next call.
  const PassResult& train_pass(const NetworkInput& input, std::span<const i32> target_T, float loss_scale,
                               float auxiliary_scale, std::span<float> loss_T);

  // Forward only: log-probability of each target (0 where -1).
  const PassResult& score_pass(const NetworkInput& input, std::span<const i32> target_T, std::span<float> logprob_T);
  // The same for a list of (row, token) in order of rows, several of a row if wanted; rows without any end before the
  // last norm and the head. argmax, if not empty: the likeliest token at each target's row.
  void score_targets(const NetworkInput& input, std::span<const kernels::HeadTarget> targets, std::span<float> logprob,
                     std::span<i32> argmax);

  // Forward only: logits_RV (f32, rows.size() x vocab) of chosen rows, which must rise.
  void logits_pass(const NetworkInput& input, std::span<const i32> rows, Matrix logits_RV);

  // Loss-free balancing: the selection bias of every router, [MoE layer][E]; part of a checkpoint.
  std::span<float> selection_bias();

  // Record the routing of the next passes, or replay a recorded one (tests, benchmarks, RL): expert_TK per MoE layer.
  void record_routing(std::vector<std::vector<i32>>* record);
  void replay_routing(const std::vector<std::vector<i32>>* record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moebius::model
