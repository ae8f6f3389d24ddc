// Weights: the parameters of one network in flat arenas. Every parameter has a place (offset, count) that is the same in
// the master (f32), the gradient (f32), both moments (f32) and the compute copy (bf16, or f32 in f32 precision).
// Matrices lie in packed order (kernels/packed.h), vectors and the embedding row-major.
#pragma once

#include <string>
#include <vector>

#include "kernels/packed.h"
#include "model/config.h"
#include "tensor/buffer.h"

namespace moebius::model {

enum class ParameterKind { matrix, expert_up, expert_down, vector, embedding, router };

// One parameter; an expert bank is one parameter with `experts` matrices behind each other.
struct Parameter {
  std::string name;     // ours: "layers.3.attention.query_key_value", "banks.0.up"
  ParameterKind kind;
  kernels::PackedShape shape;  // of one matrix; vectors: n = length, k = 1; embedding, router: n rows of k
  i64 copies = 1;              // experts of a bank
  i64 offset = 0;              // in elements, a multiple of 64
  i64 count = 0;               // elements in all copies, padding included
  bool decays = true;          // weight decay applies (not to vectors)
  double init_std = 0;         // 0: filled with ones (norm gains) or zeros (biases)
  bool init_ones = false;
};

struct Weights {
  std::vector<Parameter> parameters;
  i64 elements = 0;
  DType compute = DType::bf16;
  Buffer master;    // f32; empty in an inference-only network
  Buffer copy;      // compute dtype; in f32 precision it is the master itself and this is empty
  Buffer gradient;  // f32; empty in inference

  const Parameter& find(const std::string& name) const;
  const void* compute_data(const Parameter& parameter, i64 copy_index = 0) const;
  float* master_data(const Parameter& parameter) const { return master.f32() + parameter.offset; }
  float* gradient_data(const Parameter& parameter) const { return gradient.f32() + parameter.offset; }
};

// The table of a configuration's parameters, offsets given. Allocates nothing else.
std::vector<Parameter> list_parameters(const ModelConfig& config);

// Allocates; training adds the gradient. Values are zero until init or load.
Weights make_weights(const ModelConfig& config, DType compute, bool training);

// Normal(0, init_std) keyed by (seed, parameter, row-major index): the same values for any thread count and layout.
void init_weights(const ModelConfig& config, Weights& weights, u64 seed);

// copy = master in the compute dtype, everywhere.
void refresh_copy(Weights& weights);

}  // namespace moebius::model
