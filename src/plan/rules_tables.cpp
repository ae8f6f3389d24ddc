// Text and JSON of the rules.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"
#include "plan/plan_tables.h"
#include "plan/rules.h"

namespace moebius::plan {

namespace {

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

}  // namespace

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
    text += fmt::format("{:<13}{:>6}{:>4}{:>7}{:>4}{:>16}{:>18}{:>9}{:>8.3g}{:>11.3g}{:>12.4f}\n",
                        i == 0 ? "the pick" : "", c.config.d_model, c.config.layers, c.form.experts, c.form.top_k,
                        format_exact(std::llround(c.numbers.active)), format_exact(std::llround(c.numbers.total)),
                        format_count(c.tokens), c.tokens / c.numbers.total, c.flops_training, c.value);
  }
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
