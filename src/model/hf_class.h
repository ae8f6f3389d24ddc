// Which Hugging Face class a configuration is: it decides config.json's keys and the tensors' names.
// Not for anything outside model/.
#pragma once

#include <string>

#include "base/json.h"
#include "model/config.h"

namespace moebius::model {

// own: no class of transformers computes this network; names as Qwen3Moe's, with DeepSeek's for what that lacks.
enum class HfClass { mixtral, mistral, llama, qwen3_moe, olmoe, own };

HfClass hf_class_of(const ModelConfig& config);
const char* hf_class_name(HfClass kind);  // as "model_type" spells it
// Throws Error for a model_type that is not supported.
HfClass hf_class_of_file(const Json& json, const std::string& where);

}  // namespace moebius::model
