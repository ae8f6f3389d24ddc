// The Hugging Face classes that a configuration can be: their config.json defaults, and which class fits a configuration.
// The class decides config.json's keys and the names of the tensors. Not for anything outside model/.
#pragma once

#include <string>

#include "base/json.h"
#include "model/config.h"

namespace moebius::model {

// own: no class of transformers computes this network. Tensor names follow Qwen3Moe, and DeepSeek for what it lacks.
enum class HfClass { mixtral, mistral, llama, qwen3_moe, olmoe, own };

// Values that the transformers class assumes for keys missing from config.json (5.24; tests/golden/hf_configs.json).
struct HfDefaults {
  HfClass kind;
  const char* model_type;
  const char* architecture;
  i64 vocab_size = 0, hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0, num_attention_heads = 0;
  i64 num_key_value_heads = 0;  // 0: num_attention_heads; only then may the key be null
  i64 max_position_embeddings = 0;
  double rope_theta = 0, rms_norm_eps = 0;
  i64 sliding_window = 0;  // 0: no window
  i64 num_experts = 0, num_experts_per_tok = 0;
  double router_aux_loss_coef = 0;
};

const HfDefaults& hf_defaults(HfClass kind);
HfClass hf_class_of(const ModelConfig& config);
// Throws Error for a model_type that is not supported.
HfClass hf_class_of_file(const Json& json, const std::string& where);

struct HfConfigFile {
  std::string path;
  Json json;
};
// Reads config.json. `path`: a model's folder, or the file.
HfConfigFile hf_read_config(const std::string& path);

// Whether the head shares the embedding's weights ("tie_word_embeddings").
bool hf_tied_embeddings(const Json& json, const std::string& where);
// Throws Error when config.json declares quantised weights ("quantization_config").
void hf_refuse_quantised(const Json& json, const std::string& where);

}  // namespace moebius::model
