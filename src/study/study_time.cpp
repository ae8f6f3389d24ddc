// Interpolation over shapes, and the queue run through without training.
// In, out: study_time.h.
#include "study/study_time.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "study/study_queue.h"

namespace moebius::study {

namespace {

constexpr double kTimingSeconds = 30;   // for all shapes that are timed
constexpr double kShareAssumed = 0.25;  // of the roofline, before anything has run
constexpr double kTimedSteps = 4;       // of a shape whose steps are long
constexpr double kShapeSeconds = 2;     // of one whose steps are short, with its evaluation
constexpr double kRoofSeconds = 0.3;    // every run measures the machine's roof

struct Shape {
  std::string model;
  double token_seconds = 0;  // at the roofline
};

// One for each model, cheapest first.
std::vector<Shape> list_shapes(const StudyPlan& plan) {
  std::map<std::string, double> shapes;
  for (const PlannedRun& run : plan.runs) {
    if (shapes.count(run.config.name) == 0) shapes[run.config.name] = roofline_seconds_per_token(plan, run);
  }
  std::vector<Shape> list;
  for (const auto& [model, seconds] : shapes) list.push_back({model, seconds});
  std::stable_sort(list.begin(), list.end(),
                   [](const Shape& a, const Shape& b) { return a.token_seconds < b.token_seconds; });
  return list;
}

// Seconds over the roofline's seconds: linear between the logarithms of the two timed shapes around `roofline`, so that a
// shape with more work than another is not estimated to be faster. Beyond the ends, in proportion to the roofline.
double interpolate(const std::vector<std::pair<double, double>>& points, double roofline) {
  const auto above = std::lower_bound(points.begin(), points.end(), std::pair{roofline, 0.0});
  const auto in_proportion = [&](const auto& end) { return end.second * roofline / end.first; };
  if (above == points.begin()) return in_proportion(points.front());
  if (above == points.end()) return in_proportion(points.back());
  const auto below = above - 1;
  if (above->first == below->first) return above->second;
  const double at = std::log(roofline / below->first) / std::log(above->first / below->first);
  if (!(below->second > 0 && above->second > 0)) return below->second + at * (above->second - below->second);
  return std::exp((1 - at) * std::log(below->second) + at * std::log(above->second));
}

}  // namespace

std::vector<std::string> shapes_to_time(const StudyPlan& plan) {
  const std::vector<Shape> shapes = list_shapes(plan);
  const double batch_tokens = static_cast<double>(train_options(plan.spec, plan.runs.front()).batch_tokens);
  double all = 0;
  for (const Shape& shape : shapes) {
    all += std::max(kShapeSeconds, kTimedSteps * shape.token_seconds * batch_tokens / kShareAssumed);
  }
  all /= static_cast<double>(plan.jobs);
  const std::size_t wanted = static_cast<std::size_t>(
      std::clamp(std::floor(static_cast<double>(shapes.size()) * kTimingSeconds / all), 1.0, 1e6));
  const std::size_t count = std::min(shapes.size(), std::max<std::size_t>(2, wanted));
  std::vector<std::string> models;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = count == 1 ? 0 : (i * (shapes.size() - 1) + (count - 1) / 2) / (count - 1);
    models.push_back(shapes[at].model);
  }
  return models;
}

void estimate_seconds(StudyPlan& plan, const ShapeTimes& times) {
  CHECK(!times.empty(), "an estimate needs one timed shape");
  std::vector<std::pair<double, double>> token_times, evaluation_times;  // over the roofline's time of a token
  double start_seconds = 0;
  const std::vector<Shape> shapes = list_shapes(plan);
  for (const Shape& shape : shapes) {
    const auto time = times.find(shape.model);
    if (time == times.end()) continue;
    token_times.push_back({shape.token_seconds, time->second.token_seconds});
    evaluation_times.push_back({shape.token_seconds, time->second.evaluation_seconds});
    start_seconds = std::max(start_seconds, time->second.start_seconds);
  }
  CHECK(!token_times.empty(), "the timed shapes are the plan's");
  std::map<std::string, double> roofline;
  for (const Shape& shape : shapes) roofline[shape.model] = shape.token_seconds;
  for (PlannedRun& run : plan.runs) {
    const double token = roofline.at(run.config.name);
    const double evaluations = static_cast<double>(evaluation_steps(plan, run).size());
    run.seconds_estimated = interpolate(token_times, token) * static_cast<double>(run.tokens_own()) +
                            interpolate(evaluation_times, token) * evaluations + start_seconds + kRoofSeconds;
  }
}

double seconds_of_runs(const StudyPlan& plan, const std::set<std::string>& done) {
  RunQueue queue(plan);
  std::vector<std::pair<double, i64>> running;  // end, run
  double now = 0;
  while (!queue.finished()) {
    const i64 next = static_cast<i64>(running.size()) < plan.jobs ? queue.next() : -1;
    if (next >= 0) {
      const PlannedRun& run = plan.runs[static_cast<std::size_t>(next)];
      const bool takes_time = !run.left_out && done.count(run.name) == 0;
      running.push_back({now + (takes_time ? run.seconds_estimated : 0), next});
      continue;
    }
    const auto first = std::min_element(running.begin(), running.end());
    now = first->first;
    queue.ended(first->second);
    running.erase(first);
  }
  return now;
}

}  // namespace moebius::study
