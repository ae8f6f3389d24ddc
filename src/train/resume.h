// Where a run continues from: its own checkpoint, that of its trunk, or the weights of another model. In: options, identity, folders;
// out: the saved state, compared with those of now. Does not train: train/train_run.h.
#pragma once

#include <optional>
#include <string>

#include "train/checkpoint.h"
#include "train/options.h"
#include "train/train_run.h"

namespace moebius::train {

// Options, model and data that decide the result; `sources` is Mixture::identity(). The weights of --init-from count by
// their content; when they are gone, those of `saved` (a state.json) are taken as unchanged.
RunIdentity run_identity(const TrainOptions& options, const model::ModelConfig& config, const Json& sources,
                         const std::optional<Json>& saved);

// The result of a run that has ended, from its state and its last `train_end` record.
TrainResult finished_result(const std::string& out, const TrainState& saved);

// TRUNK/branch-STEP's state for a run that branches off there. Throws Error when the trunk cannot have this branch.
Json read_branch(const std::string& branch_from, const RunIdentity& identity, const TrainOptions& options);

// Fills `state` from `saved` and returns the options with the choices that a resumed run keeps: micro-batch and
// recomputation. Throws Error when a given micro-batch or the instruction set (without isa-change) differs.
TrainOptions resume_options(const TrainOptions& options, const Json& saved, const std::string& isa, TrainState& state);

// The weights of another checkpoint, which must have the same parameters and heads.
void copy_weights(const std::string& folder, const model::ModelConfig& config, model::Network& network);

}  // namespace moebius::train
