// A model on disk in Hugging Face's layout: config.json and model.safetensors (shards are read too), with the names of the
// transformers class that computes the network, so that transformers loads it. In: a Network. Out: a folder, and back.
#pragma once

#include <memory>
#include <string>

#include "model/network.h"

namespace moebius::model {

// Writes model.safetensors (in the compute dtype) and config.json into `folder`, each atomically.
void save_model(const Network& network, const std::string& folder);

// Reads a folder. Throws Error for a missing file or tensor, another shape, a damaged file, quantised weights, and for a
// weight that is NaN or infinite. training: also allocates gradients; the master has the values of the file.
std::unique_ptr<Network> load_model(const std::string& folder, DType compute, bool training);

// Only the weights, into a network of the shape that load_config gives. `selection_bias`: whether to read the routers'
// selection biases too.
void load_weights(const std::string& folder, Network& network, bool selection_bias);

}  // namespace moebius::model
