// The place of each tensor of a Hugging Face checkpoint in our weights: one entry per stored tensor.
// Not for anything outside model/.
#pragma once

#include <string>
#include <vector>

#include "model/hf_class.h"
#include "model/weights.h"

namespace moebius::model {

struct StoredPlace {
  std::string name;
  std::vector<i64> shape;
  i64 parameter = 0;  // index in Weights::parameters
  i64 copy = 0;       // expert
  i64 row = 0;        // first row of the parameter's stored matrix (queries, keys, values; gate, up)
  i64 rows = 0;
  // Alternative: the same values inside a fused tensor of all experts (newer transformers); used when `name` is missing.
  std::string other_name;
  std::vector<i64> other_shape;
  i64 other_begin = 0;  // elements
};

std::vector<StoredPlace> stored_places(const ModelConfig& config, const std::vector<Parameter>& parameters,
                                       HfClass kind);

// Name of a MoE layer's selection bias (float32, [E]).
std::string selection_bias_name(i64 layer);

}  // namespace moebius::model
