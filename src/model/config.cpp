// Options and checks of a model's configuration.
#include "model/config.h"

#include <fmt/format.h>

#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace moebius::model {

namespace {

constexpr double kDimensionMax = 1 << 24;

const std::vector<std::string> kActivations = {"swiglu", "gelu"};
const std::vector<std::string> kScores = {"softmax", "sigmoid"};

// Fills the zeros of a configuration and checks it; errors name the source of the values.
struct Resolver {
  const std::string& where;

  [[noreturn]] void refuse(const std::string& what, const std::string& wanted, const std::string& got,
                           const std::string& fix = "") const {
    throw Error({.where = where, .what = what, .wanted = wanted, .got = got, .fix = fix});
  }

  void check_at_least(const char* key, i64 value, i64 least) const {
    if (value >= least && static_cast<double>(value) <= kDimensionMax) return;
    refuse(fmt::format("'{}' is out of range", key), fmt::format("{} to {}", least, static_cast<i64>(kDimensionMax)),
           std::to_string(value));
  }

  void attention(AttentionConfig& a, i64 d_model) const {
    check_at_least("heads", a.heads, 1);
    if (a.kv_heads == 0) a.kv_heads = a.heads;
    check_at_least("kv-heads", a.kv_heads, 1);
    if (a.heads % a.kv_heads != 0) {
      refuse("the query heads cannot be divided evenly among the key heads", "heads a multiple of kv-heads",
             fmt::format("heads {}, kv-heads {}", a.heads, a.kv_heads));
    }
    if (a.head_dim == 0) {
      if (d_model % a.heads != 0) {
        refuse("d-model cannot be divided evenly among the heads", "d-model a multiple of heads",
               fmt::format("d-model {}, heads {}", d_model, a.heads), "change heads, or set head-dim");
      }
      a.head_dim = d_model / a.heads;
    }
    if (a.head_dim < 2 || a.head_dim > 256 || a.head_dim % 2 != 0) {
      refuse("'head-dim' is not supported", "an even number from 2 to 256", std::to_string(a.head_dim),
             "change heads, or set head-dim");
    }
    if (a.rope_base <= 1.0) refuse("'rope-base' is too small", "more than 1", fmt::format("{}", a.rope_base));
    if (a.window < 0) refuse("'window' is negative", "0 or more", std::to_string(a.window));
    if (a.qk_norm_whole && !a.qk_norm) {
      refuse("'qk-norm-whole' needs 'qk-norm'", "qk-norm true", "qk-norm false",
             "set qk-norm, or leave out qk-norm-whole");
    }
  }

  void experts(ExpertConfig& e, i64 d_model, i64 layers) const {
    if (e.experts < 0) refuse("'experts' is negative", "0 or more", std::to_string(e.experts));
    check_at_least("top-k", e.top_k, 1);
    if (e.width == 0) e.width = 2 * d_model;
    check_at_least("expert-width", e.width, 1);
    if (e.shared_experts < 0) refuse("'shared-experts' is negative", "0 or more", std::to_string(e.shared_experts));
    if (e.dense_width == 0) e.dense_width = (e.top_k + e.shared_experts) * e.width;
    check_at_least("dense-width", e.dense_width, 1);
    check_at_least("bank-layers", e.bank_layers, 1);
    if (e.dense_layers_first < 0 || e.dense_layers_first > layers) {
      refuse("'dense-layers-first' is out of range", fmt::format("0 to {} (layers)", layers),
             std::to_string(e.dense_layers_first));
    }
    if (e.experts <= 1) return;
    if (e.experts > 65536) refuse("too many experts", "at most 65536", std::to_string(e.experts));
    if (e.top_k > e.experts) {
      refuse("'top-k' is larger than the number of experts", "top-k at most experts",
             fmt::format("top-k {}, experts {}", e.top_k, e.experts));
    }
  }

  void router(const ModelConfig& config) const {
    const RouterConfig& r = config.router;
    if (r.score == RouterScore::sigmoid && !r.softmax_before_top_k) {
      refuse("a sigmoid router has no softmax", "softmax-before-top-k true", "false",
             "leave out softmax-before-top-k, or set router-score softmax");
    }
    if (config.moe_layers() > 0 && config.experts.top_k == 1 && r.score == RouterScore::softmax &&
        (r.renormalise || !r.softmax_before_top_k)) {
      // The one gate would be the constant 1: the router would get no gradient from the task (Megatron refuses it too).
      refuse("with top-k 1 a renormalised gate is always 1, so the router gets no gradient from the cross-entropy",
             "renormalise false and softmax-before-top-k true", "", "add --renormalise=false");
    }
  }
};

}  // namespace

void AttentionConfig::describe(OptionList& list) {
  list.add("heads", &heads, "number of query heads", {.unit = "N", .min = 1, .max = 65536});
  list.add("kv-heads", &kv_heads, "number of key and value heads; 0: as many as heads",
           {.unit = "N", .min = 0, .max = 65536});
  list.add("head-dim", &head_dim, "width of a head; 0: d-model / heads", {.unit = "N", .min = 0, .max = 256});
  list.add("rope-base", &rope_base, "base of the rotary position embedding", {.min = 1, .max = 1e12});
  list.add("qk-norm", &qk_norm, "RMSNorm of each head's queries and keys");
  list.add("qk-norm-whole", &qk_norm_whole, "with qk-norm: over all heads at once");
  list.add("attention-bias", &bias, "biases on the query, key and value projections");
  list.add("window", &window, "sliding attention window; 0: none", {.unit = "tokens", .min = 0});
}

void ExpertConfig::describe(OptionList& list) {
  list.add("experts", &experts, "number of experts per layer, E; 0 or 1: a dense model",
           {.unit = "E", .min = 0, .max = 65536});
  list.add("top-k", &top_k, "number of experts per token", {.unit = "K", .min = 1, .max = 65536});
  list.add("expert-width", &width, "width of an expert, F; 0: 2 * d-model",
           {.unit = "F", .min = 0, .max = kDimensionMax});
  list.add("shared-experts", &shared_experts, "number of experts that every token uses, each as wide as a routed one",
           {.unit = "N", .min = 0, .max = 65536});
  list.add("dense-layers-first", &dense_layers_first, "the first N layers have a dense FFN", {.unit = "N", .min = 0});
  list.add("dense-width", &dense_width, "width of a dense FFN; 0: (top-k + shared-experts) * expert-width",
           {.unit = "F", .min = 0, .max = kDimensionMax});
  list.add("bank-layers", &bank_layers, "number of layers that share one bank of experts", {.unit = "N", .min = 1});
  list.add("activation", &activation, "activation of every FFN", {.choices = kActivations});
}

void RouterConfig::describe(OptionList& list) {
  list.add("router-score", &score, "how the router's logits become weights", {.choices = kScores});
  list.add("softmax-before-top-k", &softmax_before_top_k, "softmax over all experts; false: over the selected ones");
  list.add("renormalise", &renormalise, "divide the selected weights by their sum");
  list.add("router-scale", &scale, "factor applied to the weights", {.min = 0, .max = 1e6});
  list.add("bias-rate", &bias_rate, "loss-free balancing: change of the selection bias per step; 0: off",
           {.min = 0, .max = 1});
  list.add("previous-layer", &previous_layer, "pre-gating: the router reads the FFN input of the previous layer");
}

void LossConfig::describe(OptionList& list) {
  list.add("balance-coefficient", &balance_coefficient, "coefficient of the load-balancing loss",
           {.min = 0, .max = 1e3});
  list.add("z-coefficient", &z_coefficient, "coefficient of the router's z-loss", {.min = 0, .max = 1e3});
  list.add("balance-average-layers", &balance_average_layers,
           "average both losses over the MoE layers instead of summing");
}

void ModelConfig::describe(OptionList& list) {
  list.add("vocab", &vocab, "size of the vocabulary", {.unit = "V", .min = 2, .max = kDimensionMax});
  list.add("d-model", &d_model, "width of the residual stream", {.unit = "D", .min = 1, .max = kDimensionMax});
  list.add("layers", &layers, "number of layers", {.unit = "L", .min = 1, .max = 100000});
  list.add("sequence-max", &sequence_max, "longest sequence the model is meant for", {.unit = "tokens", .min = 1});
  list.add("norm-epsilon", &norm_epsilon, "epsilon of every RMSNorm", {.min = 0, .max = 1});
  list.add(
      "init-std", &init_std,
      "standard deviation of the initial weights; output projections: / sqrt(2 * layers); 0: sqrt(2 / (5 d-model))",
      {.min = 0, .max = 10});
  attention.describe(list);
  experts.describe(list);
  router.describe(list);
  losses.describe(list);
}

void ModelConfig::resolve(const std::string& where) {
  const Resolver resolver{where};
  resolver.check_at_least("vocab", vocab, 2);
  resolver.check_at_least("d-model", d_model, 1);
  resolver.check_at_least("layers", layers, 1);
  resolver.check_at_least("sequence-max", sequence_max, 1);
  if (!(norm_epsilon >= 0)) resolver.refuse("'norm-epsilon' is negative", "0 or more", fmt::format("{}", norm_epsilon));
  if (!(init_std >= 0)) resolver.refuse("'init-std' is negative", "0 or more", fmt::format("{}", init_std));
  if (init_std == 0) init_std = std::sqrt(2.0 / (5.0 * static_cast<double>(d_model)));
  resolver.attention(attention, d_model);
  resolver.experts(experts, d_model, layers);
  resolver.router(*this);
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

const char* recompute_name(Recompute recompute) { return recompute == Recompute::layer ? "layer" : "none"; }

Recompute recompute_of(const std::string& name) {
  CHECK(name == "none" || name == "layer", "a known name of a recomputation mode");
  return name == "layer" ? Recompute::layer : Recompute::none;
}

const char* router_score_name(RouterScore score) { return kScores.at(static_cast<std::size_t>(score)).c_str(); }

}  // namespace moebius::model
