// Options of a training run: data, budget, optimiser, saving. In: flags or TOML; out: checked values that a run's
// records and checkpoint carry. The network's own shape is model/config.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/options.h"
#include "data/mixture.h"
#include "tensor/dtype.h"

namespace moebius::train {

// AdamW and its learning rate. Defaults: facts of arXiv 2508.18672 but for the learning rate, which belongs to small models.
struct OptimizerOptions {
  double learning_rate = 1e-3;         // peak
  std::string schedule = "cosine";     // cosine, wsd, constant
  i64 warmup_steps = -1;               // -1: by the fraction
  double warmup_fraction = 0.02;       // of all steps
  double final_fraction = 0.1;         // last learning rate / peak (cosine, wsd)
  double decay_fraction = 0.2;         // wsd: the share of all steps that decays
  std::string decay_shape = "linear";  // wsd: linear, 1-sqrt
  double weight_decay = 0.1;           // not on vectors
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double clip = 1.0;  // global norm of the gradient; 0: never
  void describe(OptionList& list);
};

// What a resumed run may lack or do differently.
struct ResumeOptions {
  bool isa_change = false;    // another instruction set: other rounding, recorded
  bool records_lost = false;  // records.jsonl without records of earlier steps
  void describe(OptionList& list);
};

struct TrainOptions {
  std::string out;                           // the run's folder
  std::vector<std::string> data;             // "name=prefix:weight[:epochs]"
  std::string mixture;                       // or a TOML file with [[source]] tables
  std::vector<data::MixtureSource> sources;  // or, from a program, the same as a struct; no flag
  std::string tokenizer;                     // tokenizer.json, copied into the checkpoint
  std::string init_from;                     // checkpoint folder whose weights start the run; empty: random
  i64 tokens = 0;                            // budget; rounded up to whole steps
  i64 steps = 0;                             // or the number of steps
  i64 batch_tokens = 16384;                  // tokens per step
  i64 sequence = 128;
  i64 micro_batch_tokens = 0;      // 0: the largest part of a step that fits memory_max; kept on resume
  std::string memory_max;          // "8GiB"; empty: 70 % of what is available
  std::string recompute = "none";  // none, layer; auto: layer when not even one sequence fits without
  bool attend_across_documents = false;
  bool positions_restart = true;
  data::ShardOptions shards;  // of llm.c's and headerless files
  std::string shard_format = "auto";
  i64 seed_init = 1;
  i64 seed_data = 1;
  std::string precision = "auto";  // auto, bf16, f32; resolve_precision
  i64 checkpoint_steps = 0;        // 0: not by steps
  double checkpoint_minutes = 5;   // 0: not by time
  i64 checkpoints_kept = 0;        // older ones kept as checkpoint-STEP
  bool optimizer_kept = false;     // keep optimizer.safetensors when the run is finished
  i64 record_every = 1;            // steps between `step` records
  i64 router_every = 50;           // steps between `router` records; 0: never
  bool tensorboard = true;
  ResumeOptions resume;
  OptimizerOptions optimizer;
  void describe(OptionList& list);  // those of the parts too

  DType compute() const;  // of a resolved precision
};

// The budget in steps. Throws Error: no budget, two that disagree, a step that is not whole sequences.
i64 steps_total(const TrainOptions& options);
// All rules that need neither model nor data. Throws Error.
void check_options(const TrainOptions& options);

// Makes precision "auto" definite: that of `saved` (a state.json), or without one what is fastest on the instruction set in
// use. A resumed run thus keeps its precision on any machine.
void resolve_precision(TrainOptions& options, const std::optional<Json>& saved = std::nullopt);

// Every value that decides the result, for the checkpoint: resuming with another one is an Error.
Json result_options(const TrainOptions& options);

}  // namespace moebius::train
