// One optimiser step: batch, micro-batches with gradients summed, clipping, AdamW, loss-free balancing. In: a network,
// a source of batches; out: changed weights and a report of the step. Allocates nothing after the first step.
// Not for files, records or evaluation: train/train_run.h.
#pragma once

#include <vector>

#include "data/batch.h"
#include "model/network.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace moebius::train {

// What one MoE layer's router did in a step.
struct LayerLoad {
  std::vector<i64> count_E;  // assignments
  double entropy = 0;        // nats, mean over tokens
  double max_over_mean = 0;
  i64 dead = 0;  // experts without a token
};

struct StepReport {
  i64 step = 0;        // number of the update, from 1
  i64 rows = 0;        // rows of the batch, padding included
  i64 tokens = 0;      // without padding
  double squares = 0;  // of the documents' lengths, summed, without padding
  i64 targets = 0;
  double loss = 0;          // mean cross-entropy, nats per target
  double loss_balance = 0;  // mean over MoE layers and micro-batches, without coefficient; 1 when balanced
  double loss_z = 0;        // the same
  double grad_norm = 0;     // before clipping
  double learning_rate = 0;
  double flops = 0;  // MFU's count: 6 x active linear parameters and head, causal attention inside documents
  double load_max_over_mean = 0;  // worst layer; 0 for a dense model
  i64 dead_experts = 0;           // sum over layers
  i64 data_ns = 0, pass_ns = 0, optimizer_ns = 0, step_ns = 0;
};

class Trainer {
 public:
  // micro_batch_tokens: a multiple of the source's sequence length that divides its batches. Reserves activations.
  Trainer(model::Network& network, AdamwState& adamw, const OptimizerOptions& options, const Schedule& schedule,
          i64 micro_batch_tokens);

  // Throws Error when the loss or the gradient is not finite (the weights are still those of the step before), when a
  // batch has no target, and when an id is outside of the vocabulary.
  const StepReport& step(data::BatchSource& source, i64 number);
  const std::vector<LayerLoad>& loads() const { return loads_; }

 private:
  void pass(i64 first_row, i64 rows, i64 micro_batches);
  void check_batch() const;
  void sum_loads();
  void move_selection_bias();
  void count_work();

  model::Network& network_;
  AdamwState& adamw_;
  OptimizerOptions options_;
  Schedule schedule_;
  i64 micro_batch_tokens_;
  double flops_linear_ = 0, flops_attention_ = 0;  // per token, and per token and token of its document
  data::Batch batch_;
  std::vector<model::Segment> segments_;
  std::size_t span_ = 0;  // next document of the batch
  std::vector<LayerLoad> loads_;
  StepReport report_;
};

// max over mean and the number of zeros of counts.
void describe_load(LayerLoad& load);

}  // namespace moebius::train
