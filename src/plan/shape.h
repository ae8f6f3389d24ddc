// The model forms of the laws: what each law's authors trained, as shapes that can be built at any width, and the numbers
// that the law uses, at a continuous width and exactly.
// In: a law, a vocabulary, a depth rule. Out: forms, ModelConfigs, LawPoints, FLOPs. Not for choosing among them (budget.h).
#pragma once

#include <string>
#include <vector>

#include "fit/law.h"
#include "model/config.h"

namespace moebius::plan {

// Everything of a shape but its width and depth. Widths are shares of d_model.
struct Form {
  fit::Law law = fit::Law::chinchilla;
  i64 experts = 1, top_k = 1, shared = 0;
  double width = 0;        // F / d of an expert, or of the only FFN
  double dense_width = 0;  // F / d of a dense first layer; 0: there is none
  bool gelu = false;       // two matrices instead of three
  double granularity = 1;  // as the law defines it
};

// What all shapes of a plan share: the rule for depth, and the options of the model that the user may set.
struct Geometry {
  double width_per_layer = 0;  // layers = d / this (64 in the joint and the fine-grained paper); 0: depth.h
  i64 sequence = 4096;         // for attention's FLOPs
  model::ModelConfig base;     // vocabulary, key heads, router and losses; its shape is not used
};

// Sizes of a model that laws, memory and tables use.
struct Numbers {
  double d_model = 0, layers = 0;
  double total = 0, active = 0;             // parameters; active without the router, both with embedding and head
  double embedding = 0;                     // input embedding and head together
  double total_core = 0, active_core = 0;   // without embedding, head, router and norms
  double flops_6n = 0, flops_megatron = 0;  // per token, forward and backward
  double kv_bytes_per_position = 0;         // bf16
};

// The layers of a shape, continuous.
double layers_at(const Geometry& geometry, double d_model);

// The forms among which a plan under the law chooses. `fit_name`: for laws whose published fits hold for
// one expansion rate only.
std::vector<Form> forms_of(fit::Law law, const std::string& fit_name);
// One line on the form: "SwiGLU experts of 3 d, top-1, heads of 64".
std::string form_text(fit::Law law);

// At a width that need not be buildable: continuous layers, no norms.
Numbers numbers_at(const Form& form, const Geometry& geometry, double d_model);
// Exactly, from model::count_model.
Numbers numbers_of(const model::ModelConfig& config, i64 sequence);

// Widths that can be built, rising: multiples of 64, of 128 from 1024 on and of 256 from 4096 on.
std::vector<i64> buildable_widths();
// The form's experts at this width are within 5 % of a multiple of 32, so that rounding leaves it that form, and the user's
// key heads, if any, divide the heads.
bool buildable(const Form& form, const Geometry& geometry, i64 d_model);
// The shape of the form at a buildable width: heads of 64 (of 128 from d 1024 on), expert widths rounded to multiples of
// 32, layers rounded to whole ones. Resolved.
model::ModelConfig build(const Form& form, const Geometry& geometry, i64 d_model);

// The point at which the law is evaluated, with the law's own meaning of N and G.
fit::LawPoint law_point(const Form& form, const Numbers& numbers, double tokens);
// Granularity of a built shape by the law's definition.
double law_granularity(const Form& form, const model::ModelConfig& config);
// FLOPs per token as the law's authors count them, and the name of that formula.
double law_flops_per_token(const Form& form, const Numbers& numbers);
const char* law_flops_formula(fit::Law law);

// Bytes to hold the model for generation: weights and the keys and values of `positions` in bf16 (2502.05172: 16k).
constexpr i64 kCachePositions = 16384;
double memory_bytes(const Numbers& numbers, i64 positions = kCachePositions);

}  // namespace moebius::plan
