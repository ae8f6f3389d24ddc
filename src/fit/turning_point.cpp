// Families, orders, one test each, Holm's correction, verdicts.
#include "fit/turning_point.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moebius::fit {

namespace {

constexpr double kLevel = 0.05;
constexpr std::size_t kConfigurationsMin = 4;

struct Axis {
  const char* name;
  const char* label;
  bool logarithmic;
  double (*get)(const TaskRun&);
};
const Axis kAxes[] = {
    {"tpp", "tokens per parameter", true, [](const TaskRun& run) { return run.tpp; }},
    {"parameters_total", "total parameters", true, [](const TaskRun& run) { return run.parameters_total; }},
    {"train_loss", "train loss", false, [](const TaskRun& run) { return run.train_loss; }},
};

std::vector<Group> groups_of(const std::vector<TaskPoint>& points, const TaskScore& measure, const Axis& axis) {
  std::vector<Group> groups;
  for (const TaskPoint& point : points) {
    Group group;
    for (const TaskRun* run : point.runs) {
      const double x = axis.get(*run);
      group.push_back({axis.logarithmic ? std::log2(x) : x, score_of(*run, measure)->value});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

// What decides the test's outcome: the measure, the family and the order of the means, read from its smaller end.
std::string order_key(const TurningPoint& turn) {
  std::string forth, back;
  for (std::size_t i = 0; i < turn.means.y.size(); ++i) {
    forth += fmt::format("{:.12g} ", turn.means.y[i]);
    back += fmt::format("{:.12g} ", turn.means.y[turn.means.y.size() - 1 - i]);
  }
  return turn.measure.task + "\n" + turn.measure.measure + "\n" + turn.family + "\n" + std::min(forth, back);
}

// Holm 1979: the i-th smallest of m is multiplied by m - i, never falling.
void adjust(std::vector<TurningPoint>& turns) {
  struct Test {
    double p;
    std::vector<std::size_t> members;
    std::string key;
  };
  std::vector<Test> tests;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    if (std::isnan(turns[i].test.p)) continue;
    const std::string key = order_key(turns[i]);
    auto at = std::find_if(tests.begin(), tests.end(), [&](const Test& test) { return test.key == key; });
    if (at == tests.end()) at = tests.insert(tests.end(), Test{turns[i].test.p, {}, key});
    // Draws of the law differ by the order read: the larger p stands for both.
    at->p = std::max(at->p, turns[i].test.p);
    at->members.push_back(i);
  }
  std::stable_sort(tests.begin(), tests.end(), [](const Test& a, const Test& b) { return a.p < b.p; });
  double floor = 0;
  for (std::size_t i = 0; i < tests.size(); ++i) {
    floor = std::max(floor, std::min(1.0, tests[i].p * static_cast<double>(tests.size() - i)));
    for (const std::size_t member : tests[i].members) turns[member].p_adjusted = floor;
  }
  for (TurningPoint& turn : turns) turn.tests = static_cast<i64>(tests.size());
}

std::string verdict_of(const TurningPoint& turn) {
  const RiseFall& test = turn.test;
  if (std::isnan(test.p)) {
    return turn.seeds < 2 ? "not determined: one seed, so the noise is not known"
                          : "not determined: the seeds show no noise, or fewer than four values of x";
  }
  const std::string strength =
      fmt::format("p = {:.2g}, {:.2g} after correction for {} tests", test.p, turn.p_adjusted, turn.tests);
  switch (test.shape) {
    case TurnShape::inside:
      return turn.found ? fmt::format("found: a {} inside the range ({})", turn.direction, strength)
                        : fmt::format("not determined: a {} inside the range does not outlast the correction ({})",
                                      turn.direction, strength);
    case TurnShape::low_end:
    case TurnShape::high_end:
      return fmt::format("none: the {} is at the {} end of the range", turn.direction,
                         test.shape == TurnShape::low_end ? "low" : "high");
    case TurnShape::several: return "none: more than one turn";
    case TurnShape::not_determined:
      return fmt::format("not determined: one of its two sides is within noise ({})", strength);
  }
  return "";
}


}  // namespace

std::vector<TurningPoint> find_turning_points(const std::vector<TaskRun>& runs) {
  std::vector<TurningPoint> turns;
  RiseFallTests test(0);
  for (const TaskScore& measure : task_measures(runs)) {
    if (measure.tasks > 1) continue;  // a mean over tasks turns where none of them does
    const std::vector<TaskPoint> all = task_points(runs, measure);
    std::vector<std::string> families;
    for (const TaskPoint& point : all) {
      if (std::find(families.begin(), families.end(), point.family) == families.end()) families.push_back(point.family);
    }
    for (const std::string& family : families) {
      std::vector<TaskPoint> points;
      std::copy_if(all.begin(), all.end(), std::back_inserter(points),
                   [&](const TaskPoint& point) { return point.family == family; });
      if (points.size() < kConfigurationsMin) continue;
      for (const Axis& axis : kAxes) {
        TurningPoint turn;
        turn.measure = measure;
        turn.family = family;
        turn.x = axis.name;
        turn.direction = measure_is_loss(measure.measure) ? "minimum" : "maximum";
        const std::vector<Group> groups = groups_of(points, measure, axis);
        turn.means = seed_means(groups);
        turn.seeds = static_cast<i64>(groups.front().size());
        for (const Group& group : groups) turn.seeds = std::min(turn.seeds, static_cast<i64>(group.size()));
        turn.test = test(turn.means, measure_is_loss(measure.measure) ? -1 : 1);
        if (axis.logarithmic) {
          for (double& x : turn.means.x) x = std::exp2(x);
        }
        turns.push_back(std::move(turn));
      }
    }
  }
  adjust(turns);
  for (TurningPoint& turn : turns) {
    turn.found = turn.test.shape == TurnShape::inside && turn.p_adjusted <= kLevel;
    turn.verdict = verdict_of(turn);
  }
  return turns;
}

Json TurningPoint::to_json() const {
  const bool logarithmic = x != "train_loss";
  const auto unit = [&](double value) { return number_or_null(logarithmic ? std::exp2(value) : value); };
  Json rows = Json::array();
  for (std::size_t i = 0; i < means.x.size(); ++i) {
    rows.push_back(Json::object({{"x", means.x[i]}, {"y", means.y[i]}, {"runs", static_cast<i64>(means.count[i])}}));
  }
  return Json::object(
      {{"task", measure.task},
       {"skill", measure.skill},
       {"measure", measure.measure},
       {"direction", direction},
       {"x", x},
       {"family", family},
       {"found", found},
       {"shape", turn_shape_name(test.shape)},
       {"p", number_or_null(test.p)},
       {"p_adjusted", number_or_null(p_adjusted)},
       {"tests", tests},
       {"at", found ? Json::object(
                          {{"value", unit(test.at.estimate)}, {"low", unit(test.at.low)}, {"high", unit(test.at.high)}})
                    : Json()},
       {"rise", number_or_null(test.rise)},
       {"fall", number_or_null(test.fall)},
       {"seed_noise", number_or_null(means.deviation)},
       {"seeds", seeds},
       {"points", rows},
       {"verdict", verdict}});
}

}  // namespace moebius::fit
