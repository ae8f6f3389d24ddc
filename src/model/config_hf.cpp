// A configuration as Hugging Face's config.json states it, and back. Ours are written as the class that fits (docs/plan.md
// has the list), with our own keys in addition under "moebius", which transformers ignores.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/config.h"
#include "model/hf_class.h"
#include "model/hf_keys.h"

namespace moebius::model {

namespace {

// transformers 5 puts the base and the scaling into rope_parameters; older files have rope_theta and rope_scaling. An
// object wins over the top-level key, rope_scaling over rope_parameters, as in transformers.
double read_rope(const HfKeys& keys, double otherwise) {
  double base = keys.number("rope_theta", otherwise, 1);
  if (keys.number("partial_rotary_factor", 1, 0) != 1) keys.refuse("partial_rotary_factor", "1");
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    const Json* given = keys.find(name);
    if (given == nullptr) continue;
    const HfKeys rope(*given, fmt::format("{}, \"{}\"", keys.where(), name));
    const char* type_key = given->contains("rope_type") ? "rope_type" : "type";
    if (rope.word(type_key, "default") != "default") rope.refuse(type_key, "default (positions without scaling)");
    if (rope.number("partial_rotary_factor", 1, 0) != 1) rope.refuse("partial_rotary_factor", "1");
    for (const auto& [key, value] : given->as_object()) {
      if (value.is_object()) rope.refuse(key.c_str(), "one rope_theta for all layers");
    }
    base = rope.number("rope_theta", base, 1);
  }
  return base;
}

// Llama and OLMoE have no window, whatever the file says. Qwen3-MoE has one in every layer, if use_sliding_window says so.
i64 read_window(const HfKeys& keys, const HfDefaults& defaults) {
  if (defaults.kind == HfClass::llama || defaults.kind == HfClass::olmoe) return 0;
  const i64 window = keys.whole_or_null("sliding_window", defaults.sliding_window, 0);
  if (defaults.kind != HfClass::qwen3_moe) return window;
  if (!keys.flag("use_sliding_window", false)) return 0;
  // Before version 5 transformers applied the window from this layer on, now it applies it everywhere.
  if (window > 0 && keys.whole_or_null("max_window_layers", 0, 0, 0) > 0)
    keys.refuse("max_window_layers", "0 (the window in every layer), or use_sliding_window false");
  return window;
}

// What some class computes differently when the key is there.
void refuse_unsupported(const HfKeys& keys, i64 window) {
  for (const char* bias : {"attention_bias", "mlp_bias"}) {
    if (keys.flag(bias, false)) keys.refuse(bias, "false");
  }
  for (const char* key : {"clip_qkv", "per_layer_config"}) {
    if (const Json* given = keys.find(key); given != nullptr && !(given->is_object() && given->count() == 0))
      keys.refuse(key, "null");
  }
  if (!keys.flag("is_causal", true)) keys.refuse("is_causal", "true");
  for (const char* key : {"is_encoder_decoder", "use_bidirectional_attention"}) {
    if (keys.flag(key, false)) keys.refuse(key, "false");
  }
  const std::string activation = keys.word("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") keys.refuse("hidden_act", "silu");
  if (const Json* types = keys.find("layer_types"); types != nullptr && types->is_array()) {
    const Json wanted(window > 0 ? "sliding_attention" : "full_attention");
    const auto& all = types->as_array();
    if (!std::all_of(all.begin(), all.end(), [&](const Json& type) { return type == wanted; }))
      keys.refuse("layer_types", fmt::format("{} in every layer", wanted.as_string()));
  }
}

void read_common(const HfKeys& keys, const HfDefaults& defaults, ModelConfig& config) {
  config.vocab = keys.whole("vocab_size", defaults.vocab_size, 2);
  config.d_model = keys.whole("hidden_size", defaults.hidden_size);
  config.layers = keys.whole("num_hidden_layers", defaults.num_hidden_layers);
  AttentionConfig& attention = config.attention;
  attention.heads = keys.whole("num_attention_heads", defaults.num_attention_heads);
  attention.kv_heads = defaults.num_key_value_heads == 0
                           ? keys.whole_or_null("num_key_value_heads", attention.heads, attention.heads)
                           : keys.whole("num_key_value_heads", defaults.num_key_value_heads);
  attention.head_dim = keys.whole_or_null("head_dim", 0, 0);
  attention.rope_base = read_rope(keys, defaults.rope_theta);
  attention.window = read_window(keys, defaults);
  config.sequence_max = keys.whole("max_position_embeddings", defaults.max_position_embeddings);
  config.norm_epsilon = keys.number("rms_norm_eps", defaults.rms_norm_eps, 0);
  config.init_std = keys.number("initializer_range", 0.02, 0);
  refuse_unsupported(keys, attention.window);
}

// The number of experts has two names, which transformers maps onto each other.
i64 read_expert_count(const HfKeys& keys, i64 otherwise) {
  const i64 local = keys.whole("num_local_experts", otherwise, 2), plain = keys.whole("num_experts", otherwise, 2);
  if (keys.find("num_local_experts") == nullptr) return plain;
  if (keys.find("num_experts") != nullptr && plain != local) {
    throw Error({.where = keys.where(),
                 .what = "'num_experts' and 'num_local_experts' differ",
                 .wanted = "one of them, or the same value",
                 .got = fmt::format("{} and {}", plain, local)});
  }
  return local;
}

// Dense layers must be the first ones.
i64 read_dense_layers(const HfKeys& keys) {
  if (keys.whole("decoder_sparse_step", 1) != 1) keys.refuse("decoder_sparse_step", "1 (every layer a MoE layer)");
  const Json* dense = keys.find("mlp_only_layers");
  if (dense == nullptr) return 0;
  if (!dense->is_array()) keys.refuse("mlp_only_layers", "an array of layer indices");
  for (i64 layer = 0; layer < dense->count(); ++layer) {
    const auto& all = dense->as_array();
    if (std::find(all.begin(), all.end(), Json(layer)) == all.end())
      keys.refuse("mlp_only_layers", "the first layers: [], [0], [0, 1], ...");
  }
  return dense->count();
}

void read_experts(const HfKeys& keys, const HfDefaults& defaults, ModelConfig& config) {
  ExpertConfig& experts = config.experts;
  config.losses.balance_coefficient = keys.number("router_aux_loss_coef", defaults.router_aux_loss_coef, 0);
  config.losses.z_coefficient = 0;
  experts.top_k = keys.whole("num_experts_per_tok", defaults.num_experts_per_tok);
  experts.experts = read_expert_count(keys, defaults.num_experts);
  const i64 intermediate = keys.whole("intermediate_size", defaults.intermediate_size);
  const bool renormalise = defaults.kind == HfClass::mixtral || keys.flag("norm_topk_prob", false);
  if (renormalise && experts.top_k == 1) {
    keys.refuse("num_experts_per_tok", "2 or more, since the gates of this model are renormalised");
  }
  if (defaults.kind == HfClass::mixtral) {
    experts.width = intermediate;
    return;
  }
  config.router.renormalise = renormalise;
  config.attention.qk_norm = true;
  if (defaults.kind == HfClass::olmoe) {
    config.attention.qk_norm_whole = true;
    experts.width = intermediate;
    if (config.attention.head_dim > 0 && config.attention.head_dim * config.attention.heads != config.d_model)
      keys.refuse("head_dim", "hidden_size / num_attention_heads");
    return;
  }
  experts.width = keys.whole("moe_intermediate_size", 768);
  experts.dense_width = intermediate;
  experts.dense_layers_first = read_dense_layers(keys);
}

ModelConfig read_class(const HfKeys& keys, const HfDefaults& defaults) {
  ModelConfig config;
  config.name = keys.word("_name_or_path", defaults.model_type);
  read_common(keys, defaults, config);
  if (defaults.num_experts == 0) {
    config.experts.experts = 0;
    config.experts.top_k = 1;
    config.experts.width = config.experts.dense_width = keys.whole("intermediate_size", defaults.intermediate_size);
  } else {
    read_experts(keys, defaults, config);
  }
  config.resolve(keys.where());
  return config;
}

// Our own keys say more than the class's, but a value that both give must be the same.
[[noreturn]] void refuse_contradiction(const std::string& where, const std::string& key, const Json& wanted,
                                       const Json& got) {
  throw Error({.where = where,
               .what = fmt::format("'{}' in the key \"moebius\" differs from the other keys", key),
               .wanted = wanted.dump(),
               .got = got.dump(),
               .fix = "change both, or delete the key \"moebius\""});
}

std::vector<std::string> own_shape_keys(const ModelConfig& config) {
  std::vector<std::string> keys = {"vocab",    "d_model",   "layers", "heads",   "kv_heads",
                                   "head_dim", "rope_base", "window", "qk_norm", "norm_epsilon"};
  if (config.moe_layers() > 0) keys.insert(keys.end(), {"experts", "top_k", "expert_width", "dense_layers_first"});
  if (config.moe_layers() < config.layers) keys.emplace_back("dense_width");
  return keys;
}

void check_same(const Json& own, const Json& by_class, const std::vector<std::string>& keys, const std::string& where) {
  for (const std::string& key : keys) {
    if (own.at(key) != by_class.at(key)) refuse_contradiction(where, key, by_class.at(key), own.at(key));
  }
}

// A network without a class has class-like keys too; those in the file must be the ones that we write.
void check_same(const Json& written, const HfKeys& file) {
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "head_dim", "rope_theta", "rms_norm_eps", "sliding_window",
                          "intermediate_size", "moe_intermediate_size", "num_experts", "num_experts_per_tok"}) {
    const Json *given = file.find(key), *ours = written.find(key);
    if (given == nullptr || ours == nullptr) continue;
    const bool same =
        given->is_number() && ours->is_number() ? given->as_double() == ours->as_double() : *given == *ours;
    if (!same) refuse_contradiction(file.where(), key, *given, *ours);
  }
}

ModelConfig read_own(const HfKeys& keys, const Json& own, const HfDefaults& defaults) {
  const HfKeys own_keys(own, keys.where() + ", \"moebius\"");
  ModelConfig config;
  config.name = own_keys.word("name", "");
  OptionList list;
  config.describe(list);
  Json fields = Json::object();
  for (const auto& [key, value] : own.as_object()) {
    if (key != "name") fields.set(key, value);
  }
  list.set_from_json(fields, own_keys.where());
  config.resolve(own_keys.where());
  const HfDefaults& fitting = hf_defaults(hf_class_of(config));
  if (defaults.kind != fitting.kind) {
    throw Error({.where = keys.where(),
                 .what = "the key \"moebius\" describes another model_type",
                 .wanted = fitting.model_type,
                 .got = defaults.model_type,
                 .fix = "change both, or delete the key \"moebius\""});
  }
  if (defaults.kind == HfClass::own) {
    check_same(config_to_hugging_face(config), keys);
  } else {
    check_same(config.to_json(), read_class(keys, defaults).to_json(), own_shape_keys(config), keys.where());
  }
  return config;
}

}  // namespace

ModelConfig config_from_hugging_face(const Json& json, const std::string& where) {
  const HfKeys keys(json, where);
  const HfDefaults& defaults = hf_defaults(hf_class_of_file(json, where));
  if (const Json* own = keys.find("moebius"); own != nullptr) return read_own(keys, *own, defaults);
  if (defaults.kind == HfClass::own) throw Error({.where = where, .what = "the key \"moebius\" is missing"});
  return read_class(keys, defaults);
}

ModelConfig load_config(const std::string& path) {
  const HfConfigFile file = hf_read_config(path);
  return config_from_hugging_face(file.json, file.path);
}

bool load_tied_embeddings(const std::string& path) {
  const HfConfigFile file = hf_read_config(path);
  return hf_tied_embeddings(file.json, file.path);
}

Json config_to_hugging_face(const ModelConfig& config) {
  const HfDefaults& entry = hf_defaults(hf_class_of(config));
  const HfClass kind = entry.kind;
  const bool moe = config.moe_layers() > 0;
  const bool width_is_expert = kind == HfClass::mixtral || kind == HfClass::olmoe;
  Json json = Json::object({{"architectures", Json::Array{Json(entry.architecture)}},
                            {"model_type", entry.model_type},
                            {"vocab_size", config.vocab},
                            {"hidden_size", config.d_model},
                            {"intermediate_size", width_is_expert ? config.experts.width : config.experts.dense_width},
                            {"num_hidden_layers", config.layers},
                            {"num_attention_heads", config.attention.heads},
                            {"num_key_value_heads", config.attention.kv_heads},
                            {"head_dim", config.attention.head_dim},
                            {"hidden_act", config.experts.activation == Activation::swiglu ? "silu" : "gelu"},
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
