// Tensor names of the supported classes.
#include "model/hf_names.h"

#include <fmt/format.h>

#include "base/check.h"

namespace moebius::model {

namespace {

class Places {
 public:
  Places(const ModelConfig& config, const std::vector<Parameter>& parameters, HfClass kind)
      : config_(config), parameters_(parameters), mixtral_(kind == HfClass::mixtral) {}

  void add(const std::string& name, const std::string& parameter, i64 row = 0, i64 rows = 0, i64 copy = 0) {
    StoredPlace place;
    place.name = name;
    place.parameter = index_of(parameter);
    const Parameter& p = parameters_[static_cast<std::size_t>(place.parameter)];
    place.copy = copy;
    place.row = row;
    place.rows = rows == 0 ? p.rows() : rows;
    place.shape =
        p.kind == ParameterKind::vector ? std::vector<i64>{place.rows} : std::vector<i64>{place.rows, p.shape.k};
    places_.push_back(std::move(place));
  }

  void attention(i64 layer) {
    const std::string theirs = fmt::format("model.layers.{}.self_attn.", layer),
                      ours = fmt::format("layers.{}.attention.", layer);
    const i64 hd = config_.attention.head_dim, q = config_.attention.heads * hd, kv = config_.attention.kv_heads * hd;
    for (const char* suffix : {"weight", "bias"}) {
      const bool bias = suffix[0] == 'b';
      if (bias && !config_.attention.bias) continue;
      const std::string parameter = ours + (bias ? "bias" : "query_key_value");
      add(theirs + "q_proj." + suffix, parameter, 0, q);
      add(theirs + "k_proj." + suffix, parameter, q, kv);
      add(theirs + "v_proj." + suffix, parameter, q + kv, kv);
    }
    add(theirs + "o_proj.weight", ours + "output");
    if (config_.attention.qk_norm) {
      add(theirs + "q_norm.weight", ours + "query_norm");
      add(theirs + "k_norm.weight", ours + "key_norm");
    }
    add(fmt::format("model.layers.{}.input_layernorm.weight", layer), ours + "norm");
    add(fmt::format("model.layers.{}.post_attention_layernorm.weight", layer),
        fmt::format("layers.{}.ffn.norm", layer));
  }

  // gate, up and down of one FFN or expert.
  void ffn(const std::string& theirs, const std::string& ours, i64 width, i64 copy, bool mixtral_names) {
    if (config_.experts.activation == Activation::swiglu) {
      add(theirs + (mixtral_names ? "w1.weight" : "gate_proj.weight"), ours + ".up", 0, width, copy);
      add(theirs + (mixtral_names ? "w3.weight" : "up_proj.weight"), ours + ".up", width, width, copy);
    } else {
      add(theirs + "up_proj.weight", ours + ".up", 0, width, copy);
    }
    add(theirs + (mixtral_names ? "w2.weight" : "down_proj.weight"), ours + ".down", 0, 0, copy);
  }

  void moe(i64 layer) {
    const ExpertConfig& e = config_.experts;
    const std::string prefix = fmt::format("model.layers.{}.{}.", layer, mixtral_ ? "block_sparse_moe" : "mlp");
    const std::string newer = fmt::format("model.layers.{}.mlp.", layer);
    add(prefix + "gate.weight", fmt::format("layers.{}.router", layer));
    other(newer + "gate.weight", places_.back().shape, 0);
    if (e.shared_experts > 0) {
      ffn(newer + "shared_experts.", fmt::format("layers.{}.shared", layer), e.shared_experts * e.width, 0, false);
    }
    if ((layer - e.dense_layers_first) % e.bank_layers != 0) return;  // a shared bank is stored under its first layer
    const std::string bank = fmt::format("banks.{}", config_.bank_of_layer(layer));
    const i64 d = config_.d_model;
    for (i64 expert = 0; expert < e.experts; ++expert) {
      const std::size_t first = places_.size();
      ffn(fmt::format("{}experts.{}.", prefix, expert), bank, e.width, expert, mixtral_);
      if (e.activation != Activation::swiglu) continue;
      const std::vector<i64> up_shape = {e.experts, 2 * e.width, d};
      other_at(first, newer + "experts.gate_up_proj", up_shape, expert * 2 * e.width * d);
      other_at(first + 1, newer + "experts.gate_up_proj", up_shape, (expert * 2 + 1) * e.width * d);
      other_at(first + 2, newer + "experts.down_proj", {e.experts, d, e.width}, expert * e.width * d);
    }
  }

  std::vector<StoredPlace> take() { return std::move(places_); }

 private:
  void other(const std::string& name, std::vector<i64> shape, i64 begin) {
    other_at(places_.size() - 1, name, std::move(shape), begin);
  }
  void other_at(std::size_t i, const std::string& name, std::vector<i64> shape, i64 begin) {
    places_[i].other_name = name;
    places_[i].other_shape = std::move(shape);
    places_[i].other_begin = begin;
  }
  // Places come nearly in the order of the parameters, so the search resumes at the last hit.
  i64 index_of(const std::string& name) {
    const i64 count = static_cast<i64>(parameters_.size());
    for (i64 i = 0; i < count; ++i) {
      const i64 at = (last_ + i) % count;
      if (parameters_[static_cast<std::size_t>(at)].name == name) return last_ = at;
    }
    CHECK(false, "every stored tensor is a parameter");
    return 0;
  }

  const ModelConfig& config_;
  const std::vector<Parameter>& parameters_;
  bool mixtral_;
  i64 last_ = 0;
  std::vector<StoredPlace> places_;
};

}  // namespace

std::vector<StoredPlace> stored_places(const ModelConfig& config, const std::vector<Parameter>& parameters,
                                       HfClass kind) {
  Places places(config, parameters, kind);
  places.add("model.embed_tokens.weight", "embedding");
  for (i64 layer = 0; layer < config.layers; ++layer) {
    places.attention(layer);
    if (config.layer_is_moe(layer)) {
      places.moe(layer);
    } else {
      places.ffn(fmt::format("model.layers.{}.mlp.", layer), fmt::format("layers.{}.dense", layer),
                 config.experts.dense_width, 0, false);
    }
  }
  places.add("model.norm.weight", "norm");
  places.add("lm_head.weight", "head");
  return places.take();
}

std::string selection_bias_name(i64 layer) {
  return fmt::format("model.layers.{}.mlp.gate.e_score_correction_bias", layer);
}

}  // namespace moebius::model
