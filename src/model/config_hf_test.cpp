// config.json against transformers' own reading of it (tests/golden/hf_configs.json), round trips, and refusals that name
// the key.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/hf_class.h"

namespace moebius::model {
namespace {

// What transformers reports, from our configuration.
Json effective(const ModelConfig& c, const Json& file) {
  const bool moe = c.moe_layers() > 0;
  const std::string type = file.at("model_type").as_string();
  const bool width_is_expert = type == "mixtral" || type == "olmoe";
  Json json = Json::object({{"vocab_size", c.vocab},
                            {"hidden_size", c.d_model},
                            {"num_hidden_layers", c.layers},
                            {"num_attention_heads", c.attention.heads},
                            {"num_key_value_heads", c.attention.kv_heads},
                            {"head_dim", c.attention.head_dim},
                            {"rope_theta", c.attention.rope_base},
                            {"sliding_window", c.attention.window > 0 ? Json(c.attention.window) : Json()},
                            {"rms_norm_eps", c.norm_epsilon},
                            {"max_position_embeddings", c.sequence_max},
                            {"initializer_range", c.init_std},
                            {"tie_word_embeddings", hf_tied_embeddings(file, "file")},
                            {"intermediate_size", width_is_expert ? c.experts.width : c.experts.dense_width}});
  if (moe) {
    json.set("num_experts", c.experts.experts);
    json.set("num_experts_per_tok", c.experts.top_k);
    json.set("router_aux_loss_coef", c.losses.balance_coefficient);
    json.set("norm_topk_prob", c.router.renormalise);
  }
  if (type == "qwen3_moe") {
    Json::Array dense;
    for (i64 layer = 0; layer < c.experts.dense_layers_first; ++layer) dense.emplace_back(layer);
    json.set("moe_intermediate_size", c.experts.width);
    json.set("mlp_only_layers", dense);
  }
  return json;
}

void expect_values(const Json& got, const Json& wanted, const std::string& file) {
  for (const auto& [key, value] : wanted.as_object()) {
    if (value.is_number()) {
      EXPECT_DOUBLE_EQ(got.at(key).as_double(), value.as_double()) << key << " of " << file;
    } else {
      EXPECT_EQ(got.at(key), value) << key << " of " << file;
    }
  }
}

TEST(HfConfig, EqualsTransformers) {
  const Json golden = Json::parse_file(path_join(MOEBIUS_SOURCE_DIR, "tests/golden/hf_configs.json"));
  i64 compared = 0, refused = 0;
  for (const Json& entry : golden.at("classes").as_array()) {
    for (const Json& one : entry.at("cases").as_array()) {
      Json file = Json::object({{"model_type", entry.at("model_type")}});
      for (const auto& [key, value] : one.at("config").as_object()) file.set(key, value);
      if (one.at("changes").is_null()) {
        EXPECT_THROW(config_from_hugging_face(file, "config.json"), Error) << file.dump();
        ++refused;
        continue;
      }
      Json wanted = entry.at("defaults");
      for (const auto& [key, value] : one.at("changes").as_object()) wanted.set(key, value);
      expect_values(effective(config_from_hugging_face(file, "config.json"), file), wanted, file.dump());
      ++compared;
    }
  }
  EXPECT_GT(compared, 150);
  EXPECT_GT(refused, 0);
}

TEST(HfConfig, ThereAndBack) {
  for (const std::string& name : preset_names()) {
    const ModelConfig config = preset_config(name);
    const Json json = config_to_hugging_face(config);
    const ModelConfig back = config_from_hugging_face(Json::parse(json.dump(), name), name);
    EXPECT_EQ(back.to_json(), config.to_json()) << name;
  }
}

TEST(HfConfig, WithoutOurKeys) {
  for (const char* name : {"mixtral-8x7b", "olmoe-1b-7b", "qwen3-30b-a3b", "optimal-sparsity-d512-E8-k2"}) {
    const ModelConfig config = preset_config(name);
    Json json = config_to_hugging_face(config);
    EXPECT_NE(json.at("model_type").as_string(), "moebius") << name;
    json.set("moebius", Json());
    const ModelConfig back = config_from_hugging_face(json, name);
    EXPECT_EQ(count_model(back, 4096).parameters_total, count_model(config, 4096).parameters_total) << name;
    EXPECT_EQ(count_model(back, 4096).parameters_active, count_model(config, 4096).parameters_active) << name;
    EXPECT_EQ(back.attention.rope_base, config.attention.rope_base);
  }
}

// What config_from_hugging_face says of `file` with one key changed.
std::string refusal(Json file, const char* key, const Json& value) {
  file.set(key, value);
  try {
    config_from_hugging_face(file, "config.json");
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

void expect_refused(const Json& file, const char* key, const Json& value) {
  const std::string text = refusal(file, key, value);
  EXPECT_NE(text.find("config.json"), std::string::npos) << key << ": " << value.dump() << ": " << text;
  EXPECT_NE(text.find(key), std::string::npos) << key << ": " << value.dump() << ": " << text;
}

TEST(HfConfig, WrongTypesNameFileAndKey) {
  for (const char* type : {"mixtral", "mistral", "llama", "qwen3_moe", "olmoe"}) {
    const Json file = Json::object({{"model_type", type}});
    for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                            "max_position_embeddings", "intermediate_size"}) {
      for (const Json& value :
           {Json("64"), Json(64.5), Json(64.0), Json(), Json(true), Json(Json::Array{Json(64)}), Json(-64), Json(0)}) {
        expect_refused(file, key, value);
      }
    }
    for (const char* key : {"rms_norm_eps", "rope_theta", "initializer_range"}) {
      for (const Json& value : {Json("1e6"), Json(), Json(false), Json(-1.0)}) expect_refused(file, key, value);
    }
    for (const char* key : {"tie_word_embeddings"}) {
      Json bad = file;
      bad.set(key, "false");
      EXPECT_THROW(hf_tied_embeddings(bad, "config.json"), Error);
    }
    expect_refused(file, "num_key_value_heads", "8");
    expect_refused(file, "head_dim", 64.0);
    expect_refused(file, "hidden_act", 3);
    expect_refused(file, "rope_parameters", "default");
    expect_refused(file, "rope_scaling", Json::array());
  }
  expect_refused(Json::object(), "model_type", 3);
  expect_refused(Json::object({{"model_type", "mistral"}}), "sliding_window", "4096");
  expect_refused(Json::object({{"model_type", "qwen3_moe"}}), "use_sliding_window", 1);
  expect_refused(Json::object({{"model_type", "qwen3_moe"}}), "mlp_only_layers", "none");
  expect_refused(Json::object({{"model_type", "qwen3_moe"}}), "norm_topk_prob", "true");
  EXPECT_THROW(config_from_hugging_face(Json::array(), "config.json"), Error);
}

TEST(HfConfig, KeysThatChangeTheArithmeticAreRefusedByName) {
  for (const char* type : {"mixtral", "mistral", "llama", "qwen3_moe", "olmoe"}) {
    const Json file = Json::object({{"model_type", type}});
    for (const char* scaling : {"linear", "dynamic", "yarn", "longrope", "llama3", "su"}) {
      expect_refused(file, "rope_scaling", Json::object({{"rope_type", scaling}, {"factor", 4.0}}));
      expect_refused(file, "rope_scaling", Json::object({{"type", scaling}, {"factor", 4.0}}));
      expect_refused(file, "rope_parameters", Json::object({{"rope_type", scaling}, {"rope_theta", 1e4}}));
    }
    expect_refused(file, "rope_parameters",
                   Json::object({{"full_attention", Json::object({{"rope_type", "default"}, {"rope_theta", 1e4}})}}));
    expect_refused(file, "partial_rotary_factor", 0.5);
    expect_refused(file, "attention_bias", true);
    expect_refused(file, "mlp_bias", true);
    expect_refused(file, "clip_qkv", 8.0);
    expect_refused(file, "hidden_act", "gelu");
    expect_refused(file, "is_causal", false);
    expect_refused(file, "per_layer_config", Json::object({{"0", Json::object()}}));
    expect_refused(file, "layer_types", Json::Array{Json("sliding_attention"), Json("full_attention")});
  }
  const Json qwen = Json::object({{"model_type", "qwen3_moe"}});
  expect_refused(qwen, "decoder_sparse_step", 2);
  expect_refused(qwen, "mlp_only_layers", Json::Array{Json(1)});
  expect_refused(qwen, "num_experts", 1);
  expect_refused(Json::object({{"model_type", "qwen3_moe"}, {"num_experts", 8}}), "num_local_experts", 16);
  expect_refused(Json::object({{"model_type", "qwen3_moe"}, {"use_sliding_window", true}}), "max_window_layers", 12);
  expect_refused(Json::object({{"model_type", "mixtral"}}), "num_experts_per_tok", 1);
  expect_refused(Json::object({{"model_type", "olmoe"}}), "head_dim", 64);
  expect_refused(Json::object(), "model_type", "gpt2");
  EXPECT_NE(refusal(Json::object(), "model_type", "gpt2").find("mixtral, mistral, llama"), std::string::npos);
}

TEST(HfConfig, OurKeysMustNotContradictTheOthers) {
  for (const char* name : {"mixtral-8x7b", "olmoe-1b-7b", "qwen3-30b-a3b", "deepseek-moe-16b"}) {
    const Json file = config_to_hugging_face(preset_config(name));
    for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"})
      EXPECT_NE(refusal(file, key, 64).find("config.json"), std::string::npos) << name << ", " << key;
    EXPECT_NE(refusal(file, "rope_theta", 5000.0).find("moebius"), std::string::npos) << name;
    EXPECT_NE(refusal(file, "num_experts_per_tok", 3).find("moebius"), std::string::npos) << name;
    EXPECT_NE(refusal(file, "model_type", "llama").find("model_type"), std::string::npos) << name;
    // A value of a wrong type under "moebius".
    Json own = file.at("moebius");
    own.set("layers", "many");
    EXPECT_NE(refusal(file, "moebius", own).find("layers"), std::string::npos);
  }
}

// AWQ, GPTQ, bitsandbytes, FP8, MXFP4 and compressed-tensors state their method in config.json.
TEST(HfConfig, QuantisedCheckpointsAreNamed) {
  const std::string folder = test_path("quantised");
  folder_make(folder);
  for (const char* method : {"awq", "gptq", "bitsandbytes", "fp8", "mxfp4", "compressed-tensors"}) {
    Json file = Json::object({{"model_type", "mixtral"}});
    file.set("quantization_config", Json::object({{"quant_method", method}, {"bits", 4}}));
    file_write_atomic(path_join(folder, "config.json"), file.dump());
    EXPECT_EQ(load_config(folder).d_model, 4096);  // the shape is known
    try {
      load_model(folder, DType::bf16, false);
      ADD_FAILURE() << method;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("quantised"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(method), std::string::npos) << e.what();
    }
  }
  // MLX writes another key.
  const Json mlx = Json::object({{"quantization", Json::object({{"bits", 4}, {"group_size", 64}})}});
  EXPECT_THROW(hf_refuse_quantised(mlx, "config.json"), Error);
}

}  // namespace
}  // namespace moebius::model
