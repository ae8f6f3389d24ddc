// The loss laws of the field, each in its own published form: names, coefficients, the inputs that a law needs, its
// value. In: a point (parameters, tokens, experts, ...) and coefficients. Out: a loss, or Ling's efficiency leverage.
// Not for fitting (fit.h) and not for optima under a budget (optimum.h). Forms and sources: docs/fit.md.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace moebius::fit {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

enum class Law { chinchilla, fine_grained, abnar, joint, routed, leverage, flame };
constexpr i64 kLaws = 7;

// One run, or the point at which a law is evaluated. NaN: unknown. Each law says in law_needs() which it uses.
struct LawPoint {
  double parameters_total = kMissing;
  double parameters_active = kMissing;
  double tokens = kMissing;
  double flops = kMissing;        // of the training
  double experts = kMissing;      // E: of a layer; 1 for a dense model
  double top_k = kMissing;        // experts per token
  double granularity = kMissing;  // d_ff / d_expert (2402.07871); Ling's own definition is 2 d / d_expert (2507.17702)
  double loss = kMissing;         // nats a token; for `leverage`: C_dense / C_moe at equal loss
  double parameters_embedding = kMissing;  // of embedding and head together; a part of the other two counts
  double experts_shared =
      kMissing;  // shared experts, s, which every token uses; not part of experts and top_k; unknown: none
};

// "chinchilla", "fine-grained", "abnar", "joint", "routed", "leverage", "flame": the words of --law.
std::string_view law_name(Law law);
Law law_from_name(std::string_view name);  // throws Error that names the nearest
// The formula in plain text, as help, docs and the report print it.
std::string_view law_formula(Law law);
std::string_view law_source(Law law);
// Columns that a run must have ("parameters_total", "tokens", ...), the loss apart.
std::vector<std::string> law_needs(Law law);

// What the law means by its letters ("N: active parameters with embedding and head"); nothing is converted silently.
std::string_view law_meaning(Law law);
const std::vector<Law>& all_laws();

// The point's number for a column's name, as the laws see it: a model with no or one expert has experts = top_k = 1.
double point_number(const LawPoint& point, std::string_view column);
// (K + s)/(E + s), the share of the experts that a token uses, s shared ones counted (2507.17702, A); 1 for a dense
// model.
double point_density(const LawPoint& point);

// Names of the coefficients as the paper prints them, in the order of every coefficient vector.
const std::vector<std::string>& law_coefficients(Law law);

// A published fit of a law: "hoffmann-2022", "epoch-2024", "krajewski-moe-e64", "krajewski-dense", ... `values` in the
// order of law_coefficients.
struct PublishedFit {
  Law law;
  std::string name;
  std::vector<double> values;
  std::string source;    // paper, table
  std::string validity;  // ranges of parameters, tokens and experts that the authors fitted
};
const std::vector<PublishedFit>& published_fits();
// The fit that `plan` uses when the user names none. Throws Error for a name that does not exist.
const PublishedFit& published_default(Law law);
const PublishedFit& published_fit(std::string_view name);

// The law's value at a point; NaN when the point lacks what the law needs. `coefficients` as law_coefficients says.
double law_value(Law law, const std::vector<double>& coefficients, const LawPoint& point);

}  // namespace moebius::fit
