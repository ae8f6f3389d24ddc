// A configuration as Hugging Face's config.json has it, and back. Ours are written as the class that fits
// (docs/plan.md: which), with our own keys beside it under "moebius", which transformers ignores.
#include <fmt/format.h>

#include "base/error.h"
#include "model/config.h"
#include "model/hf_class.h"

namespace moebius::model {

namespace {

struct Reader {
  const Json& json;
  const std::string& where;

  i64 need(const char* key) const {
    const Json* value = json.find(key);
    if (value == nullptr || !value->is_int()) {
      throw Error({.where = where, .what = fmt::format("'{}' is missing or no whole number", key)});
    }
    return value->as_int();
  }
  void refuse(const std::string& what, const std::string& got) const {
    throw Error({.where = where, .what = what, .got = got, .fix = "this part of the network is not supported"});
  }
};

double rope_base_of(const Reader& reader) {
  double base = reader.json.get_double("rope_theta", 10000.0);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Json* rope = reader.json.find(key);
    if (rope == nullptr || !rope->is_object()) continue;
    const std::string type = rope->get_string("rope_type", rope->get_string("type", "default"));
    if (type != "default") reader.refuse("rotary positions are scaled in a way this program does not have", type);
    base = rope->get_double("rope_theta", base);
  }
  return base;
}

void read_common(const Reader& reader, ModelConfig& config) {
  const Json& json = reader.json;
  config.vocab = reader.need("vocab_size");
  config.d_model = reader.need("hidden_size");
  config.layers = reader.need("num_hidden_layers");
  config.attention.heads = reader.need("num_attention_heads");
  config.attention.kv_heads = json.get_int("num_key_value_heads", config.attention.heads);
  config.attention.head_dim = json.get_int("head_dim", 0);
  config.attention.rope_base = rope_base_of(reader);
  config.sequence_max = json.get_int("max_position_embeddings", 4096);
  config.norm_epsilon = json.get_double("rms_norm_eps", 1e-5);
  config.init_std = json.get_double("initializer_range", 0.02);
  const bool use_window = json.get_bool("use_sliding_window", true);
  config.attention.window = use_window ? json.get_int("sliding_window", 0) : 0;
  if (json.get_bool("attention_bias", false)) reader.refuse("attention_bias (with a bias on the output)", "true");
  if (json.get_bool("mlp_bias", false)) reader.refuse("mlp_bias", "true");
  const std::string activation = json.get_string("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") reader.refuse("the FFN's activation", activation);
}

void read_experts(const Reader& reader, HfClass kind, ModelConfig& config) {
  const Json& json = reader.json;
  config.losses.balance_coefficient = json.get_double("router_aux_loss_coef", 0.01);
  config.losses.z_coefficient = 0;
  config.experts.top_k = reader.need("num_experts_per_tok");
  if (kind == HfClass::mixtral) {
    config.experts.experts = reader.need("num_local_experts");
    config.experts.width = reader.need("intermediate_size");
    if (config.experts.top_k == 1) reader.refuse("a Mixtral with one expert a token has a constant gate", "1");
    return;
  }
  config.experts.experts = reader.need("num_experts");
  config.router.renormalise = json.get_bool("norm_topk_prob", false);
  config.attention.qk_norm = true;
  if (kind == HfClass::olmoe) {
    config.attention.qk_norm_whole = true;
    config.experts.width = reader.need("intermediate_size");
    if (const Json* clip = json.find("clip_qkv"); clip != nullptr && !clip->is_null())
      reader.refuse("clip_qkv", clip->dump());
    return;
  }
  config.experts.width = reader.need("moe_intermediate_size");
  config.experts.dense_width = json.get_int("intermediate_size", 0);
  if (json.get_int("decoder_sparse_step", 1) != 1)
    reader.refuse("dense layers between MoE layers", json.at("decoder_sparse_step").dump());
  if (const Json* dense = json.find("mlp_only_layers"); dense != nullptr && dense->is_array()) {
    for (i64 i = 0; i < dense->count(); ++i) {
      if ((*dense)[i].as_int() != i) reader.refuse("dense layers that are not the first ones", dense->dump());
    }
    config.experts.dense_layers_first = dense->count();
  }
}

// Our own keys win, but the file's other keys must say the same shape.
ModelConfig read_own(const Reader& reader, const Json& own, HfClass kind) {
  ModelConfig config;
  OptionList list;
  config.describe(list);
  Json fields = Json::object();
  for (const auto& [key, value] : own.as_object()) {
    if (key == "name") {
      config.name = value.as_string();
    } else {
      fields.set(key, value);
    }
  }
  list.set_from_json(fields, reader.where + ", \"moebius\"");
  config.resolve();
  if (kind != hf_class_of(config)) {
    throw Error({.where = reader.where,
                 .what = "the key \"moebius\" contradicts the file's model_type",
                 .wanted = hf_class_name(hf_class_of(config)),
                 .got = hf_class_name(kind)});
  }
  const auto same = [&](const char* key, i64 value) {
    if (reader.need(key) == value) return;
    throw Error({.where = reader.where,
                 .what = fmt::format("the key \"moebius\" contradicts '{}'", key),
                 .wanted = std::to_string(value),
                 .got = std::to_string(reader.need(key))});
  };
  same("vocab_size", config.vocab);
  same("hidden_size", config.d_model);
  same("num_hidden_layers", config.layers);
  same("num_attention_heads", config.attention.heads);
  same("num_key_value_heads", config.attention.kv_heads);
  return config;
}

}  // namespace

HfClass hf_class_of(const ModelConfig& config) {
  const auto& a = config.attention;
  const auto& e = config.experts;
  const auto& r = config.router;
  if (a.bias || e.activation != "swiglu") return HfClass::own;
  if (config.moe_layers() == 0) return a.qk_norm ? HfClass::own : HfClass::mistral;
  if (r.score != "softmax" || r.scale != 1.0 || r.bias_rate > 0 || r.previous_layer || e.shared_experts > 0 ||
      e.bank_layers > 1) {
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

const char* hf_class_name(HfClass kind) {
  switch (kind) {
    case HfClass::mixtral: return "mixtral";
    case HfClass::mistral: return "mistral";
    case HfClass::llama: return "llama";
    case HfClass::qwen3_moe: return "qwen3_moe";
    case HfClass::olmoe: return "olmoe";
    case HfClass::own: break;
  }
  return "moebius";
}

HfClass hf_class_of_file(const Json& json, const std::string& where) {
  const std::string type = json.get_string("model_type", "");
  std::vector<std::string> known;
  for (const HfClass kind :
       {HfClass::mixtral, HfClass::mistral, HfClass::llama, HfClass::qwen3_moe, HfClass::olmoe, HfClass::own}) {
    if (type == hf_class_name(kind)) return kind;
    known.emplace_back(hf_class_name(kind));
  }
  throw Error({.where = where,
               .what = "this kind of model is not supported",
               .wanted = fmt::format("model_type one of: {}", fmt::join(known, ", ")),
               .got = type.empty() ? "none" : type});
}

ModelConfig config_from_hugging_face(const Json& json, const std::string& where) {
  if (!json.is_object()) throw Error({.where = where, .what = "the file is no JSON object"});
  const Reader reader{json, where};
  const HfClass kind = hf_class_of_file(json, where);
  if (const Json* own = json.find("moebius"); own != nullptr && own->is_object()) return read_own(reader, *own, kind);
  if (kind == HfClass::own) throw Error({.where = where, .what = "the key \"moebius\" is missing"});
  ModelConfig config;
  config.name = json.get_string("_name_or_path", hf_class_name(kind));
  read_common(reader, config);
  if (kind == HfClass::mistral || kind == HfClass::llama) {
    config.experts.experts = 0;
    config.experts.top_k = 1;
    config.experts.width = config.experts.dense_width = reader.need("intermediate_size");
  } else {
    read_experts(reader, kind, config);
  }
  config.resolve();
  return config;
}

Json config_to_hugging_face(const ModelConfig& config) {
  const HfClass kind = hf_class_of(config);
  static constexpr const char* kArchitectures[] = {"MixtralForCausalLM",  "MistralForCausalLM", "LlamaForCausalLM",
                                                   "Qwen3MoeForCausalLM", "OlmoeForCausalLM",   "MoebiusForCausalLM"};
  const bool moe = config.moe_layers() > 0;
  const bool width_is_expert = kind == HfClass::mixtral || kind == HfClass::olmoe;
  Json json = Json::object({{"architectures", Json::Array{Json(kArchitectures[static_cast<int>(kind)])}},
                            {"model_type", hf_class_name(kind)},
                            {"vocab_size", config.vocab},
                            {"hidden_size", config.d_model},
                            {"intermediate_size", width_is_expert ? config.experts.width : config.experts.dense_width},
                            {"num_hidden_layers", config.layers},
                            {"num_attention_heads", config.attention.heads},
                            {"num_key_value_heads", config.attention.kv_heads},
                            {"head_dim", config.attention.head_dim},
                            {"hidden_act", config.experts.activation == "swiglu" ? "silu" : "gelu"},
                            {"max_position_embeddings", config.sequence_max},
                            {"rms_norm_eps", config.norm_epsilon},
                            {"initializer_range", config.init_std},
                            {"rope_theta", config.attention.rope_base},
                            {"attention_bias", false},
                            {"attention_dropout", 0.0},
                            {"sliding_window", config.attention.window > 0 ? Json(config.attention.window) : Json()},
                            {"use_sliding_window", config.attention.window > 0},
                            {"tie_word_embeddings", false},
                            {"use_cache", true}});
  if (moe) {
    json.set("num_experts_per_tok", config.experts.top_k);
    json.set(kind == HfClass::mixtral ? "num_local_experts" : "num_experts", config.experts.experts);
    json.set("router_aux_loss_coef", config.losses.balance_coefficient);
    json.set("output_router_logits", false);
    if (!width_is_expert) {
      Json::Array dense;
      for (i64 layer = 0; layer < config.experts.dense_layers_first; ++layer) dense.emplace_back(layer);
      json.set("moe_intermediate_size", config.experts.width);
      json.set("mlp_only_layers", dense);
      json.set("decoder_sparse_step", 1);
    }
    if (kind != HfClass::mixtral)
      json.set("norm_topk_prob", config.router.renormalise || !config.router.softmax_before_top_k);
  }
  json.set("moebius", config.to_json());
  return json;
}

}  // namespace moebius::model
