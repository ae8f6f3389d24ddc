// Trial models at the corners of (E, k), and inverse distance weighting between them.
// In, out: study_rates.h.
#include "study/study_rates.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
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
  double sum = 0, weights = 0, least = std::numeric_limits<double>::infinity(), most = 0;
  for (const Tuned& one : tuned) {
    if (one.config->name == config.name) return one.rate;
  }
  for (const Tuned& one : tuned) {
    if (one.config->d_model != config.d_model) continue;
    const auto log_ratio = [](i64 a, i64 b) { return std::log(static_cast<double>(a) / static_cast<double>(b)); };
    const double distance = std::hypot(log_ratio(expert_count(config), expert_count(*one.config)),
                                       log_ratio(active_count(config), active_count(*one.config)));
    if (distance == 0) return one.rate;
    least = std::min(least, one.rate);
    most = std::max(most, one.rate);
    sum += std::log(one.rate) / distance;
    weights += 1 / distance;
  }
  CHECK(weights > 0, "each width has trials");
  return std::clamp(std::exp(sum / weights), least, most);  // equal rates stay equal, in spite of rounding
}

// A configuration of one width.
struct Point {
  std::size_t index;
  i64 experts, k;
};

// The first with the smallest and the first with the largest number, in the order of the study file.
std::array<Point, 2> ends_of(const std::vector<Point>& points, i64 Point::*number) {
  const auto less = [&](const Point& a, const Point& b) { return a.*number < b.*number; };
  return {*std::min_element(points.begin(), points.end(), less), *std::max_element(points.begin(), points.end(), less)};
}

std::vector<Point> trial_points(const std::vector<Point>& points) {
  std::vector<Point> chosen;
  const auto is_chosen = [&](const auto& wanted) { return std::any_of(chosen.begin(), chosen.end(), wanted); };
  for (const Point& end : ends_of(points, &Point::experts)) {
    std::vector<Point> same_experts;
    std::copy_if(points.begin(), points.end(), std::back_inserter(same_experts),
                 [&](const Point& p) { return p.experts == end.experts; });
    for (const Point& one : ends_of(same_experts, &Point::k)) {
      if (!is_chosen([&](const Point& p) { return p.experts == one.experts && p.k == one.k; })) chosen.push_back(one);
    }
  }
  std::vector<Point> routed_points;
  std::copy_if(points.begin(), points.end(), std::back_inserter(routed_points),
               [](const Point& p) { return p.experts > 1; });
  if (routed_points.empty()) return chosen;
  for (const Point& one : ends_of(routed_points, &Point::k)) {
    if (!is_chosen([&](const Point& p) { return p.experts > 1 && p.k == one.k; })) chosen.push_back(one);
  }
  return chosen;
}

}  // namespace

std::vector<std::size_t> trial_models(const std::vector<model::ModelConfig>& configs) {
  std::map<i64, std::vector<Point>> widths;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    widths[configs[i].d_model].push_back({i, expert_count(configs[i]), active_count(configs[i])});
  }
  std::vector<std::size_t> chosen;
  for (const auto& [width, points] : widths) {
    for (const Point& point : trial_points(points)) chosen.push_back(point.index);
  }
  return chosen;
}

std::string choose_learning_rates(StudyPlan& plan, const std::map<std::string, double>& trial_losses) {
  const StudyLearningRate& rule = plan.spec.learning_rate;
  std::vector<std::string> own;
  for (const PlannedRun& run : plan.runs) {
    if (run.rate_fixed && std::find(own.begin(), own.end(), run.config.name) == own.end())
      own.push_back(run.config.name);
  }
  const std::string own_rates =
      own.empty() ? "" : fmt::format("; the study file sets that of {}", fmt::join(own, ", "));
  if (rule.value > 0) return fmt::format("{:g} for every run: {}{}", rule.value, rule.source, own_rates);
  const std::vector<Tuned> tuned = tuned_models(plan, trial_losses);
  for (PlannedRun& run : plan.runs) {
    if (run.role != records::RunRole::sweep && !run.rate_fixed)
      run.learning_rate = interpolated_rate(tuned, run.config);
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
      "and log k between the models of their width{}{}",
      fmt::join(rates, ", "), fmt::join(best, ", "), own_rates,
      at_end.empty() || rule.sweep.size() < 2
          ? ""
          : fmt::format("; the best rate of {} is at an end of the range and may lie outside of it",
                        fmt::join(at_end, ", ")));
}

}  // namespace moebius::study
