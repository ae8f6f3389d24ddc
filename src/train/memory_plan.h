// Chooses the micro-batch and recomputation of a run from its memory limit; computes the disk space of a checkpoint. In:
// configuration, options, the machine; out: a choice with its bytes by purpose (model/config_memory.h). Allocates nothing.
#pragma once

#include <string>

#include "base/json.h"
#include "model/config_memory.h"
#include "train/options.h"

namespace moebius::train {

struct MemoryPlan {
  model::TrainingMemory memory;
  i64 limit_bytes = 0;  // memory-max, or 70 % of what is available
  i64 micro_batch_tokens = 0;
  model::Recompute recompute = model::Recompute::none;
  i64 checkpoint_bytes = 0;  // on disk, with the optimiser's state
  Json to_json() const;
  std::string text() const;  // a table for people
};

// Chooses the largest micro-batch (a divisor of the step in whole sequences) that stays below the limit, or takes the
// one that is given; with recompute "auto" first without and, if none fits, with recomputation. `data_bytes` of mapped
// files belong to the peak but not to the choice: the system takes their pages back when it needs them.
// Throws Error when not even one sequence fits, with the numbers.
MemoryPlan plan_memory(const model::ModelConfig& config, const TrainOptions& options, i64 data_bytes = 0);

}  // namespace moebius::train
