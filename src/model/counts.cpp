// Exact counts of a configuration. Formulas: docs/plan.md.
#include "base/check.h"
#include "model/config.h"

namespace moebius::model {

namespace {

// Parameters of one layer's parts, without the norms.
struct LayerParts {
  i64 attention = 0, ffn_stored = 0, ffn_active = 0, router = 0;
  i64 attention_matrices = 0;  // without biases and QK-norm
};

i64 ffn_matrices(const ModelConfig& config) { return config.experts.activation == Activation::swiglu ? 3 : 2; }

LayerParts layer_parts(const ModelConfig& config, i64 layer) {
  const i64 d = config.d_model, hd = config.attention.head_dim;
  const i64 q_width = config.attention.heads * hd, kv_width = config.attention.kv_heads * hd;
  LayerParts parts;
  parts.attention_matrices = d * (q_width + 2 * kv_width) + q_width * d;
  parts.attention = parts.attention_matrices;
  if (config.attention.bias) parts.attention += q_width + 2 * kv_width;
  if (config.attention.qk_norm) parts.attention += config.attention.qk_norm_whole ? q_width + kv_width : 2 * hd;
  const i64 per_width = ffn_matrices(config) * d;
  if (!config.layer_is_moe(layer)) {
    parts.ffn_stored = parts.ffn_active = per_width * config.experts.dense_width;
    return parts;
  }
  const i64 expert = per_width * config.experts.width;
  const i64 shared = config.experts.shared_experts * expert;
  const bool leads = (layer - config.experts.dense_layers_first) % config.experts.bank_layers == 0;
  parts.ffn_stored = shared + (leads ? config.experts.experts * expert : 0);
  parts.ffn_active = shared + config.experts.top_k * expert;
  parts.router = config.experts.experts * d;
  return parts;
}

// Mean number of keys a query of a causal sequence sees.
double mean_context(i64 sequence, i64 window) {
  const double s = static_cast<double>(sequence), w = static_cast<double>(window);
  if (window <= 0 || window >= sequence) return (s + 1) / 2;
  return (w * (w + 1) / 2 + (s - w) * w) / s;
}

}  // namespace

ModelCounts count_model(const ModelConfig& config, i64 sequence) {
  CHECK(config.attention.head_dim > 0 && config.experts.width > 0, "counts want a resolved configuration");
  const i64 d = config.d_model, embedding = config.vocab * d;
  const i64 q_width = config.attention.heads * config.attention.head_dim;
  i64 total = 2 * embedding + d, active = total, router = 0, bias = 0, linear = embedding;
  for (i64 layer = 0; layer < config.layers; ++layer) {
    const LayerParts parts = layer_parts(config, layer);
    total += parts.attention + parts.ffn_stored + parts.router + 2 * d;
    active += parts.attention + parts.ffn_active + 2 * d;
    router += parts.router;
    linear += parts.attention_matrices + parts.ffn_active;
    if (config.router.bias_rate > 0 && parts.router > 0) bias += config.experts.experts;
  }
  ModelCounts counts;
  counts.parameters_total = total + bias;
  counts.parameters_active = active;
  counts.parameters_active_router = active + router + bias;
  counts.parameters_embedding = embedding;
  const double layers = static_cast<double>(config.layers);
  const double scores = 12.0 * layers * static_cast<double>(q_width);  // for each key: query x key and weight x value
  counts.flops_per_token_megatron = 6.0 * static_cast<double>(linear) + scores * static_cast<double>(sequence);
  counts.flops_per_token_6n = 6.0 * static_cast<double>(active);
  counts.flops_per_token_mfu =
      6.0 * static_cast<double>(linear) + scores * mean_context(sequence, config.attention.window);
  // Of the input embedding one row is read.
  counts.weight_bytes_per_decoded_token = 2.0 * static_cast<double>(active + router + bias - embedding + d);
  counts.kv_bytes_per_position =
      2.0 * 2.0 * layers * static_cast<double>(config.attention.kv_heads * config.attention.head_dim);
  return counts;
}

}  // namespace moebius::model
