// Running a study: data, learning-rate trials, runs with their evaluations, report. In: a plan, a folder. Out: the
// folder as docs/formats.md lays it out. Every step that is done is recognised and skipped.
#pragma once

#include <map>
#include <string>

#include "study/study_data.h"
#include "study/study_plan.h"

namespace moebius::study {

// Times three training steps (random tokens) of the cheapest and of the dearest configuration: model name -> seconds a
// token. Also measures the roof into the plan.
std::map<std::string, double> time_configurations(StudyPlan& plan);

struct StudyResult {
  i64 runs_done = 0, runs_skipped = 0;
  double seconds = 0;        // of this process
  double train_seconds = 0;  // of all runs, over all processes
  double wall_seconds = 0;  // the same with all that training does between its first and last step, but for evaluations
  double idle_seconds = 0;  // of jobs that waited for the last of the others, in this process
  double roofline_seconds = 0;  // that the steps of all runs ask for
  double roof_seconds = 0;      // model FLOPs of all runs / roof
  std::string fit;              // path of fit.json
  std::string report;           // path of the page
  // What training reached over its whole time, as the report says it too; a job's idle time is lost.
  double roof_share() const { return over_whole_time(roof_seconds); }
  double roofline_ratio() const { return over_whole_time(roofline_seconds); }
  double over_whole_time(double reached) const {
    return wall_seconds > 0 ? reached / (wall_seconds + idle_seconds) : 0;
  }
  Json to_json() const;
};

// Threads: those of this process (base/parallel.h) are shared out to plan.jobs runs at a time. Throws Error; what was done before stays.
StudyResult run_study_plan(StudyPlan& plan, const std::string& folder);

}  // namespace moebius::study
