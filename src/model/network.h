// The network: the only forward and backward pass of the project, used by training, scoring and generation.
// In: token ids divided into segments (documents, or sequences of a cache). Out: losses and gradients, scores, or logits.
// Activations are laid out once, so steady state allocates nothing. A token outside the vocabulary is an Error.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/head.h"
#include "kernels/routing.h"
#include "model/weights.h"

namespace moebius::model {

// Keys and values of one sequence, in the compute dtype, in a cache owned elsewhere (infer/kv_cache.h). Layer l begins at
// element l * layer_stride; its order is kernels::CacheLayout.
struct KvSlot {
  void* data = nullptr;
  i64 layer_stride = 0;
  i64 positions_max = 0;
  i64 positions = 0;  // number filled before the pass; the pass appends the segment's rows
};

// A segment attends to itself, to its cache if it has one, and to its shared prefix if it has one.
struct Segment {
  i64 row = 0, rows = 0;  // rows of the batch
  i64 position = 0;       // position of its first row (RoPE)
  const KvSlot* cache = nullptr;
  // Shared prefix: rows [prefix_row, + prefix_rows) of the batch, the first rows of a segment that has neither cache nor
  // prefix and starts at position 0. `position` is then prefix_rows. Consecutive segments with one prefix share work.
  i64 prefix_row = 0, prefix_rows = 0;
};

struct NetworkInput {
  std::span<const i32> token_T;
  std::span<const Segment> segments;  // cover all rows in order
};

// What the router of one MoE layer did in a training pass: losses and assignments per expert.
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

  // Which activations training keeps for backward; by default all. Losses, gradients and weights are bit-identical in
  // all modes. Call it before the first pass.
  void set_recompute(Recompute recompute);

  // Allocates the activations for passes of at most `tokens_max` rows. Later calls only grow them. A larger pass calls it
  // itself.
  void reserve(i64 tokens_max);

  // The next train_pass overwrites the gradient instead of adding to it. Call it once per step.
  void begin_gradient();

  // Forward and backward of one micro-batch: adds the gradients of
  //   loss_scale * (sum of cross-entropies) + auxiliary_scale * (auxiliary losses)
  // to the weights' gradient. target_T is -1 for rows without a target. loss_T (may be empty) receives the rows' losses.
  // The result stays valid until the next call.
  const PassResult& train_pass(const NetworkInput& input, std::span<const i32> target_T, float loss_scale,
                               float auxiliary_scale, std::span<float> loss_T);

  // Forward only: the log-probability of each target (row, token). Targets are in order of rows, any number per row; rows
  // without one skip the final norm and the head. argmax, if not empty: the likeliest token at each target's row.
  // Where the logits are NaN or infinite, the log-probability is NaN and the argmax -1.
  void score_targets(const NetworkInput& input, std::span<const kernels::HeadTarget> targets, std::span<float> logprob,
                     std::span<i32> argmax);

  // Forward only: logits_RV (f32, rows.size() x vocab) of selected rows, in increasing order. May contain NaN.
  void logits_pass(const NetworkInput& input, std::span<const i32> rows, Matrix logits_RV);

  // Loss-free balancing: the selection bias of every router, [MoE layer][E]. Part of a checkpoint; empty without it.
  std::span<float> selection_bias();

  // Records the routing of the next passes, or replays a recorded one: expert_TK of each MoE layer. Null: off.
  void record_routing(std::vector<std::vector<i32>>* record);
  void replay_routing(const std::vector<std::vector<i32>>* record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moebius::model
