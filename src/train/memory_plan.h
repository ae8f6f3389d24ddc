// How much memory a run takes, and from that its micro-batch; how much disk a checkpoint takes. In: configuration,
// options, the machine; out: bytes by purpose. Allocates nothing.
#pragma once

#include <string>

#include "base/json.h"
#include "model/config.h"
#include "train/options.h"

namespace moebius::train {

struct MemoryPlan {
  i64 elements = 0;           // of the arenas, padding included
  i64 master_bytes = 0;       // f32
  i64 copy_bytes = 0;         // bf16; 0 in f32 precision
  i64 gradient_bytes = 0;     // f32
  i64 moments_bytes = 0;      // two, f32
  i64 activation_bytes = 0;   // of one micro-batch
  i64 total_bytes = 0;
  i64 limit_bytes = 0;        // memory-max, or 70 % of what is available
  i64 micro_batch_tokens = 0;
  i64 checkpoint_bytes = 0;   // on disk, with the optimiser's state
  Json to_json() const;
  std::string text() const;   // a table for people
};

// Chooses the largest micro-batch (a divisor of the step in whole sequences) that stays below the limit, or takes the
// one that is given. Throws Error when not even one sequence fits, with the numbers.
MemoryPlan plan_memory(const model::ModelConfig& config, const TrainOptions& options);

// Memory that may still be taken: MemAvailable, or what the control group (v2) leaves if that is less.
i64 memory_available();

}  // namespace moebius::train
