// A training run's checkpoint: OUT/checkpoint with the model (config.json, model.safetensors, tokenizer.json), the
// optimiser's state (optimizer.safetensors: f32 master weights and both moments, in the order of the arenas) and
// state.json. In: network, moments, position; out: a folder that is replaced as a whole, so that a kill at any instant
// leaves the old or the new one. Layout: docs/train.md.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "data/tokenizer.h"
#include "model/network.h"
#include "train/optimizer.h"
#include "train/run_totals.h"

namespace moebius::train {

// The position of a run. With the weights and moments it decides all later steps.
struct TrainState {
  i64 step = 0;     // updates done
  i64 records = 0;  // in records.jsonl when this was saved; 0: saved by a version that did not count them
  RunTotals totals;
  i64 micro_batch_tokens = 0;
  std::string recompute = "none";  // changes no number; kept where the options leave it open
  bool finished = false;
  bool evaluation_pending = false;    // the evaluation after this step was interrupted
  double loss_end_sum = 0;            // of the last 5 % of the steps
  i64 loss_end_steps = 0;             // steps in that sum
  std::string isa;                    // that the last steps used
  std::vector<std::string> isa_past;  // others before it, when isa-change allowed that
  Json data;                          // position of the source
  void visit(records::Fields& f);
  static TrainState from_json(const Json& json, const std::string& where);
};

// What must be equal for a run to be resumed.
struct RunIdentity {
  Json options;  // result_options(), and the digest of the weights of --init-from
  Json model;    // ModelConfig::to_json()
  Json sources;  // Mixture::identity(): names, weights and digests
};

struct CheckpointPlace {
  std::string out;                 // the run's folder
  data::TokenizerFiles tokenizer;  // written into every checkpoint
  i64 kept = 0;                    // older checkpoints kept as checkpoint-STEP
  i64 bytes_wanted = 0;            // on disk, checked before anything is written
};

// Throws Error on a full disk or a missing permission; the checkpoint before stays as it is.
void save_checkpoint(const CheckpointPlace& place, const model::Network& network, const AdamwState& adamw,
                     const TrainState& state, const RunIdentity& identity, bool with_optimizer);

// state.json of OUT/checkpoint; nothing when there is no checkpoint. Completes an interrupted replacement and removes
// what killed processes left behind.
std::optional<Json> read_state(const std::string& out);

// Throws Error that names the first key in which the saved run differs, with both values.
void check_identity(const Json& state, const RunIdentity& identity, const std::string& out);

// Fills weights, moments and selection bias from OUT/checkpoint. Throws Error on missing tensors or other shapes.
void restore_checkpoint(const std::string& out, model::Network& network, AdamwState& adamw);

// Throws Error when fewer than `bytes` are free on the file system of `folder`.
void check_disk(const std::string& folder, i64 bytes, const std::string& what);

}  // namespace moebius::train
