// The table of classes, the choice of a class and the reading of config.json keys that concern the weights alone.
#include "model/hf_class.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "model/hf_keys.h"

namespace moebius::model {

namespace {

constexpr HfDefaults kClasses[] = {
    {HfClass::mixtral, "mixtral", "MixtralForCausalLM", 32000, 4096, 14336, 32, 32, 8, 131072, 1e6, 1e-5, 0, 8, 2,
     0.001},
    {HfClass::mistral, "mistral", "MistralForCausalLM", 32000, 4096, 14336, 32, 32, 8, 131072, 1e4, 1e-6, 4096},
    {HfClass::llama, "llama", "LlamaForCausalLM", 32000, 4096, 11008, 32, 32, 0, 2048, 1e4, 1e-6},
    {HfClass::qwen3_moe, "qwen3_moe", "Qwen3MoeForCausalLM", 151936, 2048, 6144, 24, 32, 4, 32768, 1e4, 1e-6, 4096, 128,
     8, 0.001},
    {HfClass::olmoe, "olmoe", "OlmoeForCausalLM", 50304, 2048, 2048, 16, 16, 0, 4096, 1e4, 1e-5, 0, 64, 8, 0.01},
    {HfClass::own, "moebius", "MoebiusForCausalLM"},
};

}  // namespace

const HfDefaults& hf_defaults(HfClass kind) {
  for (const HfDefaults& entry : kClasses) {
    if (entry.kind == kind) return entry;
  }
  check_failed(__FILE__, __LINE__, "hf_defaults", "every class has a row");
}

HfClass hf_class_of(const ModelConfig& config) {
  const auto& a = config.attention;
  const auto& e = config.experts;
  const auto& r = config.router;
  if (a.bias || e.activation != Activation::swiglu) return HfClass::own;
  if (config.moe_layers() == 0) return a.qk_norm ? HfClass::own : HfClass::mistral;
  if (r.score != RouterScore::softmax || r.scale != 1.0 || r.bias_rate > 0 || r.previous_layer ||
      e.shared_experts > 0 || e.bank_layers > 1) {
    return HfClass::own;
  }
  const bool renormalised = r.renormalise || !r.softmax_before_top_k;
  if (!a.qk_norm) return renormalised && e.dense_layers_first == 0 ? HfClass::mixtral : HfClass::own;
  if (a.qk_norm_whole) {
    const bool plain = e.dense_layers_first == 0 && a.window == 0 && a.heads * a.head_dim == config.d_model;
    return plain ? HfClass::olmoe : HfClass::own;
  }
  return HfClass::qwen3_moe;
}

HfClass hf_class_of_file(const Json& json, const std::string& where) {
  const std::string type = HfKeys(json, where).word("model_type", "");
  std::vector<std::string> known;
  for (const HfDefaults& entry : kClasses) {
    if (type == entry.model_type) return entry.kind;
    known.emplace_back(entry.model_type);
  }
  throw Error({.where = where,
               .what = type.empty() ? "'model_type' is missing" : fmt::format("model_type '{}' is not supported", type),
               .wanted = fmt::format("one of: {}", fmt::join(known, ", "))});
}

HfConfigFile hf_read_config(const std::string& path) {
  const std::string file = folder_exists(path) ? path_join(path, "config.json") : path;
  if (!file_exists(file)) {
    throw Error({.where = path,
                 .what = folder_exists(path) ? "the folder contains no config.json" : "no such file or folder",
                 .wanted = "the folder of a model, with config.json and model.safetensors"});
  }
  return {file, Json::parse_file(file)};
}

bool hf_tied_embeddings(const Json& json, const std::string& where) {
  return HfKeys(json, where).flag("tie_word_embeddings", false);
}

void hf_refuse_quantised(const Json& json, const std::string& where) {
  for (const char* key : {"quantization_config", "compression_config", "quantization"}) {
    const Json* given = json.is_object() ? json.find(key) : nullptr;
    if (given == nullptr || given->is_null()) continue;
    std::string method = "method not stated";
    if (given->is_object()) {
      const HfKeys keys(*given, fmt::format("{}, \"{}\"", where, key));
      method = keys.word("quant_method", keys.word("format", method));
    }
    throw Error({.where = where,
                 .what = fmt::format("the weights of this checkpoint are quantised ({}); quantised weights are not "
                                     "supported",
                                     method),
                 .wanted = "weights in F32, BF16 or F16",
                 .got = fmt::format("the key '{}'", key),
                 .fix = "use the checkpoint from which this one was quantised"});
  }
}

}  // namespace moebius::model
