// The training data that options name, opened and checked. In: TrainOptions; out: a mixture of token shards.
// Not for how batches are made: data/mixture.h.
#pragma once

#include <memory>

#include "data/mixture.h"
#include "model/config.h"
#include "train/options.h"

namespace moebius::train {

// `options.sources`, else the tables of --mixture, else --data. Throws Error when nothing is named, when the shards are
// too small for the budget, and when --tokenizer is not the one that made them. `options` are checked.
std::unique_ptr<data::Mixture> open_mixture(const TrainOptions& options);

// Throws Error when the model's vocabulary is smaller than the shards', or than the ids in shards that state none.
void check_vocab(const model::ModelConfig& config, data::Mixture& mixture);

}  // namespace moebius::train
