// Presets under their published names. Shapes: the published configurations; sources in docs/plan.md.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <functional>
#include <optional>

#include "base/error.h"
#include "model/config.h"

namespace moebius::model {

namespace {

struct Shape {
  i64 vocab, d_model, layers, heads, kv_heads, head_dim, experts, top_k, width;
};

ModelConfig make(const std::string& name, const Shape& shape) {
  ModelConfig config;
  config.name = name;
  config.vocab = shape.vocab;
  config.d_model = shape.d_model;
  config.layers = shape.layers;
  config.attention.heads = shape.heads;
  config.attention.kv_heads = shape.kv_heads;
  config.attention.head_dim = shape.head_dim;
  config.experts.experts = shape.experts;
  config.experts.top_k = shape.top_k;
  config.experts.width = shape.width;
  config.init_std = 0.02;  // of nearly all published models; those that use another value set it
  return config;
}

ModelConfig mixtral(const std::string& name, const Shape& shape, i64 sequence) {
  ModelConfig config = make(name, shape);
  config.sequence_max = sequence;
  config.attention.rope_base = 1e6;
  return config;
}

ModelConfig olmoe(const std::string& name) {
  ModelConfig config = make(name, {50304, 2048, 16, 16, 16, 128, 64, 8, 1024});
  config.attention.qk_norm = config.attention.qk_norm_whole = true;
  config.router.renormalise = false;
  config.losses.balance_average_layers = true;
  return config;
}

ModelConfig qwen3(const std::string& name, const Shape& shape) {
  ModelConfig config = make(name, shape);
  config.sequence_max = 40960;
  config.norm_epsilon = 1e-6;
  config.attention.rope_base = 1e6;
  config.attention.qk_norm = true;
  config.losses = {.balance_coefficient = 0.001, .z_coefficient = 0};
  return config;
}

ModelConfig deepseek_moe(const std::string& name) {
  ModelConfig config = make(name, {102400, 2048, 28, 16, 16, 128, 64, 6, 1408});
  config.norm_epsilon = 1e-6;
  config.init_std = 0.006;
  config.experts.shared_experts = 2;
  config.experts.dense_layers_first = 1;
  config.experts.dense_width = 10944;
  config.router.renormalise = false;
  config.losses = {.balance_coefficient = 0.001, .z_coefficient = 0};
  return config;
}

ModelConfig megrez2(const std::string& name) {
  ModelConfig config = make(name, {122880, 2048, 31, 16, 4, 128, 64, 6, 1408});
  config.sequence_max = 32768;
  config.attention.rope_base = 1e6;
  config.experts.shared_experts = 4;
  config.experts.dense_layers_first = 1;
  config.experts.dense_width = 10944;
  config.experts.bank_layers = 3;
  config.router.score = RouterScore::sigmoid;
  config.router.bias_rate = 1e-3;
  config.router.previous_layer = true;
  config.losses = {.balance_coefficient = 1e-4, .z_coefficient = 0};
  return config;
}

ModelConfig flame_moe(const std::string& name, i64 layers, i64 d, i64 dense_width, i64 width) {
  ModelConfig config = make(name, {50304, d, layers, 16, 16, d / 16, 64, 6, width});
  config.sequence_max = 2048;
  config.norm_epsilon = 1e-6;
  config.experts.shared_experts = 2;
  config.experts.dense_layers_first = 1;
  config.experts.dense_width = dense_width;
  config.router.renormalise = false;
  return config;
}

struct Preset {
  const char* name;
  std::function<ModelConfig(const std::string&)> make;
};

const std::vector<Preset>& presets() {
  static const std::vector<Preset> table = {
      {"mixtral-8x7b",
       [](const std::string& n) {
         return mixtral(n, {32000, 4096, 32, 32, 8, 128, 8, 2, 14336}, 32768);
       }},
      {"mixtral-8x22b",
       [](const std::string& n) {
         return mixtral(n, {32000, 6144, 56, 48, 8, 128, 8, 2, 16384}, 65536);
       }},
      {"olmoe-1b-7b", olmoe},
      {"qwen3-30b-a3b",
       [](const std::string& n) {
         return qwen3(n, {151936, 2048, 48, 32, 4, 128, 128, 8, 768});
       }},
      {"qwen3-235b-a22b",
       [](const std::string& n) {
         return qwen3(n, {151936, 4096, 94, 64, 4, 128, 128, 8, 1536});
       }},
      {"deepseek-moe-16b", deepseek_moe},
      {"megrez2-3x7b-a3b", megrez2},
      {"flame-moe-38m-100m", [](const std::string& n) { return flame_moe(n, 9, 256, 1368, 176); }},
      {"flame-moe-98m-349m", [](const std::string& n) { return flame_moe(n, 9, 512, 2736, 352); }},
      {"flame-moe-115m-459m", [](const std::string& n) { return flame_moe(n, 12, 512, 2736, 352); }},
      {"flame-moe-290m-1.3b", [](const std::string& n) { return flame_moe(n, 9, 1024, 5472, 704); }},
      {"flame-moe-419m-2.2b", [](const std::string& n) { return flame_moe(n, 15, 1024, 5472, 704); }},
      {"flame-moe-721m-3.8b", [](const std::string& n) { return flame_moe(n, 12, 1536, 8208, 1056); }},
      {"flame-moe-1.7b-10.3b", [](const std::string& n) { return flame_moe(n, 18, 2048, 10944, 1408); }},
  };
  return table;
}

// Short names for the best known of a kind.
struct Alias {
  const char *name, *preset;
};
constexpr Alias kAliases[] = {{"mixtral", "mixtral-8x7b"},
                              {"olmoe", "olmoe-1b-7b"},
                              {"qwen3-moe", "qwen3-30b-a3b"},
                              {"deepseek-moe", "deepseek-moe-16b"},
                              {"megrez2", "megrez2-3x7b-a3b"}};

// arXiv 2508.18672, from the authors' launch scripts: 16 layers, all MoE, expert width 2d, heads of 128, MHA.
ModelConfig optimal_sparsity(i64 d, i64 experts, i64 top_k) {
  ModelConfig config = make(fmt::format("optimal-sparsity-d{}-E{}-k{}", d, experts, top_k),
                            {99584, d, 16, d / 128, d / 128, 128, experts, top_k, 2 * d});
  // Softmax over the chosen logits; a single choice needs the softmax before it, else its gate is the constant 1.
  config.router.softmax_before_top_k = top_k == 1;
  config.router.renormalise = top_k > 1;
  return config;
}

// "d512" -> 512 when the word is `prefix` and a positive number.
std::optional<i64> number_after(std::string_view word, std::string_view prefix) {
  if (word.substr(0, prefix.size()) != prefix) return std::nullopt;
  word.remove_prefix(prefix.size());
  i64 value = 0;
  const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (code != std::errc() || end != word.data() + word.size() || value < 1 || value > 1 << 20) return std::nullopt;
  return value;
}

std::string size_label(i64 count) {
  const double value = static_cast<double>(count);
  if (value >= 1e9) return fmt::format("{:.1f}B", value / 1e9);
  return fmt::format("{}M", std::llround(value / 1e7) * 10);
}

// "optimal-sparsity[-math|-code]-d512-E64-k2[-1.7B-A170M]"; nothing when the name is no such pattern.
std::optional<ModelConfig> parse_optimal_sparsity(const std::string& name) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('-', begin), name.size());
    words.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  if (words.size() < 5 || words[0] != "optimal" || words[1] != "sparsity") return std::nullopt;
  const std::size_t at = words[2] == "math" || words[2] == "code" ? 3 : 2;
  if (words.size() != at + 3 && words.size() != at + 5) return std::nullopt;
  const auto d = number_after(words[at], "d"), experts = number_after(words[at + 1], "E"),
             top_k = number_after(words[at + 2], "k");
  if (!d || !experts || !top_k) return std::nullopt;
  if (*d % 128 != 0) {
    throw Error({.where = name,
                 .what = "the presets of this family have heads of 128",
                 .wanted = "d divisible by 128",
                 .got = words[at]});
  }
  ModelConfig config = optimal_sparsity(*d, *experts, *top_k);
  config.resolve();
  if (words.size() == at + 5) {
    const std::string label = optimal_sparsity_label(config);
    const std::string given = words[at + 3] + "-" + words[at + 4];
    if (label.size() < given.size() || label.substr(label.size() - given.size()) != given) {
      throw Error({.where = name,
                   .what = "the sizes in the name differ from those of the model",
                   .wanted = label,
                   .got = given});
    }
  }
  config.name = name;
  return config;
}

[[noreturn]] void unknown_preset(const std::string& name) {
  const std::vector<std::string> names = preset_names();
  throw Error(
      {.where = "preset",
       .what = fmt::format("unknown preset '{}'", name),
       .wanted = fmt::format("one of: {}, or optimal-sparsity-d{{512,1024,2048}}-E{{8..256}}-k{{2..16}}",
                             fmt::join(names.begin(), names.begin() + static_cast<i64>(presets().size()), ", ")),
       .fix = nearest_advice(name, names, "moebius plan --list prints all presets")});
}

}  // namespace

ModelConfig preset_config(const std::string& name) {
  for (const Alias& alias : kAliases) {
    if (name == alias.name) return preset_config(alias.preset);
  }
  for (const Preset& preset : presets()) {
    if (name != preset.name) continue;
    ModelConfig config = preset.make(name);
    config.resolve();
    return config;
  }
  if (auto config = parse_optimal_sparsity(name)) return *config;
  unknown_preset(name);
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.emplace_back(preset.name);
  for (const Alias& alias : kAliases) names.emplace_back(alias.name);
  for (const i64 d : {512, 1024, 2048}) {
    for (i64 experts = 8; experts <= (d == 2048 ? 128 : 256); experts *= 2) {
      for (const i64 top_k : {2, 4, 8, 16}) {
        if (top_k <= experts) names.push_back(fmt::format("optimal-sparsity-d{}-E{}-k{}", d, experts, top_k));
      }
    }
  }
  return names;
}

std::string optimal_sparsity_label(const ModelConfig& config) {
  const ModelCounts counts = count_model(config, 4096);
  return fmt::format("optimal-sparsity-math-d{}-E{}-k{}-{}-A{}", config.d_model, config.experts.experts,
                     config.experts.top_k, size_label(counts.parameters_total), size_label(counts.parameters_active));
}

}  // namespace moebius::model
