// Names, formulas, sources, needs and values of the laws. The published coefficients are in law_published.cpp, the
// formulas themselves in law_terms.h.
#include "fit/law.h"

#include <algorithm>

#include "base/check.h"
#include "base/options.h"
#include "fit/law_terms.h"

namespace moebius::fit {

namespace {

struct LawText {
  Law law;
  const char* name;
  const char* formula;
  const char* source;
  const char* meaning;
  std::vector<std::string> needs;
  std::vector<std::string> coefficients;
};

const std::vector<LawText>& texts() {
  static const std::vector<LawText> table = {
      {Law::chinchilla,
       "chinchilla",
       "L = E + A/N^alpha + B/D^beta",
       "Hoffmann et al. 2022, arXiv 2203.15556, equation 2",
       "N: all parameters of a dense model, embedding included (parameters_total)",
       {"parameters_total", "tokens"},
       {"E", "A", "B", "alpha", "beta"}},
      {Law::fine_grained,
       "fine-grained",
       "L = c + (g/G^gamma + a)/N^alpha + b/D^beta",
       "Krajewski et al. 2024, arXiv 2402.07871, equation 9",
       "N: all parameters without embedding and router (parameters_total); G = d_ff/d_expert; the expansion rate E is fixed",
       {"parameters_total", "tokens", "granularity"},
       {"c", "g", "gamma", "a", "alpha", "b", "beta"}},
      {Law::abnar,
       "abnar",
       "L = a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e, S = (E-K)/E",
       "Abnar et al. 2025, arXiv 2501.12370, equation 6",
       "N: all parameters (parameters_total); S: share of idle experts, shared ones are never idle",
       {"parameters_total", "tokens", "experts", "top_k"},
       {"a", "alpha", "b", "beta", "c", "lambda", "d", "delta", "gamma", "e"}},
      {Law::joint,
       "joint",
       "L = a Eh^delta N^(alpha + gamma ln Eh) + b Eh^omega D^(beta + zeta ln Eh) + c, "
       "1/Eh = 1/(E - 1 + 1/(1/Es - 1/Em)) + 1/Em",
       "Ludziejewski et al. 2025, arXiv 2502.05172",
       "N: active parameters with embedding and head (parameters_active); E: experts of a layer, top-1 routing",
       {"parameters_active", "tokens", "experts"},
       {"a", "alpha", "delta", "gamma", "b", "beta", "omega", "zeta", "Es", "Em", "c"}},
      {Law::routed,
       "routed",
       "log10 L = a log10 N + b log10 Eh + c log10 N log10 Eh + d, 1/Eh = 1/(E - 1 + 1/(1/Es - 1/Em)) + 1/Em",
       "Clark et al. 2022, arXiv 2202.01169",
       "N: parameters of the dense base model, which a token uses (parameters_active); E: experts; all runs see equally many tokens",
       {"parameters_active", "experts"},
       {"a", "b", "c", "d", "Es", "Em"}},
      {Law::leverage,
       "leverage",
       "EL = Ah^(a + d log10 C + gamma (log2 G)^2 + beta log2 G), 1/Ah = 1/(A + 1/(1/As - 1/Am)) + 1/Am",
       "Ling team 2025, arXiv 2507.17702",
       "EL = C_dense/C_moe at equal loss; A: share of experts that a token uses, shared ones counted ((top_k + s)/(experts + s)); "
       "G = 2 d_model/d_expert; C: training FLOPs without embedding (flops)",
       {"flops", "experts", "top_k", "granularity"},
       {"a", "d", "gamma", "beta", "As", "Am"}},
      {Law::flame,
       "flame",
       "L = E + A/N^alpha + B/D^beta",
       "Kang et al. 2025 (FLAME-MoE), arXiv 2505.20225",
       "N: active parameters (parameters_active)",
       {"parameters_active", "tokens"},
       {"E", "A", "B", "alpha", "beta"}},
  };
  return table;
}

const LawText& text_of(Law law) {
  const auto at = std::ranges::find_if(texts(), [&](const LawText& text) { return text.law == law; });
  CHECK(at != texts().end(), "every law has a text");
  return *at;
}

// A dense model may be written with no, zero or one expert.
double experts_of(const LawPoint& p) { return p.experts < 1 ? 1.0 : p.experts; }

}  // namespace

double point_density(const LawPoint& p) {
  const double shared = point_number(p, "experts_shared");
  return p.experts <= 1 ? 1.0 : (p.top_k + shared) / (p.experts + shared);
}

double point_number(const LawPoint& p, std::string_view column) {
  if (column == "parameters_total") return p.parameters_total;
  if (column == "parameters_active") return p.parameters_active;
  if (column == "tokens") return p.tokens;
  if (column == "flops") return p.flops;
  if (column == "experts") return experts_of(p);
  if (column == "top_k") return p.experts <= 1 ? 1.0 : p.top_k;
  if (column == "experts_shared") return p.experts_shared > 0 ? p.experts_shared : 0.0;
  if (column == "granularity") return p.granularity;
  if (column == "parameters_embedding") return p.parameters_embedding;
  CHECK(column == "loss", "no such column");
  return p.loss;
}

std::string_view law_name(Law law) { return text_of(law).name; }
std::string_view law_formula(Law law) { return text_of(law).formula; }
std::string_view law_source(Law law) { return text_of(law).source; }
std::string_view law_meaning(Law law) { return text_of(law).meaning; }
std::vector<std::string> law_needs(Law law) { return text_of(law).needs; }
const std::vector<std::string>& law_coefficients(Law law) { return text_of(law).coefficients; }

const std::vector<Law>& all_laws() {
  static const std::vector<Law> laws = [] {
    std::vector<Law> all;
    for (const LawText& text : texts()) all.push_back(text.law);
    return all;
  }();
  return laws;
}

Law law_from_name(std::string_view name) {
  std::vector<std::string> names;
  for (const LawText& text : texts()) names.emplace_back(text.name);
  return all_laws()[index_of_word(name, names, "law", "law")];
}

double law_value(Law law, const std::vector<double>& coefficients, const LawPoint& p) {
  CHECK(coefficients.size() == law_coefficients(law).size(), "as many coefficients as the law has");
  const double* c = coefficients.data();
  switch (law) {
    case Law::chinchilla: return chinchilla_loss(c, p.parameters_total, p.tokens);
    case Law::flame: return chinchilla_loss(c, p.parameters_active, p.tokens);
    case Law::fine_grained: return fine_grained_loss(c, p.parameters_total, p.tokens, p.granularity);
    case Law::abnar: return abnar_loss(c, p.parameters_total, p.tokens, point_density(p));
    case Law::joint: return joint_loss(c, p.parameters_active, p.tokens, experts_of(p));
    case Law::routed: return routed_loss(c, p.parameters_active, experts_of(p));
    case Law::leverage: return leverage_value(c, point_density(p), p.granularity, p.flops);
  }
  CHECK(false, "a law without a value");
  return kMissing;
}

}  // namespace moebius::fit
