// Which part of a study fits its time limit: all of it, fewer seeds, fewer tokens, fewer models, in this order, but at
// least three seeds of the essential models. In: the study, the time of each shape; out: a decision, which study.json
// keeps, so that a resumed study trains the same runs. Measures nothing: study_time.h.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "study/study_plan.h"

namespace moebius::study {

inline constexpr i64 kSeedsWanted = 3;  // a verdict needs as many (report)

struct StudyFit {
  double minutes = 0;    // the limit; 0: none
  i64 tokens_asked = 0;  // of each run, as the study file says
  i64 tokens = 0;        // of each run, as trained
  i64 seeds = 0;         // the first of the study's seeds
  std::vector<std::string> models_left_out;
  double seconds = 0;  // expected, of the runs with their evaluations
  bool fits = true;    // false: even the smallest form is expected to take longer

  bool whole(const StudySpec& spec) const {
    return tokens == tokens_asked && seeds == static_cast<i64>(spec.seeds.size()) && models_left_out.empty();
  }
  void visit(records::Fields& f) {
    f("minutes", minutes)("tokens_asked", tokens_asked)("tokens", tokens)("seeds", seeds);
    f("models_left_out", models_left_out)("seconds_expected", seconds)("fits", fits);
  }
};

// Everything, without a limit.
StudyFit fit_all(const StudySpec& spec);

// `seconds_of` gives the expected seconds of a plan's runs that are not left out. `tokens_kept`: those of a study that
// has begun, which no longer change. The study file's `essential` models and their first three seeds are never left
// out.
StudyFit fit_to_minutes(const StudySpec& spec, const std::function<double(const StudyPlan&)>& seconds_of,
                        std::optional<i64> tokens_kept);

// The plan of what is left: tokens of runs and trials in proportion, the rest marked left_out.
StudyPlan plan_fitted(const StudySpec& spec, const StudyFit& fit);

// One or two sentences for the table and the report; empty when nothing is left out.
std::string fit_text(const StudySpec& spec, const StudyFit& fit);

}  // namespace moebius::study
