// Which laws are used, which model each recommends, and which law is chosen.
#include "study/study_recommend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "base/units.h"
#include "plan/budget.h"
#include "plan/budget_run.h"
#include "plan/plan_tables.h"

namespace moebius::study {

namespace {

using records::FitFile;
using records::FittedLaw;
using records::Knowledge;
using records::Recommendation;
using records::Verdict;

constexpr double kSizeRatioMax =
    10;  // ratio of the interval's ends above which the optimum is not determined (as for IsoFLOP optima)
constexpr double kLawsApart = 2;  // laws that differ by more in active parameters disagree

plan::Budget budget_of(const StudyPlan& study) {
  plan::Budget budget;
  const PlannedRun* like = nullptr;
  for (const PlannedRun& run : study.runs) {
    if (run.role != records::RunRole::main) continue;
    const double compute = run.counts.flops_per_token_megatron * static_cast<double>(run.tokens);
    if (compute <= budget.compute) continue;
    budget.compute = compute;
    like = &run;
  }
  if (like == nullptr) return budget;
  budget.geometry.sequence = study.spec.data.sequence;
  budget.geometry.width_per_layer =
      static_cast<double>(like->config.d_model) / static_cast<double>(like->config.layers);
  budget.geometry.base = plan::budget_base();
  budget.geometry.base.vocab = like->config.vocab;
  return budget;
}

// Fits of laws that these runs determine at least partly. The folder may be moved, so its path is left out.
std::vector<plan::LawFit> fits_of(const FitFile& file, std::vector<std::string>& reasons) {
  std::vector<plan::LawFit> usable;
  for (const FittedLaw& law : file.loss.laws) {
    std::optional<plan::LawFit> fit = law.verdict.known() ? plan::law_fit_of(law, "fit.json") : std::nullopt;
    if (fit) {
      usable.push_back(std::move(*fit));
    } else {
      reasons.push_back(fmt::format("{} is not used: {}", law.law, law.verdict.reason()));
    }
  }
  return usable;
}

// The law that a plan was made by.
const FittedLaw& law_of(const FitFile& file, const plan::LawPlan& plan) {
  const FittedLaw* law = file.law(fit::law_name(plan.fit.law));
  CHECK(law != nullptr, "the plans are those of the file's laws");
  return *law;
}

// Why a law's plan is no recommendation; empty: it may be one.
std::string doubt_of(const FittedLaw& law, const plan::LawPlan& plan) {
  if (!plan.optimum || plan.shapes.empty()) return plan.reason;
  const i64 all = std::ssize(law.coefficients);
  const i64 known = std::count_if(law.coefficients.begin(), law.coefficients.end(),
                                  [](const records::Coefficient& c) { return c.determined; });
  if (2 * known < all) return fmt::format("the runs determine only {} of its {} coefficients", known, all);
  const plan::Choice& optimum = *plan.optimum;
  const auto outside =
      plan::extrapolation_warnings(plan.fit, plan::law_point(optimum.form, optimum.numbers, optimum.tokens));
  if (!outside.empty()) return "its optimum is outside the range of the runs: " + outside.front();
  const plan::Interval& active = plan.parameters_active;
  if (!active.known) return "the interval of its optimum is unknown";
  if (active.high / active.low >= kSizeRatioMax) {
    return fmt::format("the interval of its optimum, {} to {} active parameters, is too wide", format_count(active.low),
                       format_count(active.high));
  }
  return "";
}

struct Candidate {
  const plan::LawPlan* plan = nullptr;
  double error = 0;  // on runs held out
};

std::vector<Candidate> candidates_of(const FitFile& file, const std::vector<plan::LawPlan>& plans,
                                     std::vector<std::string>& reasons) {
  std::vector<Candidate> candidates;
  for (const plan::LawPlan& one : plans) {
    const FittedLaw& law = law_of(file, one);
    const std::string doubt = doubt_of(law, one);
    if (!doubt.empty()) {
      reasons.push_back(fmt::format("{} recommends nothing: {}", law.law, doubt));
      continue;
    }
    // The leverage's error is one of a ratio of FLOPs and cannot be set against errors of losses: it comes last.
    const double error = one.fit.law == fit::Law::leverage ? INFINITY : law.holdout_error();
    candidates.push_back({&one, std::isfinite(error) ? error : INFINITY});
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.error < b.error; });
  return candidates;
}

void describe_choice(const FitFile& file, const std::vector<Candidate>& candidates, Recommendation& result) {
  std::vector<std::string>& reasons = result.reasons;
  const plan::LawPlan& best = *candidates.front().plan;
  const FittedLaw& law = law_of(file, best);
  reasons.push_back(fmt::format("the verdict on {}: {}", law.law, law.verdict.text));
  if (std::isfinite(candidates.front().error)) {
    reasons.push_back(fmt::format("{} predicts held-out runs within {:.2f} %{}", law.law,
                                  100 * candidates.front().error,
                                  candidates.size() > 1 ? ", the best of the laws that give a shape" : ""));
  }
  double low = INFINITY, high = 0;
  for (const Candidate& one : candidates) {
    low = std::min(low, one.plan->optimum->numbers.active);
    high = std::max(high, one.plan->optimum->numbers.active);
  }
  if (high > kLawsApart * low) {
    result.verdict = Verdict(Knowledge::partly, fmt::format("the laws' optima are {} to {} active parameters",
                                                            format_count(low), format_count(high)));
  } else if (law.verdict.knowledge == Knowledge::determined) {
    result.verdict = Verdict(Knowledge::determined);
  } else {
    result.verdict = Verdict(Knowledge::partly, "some coefficients of the law are not determined");
  }
  if (best.sparsest) reasons.push_back("the sparsest form wins: the law does not limit sparsity, memory does");
  for (const std::string& warning : best.warnings) reasons.push_back("take care: " + warning);
}

// As the plan prints them, without shapes; of a law that recommends nothing without numbers.
Json laws_shown(const plan::Budget& budget, const FitFile& file, std::vector<plan::LawPlan> plans) {
  for (plan::LawPlan& one : plans) {
    const std::string doubt = doubt_of(law_of(file, one), one);
    one.shapes.clear();
    if (doubt.empty()) continue;
    one.reason = doubt;
    one.optimum.reset();
    for (plan::Interval* interval :
         {&one.parameters_active, &one.parameters_total, &one.tokens, &one.value, &one.experts}) {
      *interval = {};
    }
  }
  return plan::laws_json(budget, plans);
}

}  // namespace

Recommendation study_recommend(const StudyPlan& study, const FitFile& file) {
  const plan::Budget budget = budget_of(study);
  Recommendation result;
  result.compute = budget.compute;
  try {
    const std::vector<plan::LawFit> fits = fits_of(file, result.reasons);
    if (fits.empty()) {
      result.verdict = Verdict(Knowledge::none, "these runs determine no law");
      return result;
    }
    const std::vector<plan::LawPlan> plans = plan::plan_budget(budget, fits);
    result.laws = laws_shown(budget, file, plans);
    const std::vector<Candidate> candidates = candidates_of(file, plans, result.reasons);
    if (candidates.empty()) {
      result.verdict = Verdict(Knowledge::none, "no law determines the size of a shape");
      return result;
    }
    const plan::LawPlan& best = *candidates.front().plan;
    describe_choice(file, candidates, result);
    result.law = fit::law_name(best.fit.law);
    result.model = plan::choice_json(budget, best.shapes.front());
  } catch (const Error& e) {
    // A budget below the smallest shape is a result, not an error of the study.
    result.verdict = Verdict(Knowledge::none, e.parts().what);
    if (!e.parts().got.empty()) result.reasons.push_back(e.parts().got);
  }
  return result;
}

}  // namespace moebius::study
