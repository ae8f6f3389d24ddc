// Tables and JSON of plans and of the rules (rules.h).
#include "plan/plan_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"
#include "fit/optimum.h"
#include "plan/depth.h"
#include "plan/rules.h"

namespace moebius::plan {

namespace {

using fit::Law;

std::string spread_text(const Interval& interval) {
  if (!interval.known) return "unknown";
  return fmt::format("{} to {}", format_count(interval.low), format_count(interval.high));
}

std::string short_number(double value) {
  return value < 100 ? fmt::format("{:.2g}", value) : value < 1000 ? fmt::format("{:.0f}", value) : format_count(value);
}

// Exact below a trillion; beyond, no column is wide enough and --json has the digits.
std::string count_text(double parameters) {
  return parameters < 1e12 ? format_exact(std::llround(parameters)) : fmt::format("{:.4g}T", parameters / 1e12);
}

std::string tpp_text(const Choice& choice) {
  const double tpp = choice.tokens / choice.numbers.total;
  return tpp >= 1000 || tpp < 0.001 ? fmt::format("{:.1e}", tpp) : fmt::format("{:.3g}", tpp);
}

std::string value_text(const Form& form, double value) {
  return form.law == Law::leverage ? fmt::format("EL {:.2f}", value) : fmt::format("{:.4f}", value);
}

std::string granularity_text(const Form& form) {
  return form.law == Law::fine_grained || form.law == Law::leverage ? fmt::format("{:.3g}", form.granularity) : "-";
}

std::string expert_text(const Form& form) {
  return form.shared > 0 ? fmt::format("{}+{}", form.experts, form.shared) : fmt::format("{}", form.experts);
}

std::string disagreement_text(const std::vector<LawPlan>& plans) {
  const auto planned =
      std::count_if(plans.begin(), plans.end(), [](const LawPlan& plan) { return plan.optimum.has_value(); });
  if (planned < 2) return "";
  const Disagreement spread = disagreement(plans);
  const auto part = [](const char* what, const Interval& i) {
    return fmt::format("{} {} to {} (x{})", what, short_number(i.low), short_number(i.high),
                       short_number(i.high / i.low));
  };
  return fmt::format("the laws disagree: {}, {}, {}\n", part("active parameters", spread.parameters_active),
                     part("tokens", spread.tokens), part("TPP", spread.tpp));
}

// What the optima cost, where --compute does not say it: tokens alone were given, memory binds, or inference counts.
std::string costs_text(const Budget& budget, const std::vector<LawPlan>& plans) {
  std::string text;
  for (const LawPlan& plan : plans) {
    if (!plan.optimum) continue;
    const Choice& c = *plan.optimum;
    if (std::fabs(c.flops_training / budget.compute - 1) < 0.001) continue;
    text += fmt::format("  {:<13} training {:.3g}", fit::law_name(plan.fit.law), c.flops_training);
    if (plan.compute_optimal) {
      const Choice& o = *plan.compute_optimal;
      text += fmt::format(" + inference {:.3g} = {:.3g} FLOPs; compute-optimal ({} active): {:.3g}", c.flops_inference,
                          c.flops_training + c.flops_inference, format_count(o.numbers.active),
                          o.flops_training + o.flops_inference);
    }
    text += "\n";
  }
  return text.empty() ? text : "what these optima cost:\n" + text;
}

// Of the law `routed`: the parameters of the dense model with the optimum's loss; NaN of the others.
double effective_parameters(const LawPlan& plan) {
  if (plan.fit.law != Law::routed || !plan.optimum) return fit::kMissing;
  return fit::routed_effective_parameters(plan.fit.values, plan.optimum->numbers.active,
                                          static_cast<double>(plan.optimum->form.experts));
}

// Words of `text` in lines of at most 118 columns, indented by two.
std::string wrapped(const std::string& text) {
  constexpr std::size_t kColumns = 118;
  std::string out, line;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && line.size() + 1 + word.size() > kColumns - 2) {
      out += "  " + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return out + "  " + line + "\n";
}

Json depth_rule_json(const Budget& budget) {
  if (budget.geometry.width_per_layer > 0) return Json();
  Json models = Json::array();
  for (const PublishedDepth& depth : published_depths()) {
    models.push_back(Json::object(
        {{"model", depth.model}, {"d_model", depth.d_model}, {"layers", depth.layers}, {"source", depth.source}}));
  }
  return Json::object({{"rule", "least-squares line through the logarithms of width and depth"}, {"models", models}});
}

}  // namespace

std::string budget_text(const Budget& budget) {
  std::string text = "budget:";
  if (budget.compute > 0) text += fmt::format(" {:.4g} training FLOPs", budget.compute);
  if (budget.tokens > 0) text += fmt::format("{} {:.4g} training tokens", budget.compute > 0 ? "," : "", budget.tokens);
  if (budget.memory > 0)
    text += fmt::format(", {} for weights and {} positions of cache", format_bytes(budget.memory), kCachePositions);
  if (budget.inference_tokens > 0) text += fmt::format(", {:.4g} tokens of inference", budget.inference_tokens);
  if (budget.inference_assumed) {
    text += fmt::format(
        "\n  assumed above {:g} training FLOPs: a plan has the loss that --compute buys at the fewest FLOPs of training and\n"
        "  inference, and may train for more than --compute; --inference-tokens N sets N, 0 plans for training only",
        kInferenceFrom);
  }
  const std::string layers = budget.geometry.width_per_layer > 0
                                 ? fmt::format("layers = d / {:g}", budget.geometry.width_per_layer)
                                 : "layers as published models";
  text += fmt::format("\nshapes: vocabulary {}, {}, heads of 64 (of 128 from d 1024 on), attention over {} tokens\n",
                      budget.geometry.base.vocab, layers, budget.geometry.sequence);
  return text;
}

std::string laws_text(const Budget& budget, const std::vector<LawPlan>& plans) {
  std::string text = fmt::format("\n{:<13}{:>6}{:>4}{:>5}{:>8}{:>8}{:>9}{:>8}{:>9}  {:<22}{}\n", "law (optimum)", "E",
                                 "k", "G", "active", "total", "tokens", "TPP", "loss", "active, 95 %", "tokens, 95 %");
  std::string notes;
  for (const LawPlan& plan : plans) {
    const std::string word(fit::law_name(plan.fit.law));
    const std::string name = word + (plan.warnings.empty() ? "" : "*");
    if (!plan.optimum) {
      text += fmt::format("{:<13}  -  {}\n", name, plan.reason);
      continue;
    }
    const Choice& c = *plan.optimum;
    text += fmt::format("{:<13}{:>6}{:>4}{:>5}{:>8}{:>8}{:>9}{:>8}{:>9}  {:<22}{}\n", name, expert_text(c.form),
                        c.form.top_k, granularity_text(c.form), format_count(c.numbers.active),
                        format_count(c.numbers.total), format_count(c.tokens), tpp_text(c), value_text(c.form, c.value),
                        spread_text(plan.parameters_active), spread_text(plan.tokens));
    if (!plan.fit.interval_source.empty())
      notes += fmt::format("  {}: intervals from {}\n", word, plan.fit.interval_source);
    if (budget.inference_assumed && !plan.compute_optimal)
      notes += fmt::format("  {}: for training only: the law cannot trade tokens for size\n", word);
    const double dense = effective_parameters(plan);
    if (std::isfinite(dense))
      notes += fmt::format("  {}: equivalent to a dense model of {} under its law\n", word, format_count(dense));
  }
  text += disagreement_text(plans) + costs_text(budget, plans);
  const auto words = [&](auto condition) {
    std::vector<std::string> names;
    for (const LawPlan& plan : plans) {
      if (plan.optimum && condition(plan)) names.emplace_back(fit::law_name(plan.fit.law));
    }
    return fmt::format("{}", fmt::join(names, ", "));
  };
  const std::string sparsest = words([](const LawPlan& plan) { return plan.sparsest; });
  const std::string bound = words([](const LawPlan& plan) { return plan.optimum->memory_binds; });
  const std::string far = words([](const LawPlan& plan) { return !plan.warnings.empty(); });
  if (!bound.empty()) text += fmt::format("memory binds: {}\n", bound);
  if (!sparsest.empty())
    text += fmt::format("no limit to sparsity within the range of {}: the sparsest form wins; --memory limits it\n",
                        sparsest);
  if (!far.empty()) text += "*: not reliable here, see the warnings below\n";
  text +=
      "losses of different laws are for different data and tokenizers: compare only within a law; EL = C_dense / C_moe\n";
  return text + notes;
}

std::string shapes_text(const Budget& budget, const std::vector<LawPlan>& plans, i64 each) {
  std::string text =
      fmt::format("\n{:<13}{:>6}{:>5}{:>7}{:>4}{:>7}{:>5}{:>16}{:>18}{:>9}{:>8}{:>9}{:>11}\n", "built shapes", "d", "L",
                  "E", "k", "F", "G", "active", "total", "tokens", "TPP", "loss", "memory");
  for (const LawPlan& plan : plans) {
    for (std::size_t i = 0; i < plan.shapes.size() && static_cast<i64>(i) < each; ++i) {
      const Choice& c = plan.shapes[i];
      const bool moe = c.form.experts > 1;
      text +=
          fmt::format("{:<13}{:>6}{:>5}{:>7}{:>4}{:>7}{:>5}{:>16}{:>18}{:>9}{:>8}{:>9}{:>11}\n",
                      fit::law_name(plan.fit.law), c.config.d_model, c.config.layers, expert_text(c.form), c.form.top_k,
                      moe ? c.config.experts.width : c.config.experts.dense_width, granularity_text(c.form),
                      count_text(c.numbers.active), count_text(c.numbers.total), format_count(c.tokens), tpp_text(c),
                      value_text(c.form, c.value), format_bytes(memory_bytes(c.numbers)));
    }
  }
  text += fmt::format(
      "E+s: s shared experts; memory: weights and {} positions of cache in bf16; training: 18 bytes per parameter\n",
      kCachePositions);
  for (const LawPlan& plan : plans) {
    if (plan.shapes.empty()) continue;
    text += wrapped(fmt::format("{}: {}; FLOPs per token {}", fit::law_name(plan.fit.law), form_text(plan.fit.law),
                                law_flops_formula(plan.fit.law)));
  }
  if (budget.compute > 0 && budget.tokens > 0) {
    double least = 1e300, most = 0;
    for (const LawPlan& plan : plans) {
      for (const Choice& c : plan.shapes) {
        least = std::min(least, c.flops_training), most = std::max(most, c.flops_training);
      }
    }
    text += fmt::format("  with these tokens the built shapes cost {:.2f} to {:.2f} of --compute\n",
                        least / budget.compute, most / budget.compute);
  }
  if (budget.memory > 0) {
    for (const LawPlan& plan : plans) {
      if (plan.shapes.empty()) continue;
      const Choice& c = plan.shapes.front();
      const double training = 18 * c.numbers.total;
      text += fmt::format("  {}: training its first shape requires {} plus activations{}\n",
                          fit::law_name(plan.fit.law), format_bytes(training),
                          training > budget.memory ? ", more than --memory: use several devices" : ", within --memory");
    }
  }
  return text;
}

Json interval_json(const Interval& interval) {
  return interval.known ? Json(Json::Array{Json(interval.low), Json(interval.high)}) : Json();
}

Json choice_json(const Budget& budget, const Choice& choice) {
  const Form& form = choice.form;
  const bool built = choice.config.attention.head_dim > 0;
  Json json = Json::object(
      {{"d_model", choice.numbers.d_model},
       {"layers", choice.numbers.layers},
       {"experts", form.experts},
       {"shared_experts", form.shared},
       {"top_k", form.top_k},
       {"granularity", form.law == Law::fine_grained || form.law == Law::leverage ? Json(form.granularity) : Json()},
       {"parameters_total", choice.numbers.total},
       {"parameters_active", choice.numbers.active},
       {"tokens", choice.tokens},
       {"tpp", choice.tokens / choice.numbers.total},
       {form.law == Law::leverage ? "leverage" : "loss", choice.value},
       {"flops_training", choice.flops_training},
       {"flops_formula", law_flops_formula(form.law)},
       {"memory_bytes", memory_bytes(choice.numbers)},
       {"training_bytes", 18 * choice.numbers.total},
       {"memory_binds", choice.memory_binds}});
  if (budget.inference_tokens > 0) json.set("flops_inference", choice.flops_inference);
  if (built) {
    json.set("d_model", choice.config.d_model);
    json.set("layers", choice.config.layers);
    json.set("parameters_total", std::llround(choice.numbers.total));
    json.set("parameters_active", std::llround(choice.numbers.active));
    json.set("config", choice.config.to_json());
    json.set("in_range", !choice.extrapolated);
  }
  return json;
}

Json budget_json(const Budget& budget) {
  const auto given = [](double value) { return value > 0 ? Json(value) : Json(); };
  return Json::object({{"compute", given(budget.compute)},
                       {"tokens", given(budget.tokens)},
                       {"memory_bytes", given(budget.memory)},
                       {"inference_tokens", given(budget.inference_tokens)},
                       {"inference_assumed", budget.inference_assumed},
                       {"vocab", budget.geometry.base.vocab},
                       {"width_per_layer", given(budget.geometry.width_per_layer)},
                       {"depth_rule", depth_rule_json(budget)},
                       {"sequence", budget.geometry.sequence}});
}

Json laws_json(const Budget& budget, const std::vector<LawPlan>& plans) {
  Json laws = Json::array();
  for (const LawPlan& plan : plans) {
    Json shapes = Json::array();
    for (const Choice& shape : plan.shapes) shapes.push_back(choice_json(budget, shape));
    const double effective = effective_parameters(plan);
    laws.push_back(
        Json::object({{"law", fit::law_name(plan.fit.law)},
                      {"fit", plan.fit.name},
                      {"source", plan.fit.source},
                      {"validity", plan.fit.validity},
                      {"form", form_text(plan.fit.law)},
                      {"reason", plan.reason.empty() ? Json() : Json(plan.reason)},
                      {"optimum", plan.optimum ? choice_json(budget, *plan.optimum) : Json()},
                      {"compute_optimal", plan.compute_optimal ? choice_json(budget, *plan.compute_optimal) : Json()},
                      {"interval_source", plan.fit.interval_source.empty() ? Json() : Json(plan.fit.interval_source)},
                      {"sparsest", plan.sparsest},
                      {"parameters_effective", std::isfinite(effective) ? Json(effective) : Json()},
                      {"parameters_active_95", interval_json(plan.parameters_active)},
                      {"parameters_total_95", interval_json(plan.parameters_total)},
                      {"tokens_95", interval_json(plan.tokens)},
                      {"value_95", interval_json(plan.value)},
                      {"experts_95", interval_json(plan.experts)},
                      {"shapes", shapes},
                      {"warnings", plan.warnings}}));
  }
  return laws;
}

std::string rates_text(const Choice& choice, const std::vector<RateRule>& rules) {
  const Rate rate = choose_rate(rules);
  std::string text = fmt::format("{:<12}{:>11}{:>12}  {}\n", "rule", "peak rate", "batch", "range (in brackets)");
  double low = 1e300, high = 0;
  for (const RateRule& rule : rules) {
    low = std::min(low, rule.learning_rate), high = std::max(high, rule.learning_rate);
    text += fmt::format("{:<12}{:>11.3g}{:>12}  {}\n", rule.name, rule.learning_rate,
                        rule.batch_tokens > 0 ? format_count(rule.batch_tokens) : "-",
                        rule.warning.empty() ? "inside" : "OUTSIDE: " + rule.warning);
  }
  text += fmt::format("the rules disagree by x{:.2g} in the rate; used: {:.3g} with batches of {} tokens\n", high / low,
                      rate.learning_rate, format_count(rate.batch_tokens));
  text += wrapped("from " + rate.source);
  const double tpp = choice.tokens / choice.numbers.total;
  text += wrapped(fmt::format(
      "weight decay {:.2g} would give AdamW the timescale of Bergsma et al. 2025, 1.084 TPP^-0.527 of the run "
      "(dense models; TPP {:.3g})",
      timescale_weight_decay(rate, choice.tokens, tpp), tpp));
  return text;
}

std::string skill_text(const SkillPlan& plan, i64 shapes) {
  std::string text = fmt::format("\nrule for {}\n", plan.skill) + wrapped(skill_rule_text(plan.skill));
  text += fmt::format("{:<13}{:>6}{:>4}{:>7}{:>4}{:>16}{:>18}{:>9}{:>8}{:>11}{:>12}\n", "", "d", "L", "E", "k",
                      "active", "total", "tokens", "TPP", "FLOPs", "Abnar loss");
  for (std::size_t i = 0; i < plan.shapes.size() && static_cast<i64>(i) < std::max<i64>(shapes, 7); ++i) {
    const Choice& c = plan.shapes[i];
    text += fmt::format("{:<13}{:>6}{:>4}{:>7}{:>4}{:>16}{:>18}{:>9}{:>8.3g}{:>11.3g}{:>12.4f}{}\n",
                        i == 0 ? "the pick" : "", c.config.d_model, c.config.layers, c.form.experts, c.form.top_k,
                        format_exact(std::llround(c.numbers.active)), format_exact(std::llround(c.numbers.total)),
                        format_count(c.tokens), c.tokens / c.numbers.total, c.flops_training, c.value,
                        c.extrapolated ? "*" : "");
  }
  if (std::any_of(plan.shapes.begin(), plan.shapes.end(), [](const Choice& c) { return c.extrapolated; }))
    text += "*: outside the range of the law's runs: the loss is an extrapolation\n";
  for (const std::string& warning : plan.warnings) text += wrapped(warning);
  return text;
}

Json skill_json(const Budget& budget, const SkillPlan& plan) {
  Json shapes = Json::array();
  for (const Choice& shape : plan.shapes) shapes.push_back(choice_json(budget, shape));
  return Json::object({{"skill", plan.skill},
                       {"rule", skill_rule_text(plan.skill)},
                       {"source", "Nakamura et al. 2025, arXiv 2508.18672"},
                       {"shapes", shapes},
                       {"warnings", plan.warnings}});
}

Json rates_json(const std::vector<RateRule>& rules) {
  Json list = Json::array();
  for (const RateRule& rule : rules) {
    list.push_back(Json::object({{"rule", rule.name},
                                 {"source", rule.source},
                                 {"formula", rule.formula},
                                 {"learning_rate", rule.learning_rate},
                                 {"batch_tokens", rule.batch_tokens > 0 ? Json(rule.batch_tokens) : Json()},
                                 {"warning", rule.warning.empty() ? Json() : Json(rule.warning)}}));
  }
  return list;
}

std::string side_text(const std::vector<SideNote>& notes) {
  std::string text = notes.empty() ? "" : "\nother rules (for information only)\n";
  for (const SideNote& note : notes) text += wrapped(note.text + ": " + note.source);
  return text;
}

Json side_json(const std::vector<SideNote>& notes) {
  Json list = Json::array();
  for (const SideNote& note : notes) list.push_back(Json::object({{"source", note.source}, {"text", note.text}}));
  return list;
}

}  // namespace moebius::plan
