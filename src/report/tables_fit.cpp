// Rows and sentences about laws.
#include "report/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"
#include "report/figure_parts.h"

namespace moebius::report {

namespace {

using records::Coefficient;
using records::FittedLaw;
using records::Knowledge;
using records::TaskLaw;
using records::TurningPoint;

template <typename Row>
Cell verdict_of(const Row& law) {
  const records::Verdict& verdict = law.verdict;
  return {verdict.text, verdict.knowledge == Knowledge::determined ? "good wrap"
                        : verdict.known()                          ? "wrap"
                                                                   : "warn wrap"};
}

std::string count_or(double value, const std::string& otherwise = "-") {
  return std::isfinite(value) ? format_count(value) : otherwise;
}

std::string percent_or(double share) { return std::isfinite(share) ? fmt::format("{:.2f} %", 100 * share) : "-"; }

// "-5.2 [-7, -3]" or "not determined": the range of a coefficient that is not determined helps no reader.
Cell coefficient_cell(const Interval& value, bool determined) {
  if (determined && std::isfinite(value.estimate)) return {interval_text(value), "effect"};
  return {"not determined", "muted"};
}

template <typename Row>
auto number_of(double Row::*number) {
  return [number](const Row& row) { return number_text(row.*number); };
}

auto term_of(const char* name) {
  return [name](const TaskLaw& law) {
    const auto term = std::ranges::find(law.terms, name, &records::TaskTerm::name);
    return term == law.terms.end() ? Cell("-", "muted") : coefficient_cell(term->value, term->determined());
  };
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
  table.fill<FittedLaw>(
      fit.loss.laws, {{{"law", false}, &FittedLaw::law},
                      {{"form", false}, [](const FittedLaw& law) { return Cell(law.formula, "wrap"); }},
                      {{"verdict", false, "whether the runs determine the law's coefficients"}, verdict_of<FittedLaw>},
                      {{"runs"}, [](const FittedLaw& law) { return format_count(static_cast<double>(law.runs)); }},
                      {{"objective", true, "what the fit minimised, at its optimum"}, number_of(&FittedLaw::objective)},
                      {{"held-out error", true, "mean of abs(predicted - measured) / measured over held-out runs"},
                       [](const FittedLaw& law) { return percent_or(law.holdout_error()); }},
                      {{"AICc", true, "lower is better; comparable on equal data only"}, [](const FittedLaw& law) {
                         return std::isfinite(law.aicc) ? fmt::format("{:.1f}", law.aicc) : "-";
                       }}});
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
      if (std::ranges::find(notes, note) == notes.end()) notes.push_back(note);
    }
  }
  return notes;
}

Table table_coefficients(const FitFile& fit) {
  Table table{.title = "Coefficients"};
  table.columns = {{"law", false},
                   {"coefficient", false},
                   {"value and 95 % interval", false, "percentiles of the bootstrap"},
                   {"why it is not determined", false}};
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
  table.fill<TaskLaw>(
      fit.tasks.task_laws,
      {{{"task", false},
        // "all" is the mean over the tasks of a skill.
        [](const TaskLaw& law) { return law.task == "all" ? "mean of " + law.skill : law.task; }},
       {{"measure", false}, [](const TaskLaw& law) { return metric_label(law.measure); }},
       {{"verdict", false}, verdict_of<TaskLaw>},
       {{"link", false}, [](const TaskLaw& law) { return law.link ? records::enum_name(*law.link) : "-"; }},
       {{"for each nat of training loss", false, "change of eta, inside the link"}, term_of("train_loss")},
       {{"for each e-fold of FLOPs", false, "change of eta at equal loss and TPP"}, term_of("flops")},
       {{"for each e-fold of TPP", false, "change of eta at equal loss and FLOPs"}, term_of("tpp")},
       {{"leave-one-out error", true, "root mean square over configurations, each predicted by a fit without it"},
        number_of(&records::TaskLaw::holdout_error)},
       {{"leave-one-out error of the mean", true,
         "the same if the mean of the others is the prediction: a law must be better"},
        number_of(&records::TaskLaw::holdout_error_constant)}});
  return table;
}

Table table_turning_points(const FitFile& fit) {
  Table table{.title = "Tests for a turning point as experts are added"};
  std::vector<TurningPoint> turns = fit.tasks.turning_points;
  std::ranges::stable_partition(turns, [](const TurningPoint& turn) { return turn.found(); });
  const auto x_label = [](const TurningPoint& turn) {
    return metric_label(turn.x == records::TurnAxis::train_loss ? "train.loss_final" : records::enum_name(turn.x));
  };
  const auto verdict = [](const TurningPoint& turn) {
    const bool open = turn.outcome == records::TurnOutcome::not_determined;
    return Cell(turn.verdict, turn.found() ? "good wrap" : open ? "warn wrap" : "wrap");
  };
  table.fill<TurningPoint>(
      turns, {{{"task", false}, &TurningPoint::task},
              {{"measure", false}, [](const TurningPoint& turn) { return metric_label(turn.measure); }},
              {{"over", false}, x_label},
              {{"runs", false, "all else equal"}, [](const TurningPoint& turn) { return Cell(turn.family, "wrap"); }},
              {{"verdict", false}, verdict},
              {{"shape", false}, [](const TurningPoint& turn) { return records::enum_name(turn.shape); }},
              {{"p, adjusted", true, "after Holm's correction"}, number_of(&TurningPoint::p_adjusted)},
              {{"at", false, "with its 95 % interval"},
               [](const TurningPoint& turn) { return turn.at ? interval_text(*turn.at) : "-"; }}});
  return table;
}

Table table_choices(const FitFile& fit) {
  Table table{.title = fmt::format(
                  "The optimum of each law for {} training FLOPs, before rounding to a shape that can be built",
                  flops_text(fit.recommended->compute))};
  using Choice = records::LawChoice;
  using Shape = records::RecommendedShape;
  const auto whole = [](double Shape::*number) {
    return [number](const Choice& choice) {
      const double v = choice.optimum.*number;
      return std::isfinite(v) ? fmt::format("{:g}", std::round(v)) : "-";
    };
  };
  const auto count = [](double Shape::*number) {
    return [number](const Choice& choice) { return count_or(choice.optimum.*number); };
  };
  const auto interval = [](const Choice& choice) {
    const auto [low, high] = choice.parameters_active_95;
    return std::isfinite(low) && std::isfinite(high) ? format_count(low) + " to " + format_count(high) : "not known";
  };
  table.fill<Choice>(
      fit.recommended->choices,
      {{{"law", false}, &Choice::law},
       {{"width"}, whole(&Shape::d_model)},
       {{"layers"}, whole(&Shape::layers)},
       {{"experts"}, whole(&Shape::experts)},
       {{"k"}, whole(&Shape::top_k)},
       {{"total", true, "parameters"}, count(&Shape::parameters_total)},
       {{"active", true, "parameters"}, count(&Shape::parameters_active)},
       {{"active, 95 %", false, "over bootstrap samples"}, interval},
       {{"tokens"}, count(&Shape::tokens)},
       {{"loss", true, "by the law"}, [](const Choice& choice) { return number_text(choice.optimum.loss); }},
       {{"why it is not recommended", false}, [](const Choice& choice) { return Cell(choice.reason, "muted wrap"); }}});
  return table;
}

std::vector<std::string> recommended_sentences(const FitFile& fit) {
  if (!fit.recommended) {
    return {
        "No model is recommended: fit.json contains no recommendation. 'moebius study' writes one when its runs are done; "
        "'moebius plan --compute FLOPS --fit fit.json' plans with these laws."};
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
  std::string text = "Of the loss laws fitted to these runs,";
  for (const Knowledge k : {Knowledge::determined, Knowledge::partly, Knowledge::none}) {
    const auto& names = by[static_cast<int>(k)];
    if (!names.empty())
      text += fmt::format("{} {} {} {}", text.back() == ',' ? "" : ";", joined(names), names.size() == 1 ? "is" : "are",
                          records::enum_name(k));
  }
  return text + ".";
}

}  // namespace moebius::report
