// Counts for each group of operations.
#include "bench/roofline.h"

#include <algorithm>

namespace moebius::bench {

namespace {

// Weights of a group: read by forward and by backward in the compute type, gradient added to (read and written, f32).
double weight_bytes(double parameters, double compute_bytes) { return parameters * (2 * compute_bytes + 8); }

}  // namespace

std::vector<RooflineRow> train_roofline(const model::ModelConfig& config, DType compute, i64 tokens, i64 document,
                                        i64 micro_batches, const kernels::Roof& roof) {
  const double t = static_cast<double>(tokens), d = static_cast<double>(config.d_model);
  const double layers = static_cast<double>(config.layers), passes = static_cast<double>(micro_batches);
  const double moe = static_cast<double>(config.moe_layers()), dense = layers - moe;
  const double head = static_cast<double>(config.attention.head_dim);
  const double q = static_cast<double>(config.attention.heads) * head;
  const double kv = static_cast<double>(config.attention.kv_heads) * head;
  const double c = static_cast<double>(dtype_bytes(compute));
  const double vocab = static_cast<double>(config.vocab);
  const auto& x = config.experts;
  const bool gated = x.activation == "swiglu";
  const double matrices = gated ? 3 : 2;
  const double f = static_cast<double>(x.width), k = static_cast<double>(x.top_k + x.shared_experts);
  const double peak = compute == DType::bf16 ? roof.bf16_flops_per_s : roof.f32_flops_per_s;

  std::vector<RooflineRow> rows;
  const auto add = [&](const char* name, double flops, double bytes) {
    const double by_bytes = roof.dram_bytes_per_s > 0 ? bytes / roof.dram_bytes_per_s : 0;
    rows.push_back({name, flops, bytes, std::max(flops / peak, by_bytes)});
  };
  // Activations that backward needs are written once and read once; the stream (f32) is read and written around both
  // halves of a layer, forward and backward.
  const double projections = d * (q + 2 * kv) + q * d;
  add("attention projections", 6 * t * layers * projections,
      passes * weight_bytes(layers * projections, c) + t * layers * (2 * c * (d + q + 2 * kv + q) + 16 * d));
  add("attention", 6 * t * layers * q * static_cast<double>(document + 1), 0);  // causal; its operands are counted above
  const double up = gated ? 2 * f : f;
  const double experts = static_cast<double>(x.experts + x.shared_experts);
  add("experts", 6 * t * moe * k * matrices * d * f,
      passes * weight_bytes(moe / static_cast<double>(x.bank_layers) * experts * matrices * d * f, c) +
          t * moe * (2 * c * (d + k * (up + f)) + 16 * d));
  const double dense_width = static_cast<double>(x.dense_width);
  if (dense > 0) {
    add("dense FFN", 6 * t * dense * matrices * d * dense_width,
        passes * weight_bytes(dense * matrices * d * dense_width, c) +
            t * dense * (2 * c * (d + (gated ? 3 : 2) * dense_width) + 16 * d));
  }
  add("head and loss", 6 * t * d * vocab, passes * weight_bytes(d * vocab, c) + t * 2 * c * d);
  // Master, both moments and the gradient are read and written; the copy is written.
  const double elements = static_cast<double>(model::count_model(config, document).parameters_total);
  add("optimiser", 0, elements * (32 + (compute == DType::bf16 ? 2 : 0)));
  return rows;
}

double roofline_seconds(const std::vector<RooflineRow>& rows) {
  double seconds = 0;
  for (const RooflineRow& row : rows) seconds += row.seconds;
  return seconds;
}

}  // namespace moebius::bench
