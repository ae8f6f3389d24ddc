// Which laws may speak, what they would build, and which of them is believed.
#include "study/study_recommend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/units.h"
#include "plan/budget.h"
#include "plan/budget_run.h"
#include "plan/plan_tables.h"

namespace moebius::study {

namespace {

constexpr double kSizeRatioMax = 10;  // of the interval's ends: more is no knowledge (as for IsoFLOP optima)
constexpr double kLawsApart = 2;      // laws that differ by more in active parameters disagree

bool begins(const std::string& text, const std::string& words) { return text.rfind(words, 0) == 0; }

// The law's object in fit.json.
const Json* law_in(const Json& fit, std::string_view name) {
  for (const Json& law : fit.at("laws").as_array()) {
    if (law.at("law").as_string() == name) return &law;
  }
  return nullptr;
}

plan::Budget budget_of(const StudyPlan& study) {
  plan::Budget budget;
  const PlannedRun* like = nullptr;
  for (const PlannedRun& run : study.runs) {
    if (run.role != "main") continue;
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

void path_to_name(std::string& text, const std::string& path) {
  for (std::size_t at = text.find(path); at != std::string::npos; at = text.find(path, at))
    text.replace(at, path.size(), "fit.json");
}

// Fits of laws that these runs determine at least partly.
std::vector<plan::LawFit> fits_of(const Json& fit, const std::string& path, std::vector<std::string>& reasons) {
  std::vector<plan::LawFit> all = plan::published_law_fits(), usable;
  plan::replace_from_file(all, path);
  for (plan::LawFit& one : all) {
    const Json* law = one.name == path ? law_in(fit, fit::law_name(one.law)) : nullptr;
    if (law == nullptr) continue;
    const std::string verdict = law->get_string("verdict", "");
    // The folder may be moved: its path would say nothing.
    for (std::string* text : {&one.name, &one.validity, &one.interval_source}) path_to_name(*text, path);
    for (std::string& warning : one.warnings) path_to_name(warning, path);
    if (begins(verdict, "determined") || begins(verdict, "partly determined")) {
      usable.push_back(std::move(one));
    } else {
      reasons.push_back(fmt::format("{} is not asked: {}", fit::law_name(one.law), verdict));
    }
  }
  return usable;
}

// Why a law's plan is no recommendation; empty: it may be one.
std::string doubt_of(const Json& law, const plan::LawPlan& plan) {
  if (!plan.optimum || plan.shapes.empty()) return plan.reason;
  i64 known = 0, all = 0;
  for (const auto& [name, coefficient] : law.at("coefficients").as_object()) {
    known += coefficient.get_bool("determined", false) ? 1 : 0;
    ++all;
  }
  if (2 * known < all) return fmt::format("the runs determine only {} of its {} coefficients", known, all);
  const plan::Choice& optimum = *plan.optimum;
  const auto outside =
      plan::extrapolation_warnings(plan.fit, plan::law_point(optimum.form, optimum.numbers, optimum.tokens));
  if (!outside.empty()) return "its optimum lies outside the runs: " + outside.front();
  const plan::Interval& active = plan.parameters_active;
  if (!active.known) return "the interval of its optimum is not known";
  if (active.high / active.low >= kSizeRatioMax) {
    return fmt::format("the interval of its optimum, {} to {} active parameters, says too little",
                       format_count(active.low), format_count(active.high));
  }
  return "";
}

struct Candidate {
  const plan::LawPlan* plan = nullptr;
  double error = 0;  // on runs held out
};

std::vector<Candidate> candidates_of(const Json& fit, const std::vector<plan::LawPlan>& plans,
                                     std::vector<std::string>& reasons) {
  std::vector<Candidate> candidates;
  for (const plan::LawPlan& one : plans) {
    const std::string name(fit::law_name(one.fit.law)), doubt = doubt_of(*law_in(fit, name), one);
    if (!doubt.empty()) {
      reasons.push_back(fmt::format("{} recommends nothing: {}", name, doubt));
      continue;
    }
    // The leverage's error is one of a ratio of FLOPs and cannot be set against errors of losses: it comes last.
    const double error =
        one.fit.law == fit::Law::leverage ? INFINITY : law_in(fit, name)->get_double("holdout_error", INFINITY);
    candidates.push_back({&one, std::isfinite(error) ? error : INFINITY});
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.error < b.error; });
  return candidates;
}

void describe_choice(const Json& fit, const std::vector<Candidate>& candidates, std::string& verdict,
                     std::vector<std::string>& reasons) {
  const plan::LawPlan& best = *candidates.front().plan;
  const std::string name(fit::law_name(best.fit.law));
  const std::string law_verdict = law_in(fit, name)->get_string("verdict", "");
  reasons.push_back(fmt::format("the verdict on {}: {}", name, law_verdict));
  if (std::isfinite(candidates.front().error)) {
    reasons.push_back(fmt::format("{} meets runs that it had not seen within {:.2f} %{}", name,
                                  100 * candidates.front().error,
                                  candidates.size() > 1 ? ", the best of the laws that give a shape" : ""));
  }
  double low = INFINITY, high = 0;
  for (const Candidate& one : candidates) {
    low = std::min(low, one.plan->optimum->numbers.active);
    high = std::max(high, one.plan->optimum->numbers.active);
  }
  verdict =
      begins(law_verdict, "determined") ? "determined" : "partly determined: some coefficients of the law are not";
  if (high > kLawsApart * low) {
    verdict = fmt::format("partly determined: the laws' optima are {} to {} active parameters", format_count(low),
                          format_count(high));
  }
  if (best.sparsest) reasons.push_back("the sparsest form of the law wins: it sets no end to sparsity, memory does");
  for (const std::string& warning : best.warnings) reasons.push_back("take care: " + warning);
}

// As the plan prints them; of a law that recommends nothing the numbers go too.
Json laws_shown(Json laws, const Json& fit, const std::vector<plan::LawPlan>& plans) {
  for (std::size_t i = 0; i < plans.size(); ++i) {
    Json& law = laws.as_array()[i];
    law.set("shapes", Json::array());
    const std::string doubt = doubt_of(*law_in(fit, fit::law_name(plans[i].fit.law)), plans[i]);
    if (doubt.empty()) continue;
    law.set("reason", doubt);
    for (const char* key :
         {"optimum", "parameters_active_95", "parameters_total_95", "tokens_95", "value_95", "experts_95"}) {
      law.set(key, nullptr);
    }
  }
  return laws;
}

}  // namespace

Json study_recommend(const StudyPlan& study, const std::string& fit_path) {
  const Json fit = Json::parse_file(fit_path);
  const plan::Budget budget = budget_of(study);
  std::string verdict;
  std::vector<std::string> reasons;
  Json result = Json::object({{"verdict", nullptr}, {"compute", budget.compute}, {"law", nullptr}, {"model", nullptr}});
  Json laws = Json::array();
  try {
    const std::vector<plan::LawFit> fits = fits_of(fit, fit_path, reasons);
    if (fits.empty()) {
      verdict = "not determined: these runs determine no law";
    } else {
      const std::vector<plan::LawPlan> plans = plan::plan_budget(budget, fits);
      laws = laws_shown(plan::laws_json(budget, plans), fit, plans);
      const std::vector<Candidate> candidates = candidates_of(fit, plans, reasons);
      if (candidates.empty()) {
        verdict = "not determined: no law gives a shape whose size it knows";
      } else {
        const plan::LawPlan& best = *candidates.front().plan;
        describe_choice(fit, candidates, verdict, reasons);
        result.set("law", fit::law_name(best.fit.law));
        result.set("model", plan::choice_json(budget, best.shapes.front()));
      }
    }
  } catch (const Error& e) {
    // A budget below the smallest shape, or no law with all its coefficients: an answer, no fault of the study.
    verdict = fmt::format("not determined: {}", e.parts().what);
    if (!e.parts().got.empty()) reasons.push_back(e.parts().got);
  }
  result.set("verdict", verdict);
  result.set("reasons", reasons);
  result.set("laws", laws);
  return result;
}

}  // namespace moebius::study
