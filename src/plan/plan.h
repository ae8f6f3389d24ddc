// What a model costs before it is trained: parameters, FLOPs, tokens per parameter, memory, bytes per decoded token.
// In: a resolved ModelConfig, a number of tokens. Out: exact numbers, as text and as JSON. Formulas: docs/plan.md.
// Not for time on a machine: that needs a measured rate (study).
#pragma once

#include <string>

#include "base/json.h"
#include "base/options.h"
#include "model/config.h"
#include "model/config_memory.h"

namespace moebius::plan {

struct PlanOptions {
  std::string preset;              // or a config.json or its folder; empty: the model is given by flags alone
  i64 tokens = 0;                  // training tokens; 0: the preset's own number, if it has one
  i64 sequence = 0;                // tokens per sequence, for attention's FLOPs; 0: the model's longest
  i64 micro_batch_tokens = 4096;   // rows of one forward and backward pass
  std::string precision = "bf16";  // bf16, f32
  model::Recompute recompute = model::Recompute::none;
  bool list = false;  // print the names of the presets
  void describe(OptionList& list);
};

struct Plan {
  model::ModelConfig config;
  model::ModelCounts counts;  // of a tied model, embedding and head are counted once
  bool tied = false;
  i64 tokens = 0, sequence = 0;
  double tpp = 0;       // tokens / total parameters
  double sparsity = 0;  // 1 - k / E; 0 for a dense model
  model::TrainingMemory memory;
  double checkpoint_bytes = 0;           // model.safetensors
  double checkpoint_training_bytes = 0;  // with the optimizer state
};

// `config` must be resolved. tied: the model stores embedding and head as one matrix ("tie_word_embeddings"); training
// here keeps two, so memory and checkpoint are those of two.
Plan make_plan(const model::ModelConfig& config, const PlanOptions& options, bool tied = false);

Json plan_to_json(const Plan& plan);
std::string plan_to_text(const Plan& plan);

}  // namespace moebius::plan
