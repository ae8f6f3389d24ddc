// Families, orders, one test each, Holm's correction, verdicts.
#include "fit/turning_point.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"
#include "fit/rise_fall.h"

namespace moebius::fit {

namespace {

using records::Extremum;
using records::TurnAxis;
using records::TurnOutcome;

constexpr double kLevel = 0.05;
constexpr std::size_t kConfigurationsMin = 4;

struct Axis {
  TurnAxis name;
  bool logarithmic;
  double TaskRun::*number;
};
const Axis kAxes[] = {
    {TurnAxis::tpp, true, &TaskRun::tpp},
    {TurnAxis::parameters_total, true, &TaskRun::parameters_total},
    {TurnAxis::train_loss, false, &TaskRun::train_loss},
};

std::vector<Group> groups_of(const std::vector<TaskPoint>& points, const TaskScore& measure, const Axis& axis) {
  std::vector<Group> groups;
  for (const TaskPoint& point : points) {
    Group group;
    for (const TaskRun* run : point.runs) {
      const double x = run->*axis.number;
      group.push_back({axis.logarithmic ? std::log2(x) : x, score_of(*run, measure)->value});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

// What decides the test's outcome: the measure, the family and the order of the means, read from its smaller end.
std::string order_key(const TurningPoint& turn) {
  std::string forth, back;
  for (std::size_t i = 0; i < turn.points.size(); ++i) {
    forth += fmt::format("{:.12g} ", turn.points[i].y);
    back += fmt::format("{:.12g} ", turn.points[turn.points.size() - 1 - i].y);
  }
  return turn.task + "\n" + turn.measure + "\n" + turn.family + "\n" + std::min(forth, back);
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
    if (std::isnan(turns[i].p)) continue;
    const std::string key = order_key(turns[i]);
    auto at = std::ranges::find(tests, key, &Test::key);
    if (at == tests.end()) at = tests.insert(tests.end(), Test{turns[i].p, {}, key});
    // The simulated distribution depends on the order of reading: the larger p is used for both.
    at->p = std::max(at->p, turns[i].p);
    at->members.push_back(i);
  }
  std::ranges::stable_sort(tests, {}, &Test::p);
  double floor = 0;
  for (std::size_t i = 0; i < tests.size(); ++i) {
    floor = std::max(floor, std::min(1.0, tests[i].p * static_cast<double>(tests.size() - i)));
    for (const std::size_t member : tests[i].members) turns[member].p_adjusted = floor;
  }
  for (TurningPoint& turn : turns) turn.tests = static_cast<i64>(tests.size());
}

void judge(TurningPoint& turn) {
  const auto say = [&](TurnOutcome outcome, const std::string& why) {
    turn.outcome = outcome;
    turn.verdict = fmt::format("{}: {}", records::enum_name(outcome), why);
  };
  if (std::isnan(turn.p)) {
    return say(TurnOutcome::not_determined, turn.seeds < 2
                                                ? "one seed, so the noise is not known"
                                                : "the seeds show no noise, or x has fewer than four values");
  }
  const std::string strength = fmt::format("p = {:.2g}, {:.2g} after correction for {}", turn.p, turn.p_adjusted,
                                           format_plural(turn.tests, "test"));
  const char* extremum = records::enum_name(turn.direction);
  switch (turn.shape) {
    case TurnShape::inside:
      if (turn.p_adjusted <= kLevel)
        return say(TurnOutcome::found, fmt::format("a {} inside the range ({})", extremum, strength));
      return say(TurnOutcome::not_determined,
                 fmt::format("a {} inside the range is not significant after the correction ({})", extremum, strength));
    case TurnShape::low_end:
    case TurnShape::high_end:
      return say(TurnOutcome::none, fmt::format("the {} is at the {} end of the range", extremum,
                                                turn.shape == TurnShape::low_end ? "low" : "high"));
    case TurnShape::several: return say(TurnOutcome::none, "more than one turn");
    case TurnShape::not_determined:
      return say(TurnOutcome::not_determined, fmt::format("one of its two sides is within noise ({})", strength));
  }
}

// The test of one family along one axis.
TurningPoint test_along(const Axis& axis, const TaskScore& measure, const std::vector<TaskPoint>& points,
                        RiseFallTests& test) {
  TurningPoint turn;
  turn.task = measure.task;
  turn.skill = measure.skill;
  turn.measure = measure.measure;
  turn.family = points.front().family;
  turn.x = axis.name;
  turn.direction = measure.is_loss ? Extremum::minimum : Extremum::maximum;
  const std::vector<Group> groups = groups_of(points, measure, axis);
  turn.seeds = std::ssize(*std::ranges::min_element(groups, {}, [](const Group& group) { return group.size(); }));
  const SeedMeans means = seed_means(groups);
  const RiseFall result = test(means, turn.direction == Extremum::minimum ? -1 : 1);
  const auto unit = [&](double x) { return axis.logarithmic ? std::exp2(x) : x; };
  for (std::size_t i = 0; i < means.x.size(); ++i)
    turn.points.push_back({unit(means.x[i]), means.y[i], static_cast<i64>(means.count[i])});
  turn.seed_noise = means.deviation;
  turn.shape = result.shape;
  turn.p = result.p;
  turn.rise = result.rise;
  turn.fall = result.fall;
  turn.at = {unit(result.at.estimate), unit(result.at.low), unit(result.at.high)};
  return turn;
}

}  // namespace

std::vector<TurningPoint> find_turning_points(const std::vector<TaskRun>& runs) {
  std::vector<TurningPoint> turns;
  RiseFallTests test(0);
  for (const TaskScore& measure : task_measures(runs)) {
    if (measure.tasks > 1) continue;  // a mean over tasks has a turning point where none of them has
    const std::vector<TaskPoint> all = task_points(runs, measure);
    std::vector<std::string> families;
    for (const TaskPoint& point : all) {
      if (std::ranges::find(families, point.family) == families.end()) families.push_back(point.family);
    }
    for (const std::string& family : families) {
      std::vector<TaskPoint> points = all;
      std::erase_if(points, [&](const TaskPoint& point) { return point.family != family; });
      if (points.size() < kConfigurationsMin) continue;
      for (const Axis& axis : kAxes) turns.push_back(test_along(axis, measure, points, test));
    }
  }
  adjust(turns);
  for (TurningPoint& turn : turns) {
    judge(turn);
    if (!turn.found()) turn.at.reset();
  }
  return turns;
}

}  // namespace moebius::fit
