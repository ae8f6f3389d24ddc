// Which run of a study begins next, and how many train side by side. In: a plan, and what has ended. Out: indices into its
// runs. Trials come before all others, seeds one after the other, trunks before their branches, the dearest first, so that the last
// ones to end are short. Trains nothing.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "study/study_plan.h"

namespace moebius::study {

// Runs side by side, each with threads / jobs threads. `wanted` 0: one a thread where no step of the study has more than
// 2e10 FLOPs (threads that share so little work lose more by handing it to each other), else one; never more than
// there are runs, or than fit 70 % of the memory that is available. Throws Error when `wanted` do not fit.
i64 choose_jobs(const StudyPlan& plan, i64 wanted, i64 threads);

// The time of runs with their evaluations, and whether another seed has room in the study's minutes.
class SeedBudget {
 public:
  // `records`: of the study; runs that are done count as they took then.
  SeedBudget(const StudyPlan& plan, const std::string& records);

  bool known(const std::string& run) const { return known_.count(run) > 0; }  // whether its time stands in the records

  // To be asked before each run, in the order of seeds. Runs that are under way count with what they have taken so far.
  bool has_room(const PlannedRun& run);

  void begin(const PlannedRun& run);
  // After a run. Returns the seconds that count: those that it took now, or, skipped, then.
  double end(const PlannedRun& run, bool skipped);

 private:
  void add(const PlannedRun& run, double seconds, double& all, double& first_seed) const;

  const StudyPlan& plan_;
  std::map<std::string, double> known_;
  std::map<const PlannedRun*, i64> began_ns_;
  double spent_ = 0, first_seed_ = 0;  // of all jobs together
  i64 seed_ = -1;
  bool open_ = true;
};

class RunQueue {
 public:
  explicit RunQueue(const StudyPlan& plan);

  // The next run that may begin now, -1: none before another has ended (or none at all).
  i64 next();
  void ended(i64 run);
  bool trials_ended() const { return trials_open_ == 0; }
  bool finished() const { return open_ == 0; }

 private:
  bool may_begin(const PlannedRun& run) const;

  const StudyPlan& plan_;
  std::vector<i64> waiting_;        // in their order
  std::set<std::string> ended_;     // names
  i64 trials_open_ = 0, open_ = 0;  // not ended
};

}  // namespace moebius::study
