// Seeds, then tokens down to a half, then models, then tokens again.
// In, out: study_fit.h.
#include "study/study_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/units.h"

namespace moebius::study {

namespace {

constexpr double kTokensBeforeModels = 0.5;  // share of the tokens below which models are left out first
constexpr i64 kTokensShareLeast = 64;        // and never below this part of them
constexpr double kReserve = 0.95;            // of the minutes: the laws and the report come after the runs

class Fitting {
 public:
  Fitting(const StudySpec& spec, const std::function<double(const StudyPlan&)>& seconds_of)
      : spec_(spec), seconds_of_(seconds_of), limit_(spec.minutes * 60 * kReserve) {
    StudyPlan plan = plan_study(spec);
    step_ = train_options(spec, plan.runs.front()).batch_tokens;
  }

  StudyFit run(std::optional<i64> tokens_kept) {
    StudyFit fit = fit_all(spec_);
    if (tokens_kept) fit.tokens = *tokens_kept;
    while (seconds(fit) > limit_ && fit.seeds > kSeedsWanted) --fit.seeds;
    for (;;) {
      if (seconds(fit) <= limit_) break;
      if (!tokens_kept && fit_tokens(fit, kTokensBeforeModels)) break;
      if (leave_out_model(fit)) continue;
      if (!tokens_kept && fit_tokens(fit, 0)) break;
      fit.fits = false;
      break;
    }
    fit.seconds = seconds(fit);
    return fit;
  }

 private:
  // Infinite for tokens that the study's branches or steps cannot have.
  double seconds(const StudyFit& fit) const {
    try {
      return seconds_of_(plan_fitted(spec_, fit));
    } catch (const Error&) {
      return std::numeric_limits<double>::infinity();
    }
  }

  bool valid(const StudyFit& fit) const { return std::isfinite(seconds(fit)); }

  // The most tokens, in whole steps, from `share` of the tokens of the study file up. False when even the fewest do not fit.
  bool fit_tokens(StudyFit& fit, double share) const {
    i64 low = std::max<i64>(1, spec_.tokens / kTokensShareLeast / step_);
    low = std::max(low,
                   static_cast<i64>(std::ceil(share * static_cast<double>(spec_.tokens) / static_cast<double>(step_))));
    i64 high = std::max(low, spec_.tokens / step_);
    StudyFit tried = fit;
    const auto at = [&](i64 steps) {
      tried.tokens = steps * step_;
      return tried;
    };
    while (low < high && !valid(at(low))) low = std::min(high, 2 * low);
    if (seconds(at(low)) > limit_) {
      if (share == 0) fit.tokens = low * step_;
      return false;
    }
    while (high - low > high / 200) {
      const i64 middle = low + (high - low + 1) / 2;
      if (seconds(at(middle)) <= limit_) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    fit.tokens = low * step_;
    return true;
  }

  // The most expensive of those that are not essential.
  bool leave_out_model(StudyFit& fit) const {
    double most = 0;
    std::string most_expensive;
    for (const StudyModel& model : spec_.models) {
      if (model.essential || std::count(fit.models_left_out.begin(), fit.models_left_out.end(), model.name) > 0)
        continue;
      StudyFit without = fit;
      without.models_left_out.push_back(model.name);
      const double saved = seconds(fit) - seconds(without);
      if (!most_expensive.empty() && saved <= most) continue;
      most = saved;
      most_expensive = model.name;
    }
    if (most_expensive.empty()) return false;
    fit.models_left_out.push_back(most_expensive);
    return true;
  }

  const StudySpec& spec_;
  const std::function<double(const StudyPlan&)>& seconds_of_;
  double limit_;
  i64 step_ = 1;
};

}  // namespace

StudyFit fit_all(const StudySpec& spec) {
  StudyFit fit;
  fit.minutes = spec.minutes;
  fit.tokens_asked = fit.tokens = spec.tokens;
  fit.seeds = static_cast<i64>(spec.seeds.size());
  return fit;
}

StudyFit fit_to_minutes(const StudySpec& spec, const std::function<double(const StudyPlan&)>& seconds_of,
                        std::optional<i64> tokens_kept) {
  return Fitting(spec, seconds_of).run(tokens_kept);
}

StudyPlan plan_fitted(const StudySpec& spec, const StudyFit& fit) {
  StudySpec fitted = spec;
  fitted.tokens = fit.tokens;
  if (fit.tokens != spec.tokens && spec.learning_rate.sweep_tokens > 0) {
    const double share = static_cast<double>(fit.tokens) / static_cast<double>(spec.tokens);
    fitted.learning_rate.sweep_tokens =
        std::max<i64>(1, std::llround(share * static_cast<double>(spec.learning_rate.sweep_tokens)));
  }
  StudyPlan plan = plan_study(fitted);
  const auto& out = fit.models_left_out;
  for (PlannedRun& run : plan.runs) {
    if (run.role == records::RunRole::sweep) continue;
    const auto seed = std::find(spec.seeds.begin(), spec.seeds.end(), run.seed);
    run.left_out = seed - spec.seeds.begin() >= fit.seeds || std::count(out.begin(), out.end(), run.config.name) > 0;
  }
  return plan;
}

std::string fit_text(const StudySpec& spec, const StudyFit& fit) {
  if (fit.whole(spec)) return "";
  std::vector<std::string> parts;
  if (fit.tokens != fit.tokens_asked) {
    parts.push_back(
        fmt::format("each run has {} tokens instead of {}", format_exact(fit.tokens), format_exact(fit.tokens_asked)));
  }
  if (!fit.models_left_out.empty()) {
    parts.push_back(fmt::format("left out: {}", fmt::join(fit.models_left_out, ", ")));
  }
  if (fit.seeds != static_cast<i64>(spec.seeds.size())) {
    parts.push_back(fmt::format("{} of {} seeds", fit.seeds, spec.seeds.size()));
  }
  return fmt::format("To stay within {:g} minutes on this machine: {}.{}", fit.minutes, fmt::join(parts, "; "),
                     fit.fits ? "" : " It is still expected to take longer.");
}

}  // namespace moebius::study
