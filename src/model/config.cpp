// Options and checks of a model's configuration.
#include "model/config.h"

#include <fmt/format.h>

#include "base/error.h"

namespace moebius::model {

namespace {

constexpr double kDimensionMax = 1 << 24;

[[noreturn]] void refuse(const std::string& what, const std::string& wanted, const std::string& got,
                         const std::string& fix = "") {
  throw Error({.where = "model configuration", .what = what, .wanted = wanted, .got = got, .fix = fix});
}

void want_at_least(const char* key, i64 value, i64 least) {
  if (value >= least && static_cast<double>(value) <= kDimensionMax) return;
  refuse(fmt::format("'{}' is out of range", key), fmt::format("{} to {}", least, static_cast<i64>(kDimensionMax)),
         std::to_string(value));
}

void resolve_attention(AttentionConfig& attention, i64 d_model) {
  want_at_least("heads", attention.heads, 1);
  if (attention.kv_heads == 0) attention.kv_heads = attention.heads;
  want_at_least("kv-heads", attention.kv_heads, 1);
  if (attention.heads % attention.kv_heads != 0) {
    refuse("every key head must serve equally many query heads", "heads a multiple of kv-heads",
           fmt::format("heads {}, kv-heads {}", attention.heads, attention.kv_heads));
  }
  if (attention.head_dim == 0) {
    if (d_model % attention.heads != 0) {
      refuse("the width does not divide into heads", "d-model a multiple of heads",
             fmt::format("d-model {}, heads {}", d_model, attention.heads), "change heads, or give head-dim");
    }
    attention.head_dim = d_model / attention.heads;
  }
  if (attention.head_dim < 2 || attention.head_dim > 256 || attention.head_dim % 2 != 0) {
    refuse("'head-dim' does not fit", "an even number from 2 to 256", std::to_string(attention.head_dim),
           "change heads, or give head-dim");
  }
  if (attention.rope_base <= 1.0) refuse("'rope-base' is too small", "above 1", fmt::format("{}", attention.rope_base));
  if (attention.window < 0) refuse("'window' is negative", "0 or more", std::to_string(attention.window));
  if (attention.qk_norm_whole && !attention.qk_norm) {
    refuse("'qk-norm-whole' says how QK-norm is done, but QK-norm is off", "qk-norm too", "qk-norm false",
           "set qk-norm, or drop qk-norm-whole");
  }
}

void resolve_experts(ExpertConfig& experts, i64 d_model, i64 layers) {
  if (experts.experts < 0) refuse("'experts' is negative", "0 or more", std::to_string(experts.experts));
  want_at_least("top-k", experts.top_k, 1);
  if (experts.width == 0) experts.width = 2 * d_model;
  want_at_least("expert-width", experts.width, 1);
  if (experts.shared_experts < 0)
    refuse("'shared-experts' is negative", "0 or more", std::to_string(experts.shared_experts));
  if (experts.dense_width == 0) experts.dense_width = (experts.top_k + experts.shared_experts) * experts.width;
  want_at_least("dense-width", experts.dense_width, 1);
  want_at_least("bank-layers", experts.bank_layers, 1);
  if (experts.dense_layers_first < 0 || experts.dense_layers_first > layers) {
    refuse("'dense-layers-first' does not fit", fmt::format("0 to {} (layers)", layers),
           std::to_string(experts.dense_layers_first));
  }
  if (experts.experts <= 1) return;
  if (experts.experts > 65536) refuse("too many experts", "at most 65536", std::to_string(experts.experts));
  if (experts.top_k > experts.experts) {
    refuse("a token cannot go to more experts than there are", "top-k at most experts",
           fmt::format("top-k {}, experts {}", experts.top_k, experts.experts));
  }
}

void check_choice(const char* key, const std::string& value, const std::vector<std::string>& choices) {
  for (const std::string& choice : choices) {
    if (value == choice) return;
  }
  const std::string near = nearest_word(value, choices);
  refuse(fmt::format("'{}' has no such value", key), fmt::format("one of: {}", fmt::join(choices, ", ")), value,
         near.empty() ? "" : fmt::format("did you mean '{}'?", near));
}

}  // namespace

void AttentionConfig::describe(OptionList& list) {
  list.add("heads", &heads, "query heads", {.unit = "N", .min = 1, .max = 65536});
  list.add("kv-heads", &kv_heads, "key and value heads; 0: as many as heads", {.unit = "N", .min = 0, .max = 65536});
  list.add("head-dim", &head_dim, "width of a head; 0: d-model / heads", {.unit = "N", .min = 0, .max = 256});
  list.add("rope-base", &rope_base, "base of the rotary positions", {.min = 1, .max = 1e12});
  list.add("qk-norm", &qk_norm, "RMSNorm of queries and keys, head by head");
  list.add("qk-norm-whole", &qk_norm_whole, "with qk-norm: over all heads at once");
  list.add("attention-bias", &bias, "biases on the query, key and value projections");
  list.add("window", &window, "sliding attention window; 0: none", {.unit = "tokens", .min = 0});
}

void ExpertConfig::describe(OptionList& list) {
  list.add("experts", &experts, "experts E of a layer; 0 or 1: a dense model", {.unit = "E", .min = 0, .max = 65536});
  list.add("top-k", &top_k, "experts a token goes to", {.unit = "K", .min = 1, .max = 65536});
  list.add("expert-width", &width, "width F of an expert; 0: 2 * d-model",
           {.unit = "F", .min = 0, .max = kDimensionMax});
  list.add("shared-experts", &shared_experts, "experts that every token uses, each of the experts' width",
           {.unit = "N", .min = 0, .max = 65536});
  list.add("dense-layers-first", &dense_layers_first, "so many first layers have a dense FFN", {.unit = "N", .min = 0});
  list.add("dense-width", &dense_width, "width of a dense FFN; 0: (top-k + shared-experts) * expert-width",
           {.unit = "F", .min = 0, .max = kDimensionMax});
  list.add("bank-layers", &bank_layers, "layers that share one bank of experts", {.unit = "N", .min = 1});
  list.add("activation", &activation, "of every FFN", {.choices = {"swiglu", "gelu"}});
}

void RouterConfig::describe(OptionList& list) {
  list.add("router-score", &score, "from logits to weights", {.choices = {"softmax", "sigmoid"}});
  list.add("softmax-before-top-k", &softmax_before_top_k, "softmax over all experts; false: over the chosen ones");
  list.add("renormalise", &renormalise, "divide the chosen weights by their sum");
  list.add("router-scale", &scale, "factor on the weights", {.min = 0, .max = 1e6});
  list.add("bias-rate", &bias_rate, "loss-free balancing: a step of the selection bias; 0: off", {.min = 0, .max = 1});
  list.add("previous-layer", &previous_layer, "pre-gating: the router reads the FFN input of the layer before");
}

void LossConfig::describe(OptionList& list) {
  list.add("balance-coefficient", &balance_coefficient, "of the load-balance loss", {.min = 0, .max = 1e3});
  list.add("z-coefficient", &z_coefficient, "of the router's z-loss", {.min = 0, .max = 1e3});
  list.add("balance-average-layers", &balance_average_layers, "average both over the MoE layers instead of summing");
}

void ModelConfig::describe(OptionList& list) {
  list.add("vocab", &vocab, "tokens of the vocabulary", {.unit = "V", .min = 2, .max = kDimensionMax});
  list.add("d-model", &d_model, "width of the residual stream", {.unit = "D", .min = 1, .max = kDimensionMax});
  list.add("layers", &layers, "layers", {.unit = "L", .min = 1, .max = 100000});
  list.add("sequence-max", &sequence_max, "longest sequence the model is meant for", {.unit = "tokens", .min = 1});
  list.add("norm-epsilon", &norm_epsilon, "of every RMSNorm", {.min = 0, .max = 1});
  list.add("init-std", &init_std, "of the initial weights; output projections: / sqrt(2 * layers)",
           {.min = 0, .max = 10});
  attention.describe(list);
  experts.describe(list);
  router.describe(list);
  losses.describe(list);
}

void ModelConfig::resolve() {
  want_at_least("vocab", vocab, 2);
  want_at_least("d-model", d_model, 1);
  want_at_least("layers", layers, 1);
  want_at_least("sequence-max", sequence_max, 1);
  if (!(norm_epsilon >= 0)) refuse("'norm-epsilon' is negative", "0 or more", fmt::format("{}", norm_epsilon));
  if (!(init_std >= 0)) refuse("'init-std' is negative", "0 or more", fmt::format("{}", init_std));
  resolve_attention(attention, d_model);
  resolve_experts(experts, d_model, layers);
  check_choice("activation", experts.activation, {"swiglu", "gelu"});
  check_choice("router-score", router.score, {"softmax", "sigmoid"});
  if (router.score == "sigmoid" && !router.softmax_before_top_k) {
    refuse("a sigmoid router has no softmax over the chosen experts", "softmax-before-top-k true", "false",
           "drop softmax-before-top-k, or choose the softmax score");
  }
  if (moe_layers() > 0 && experts.top_k == 1 && router.score == "softmax" &&
      (router.renormalise || !router.softmax_before_top_k)) {
    // The one gate would be the constant 1: the router would get no gradient from the task (Megatron refuses it too).
    refuse("with top-k 1 a renormalised gate is always 1, so the router would learn nothing from the task",
           "renormalise false and softmax-before-top-k true", "", "add --renormalise=false");
  }
}

bool ModelConfig::layer_is_moe(i64 layer) const { return experts.experts > 1 && layer >= experts.dense_layers_first; }

i64 ModelConfig::moe_layers() const { return experts.experts > 1 ? layers - experts.dense_layers_first : 0; }

i64 ModelConfig::bank_of_layer(i64 layer) const { return (layer - experts.dense_layers_first) / experts.bank_layers; }

i64 ModelConfig::banks() const { return (moe_layers() + experts.bank_layers - 1) / experts.bank_layers; }

Json ModelConfig::to_json() const {
  ModelConfig copy = *this;
  OptionList list;
  copy.describe(list);
  Json json = Json::object({{"name", name}});
  const Json fields = list.to_json();
  for (const auto& [key, value] : fields.as_object()) json.set(key, value);
  return json;
}

}  // namespace moebius::model
