// The table of parameters, their layout, initial values and conversion to the compute copy.
#include "model/weights.h"

#include <fmt/format.h>

#include <cmath>

#include "base/check.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "kernels/adamw.h"

namespace moebius::model {

namespace {

constexpr i64 kAlignment = 64;        // elements
constexpr i64 kInitRowsPerTask = 64;  // of one matrix

// Collects the parameters; those used in f32 come before the packed matrices.
class TableBuilder {
 public:
  explicit TableBuilder(const ModelConfig& config) : config_(config) {}

  void vector(const std::string& name, i64 length, bool ones) {
    Parameter p;
    p.name = name;
    p.kind = ParameterKind::vector;
    p.shape = {length, 1};
    p.decays = false;
    p.init_ones = ones;
    plain_.push_back(std::move(p));
  }
  void rows(const std::string& name, ParameterKind kind, i64 n, i64 k) {
    Parameter p;
    p.name = name;
    p.kind = kind;
    p.shape = {n, k};
    p.init_std = config_.init_std;
    plain_.push_back(std::move(p));
  }
  void matrix(const std::string& name, i64 n, i64 k, bool output) {
    Parameter p;
    p.name = name;
    p.kind = ParameterKind::matrix;
    p.shape = {n, k};
    p.init_std = std_of(output);
    packed_.push_back(std::move(p));
  }
  void ffn(const std::string& name, i64 width, i64 copies) {
    const bool gated = config_.experts.activation == Activation::swiglu;
    Parameter up;
    up.name = name + ".up";
    up.kind = ParameterKind::expert_up;
    up.shape = {gated ? 2 * kernels::round_to_block(width) : width, config_.d_model};
    up.width = gated ? width : 0;
    up.copies = copies;
    up.init_std = std_of(false);
    packed_.push_back(std::move(up));
    Parameter down;
    down.name = name + ".down";
    down.kind = ParameterKind::expert_down;
    down.shape = {config_.d_model, width};
    down.copies = copies;
    down.init_std = std_of(true);
    packed_.push_back(std::move(down));
  }

  std::vector<Parameter> finish() {
    std::vector<Parameter> all = std::move(plain_);
    all.insert(all.end(), packed_.begin(), packed_.end());
    i64 offset = 0;
    for (Parameter& p : all) {
      p.offset = offset;
      p.count = p.copies * (p.is_packed() ? p.shape.elements() : p.shape.n * p.shape.k);
      offset += (p.count + kAlignment - 1) / kAlignment * kAlignment;
    }
    return all;
  }

 private:
  double std_of(bool output) const {
    return output ? config_.init_std / std::sqrt(2.0 * static_cast<double>(config_.layers)) : config_.init_std;
  }
  const ModelConfig& config_;
  std::vector<Parameter> plain_, packed_;
};

void list_layer(const ModelConfig& config, i64 layer, TableBuilder& table) {
  const std::string prefix = fmt::format("layers.{}.", layer);
  const i64 d = config.d_model, hd = config.attention.head_dim;
  const i64 q_width = config.attention.heads * hd, kv_width = config.attention.kv_heads * hd;
  table.vector(prefix + "attention.norm", d, true);
  table.matrix(prefix + "attention.query_key_value", q_width + 2 * kv_width, d, false);
  if (config.attention.bias) table.vector(prefix + "attention.bias", q_width + 2 * kv_width, false);
  if (config.attention.qk_norm) {
    table.vector(prefix + "attention.query_norm", config.attention.qk_norm_whole ? q_width : hd, true);
    table.vector(prefix + "attention.key_norm", config.attention.qk_norm_whole ? kv_width : hd, true);
  }
  table.matrix(prefix + "attention.output", d, q_width, true);
  table.vector(prefix + "ffn.norm", d, true);
  if (!config.layer_is_moe(layer)) {
    table.ffn(prefix + "dense", config.experts.dense_width, 1);
    return;
  }
  table.rows(prefix + "router", ParameterKind::router, config.experts.experts, d);
  if (config.experts.shared_experts > 0) {
    table.ffn(prefix + "shared", config.experts.shared_experts * config.experts.width, 1);
  }
}

// A number for a parameter's name. It is part of the key of the initial values, so it must not depend on the table's order.
u64 name_key(const std::string& name) {
  return hash_text(name) & 0xffffffffffull;  // 40 bits, which leaves rng its 8 bits for the stream
}

// Elements from the first of a copy to (row, col).
i64 place(const Parameter& p, i64 row, i64 col) {
  return p.is_packed() ? p.shape.index(p.packed_row(row), col) : row * p.shape.k + col;
}

i64 copy_elements(const Parameter& p) { return p.is_packed() ? p.shape.elements() : p.shape.n * p.shape.k; }

}  // namespace

const Parameter& Weights::find(const std::string& name) const {
  for (const Parameter& p : parameters) {
    if (p.name == name) return p;
  }
  check_failed(__FILE__, __LINE__, name.c_str(), "no parameter of this name in the table");
}

const void* Weights::compute_data(const Parameter& parameter, i64 copy_index) const {
  const i64 at = parameter.offset + copy_index * copy_elements(parameter);
  if (compute == DType::f32) return master.f32() + at;
  return copy.b16() + at;
}

std::vector<Parameter> list_parameters(const ModelConfig& config) {
  TableBuilder table(config);
  table.rows("embedding", ParameterKind::embedding, config.vocab, config.d_model);
  for (i64 layer = 0; layer < config.layers; ++layer) list_layer(config, layer, table);
  for (i64 bank = 0; bank < config.banks(); ++bank) {
    table.ffn(fmt::format("banks.{}", bank), config.experts.width, config.experts.experts);
  }
  table.vector("norm", config.d_model, true);
  table.matrix("head", config.vocab, config.d_model, false);
  return table.finish();
}

i64 arena_elements(const std::vector<Parameter>& parameters) {
  const Parameter& last = parameters.back();
  return (last.offset + last.count + kAlignment - 1) / kAlignment * kAlignment;
}

Weights make_weights(const ModelConfig& config, DType compute, bool training) {
  CHECK(compute == DType::bf16 || compute == DType::f32, "networks compute in bf16 or f32");
  Weights weights;
  weights.parameters = list_parameters(config);
  weights.compute = compute;
  const auto end_of = [](const Parameter& p) {
    return (p.offset + p.count + kAlignment - 1) / kAlignment * kAlignment;
  };
  weights.elements = arena_elements(weights.parameters);
  for (const Parameter& p : weights.parameters) {
    if (!p.is_packed()) weights.f32_elements = end_of(p);
  }
  const bool whole_master = training || compute == DType::f32;
  weights.master = Buffer("master weights", (whole_master ? weights.elements : weights.f32_elements) * 4);
  if (compute == DType::bf16) weights.copy = Buffer("weights in bf16", weights.elements * 2);
  if (training) weights.gradient = Buffer("gradients", weights.elements * 4);
  return weights;
}

void weights_set_rows(Weights& weights, const Parameter& p, i64 copy_index, i64 begin, i64 count, const float* rows) {
  CHECK(begin >= 0 && count >= 0 && begin + count <= p.rows(), "the rows lie in the matrix");
  const i64 base = p.offset + copy_index * copy_elements(p), k = p.shape.k;
  const bool in_master = !p.is_packed() || weights.master.bytes() == weights.elements * 4;
  for (i64 r = 0; r < count; ++r) {
    for (i64 c = 0; c < k; ++c) {
      const i64 at = base + place(p, begin + r, c);
      if (in_master) weights.master.f32()[at] = rows[r * k + c];
      if (weights.compute == DType::bf16) weights.copy.b16()[at] = to_bf16(rows[r * k + c]);
    }
  }
}

void weights_get_rows(const Weights& weights, const Parameter& p, i64 copy_index, i64 begin, i64 count, float* rows) {
  CHECK(begin >= 0 && count >= 0 && begin + count <= p.rows(), "the rows lie in the matrix");
  const i64 base = p.offset + copy_index * copy_elements(p), k = p.shape.k;
  const bool in_master = !p.is_packed() || weights.master.bytes() == weights.elements * 4;
  for (i64 r = 0; r < count; ++r) {
    for (i64 c = 0; c < k; ++c) {
      const i64 at = base + place(p, begin + r, c);
      rows[r * k + c] = in_master ? weights.master.f32()[at] : to_float(weights.copy.b16()[at]);
    }
  }
}

void weights_get_gradient_rows(const Weights& weights, const Parameter& p, i64 copy_index, i64 begin, i64 count,
                               float* rows) {
  CHECK(begin >= 0 && count >= 0 && begin + count <= p.rows(), "the rows lie in the matrix");
  const float* base = weights.gradient_data(p) + copy_index * copy_elements(p);
  for (i64 r = 0; r < count; ++r) {
    for (i64 c = 0; c < p.shape.k; ++c) rows[r * p.shape.k + c] = base[place(p, begin + r, c)];
  }
}

void init_weights(Weights& weights, u64 seed) {
  CHECK(weights.master.bytes() == weights.elements * 4, "initial values need a whole master");
  for (const Parameter& p : weights.parameters) {
    float* base = weights.master_data(p);
    if (p.init_std == 0) {
      for (i64 i = 0; i < p.count; ++i) base[i] = p.init_ones ? 1.0f : 0.0f;
      continue;
    }
    const u64 key = name_key(p.name);
    const i64 rows = p.rows(), all_rows = rows * p.copies, k = p.shape.k;
    const double std = p.init_std;
    parallel_for(parallel_chunks(all_rows, kInitRowsPerTask), [&](i64 task, int) {
      const i64 end = std::min(all_rows, (task + 1) * kInitRowsPerTask);
      for (i64 row = task * kInitRowsPerTask; row < end; ++row) {
        float* copy = base + row / rows * copy_elements(p);
        for (i64 c = 0; c < k; ++c) {
          const float normal = rng_normal_at(seed, RngStream::init, key, static_cast<u64>(row * k + c));
          copy[place(p, row % rows, c)] = static_cast<float>(std * static_cast<double>(normal));
        }
      }
    });
  }
  refresh_copy(weights);
}

void refresh_copy(Weights& weights) {
  if (weights.compute == DType::f32) return;
  CHECK(weights.master.bytes() == weights.elements * 4, "the copy is made from a whole master");
  kernels::convert_from_f32(weights.master.f32(), weights.elements, weights.copy.data(), DType::bf16);
}

}  // namespace moebius::model
