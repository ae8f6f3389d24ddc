// Rows and sentences about laws.
#include "report/tables_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"
#include "report/figures_fit.h"

namespace moebius::report {

namespace {

Cell verdict_cell(const std::string& verdict) {
  switch (knowledge_of(verdict)) {
    case Knowledge::determined: return {verdict, "good wrap"};
    case Knowledge::partly: return {verdict, "wrap"};
    case Knowledge::none: return {verdict, "warn wrap"};
  }
  return verdict;
}

std::string count_or(double value, const std::string& otherwise = "-") {
  return std::isfinite(value) ? format_count(value) : otherwise;
}

std::string percent_or(double share) { return std::isfinite(share) ? fmt::format("{:.2f} %", 100 * share) : "-"; }

// "-5.2 [-7, -3]" or "not determined", the interval beside it when there is one.
Cell coefficient_cell(const FitCoefficient& c) {
  if (c.determined && std::isfinite(c.value.estimate)) return {interval_text(c.value), "effect"};
  std::string text = "not determined";
  if (c.value.known()) text += fmt::format(" [{}, {}]", number_text(c.value.low), number_text(c.value.high));
  return {text, "muted"};
}

Cell term_cell(const FitTaskLaw& law, const std::string& name) {
  for (const FitCoefficient& c : law.coefficients) {
    if (c.name == name) return coefficient_cell(c);
  }
  return {"-", "muted"};
}

std::string model_text(const FitChoice& m) {
  std::string text = std::isfinite(m.d_model) ? fmt::format("width {:g}", std::round(m.d_model)) : "a model";
  if (std::isfinite(m.layers)) text += fmt::format(", {:g} layers", std::round(m.layers));
  if (m.experts > 1) text += fmt::format(", {:g} experts with {:g} per token", m.experts, m.top_k);
  if (m.experts <= 1) text += ", dense";
  return text + fmt::format(": {} parameters, {} active, trained on {} tokens", count_or(m.parameters_total, "?"),
                            count_or(m.parameters_active.estimate, "?"), count_or(m.tokens, "?"));
}

}  // namespace

Table table_laws(const FitRecords& fit) {
  Table table{.title = "Laws and what these runs say of them"};
  table.columns = {
      {"law", false, ""},
      {"form", false, ""},
      {"verdict", false, "whether the runs hold what the law's coefficients need"},
      {"runs", true, ""},
      {"objective", true, "what the fit minimised, at its optimum"},
      {"held-out error", true, "mean of abs(predicted - measured) / measured over runs the fit had not seen"},
      {"AIC", true, "lower is better; comparable on equal data only"}};
  for (const FitLaw& law : fit.laws) {
    table.rows.push_back({law.law,
                          {law.formula, "wrap"},
                          verdict_cell(law.verdict),
                          count_or(law.runs),
                          number_text(law.objective),
                          percent_or(law.holdout_error),
                          std::isfinite(law.aic) ? fmt::format("{:.1f}", law.aic) : "-"});
  }
  for (const auto& [law, reason] : fit.skipped) {
    table.rows.push_back({law, {"", "muted"}, {"not fitted: " + reason, "muted wrap"}, "-", "-", "-", "-"});
  }
  if (!fit.comparison_verdict.empty()) table.note = "Comparison: " + fit.comparison_verdict + ".";
  return table;
}

std::vector<std::string> law_notes(const FitRecords& fit) {
  std::vector<std::string> notes;
  for (const FitLaw& law : fit.laws) {
    for (const std::string& note : law.notes) {
      // What the data's reader says stands at every law.
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
    }
  }
  return notes;
}

Table table_coefficients(const FitRecords& fit) {
  Table table{.title = "Coefficients"};
  table.columns = {{"law", false, ""},
                   {"coefficient", false, ""},
                   {"value and 95 % interval", false, "percentiles of the bootstrap"},
                   {"why not", false, ""}};
  for (const FitLaw& law : fit.laws) {
    for (const FitCoefficient& c : law.coefficients) {
      table.rows.push_back({law.law, c.name, coefficient_cell(c), {c.determined ? "" : c.note, "muted wrap"}});
    }
  }
  return table;
}

Table table_task_laws(const FitRecords& fit) {
  Table table{.title = "Task laws"};
  table.columns = {{"task", false, ""},
                   {"measure", false, ""},
                   {"verdict", false, ""},
                   {"link", false, ""},
                   {"for each nat of training loss", false, "change of eta, inside the link"},
                   {"for each e-fold of FLOPs", false, "change of eta at equal loss and TPP"},
                   {"for each e-fold of TPP", false, "change of eta at equal loss and FLOPs"},
                   {"error left out", true, "root mean square over configurations left out one at a time"},
                   {"of the mean", true, "the same error of the others' mean: a law must be better"}};
  for (const FitTaskLaw& law : fit.task_laws) {
    table.rows.push_back({law.task, metric_label(law.measure), verdict_cell(law.verdict),
                          law.link.empty() ? "-" : law.link, term_cell(law, "train_loss"), term_cell(law, "flops"),
                          term_cell(law, "tpp"), number_text(law.holdout_error),
                          number_text(law.holdout_error_constant)});
  }
  return table;
}

Table table_turning_points(const FitRecords& fit) {
  Table table{.title = "Tests for a turning point as experts are added"};
  table.columns = {{"task", false, ""},
                   {"measure", false, ""},
                   {"over", false, ""},
                   {"runs", false, "all else equal"},
                   {"verdict", false, ""},
                   {"shape", false, ""},
                   {"p, adjusted", true, "after Holm's correction"},
                   {"at", false, "with its 95 % interval"}};
  std::vector<FitTurn> turns = fit.turning_points;
  std::stable_partition(turns.begin(), turns.end(), [](const FitTurn& turn) { return turn.found; });
  for (const FitTurn& turn : turns) {
    const bool open = turn.verdict.rfind("not determined", 0) == 0;
    table.rows.push_back({turn.task,
                          metric_label(turn.measure),
                          metric_label(turn.x == "train_loss" ? "train.loss_final" : turn.x),
                          {turn.family, "wrap"},
                          {turn.verdict, turn.found ? "good wrap"
                                         : open     ? "warn wrap"
                                                    : "wrap"},
                          turn.shape,
                          number_text(turn.p_adjusted),
                          turn.found ? interval_text(turn.at) : "-"});
  }
  return table;
}

Table table_choices(const FitRecords& fit) {
  Table table{
      .title = fmt::format("The optimum of each law for {} training FLOPs, before it is made a shape that can be built",
                           flops_text(fit.recommended.compute))};
  table.columns = {{"law", false, ""},
                   {"width", true, ""},
                   {"layers", true, ""},
                   {"experts", true, ""},
                   {"k", true, ""},
                   {"total", true, "parameters"},
                   {"active", true, "parameters"},
                   {"active, 95 %", false, "over bootstrap samples"},
                   {"tokens", true, ""},
                   {"loss", true, "by the law"},
                   {"why not", false, ""}};
  for (const FitChoice& c : fit.recommended.choices) {
    const auto whole = [](double v) { return std::isfinite(v) ? fmt::format("{:g}", std::round(v)) : "-"; };
    const Interval& active = c.parameters_active;
    table.rows.push_back({c.law,
                          whole(c.d_model),
                          whole(c.layers),
                          whole(c.experts),
                          whole(c.top_k),
                          count_or(c.parameters_total),
                          count_or(active.estimate),
                          active.known() ? format_count(active.low) + " to " + format_count(active.high) : "not known",
                          count_or(c.tokens),
                          number_text(c.loss),
                          {c.reason, "muted wrap"}});
  }
  return table;
}

std::vector<std::string> recommended_sentences(const FitRecords& fit) {
  const FitRecommended& r = fit.recommended;
  if (!r.present) {
    return {
        "No model is recommended: fit.json holds no recommendation. 'moebius study' writes one after its runs; 'moebius "
        "plan --compute FLOPS --fit fit.json' plans with these laws."};
  }
  std::vector<std::string> sentences;
  const bool known = r.has_model && knowledge_of(r.verdict) != Knowledge::none;
  if (known) {
    sentences.push_back(fmt::format("For {} training FLOPs: {}.", flops_text(r.compute), model_text(r.model)));
    if (!r.verdict.empty()) sentences.push_back("Verdict: " + r.verdict + ".");
  } else {
    sentences.push_back("No model is recommended: " + (r.verdict.empty() ? "no verdict is given" : r.verdict) + ".");
  }
  sentences.insert(sentences.end(), r.reasons.begin(), r.reasons.end());
  return sentences;
}

std::string fit_summary(const FitRecords& fit) {
  if (!fit.present || fit.laws.empty()) return "";
  std::vector<std::string> by[3];
  for (const FitLaw& law : fit.laws) by[static_cast<int>(knowledge_of(law.verdict))].push_back(law.law);
  std::string text = "Of the loss laws that can be asked of these runs,";
  for (const Knowledge k : {Knowledge::determined, Knowledge::partly, Knowledge::none}) {
    const auto& names = by[static_cast<int>(k)];
    if (!names.empty())
      text += fmt::format("{} {} {} {}", text.back() == ',' ? "" : ";", joined(names), names.size() == 1 ? "is" : "are",
                          knowledge_name(k));
  }
  return text + ".";
}

}  // namespace moebius::report
