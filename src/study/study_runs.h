// Running a study: data, learning-rate trials, runs with their evaluations, report. In: a plan, a folder. Out: the
// folder as docs/formats.md lays it out. Steps that are already done are skipped.
#pragma once

#include <string>

#include "study/study_data.h"
#include "study/study_plan.h"

namespace moebius::study {

// The plan as it will run: what fits the study's minutes, with the time of every run. A study that has begun in `folder`
// keeps its tokens and, while its minutes stay the same, all of its decision. `files`: nullptr in a dry run, whose times
// have no evaluations. `program`: this executable, started to time shapes.
StudyPlan settle_plan(const StudySpec& spec, i64 jobs, const StudyFiles* files, const std::string& folder,
                      const std::string& program);

struct StudyResult {
  i64 runs_done = 0, runs_skipped = 0;
  double seconds = 0;        // of this process
  double train_seconds = 0;  // of all runs, over all processes
  double wall_seconds =
      0;  // the same with everything that training does between its first and last step, without evaluations
  double idle_seconds = 0;      // of jobs that waited for the last of the others, in this process
  double roofline_seconds = 0;  // of the steps of all runs
  double roof_seconds = 0;      // model FLOPs of all runs / roof
  std::string fit;              // path of fit.json
  std::string report;           // path of the page
  // What training reached over its whole time, as in the report; idle time of a job counts as lost.
  double roof_share() const { return over_whole_time(roof_seconds); }
  double roofline_ratio() const { return over_whole_time(roofline_seconds); }
  double over_whole_time(double reached) const {
    return wall_seconds > 0 ? reached / (wall_seconds + idle_seconds) : 0;
  }
  void visit(records::Fields& f);  // for writing
};

// Starts `program` for each run, plan.jobs at a time, which share the threads of this process (base/parallel.h).
// Throws Error; what was done before stays.
StudyResult run_study_plan(StudyPlan& plan, const std::string& folder, const std::string& program);

}  // namespace moebius::study
