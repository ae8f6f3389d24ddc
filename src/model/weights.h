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
  std::string name;  // ours: "layers.3.attention.query_key_value", "banks.0.up"
  ParameterKind kind;
  kernels::PackedShape shape;  // of one matrix; vectors: n = length, k = 1; embedding, router: n rows of k
  i64 copies = 1;              // experts of a bank
  i64 offset = 0;              // in elements, a multiple of 64
  i64 count = 0;               // elements in all copies, padding included
  bool decays = true;          // weight decay applies (not to vectors)
  double init_std = 0;         // 0: filled with ones (norm gains) or zeros (biases)
  bool init_ones = false;
  i64 width = 0;  // expert_up with a gate: F, the rows of gate and of up before padding; else 0
  i64 rows() const { return width > 0 ? 2 * width : shape.n; }  // of one matrix as it is stored: gate, then up
  // Row r of the stored matrix stands at this row of the packed one.
  i64 packed_row(i64 r) const {
    if (width == 0) return r;
    return r < width ? kernels::gate_row(r) : kernels::up_row(r - width);
  }
  bool is_packed() const {
    return kind == ParameterKind::matrix || kind == ParameterKind::expert_up || kind == ParameterKind::expert_down;
  }
};

struct Weights {
  std::vector<Parameter> parameters;
  i64 elements = 0;
  i64 f32_elements = 0;  // embedding, vectors and routers come first: they are always used in f32
  DType compute = DType::bf16;
  Buffer master;    // f32; in a bf16 network for inference only the first f32_elements
  Buffer copy;      // compute dtype; in f32 precision it is the master itself and this is empty
  Buffer gradient;  // f32; empty in inference

  const Parameter& find(const std::string& name) const;  // CHECKs that it is there
  // The compute copy of a matrix; embedding, vectors and routers are read from the master.
  const void* compute_data(const Parameter& parameter, i64 copy_index = 0) const;
  float* master_data(const Parameter& parameter) const { return master.f32() + parameter.offset; }
  float* gradient_data(const Parameter& parameter) const { return gradient.f32() + parameter.offset; }
};

// The table of a configuration's parameters, offsets given. Allocates nothing else.
std::vector<Parameter> list_parameters(const ModelConfig& config);

// Elements of an arena that holds them all.
i64 arena_elements(const std::vector<Parameter>& parameters);

// Allocates; training adds the gradient. Values are zero until init or load.
Weights make_weights(const ModelConfig& config, DType compute, bool training);

// Normal(0, init_std) keyed by (seed, parameter, row-major index): the same values for any thread count and layout.
void init_weights(const ModelConfig& config, Weights& weights, u64 seed);

// Rows [begin, begin + count) of one stored matrix (or elements of a vector: shape.k is 1), row-major f32, to their
// places and back. Writing fills whatever the network has: the master, and without it the compute copy.
void weights_set_rows(Weights& weights, const Parameter& parameter, i64 copy_index, i64 begin, i64 count,
                      const float* rows);
void weights_get_rows(const Weights& weights, const Parameter& parameter, i64 copy_index, i64 begin, i64 count,
                      float* rows);
// The same from the gradient.
void weights_get_gradient_rows(const Weights& weights, const Parameter& parameter, i64 copy_index, i64 begin, i64 count,
                               float* rows);

// copy = master in the compute dtype, everywhere.
void refresh_copy(Weights& weights);

}  // namespace moebius::model
