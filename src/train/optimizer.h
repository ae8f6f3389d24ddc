// AdamW over a network's flat arenas: moments, the gradient's norm, the update. In: gradients summed over a step;
// out: new master weights and compute copy; gradients stay. Not for schedules (train/schedule.h).
#pragma once

#include <vector>

#include "model/weights.h"
#include "tensor/buffer.h"
#include "train/options.h"

namespace moebius::train {

// Both moments, in the master's order (f32), and where weight decay applies.
struct AdamwState {
  Buffer m, v;
  struct Range {
    i64 begin = 0, count = 0;
    bool decays = false;
  };
  std::vector<Range> ranges;  // cover the arena in order; neighbours of one kind are joined
};

AdamwState make_adamw(const model::Weights& weights);

// The global L2 norm of all gradients; one fixed order of summation.
double gradient_norm(const model::Weights& weights);

// One update, number `update` (from 1). Gradients are first multiplied by min(1, clip / (norm + 1e-6)), as PyTorch's
// clip_grad_norm_ does; clip 0: never. Gradients stay as they are: the next step's first micro-batch overwrites them.
void adamw_step(model::Weights& weights, AdamwState& state, const OptimizerOptions& options, double learning_rate,
                i64 update, double norm);

}  // namespace moebius::train
