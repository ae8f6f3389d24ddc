// Bytes that a training process holds at its peak, by purpose: the one definition of what `plan` prints, what `train` fits
// its micro-batch to, and what the process then reaches (VmHWM; a test compares). In: a resolved configuration and the
// shape of a pass. Out: bytes. Allocates nothing. Not for checkpoints on disk.
#pragma once

#include <string>

#include "base/json.h"
#include "model/config.h"

namespace moebius::model {

struct TrainingShape {
  bool bf16 = true;
  i64 micro_batch_tokens = 0;  // rows of one pass
  i64 sequence = 0;            // the longest document in it
  Recompute recompute = Recompute::none;
};

struct TrainingMemory {
  i64 elements = 0;     // of the arenas, padding included
  i64 master = 0;       // f32
  i64 copy = 0;         // bf16; 0 in f32 precision
  i64 gradient = 0;     // f32
  i64 moments = 0;      // two, f32
  i64 activations = 0;  // of one micro-batch
  i64 workspace = 0;    // workspace of the kernels, all threads
  i64 program = 0;      // code, libraries, stacks and the heap as they are now: measured, not counted
  i64 data = 0;         // pages of mapped token shards, at most; 0 where the data are not known
  i64 weights() const { return master + copy + gradient + moments; }
  i64 total() const { return weights() + activations + workspace + program + data; }
  Json to_json() const;
  std::string text() const;  // a table for people, one row for each purpose
};

// With the threads and the instruction set of this process. `data` stays 0.
TrainingMemory count_training_memory(const ModelConfig& config, const TrainingShape& shape);

}  // namespace moebius::model
