// A model on disk as Hugging Face has it: config.json and model.safetensors (sharded ones are read too), so that
// transformers loads it as MixtralForCausalLM (dense: MistralForCausalLM). Names and layout are that class's.
#pragma once

#include <memory>
#include <string>

#include "model/network.h"

namespace moebius::model {

// Writes config.json and model.safetensors (bf16 rounding of the master, or f32) atomically into `folder`.
void save_model(const Network& network, const std::string& folder);

// Reads a folder. Throws Error on a missing file or tensor, another shape, a truncated file.
// training: also allocate gradients; the master is the file's values.
std::unique_ptr<Network> load_model(const std::string& folder, DType compute, bool training);

// The same in two steps: the folder's configuration, and its weights into a network of that shape. `selection_bias`:
// whether the routers' biases are taken too.
ModelConfig load_config(const std::string& folder);
void load_weights(const std::string& folder, Network& network, bool selection_bias);

}  // namespace moebius::model
