// Weights: the parameters of one network in flat arenas. A parameter has the same offset and size in the master (f32), the
// gradient (f32), both moments (f32) and the compute copy (bf16; in f32 precision the master itself).
// Matrices are in packed order (kernels/packed.h), vectors, routers and the embedding row-major.
#pragma once

#include <string>
#include <vector>

#include "kernels/packed.h"
#include "model/config.h"
#include "tensor/buffer.h"

namespace moebius::model {

enum class ParameterKind { matrix, expert_up, expert_down, vector, embedding, router };

// One parameter. An expert bank is one parameter with `experts` consecutive matrices.
struct Parameter {
  std::string name;  // ours: "layers.3.attention.query_key_value", "banks.0.up"
  ParameterKind kind;
  kernels::PackedShape shape;  // of one matrix; vectors: n = length, k = 1; embedding, router: n rows of k
  i64 copies = 1;              // experts of a bank
  i64 offset = 0;              // in elements, a multiple of 64
  i64 count = 0;               // elements of all copies, padding included
  bool decays = true;          // weight decay applies; false for vectors
  double init_std = 0;         // 0: initialised with ones (norm gains) or zeros (biases)
  bool init_ones = false;
  i64 width = 0;  // expert_up with a gate: F, the number of rows of gate and of up, without padding; else 0
  i64 rows() const { return width > 0 ? 2 * width : shape.n; }  // of one matrix as stored on disk: gate, then up
  // The row of the packed matrix that holds row r of the stored matrix.
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
  i64 f32_elements = 0;  // embedding, vectors and routers, which come first: they are used in f32 in every precision
  DType compute = DType::bf16;
  Buffer master;    // f32; in a bf16 network without training only the first f32_elements
  Buffer copy;      // compute dtype; in f32 precision it is the master itself and this is empty
  Buffer gradient;  // f32; empty in inference

  const Parameter& find(const std::string& name) const;  // CHECKs that there is one
  // The compute copy of a matrix; embedding, vectors and routers are read from the master.
  const void* compute_data(const Parameter& parameter, i64 copy_index = 0) const;
  float* master_data(const Parameter& parameter) const { return master.f32() + parameter.offset; }
  float* gradient_data(const Parameter& parameter) const { return gradient.f32() + parameter.offset; }
};

// The parameters of a configuration, with their offsets.
std::vector<Parameter> list_parameters(const ModelConfig& config);

// Number of elements of an arena that holds them all.
i64 arena_elements(const std::vector<Parameter>& parameters);

// Allocates the arenas, the gradient only for training. Values are zero until they are initialised or loaded.
Weights make_weights(const ModelConfig& config, DType compute, bool training);

// Normal(0, init_std), keyed by (seed, parameter, row-major index): the same values for any thread count and layout.
void init_weights(Weights& weights, u64 seed);

// Copies rows [begin, begin + count) of one stored matrix (or elements of a vector, whose shape.k is 1) between row-major
// f32 and the arenas. Writing sets both the master, where there is one, and the compute copy.
void weights_set_rows(Weights& weights, const Parameter& parameter, i64 copy_index, i64 begin, i64 count,
                      const float* rows);
void weights_get_rows(const Weights& weights, const Parameter& parameter, i64 copy_index, i64 begin, i64 count,
                      float* rows);
// The same, from the gradient.
void weights_get_gradient_rows(const Weights& weights, const Parameter& parameter, i64 copy_index, i64 begin, i64 count,
                               float* rows);

// Converts the whole master to the compute copy.
void refresh_copy(Weights& weights);

}  // namespace moebius::model
