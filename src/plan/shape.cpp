// Forms, their numbers at a continuous width, and shapes that can be built.
#include "plan/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "fit/optimum.h"
#include "plan/depth.h"

namespace moebius::plan {

namespace {

using fit::Law;

constexpr i64 kExpertMultiple = 32;

// The form with `first`, twice as many, ... and `last` experts.
std::vector<Form> doubling(Form form, i64 first, i64 last) {
  std::vector<Form> forms;
  for (form.experts = first; form.experts <= last; form.experts *= 2) forms.push_back(form);
  return forms;
}

// 2402.07871: G E experts of 4 d / G, G of them used; GELU (N = d^2 (8 E + 4) a block).
std::vector<Form> fine_grained_forms(const std::string& fit_name) {
  std::vector<Form> forms;
  if (fit_name == "krajewski-dense") return {{.law = Law::fine_grained, .width = 4, .gelu = true}};
  const i64 expansion = fit_name == "krajewski-moe-e16" ? 16 : 64;
  for (i64 g = 1; g <= 64; g *= 2) {
    forms.push_back({.law = Law::fine_grained,
                     .experts = g * expansion,
                     .top_k = g,
                     .width = 4.0 / static_cast<double>(g),
                     .gelu = true,
                     .granularity = static_cast<double>(g)});
  }
  return forms;
}

// 8 of 64 to 384 experts of 2 d / 7 and a shared one, as in DeepSeek-V3 (256) and Kimi K2 (384).
std::vector<Form> modern_forms(Form form) {
  form.top_k = 8;
  form.shared = 1;
  form.width = 2.0 / 7;
  std::vector<Form> forms;
  for (const i64 experts : {64, 128, 256, 384}) {
    form.experts = experts;
    forms.push_back(form);
  }
  return forms;
}

// The law sees k / E alone, up to a sparsity of 0.98: Mixtral's form with experts of 2 d and the grid of 2508.18672, and
// the modern forms.
std::vector<Form> abnar_forms() {
  constexpr i64 kExpertsMax = 256, kSparsityMax = 32;
  std::vector<Form> forms = {{.law = Law::abnar, .width = 4}};
  for (i64 top_k = 1; top_k <= 16; top_k *= 2) {
    const auto more = doubling({.law = Law::abnar, .top_k = top_k, .width = 2}, 2 * top_k,
                               std::min(kExpertsMax, kSparsityMax * top_k));
    forms.insert(forms.end(), more.begin(), more.end());
  }
  const auto modern = modern_forms({.law = Law::abnar});
  forms.insert(forms.end(), modern.begin(), modern.end());
  return forms;
}

// Ling-mini-beta is the pattern: routed experts of 3 d / 16 and a shared one, active experts as wide as 39 / 16 d together,
// the first layer dense. G = 2 d / F; the shares of active experts go down to the law's last, 1/128. And the modern forms.
std::vector<Form> leverage_forms() {
  std::vector<Form> forms;
  constexpr double kActiveWidth = 39.0 / 16;
  for (const double share : {1.0 / 4, 1.0 / 8, 1.0 / 16, 1.0 / 32, 1.0 / 64, 1.0 / 128}) {
    for (const double granularity : {4.0, 8.0, 32.0 / 3, 16.0}) {
      const double width = 2 / granularity;
      const i64 used = std::llround(kActiveWidth / width);
      forms.push_back({.law = Law::leverage,
                       .experts = std::llround(static_cast<double>(used) / share / 8) * 8,
                       .top_k = used - 1,
                       .shared = 1,
                       .width = width,
                       .dense_width = kActiveWidth,
                       .granularity = granularity});
    }
  }
  const auto modern = modern_forms({.law = Law::leverage, .dense_width = 18.0 / 7, .granularity = 7});
  forms.insert(forms.end(), modern.begin(), modern.end());
  return forms;
}

i64 head_width(i64 d_model) { return d_model < 1024 ? 64 : 128; }

i64 round_to(double value, i64 multiple) {
  return std::max<i64>(multiple, std::llround(value / static_cast<double>(multiple)) * multiple);
}

}  // namespace

double layers_at(const Geometry& geometry, double d_model) {
  return geometry.width_per_layer > 0 ? d_model / geometry.width_per_layer : published_depth(d_model);
}

std::vector<Form> forms_of(Law law, const std::string& fit_name) {
  switch (law) {
    case Law::chinchilla: return {{.law = law, .width = 8.0 / 3}};
    case Law::fine_grained: return fine_grained_forms(fit_name);
    case Law::abnar: return abnar_forms();
    case Law::joint: return doubling({.law = law, .width = 3}, 1, 32);
    case Law::routed: return doubling({.law = law, .width = 4, .gelu = true}, 1, 512);
    case Law::leverage: return leverage_forms();
    case Law::flame:
      return {{.law = law, .experts = 64, .top_k = 6, .shared = 2, .width = 0.6875, .dense_width = 5.34375}};
  }
  CHECK(false, "a law without a form");
  return {};
}

std::string form_text(Law law) {
  switch (law) {
    case Law::chinchilla: return "dense, SwiGLU of 8/3 d";
    case Law::fine_grained: return "G E experts (E 64, or the fit's) of 4 d / G, top-G, GELU; G 1, 2, 4, ..., 64";
    case Law::abnar:
      return "dense; SwiGLU experts of 2 d, top-1, 2, 4, 8, 16 of 2 k to 32 k (E a power of two, up to 256); 8 of 64, 128, 256, 384 of "
             "2 d / 7 and a shared one; the law depends on k/E only";
    case Law::joint: return "SwiGLU experts of 3 d, top-1, E 1, 2, 4, 8, 16, 32";
    case Law::routed:
      return "GELU experts of 4 d, top-1, E 1, 2, 4, ..., 512, in every layer (the paper: every second)";
    case Law::leverage:
      return "a shared expert, the first layer dense: active width 39/16 d like Ling-mini-beta, or 8 of 64, 128, 256, 384 of 2 d / 7";
    case Law::flame: return "64 SwiGLU experts of 11/16 d, top-6, two shared, the first layer dense";
  }
  return "";
}

Numbers numbers_at(const Form& form, const Geometry& geometry, double d) {
  const double matrices = form.gelu ? 2 : 3;
  const model::AttentionConfig& attention = geometry.base.attention;
  const double head = static_cast<double>(head_width(static_cast<i64>(d)));
  const double kv = attention.kv_heads > 0 ? std::min(d, static_cast<double>(attention.kv_heads) * head) : d;
  Numbers n;
  n.d_model = d;
  n.layers = layers_at(geometry, d);
  n.embedding = 2 * static_cast<double>(geometry.base.vocab) * d;
  const double dense = form.dense_width > 0 ? std::min(1.0, n.layers) : 0, moe = n.layers - dense;
  const double fixed = n.layers * (2 * d * d + 2 * d * kv) + dense * matrices * form.dense_width * d * d;
  const double expert = moe * matrices * form.width * d * d;
  const double stored = static_cast<double>(form.experts + form.shared),
               used = static_cast<double>(form.top_k + form.shared);
  n.total_core = fixed + stored * expert;
  n.active_core = fixed + used * expert;
  n.active = n.embedding + n.active_core;
  const double router = form.experts > 1 ? moe * d * static_cast<double>(form.experts) : 0;
  n.total = n.embedding + n.total_core + router;
  n.flops_6n = 6 * n.active;
  n.flops_megatron = 6 * (n.active - n.embedding / 2) + 12 * n.layers * d * static_cast<double>(geometry.sequence);
  n.kv_bytes_per_position = 4 * n.layers * kv;
  return n;
}

Numbers numbers_of(const model::ModelConfig& config, i64 sequence) {
  const model::ModelCounts counts = model::count_model(config, sequence);
  const double d = static_cast<double>(config.d_model), layers = static_cast<double>(config.layers);
  Numbers n;
  n.d_model = d;
  n.layers = layers;
  n.total = static_cast<double>(counts.parameters_total);
  n.active = static_cast<double>(counts.parameters_active);
  n.embedding = 2 * static_cast<double>(counts.parameters_embedding);
  const double router = static_cast<double>(counts.parameters_active_router - counts.parameters_active);
  const double norms = (2 * layers + 1) * d;
  n.total_core = n.total - n.embedding - router - norms;
  n.active_core = n.active - n.embedding - norms;
  n.flops_6n = counts.flops_per_token_6n;
  n.flops_megatron = counts.flops_per_token_megatron;
  n.kv_bytes_per_position = counts.kv_bytes_per_position;
  return n;
}

bool buildable(const Form& form, const Geometry& geometry, i64 d_model) {
  const i64 heads = d_model / head_width(d_model), kv_heads = geometry.base.attention.kv_heads;
  if (kv_heads > 0 && heads % kv_heads != 0) return false;
  const double width = form.width * static_cast<double>(d_model);
  return std::fabs(static_cast<double>(round_to(width, kExpertMultiple)) / width - 1) < 0.05;
}

std::vector<i64> buildable_widths() {
  std::vector<i64> widths;
  for (i64 d = 64; d <= 65536; d += d < 1024 ? 64 : d < 4096 ? 128 : 256) widths.push_back(d);
  return widths;
}

model::ModelConfig build(const Form& form, const Geometry& geometry, i64 d_model) {
  const double d = static_cast<double>(d_model);
  model::ModelConfig config = geometry.base;
  config.d_model = d_model;
  config.layers = std::max<i64>(2, std::llround(layers_at(geometry, d)));
  config.attention.head_dim = head_width(d_model);
  config.attention.heads = d_model / config.attention.head_dim;
  config.sequence_max = std::max(config.sequence_max, geometry.sequence);
  config.experts = {};
  config.experts.experts = form.experts;
  config.experts.top_k = form.top_k;
  config.experts.shared_experts = form.shared;
  config.experts.width = round_to(form.width * d, kExpertMultiple);
  config.experts.dense_width =
      round_to((form.experts > 1 && form.dense_width > 0 ? form.dense_width : form.width) * d, kExpertMultiple);
  config.experts.dense_layers_first = form.experts > 1 && form.dense_width > 0 ? 1 : 0;
  config.experts.activation = form.gelu ? model::Activation::gelu : model::Activation::swiglu;
  if (form.top_k == 1) {  // a renormalised single gate would be the constant 1
    config.router.renormalise = false;
    config.router.softmax_before_top_k = true;
  }
  config.name = form.experts > 1 ? fmt::format("{}-d{}-L{}-E{}-k{}", fit::law_name(form.law), d_model, config.layers,
                                               form.experts, form.top_k)
                                 : fmt::format("{}-d{}-L{}-dense", fit::law_name(form.law), d_model, config.layers);
  config.resolve();
  return config;
}

double law_granularity(const Form& form, const model::ModelConfig& config) {
  const double d = static_cast<double>(config.d_model), width = static_cast<double>(config.experts.width);
  if (form.law == Law::leverage) return 2 * d / width;
  return form.law == Law::fine_grained ? 4 * d / width : 1;
}

fit::LawPoint law_point(const Form& form, const Numbers& n, double tokens) {
  fit::LawPoint point;
  point.parameters_total = form.law == Law::fine_grained ? n.total_core : n.total;
  point.parameters_active = n.active;
  point.tokens = tokens;
  point.flops = law_flops_per_token(form, n) * tokens;
  point.experts = static_cast<double>(form.experts);
  point.top_k = static_cast<double>(form.top_k);
  point.granularity = form.granularity;
  point.experts_shared = static_cast<double>(form.shared);
  return point;
}

double law_flops_per_token(const Form& form, const Numbers& n) {
  if (form.law == Law::fine_grained) {
    const double experts = form.experts > 1 ? static_cast<double>(form.experts) : 0;
    return fit::fine_grained_flops_per_token(n.active_core, n.d_model, n.layers, experts);
  }
  return form.law == Law::leverage ? n.flops_megatron : n.flops_6n;
}

const char* law_flops_formula(Law law) {
  if (law == Law::fine_grained) return "6 N_core + 14 d E L";
  return law == Law::leverage ? "Megatron's" : "6 N_active";
}

double memory_bytes(const Numbers& n, i64 positions) {
  return 2 * n.total + n.kv_bytes_per_position * static_cast<double>(positions);
}

}  // namespace moebius::plan
