// ModelConfig: everything that decides the shape and the arithmetic of a network, in parts that own their options.
// In: a preset's name, a TOML table, a Hugging Face config.json. Out: the same, and exact counts of parameters, FLOPs and
// bytes. Not for training options.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/options.h"
#include "base/types.h"

namespace moebius::model {

struct AttentionConfig {
  i64 heads = 4;
  i64 kv_heads = 0;  // 0: as many as heads
  i64 head_dim = 0;  // 0: d_model / heads
  double rope_base = 10000;
  bool qk_norm = false;        // RMSNorm of each head's query and key before RoPE (Qwen3)
  bool qk_norm_whole = false;  // with qk_norm: over all heads at once (OLMoE)
  bool bias = false;           // on the query, key and value projections
  i64 window = 0;              // sliding window in tokens, the token itself included; 0: none
  void describe(OptionList& list);
};

enum class Activation { swiglu, gelu };

struct ExpertConfig {
  i64 experts = 8;             // E; 0 or 1: a dense model
  i64 top_k = 2;               // K
  i64 width = 0;               // F of an expert; 0: 2 * d_model
  i64 shared_experts = 0;      // always active, each of the experts' width
  i64 dense_layers_first = 0;  // the first N layers have a dense FFN
  i64 dense_width = 0;         // F of a dense FFN; 0: (top_k + shared_experts) * width (equal active parameters)
  i64 bank_layers = 1;         // layers that share one bank of experts (Megrez2: 3)
  Activation activation = Activation::swiglu;
  void describe(OptionList& list);
};

enum class RouterScore { softmax, sigmoid };

struct RouterConfig {
  RouterScore score = RouterScore::softmax;
  bool softmax_before_top_k = true;
  bool renormalise = true;
  double scale = 1.0;
  double bias_rate = 0;  // > 0: loss-free balancing; each step moves the selection bias by this (arXiv 2408.15664)
  // Pre-gating (Megrez2): the router reads the normalised FFN input of the previous layer; layer 0 reads its own.
  bool previous_layer = false;
  void describe(OptionList& list);
};

// How the auxiliary losses enter: total = cross-entropy + sum over layers of (balance * LB + z * Z); LB = E sum f_i P_i
// with f_i = count_i / (T k), so 1 when balanced (optimal-sparsity 1.2; Megatron's normalisation).
struct LossConfig {
  double balance_coefficient = 0.01;
  double z_coefficient = 0.001;
  bool balance_average_layers = false;  // divide both by the number of MoE layers (OLMoE, MegaBlocks)
  void describe(OptionList& list);
};

struct ModelConfig {
  std::string name;  // of the preset, or given by the user
  i64 vocab = 1024;
  i64 d_model = 64;
  i64 layers = 4;
  i64 sequence_max = 4096;
  double norm_epsilon = 1e-5;
  // Standard deviation of the initial weights; output projections: init_std / sqrt(2 * layers). 0: sqrt(2 / (5 d_model))
  // (Nguyen and Salazar 2019, arXiv 1910.05895; GPT-NeoX-20B). Published presets keep their own.
  double init_std = 0;
  AttentionConfig attention;
  ExpertConfig experts;
  RouterConfig router;
  LossConfig losses;

  void describe(OptionList& list);  // the fields above and those of the parts; not the name
  // Fills the zeros (kv_heads, head_dim, width, dense_width) and checks every combination. Throws Error; `where` names
  // the source of the values.
  void resolve(const std::string& where = "model configuration");

  bool layer_is_moe(i64 layer) const;
  i64 moe_layers() const;
  i64 bank_of_layer(i64 layer) const;  // index among the banks of MoE layers
  i64 banks() const;

  Json to_json() const;  // our own keys, for records: docs/formats.md
};

// Exact counts of a resolved configuration. Formulas: docs/plan.md.
struct ModelCounts {
  i64 parameters_total = 0;             // all stored, selection biases included
  i64 parameters_active = 0;            // without the router, as in published names; a shared bank counts in each layer
  i64 parameters_active_router = 0;     // with the router
  i64 parameters_embedding = 0;         // input embedding alone; the head has the same number
  double flops_per_token_megatron = 0;  // forward and backward, full attention matrix, head; no router, no embedding
  double flops_per_token_6n = 0;        // 6 * parameters_active
  double flops_per_token_mfu = 0;       // 6 * (active matrices and head), causal attention
  double weight_bytes_per_decoded_token = 0;  // bf16
  double kv_bytes_per_position = 0;           // bf16
};
ModelCounts count_model(const ModelConfig& config, i64 sequence);

// Activation recomputation. `layer`: a training pass keeps only the input and the routing of each layer, and backward
// recomputes the rest one layer at a time, bit-identical (Chen et al., arXiv 1604.06174).
enum class Recompute { none, layer };
const char* recompute_name(Recompute recompute);
Recompute recompute_of(const std::string& name);  // CHECKs the name

const char* router_score_name(RouterScore score);

// "mixtral-8x7b", "olmoe-1b-7b", "optimal-sparsity-d512-E64-k2", ... The result is resolved. Throws Error for an unknown
// name.
ModelConfig preset_config(const std::string& name);
std::vector<std::string> preset_names();
// The published label of an Optimal Sparsity model: "optimal-sparsity-math-d512-E64-k2-1.7B-A170M".
std::string optimal_sparsity_label(const ModelConfig& config);

// Hugging Face config.json of the classes in docs/plan.md, and back. `where`: the file, for error texts.
ModelConfig config_from_hugging_face(const Json& json, const std::string& where);
Json config_to_hugging_face(const ModelConfig& config);
// Reads config.json. `path`: a model's folder, or the file.
ModelConfig load_config(const std::string& path);
// Whether its embedding and head are one matrix ("tie_word_embeddings"), which a ModelConfig does not say.
bool load_tied_embeddings(const std::string& path);

}  // namespace moebius::model
