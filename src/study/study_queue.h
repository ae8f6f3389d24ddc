// Which run of a study begins next, and how many train side by side. In: a plan, and what has ended. Out: indices into its
// runs. Trials come before all others, seeds one after the other, trunks before their branches, the most expensive first, so that the last
// ones to end are short. Trains nothing.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "study/study_plan.h"

namespace moebius::study {

// Runs side by side, each with threads / jobs threads. `wanted` 0: one a thread where no step of the study has more than
// 2e10 FLOPs (sharing so little work between threads costs more than it gains), else one; never more than there are
// runs, or than fit 70 % of the memory that is available. Throws Error when `wanted` do not fit.
i64 choose_jobs(const StudyPlan& plan, i64 wanted, i64 threads);

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
