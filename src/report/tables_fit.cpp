// Rows and sentences about laws.
#include "report/tables_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"
#include "report/figures_fit.h"

namespace moebius::report {

namespace {

using records::Coefficient;
using records::FittedLaw;
using records::Knowledge;
using records::TaskLaw;
using records::TurningPoint;

Cell verdict_cell(const records::Verdict& verdict) {
  return {verdict.text, verdict.knowledge == Knowledge::determined ? "good wrap"
                        : verdict.known()                          ? "wrap"
                                                                   : "warn wrap"};
}

std::string count_or(double value, const std::string& otherwise = "-") {
  return std::isfinite(value) ? format_count(value) : otherwise;
}

std::string percent_or(double share) { return std::isfinite(share) ? fmt::format("{:.2f} %", 100 * share) : "-"; }

// "-5.2 [-7, -3]" or "not determined", the interval beside it when there is one.
Cell coefficient_cell(const Interval& value, bool determined) {
  if (determined && std::isfinite(value.estimate)) return {interval_text(value), "effect"};
  std::string text = "not determined";
  if (value.known()) text += fmt::format(" [{}, {}]", number_text(value.low), number_text(value.high));
  return {text, "muted"};
}

Cell term_cell(const TaskLaw& law, const std::string& name) {
  for (const records::TaskTerm& term : law.terms) {
    if (term.name == name) return coefficient_cell(term.value, term.determined());
  }
  return {"-", "muted"};
}

std::string model_text(const records::RecommendedShape& m) {
  std::string text = std::isfinite(m.d_model) ? fmt::format("width {:g}", std::round(m.d_model)) : "a model";
  if (std::isfinite(m.layers)) text += fmt::format(", {:g} layers", std::round(m.layers));
  if (m.experts > 1) text += fmt::format(", {:g} experts with {:g} per token", m.experts, m.top_k);
  if (m.experts <= 1) text += ", dense";
  return text + fmt::format(": {} parameters, {} active, trained on {} tokens", count_or(m.parameters_total, "?"),
                            count_or(m.parameters_active, "?"), count_or(m.tokens, "?"));
}

}  // namespace

Table table_laws(const FitFile& fit) {
  Table table{.title = "Loss laws"};
  table.columns = {{"law", false, ""},
                   {"form", false, ""},
                   {"verdict", false, "whether the runs determine the law's coefficients"},
                   {"runs", true, ""},
                   {"objective", true, "what the fit minimised, at its optimum"},
                   {"held-out error", true, "mean of abs(predicted - measured) / measured over held-out runs"},
                   {"AIC", true, "lower is better; comparable on equal data only"}};
  for (const FittedLaw& law : fit.loss.laws) {
    table.rows.push_back({law.law,
                          {law.formula, "wrap"},
                          verdict_cell(law.verdict),
                          format_count(static_cast<double>(law.runs)),
                          number_text(law.objective),
                          percent_or(law.holdout_error()),
                          std::isfinite(law.aic) ? fmt::format("{:.1f}", law.aic) : "-"});
  }
  for (const auto& [law, reason] : fit.loss.skipped) {
    table.rows.push_back({law, {"", "muted"}, {"not fitted: " + reason, "muted wrap"}, "-", "-", "-", "-"});
  }
  if (!fit.loss.comparison.verdict.empty()) table.note = "Comparison: " + fit.loss.comparison.verdict + ".";
  return table;
}

std::vector<std::string> law_notes(const FitFile& fit) {
  std::vector<std::string> notes;
  for (const FittedLaw& law : fit.loss.laws) {
    for (const std::string& note : law.notes) {
      // The notes of the data's reader are at every law.
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
    }
  }
  return notes;
}

Table table_coefficients(const FitFile& fit) {
  Table table{.title = "Coefficients"};
  table.columns = {{"law", false, ""},
                   {"coefficient", false, ""},
                   {"value and 95 % interval", false, "percentiles of the bootstrap"},
                   {"why not", false, ""}};
  for (const FittedLaw& law : fit.loss.laws) {
    for (const Coefficient& c : law.coefficients) {
      table.rows.push_back(
          {law.law, c.name, coefficient_cell(c.interval(), c.determined), {c.determined ? "" : c.note, "muted wrap"}});
    }
  }
  return table;
}

Table table_task_laws(const FitFile& fit) {
  Table table{.title = "Task laws"};
  table.columns = {{"task", false, ""},
                   {"measure", false, ""},
                   {"verdict", false, ""},
                   {"link", false, ""},
                   {"for each nat of training loss", false, "change of eta, inside the link"},
                   {"for each e-fold of FLOPs", false, "change of eta at equal loss and TPP"},
                   {"for each e-fold of TPP", false, "change of eta at equal loss and FLOPs"},
                   {"error left out", true, "root mean square over configurations left out one at a time"},
                   {"of the mean", true, "the same error when the mean of the others predicts: a law must be better"}};
  for (const TaskLaw& law : fit.tasks.task_laws) {
    table.rows.push_back({law.task, metric_label(law.measure), verdict_cell(law.verdict),
                          law.link ? records::enum_name(*law.link) : "-", term_cell(law, "train_loss"),
                          term_cell(law, "flops"), term_cell(law, "tpp"), number_text(law.holdout_error),
                          number_text(law.holdout_error_constant)});
  }
  return table;
}

Table table_turning_points(const FitFile& fit) {
  Table table{.title = "Tests for a turning point as experts are added"};
  table.columns = {{"task", false, ""},
                   {"measure", false, ""},
                   {"over", false, ""},
                   {"runs", false, "all else equal"},
                   {"verdict", false, ""},
                   {"shape", false, ""},
                   {"p, adjusted", true, "after Holm's correction"},
                   {"at", false, "with its 95 % interval"}};
  std::vector<TurningPoint> turns = fit.tasks.turning_points;
  std::stable_partition(turns.begin(), turns.end(), [](const TurningPoint& turn) { return turn.found(); });
  for (const TurningPoint& turn : turns) {
    const bool open = turn.outcome == records::TurnOutcome::not_determined;
    const std::string x = turn.x == records::TurnAxis::train_loss ? "train.loss_final" : records::enum_name(turn.x);
    table.rows.push_back({turn.task,
                          metric_label(turn.measure),
                          metric_label(x),
                          {turn.family, "wrap"},
                          {turn.verdict, turn.found() ? "good wrap"
                                         : open       ? "warn wrap"
                                                      : "wrap"},
                          records::enum_name(turn.shape),
                          number_text(turn.p_adjusted),
                          turn.at ? interval_text(*turn.at) : "-"});
  }
  return table;
}

Table table_choices(const FitFile& fit) {
  Table table{.title = fmt::format(
                  "The optimum of each law for {} training FLOPs, before rounding to a shape that can be built",
                  flops_text(fit.recommended->compute))};
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
  for (const records::LawChoice& choice : fit.recommended->choices) {
    const records::RecommendedShape& c = choice.optimum;
    const auto whole = [](double v) { return std::isfinite(v) ? fmt::format("{:g}", std::round(v)) : "-"; };
    const auto [low, high] = choice.parameters_active_95;
    table.rows.push_back(
        {choice.law,
         whole(c.d_model),
         whole(c.layers),
         whole(c.experts),
         whole(c.top_k),
         count_or(c.parameters_total),
         count_or(c.parameters_active),
         std::isfinite(low) && std::isfinite(high) ? format_count(low) + " to " + format_count(high) : "not known",
         count_or(c.tokens),
         number_text(c.loss),
         {choice.reason, "muted wrap"}});
  }
  return table;
}

std::vector<std::string> recommended_sentences(const FitFile& fit) {
  if (!fit.recommended) {
    return {
        "No model is recommended: fit.json holds no recommendation. 'moebius study' writes one when its runs are done; 'moebius "
        "plan --compute FLOPS --fit fit.json' plans with these laws."};
  }
  const records::Recommendation& r = *fit.recommended;
  std::vector<std::string> sentences;
  if (r.shape && r.verdict.known()) {
    sentences.push_back(fmt::format("For {} training FLOPs: {}.", flops_text(r.compute), model_text(*r.shape)));
    sentences.push_back("Verdict: " + r.verdict.text + ".");
  } else {
    sentences.push_back("No model is recommended: " + r.verdict.reason() + ".");
  }
  sentences.insert(sentences.end(), r.reasons.begin(), r.reasons.end());
  return sentences;
}

std::string fit_summary(const FitFile& fit) {
  if (fit.loss.laws.empty()) return "";
  std::vector<std::string> by[3];
  for (const FittedLaw& law : fit.loss.laws) by[static_cast<int>(law.verdict.knowledge)].push_back(law.law);
  std::string text = "Of the loss laws whose columns these runs have,";
  for (const Knowledge k : {Knowledge::determined, Knowledge::partly, Knowledge::none}) {
    const auto& names = by[static_cast<int>(k)];
    if (!names.empty())
      text += fmt::format("{} {} {} {}", text.back() == ',' ? "" : ";", joined(names), names.size() == 1 ? "is" : "are",
                          records::enum_name(k));
  }
  return text + ".";
}

}  // namespace moebius::report
