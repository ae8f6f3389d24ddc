// Steps of branches.
#include "study/study_branches.h"

#include <fmt/format.h>

#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "train/schedule.h"

namespace moebius::study {

namespace {

constexpr double kDecayMin = 0.05;  // a run's final loss is the mean over its last 5 %: none of it may lie in the trunk

// Every number of steps before a decay is met: as the total grows by one, it grows by one or stays.
i64 steps_that_decay_from(i64 begin, const train::OptimizerOptions& optimizer) {
  i64 total = static_cast<i64>(std::floor(static_cast<double>(begin) / (1 - optimizer.decay_fraction))) - 2;
  for (total = std::max(total, begin + 1);; ++total) {
    const train::Schedule schedule = train::make_schedule(optimizer, total);
    CHECK(schedule.total - schedule.decay <= begin, "the search began below and goes up in steps of one at most");
    if (schedule.total - schedule.decay == begin) return total;
  }
}

}  // namespace

BranchPlan plan_branches(const StudyBranches& branches, const train::TrainOptions& options, const std::string& where) {
  const train::OptimizerOptions& given = options.optimizer;
  if (given.schedule != "wsd") {
    throw Error({.where = where + ", [branches]",
                 .what = "branches require the schedule wsd",
                 .wanted = "schedule = \"wsd\" in [train]",
                 .got = given.schedule});
  }
  if (given.decay_fraction < kDecayMin || given.decay_fraction > 0.95) {
    throw Error({.where = where + ", [branches]",
                 .what = "decay-fraction is too small or too large for branches",
                 .wanted = fmt::format("{} to 0.95 of a branch's steps", kDecayMin),
                 .got = fmt::format("{}", given.decay_fraction)});
  }
  const i64 steps = train::steps_total(options);
  BranchPlan plan;
  plan.warmup_steps = train::make_schedule(given, steps).warmup;
  train::OptimizerOptions optimizer = given;
  optimizer.warmup_steps = plan.warmup_steps;
  for (const double at : branches.at) {
    Branch branch;
    branch.at = at;
    branch.step_begin = std::llround(at * static_cast<double>(steps));
    if (branch.step_begin < std::max<i64>(1, plan.warmup_steps)) {
      throw Error({.where = where + ", [branches]",
                   .what = fmt::format("the branch at {} begins within the warm-up", at),
                   .wanted = fmt::format("at least {} of {} steps", std::max<i64>(1, plan.warmup_steps), steps),
                   .got = fmt::format("{} steps", branch.step_begin)});
    }
    branch.steps_total = steps_that_decay_from(branch.step_begin, optimizer);
    plan.trunk_steps = std::max(plan.trunk_steps, branch.step_begin);
    plan.branches.push_back(branch);
  }
  return plan;
}

}  // namespace moebius::study
