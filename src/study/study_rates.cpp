// Trial models at the corners of (E, k), and inverse distance weighting between them.
// In, out: study_rates.h.
#include "study/study_rates.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace moebius::study {

namespace {

i64 expert_count(const model::ModelConfig& config) { return std::max<i64>(config.experts.experts, 1); }
bool routed(const model::ModelConfig& config) { return expert_count(config) > 1; }
i64 active_count(const model::ModelConfig& config) { return routed(config) ? config.experts.top_k : 1; }

// A model with trials.
struct Tuned {
  const model::ModelConfig* config;
  double rate;  // the best
};

// The best rate of the trials of one model.
double best_rate(const StudyPlan& plan, const std::map<std::string, double>& losses, const std::string& model) {
  double best = 0, best_loss = std::numeric_limits<double>::infinity();
  for (const PlannedRun& run : plan.runs) {
    if (run.role != records::RunRole::sweep || run.config.name != model) continue;
    const auto loss = losses.find(run.name);
    if (loss == losses.end() || !std::isfinite(loss->second) || loss->second >= best_loss) continue;
    best_loss = loss->second;
    best = run.learning_rate;
  }
  if (best == 0) {
    throw Error({.where = "learning-rate sweep",
                 .what = fmt::format("no trial of {} ended with a finite loss", model),
                 .fix = "add smaller learning rates to the sweep"});
  }
  return best;
}

std::vector<Tuned> tuned_models(const StudyPlan& plan, const std::map<std::string, double>& losses) {
  std::vector<Tuned> tuned;
  for (const PlannedRun& run : plan.runs) {
    const bool known =
        std::any_of(tuned.begin(), tuned.end(), [&](const Tuned& one) { return one.config->name == run.config.name; });
    if (run.role != records::RunRole::sweep || known) continue;
    tuned.push_back({&run.config, best_rate(plan, losses, run.config.name)});
  }
  return tuned;
}

// Shepard's method with the first power of the distance: exact at each tuned model, never outside their range, and linear
// where there are two.
double interpolated_rate(const std::vector<Tuned>& tuned, const model::ModelConfig& config) {
  double sum = 0, weights = 0;
  for (const Tuned& one : tuned) {
    if (one.config->name == config.name) return one.rate;
  }
  for (const Tuned& one : tuned) {
    if (one.config->d_model != config.d_model) continue;
    const auto log_ratio = [](i64 a, i64 b) { return std::log(static_cast<double>(a) / static_cast<double>(b)); };
    const double distance = std::hypot(log_ratio(expert_count(config), expert_count(*one.config)),
                                       log_ratio(active_count(config), active_count(*one.config)));
    if (distance == 0) return one.rate;
    sum += std::log(one.rate) / distance;
    weights += 1 / distance;
  }
  CHECK(weights > 0, "each width has trials");
  return std::exp(sum / weights);
}

}  // namespace

std::vector<std::size_t> trial_models(const std::vector<model::ModelConfig>& configs) {
  std::vector<std::size_t> chosen;
  std::vector<i64> widths;
  for (const model::ModelConfig& config : configs) {
    if (std::find(widths.begin(), widths.end(), config.d_model) == widths.end()) widths.push_back(config.d_model);
  }
  for (const i64 width : widths) {
    std::vector<std::size_t> of_width;
    for (std::size_t i = 0; i < configs.size(); ++i) {
      if (configs[i].d_model == width) of_width.push_back(i);
    }
    const auto choose = [&](std::size_t index) {
      const auto equal = [&](std::size_t other) {
        return configs[other].d_model == width && expert_count(configs[other]) == expert_count(configs[index]) &&
               active_count(configs[other]) == active_count(configs[index]);
      };
      if (std::none_of(chosen.begin(), chosen.end(), equal)) chosen.push_back(index);
    };
    // The first of the smallest and the first of the largest, in the order of the study file.
    const auto choose_ends = [&](const std::vector<std::size_t>& indices, const auto& number_of) {
      const auto less = [&](std::size_t a, std::size_t b) { return number_of(configs[a]) < number_of(configs[b]); };
      if (indices.empty()) return;
      choose(*std::min_element(indices.begin(), indices.end(), less));
      choose(*std::max_element(indices.begin(), indices.end(), less));
    };
    const auto where = [&](const auto& wanted) {
      std::vector<std::size_t> found;
      std::copy_if(of_width.begin(), of_width.end(), std::back_inserter(found),
                   [&](std::size_t i) { return wanted(configs[i]); });
      return found;
    };
    const auto by_experts = [&](std::size_t a, std::size_t b) {
      return expert_count(configs[a]) < expert_count(configs[b]);
    };
    const auto ends = std::minmax_element(of_width.begin(), of_width.end(), by_experts);
    for (const std::size_t end : {*ends.first, *ends.second}) {
      choose_ends(where([&](const model::ModelConfig& c) { return expert_count(c) == expert_count(configs[end]); }),
                  active_count);
    }
    choose_ends(where(routed), active_count);
  }
  return chosen;
}

std::string choose_learning_rates(StudyPlan& plan, const std::map<std::string, double>& trial_losses) {
  const StudyLearningRate& rule = plan.spec.learning_rate;
  if (rule.value > 0) return fmt::format("{:g} for every run: {}", rule.value, rule.source);
  const std::vector<Tuned> tuned = tuned_models(plan, trial_losses);
  for (PlannedRun& run : plan.runs) {
    if (run.role != records::RunRole::sweep) run.learning_rate = interpolated_rate(tuned, run.config);
  }
  std::vector<std::string> rates, best;
  for (const double rate : rule.sweep) rates.push_back(fmt::format("{:g}", rate));
  const auto [least, most] = std::minmax_element(rule.sweep.begin(), rule.sweep.end());
  std::vector<std::string> at_end;
  for (const Tuned& one : tuned) {
    best.push_back(fmt::format("{} (best {:g})", one.config->name, one.rate));
    if (one.rate == *least || one.rate == *most) at_end.push_back(one.config->name);
  }
  return fmt::format(
      "swept over {} at {} by the train loss at the end of each trial; the other runs use a value interpolated in log E "
      "and log k between the models of their width{}",
      fmt::join(rates, ", "), fmt::join(best, ", "),
      at_end.empty() || rule.sweep.size() < 2
          ? ""
          : fmt::format("; the best rate of {} is at an end of the range and may lie outside of it",
                        fmt::join(at_end, ", ")));
}

}  // namespace moebius::study
