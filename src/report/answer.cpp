// The three sentences that a page begins with: what was asked, what was found, what cannot be told.
#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "report/summary.h"

namespace moebius::report {

namespace {

using records::HypothesisVerdict;
using records::Outcome;

// "at equal ... falls" as a clause: without its full stop.
std::string clause(std::string text) {
  while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.pop_back();
  return text;
}

std::string with_effect(const HypothesisVerdict& one) {
  std::string text = "\"" + clause(one.text) + "\"";
  if (one.effect.known()) text += fmt::format(" ({}: {})", one.effect_name, interval_text(one.effect));
  return text;
}

std::string verdict_list(const records::Verdicts& verdicts, Outcome outcome,
                         std::string (*text)(const HypothesisVerdict&)) {
  std::vector<std::string> parts;
  for (const HypothesisVerdict& one : verdicts.hypotheses) {
    if (one.outcome == outcome) parts.push_back(text(one));
  }
  return joined(parts);
}

std::string found(const StudyRecords& study) {
  if (study.study.get_array("hypotheses").empty()) return "The study states no hypothesis; its numbers are below.";
  if (!study.verdicts || study.verdicts->hypotheses.empty()) return "The hypotheses have not been tested yet.";
  const std::string yes = verdict_list(*study.verdicts, Outcome::supported, with_effect),
                    no = verdict_list(*study.verdicts, Outcome::refuted, with_effect);
  if (yes.empty() && no.empty())
    return "None of the hypotheses is resolved: every effect is within noise or untestable.";
  std::string text = yes.empty() ? "" : "Supported: " + yes + ".";
  if (!no.empty()) text += (text.empty() ? "Refuted: " : " Refuted: ") + no + ".";
  return text;
}

std::string open(const StudyRecords& study) {
  std::string text;
  if (study.verdicts) {
    const std::string unresolved = verdict_list(*study.verdicts, Outcome::unresolved, [](const HypothesisVerdict& one) {
      return fmt::format("\"{}\" ({})", clause(one.text), one.reason);
    });
    if (!unresolved.empty()) text = "Unresolved: " + unresolved + ". ";
  }
  Range total, tokens;
  for (const RunRecords* run : study.main_runs()) {
    total.add(metric_of(*run, "parameters_total").value);
    tokens.add(metric_of(*run, "tokens_total").value);
  }
  if (!total.known() || !tokens.known()) return text + "Nothing can be told about trained models: there are no runs.";
  return text +
         fmt::format("Nothing here tells how models above {} parameters, or trained on more than {} tokens, behave.",
                     format_count(total.high), format_count(tokens.high));
}

}  // namespace

Answer answer_build(const StudyRecords& study) {
  return {.asked = study.study.get_string("question", ""), .found = found(study), .open = open(study)};
}

}  // namespace moebius::report
