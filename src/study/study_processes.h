// Input and results of the processes of a study. In: the plan, the shared data; out: run files, one for each process, and the times
// that processes measure before the first run. How a run file is executed: run_file.h.
#pragma once

#include <string>

#include "study/run_file.h"
#include "study/study_data.h"
#include "study/study_plan.h"
#include "study/study_time.h"

namespace moebius::study {

// Where a branch begins, in the study's folder.
std::string branch_folder(const std::string& folder, const PlannedRun& run);

// `threads`: of all jobs together.
RunFile run_file_of(const StudyPlan& plan, const PlannedRun& run, const StudyFiles& files, const std::string& folder,
                    int threads);

// Times the shapes of shapes_to_time(), plan.jobs at a time as the runs will be.
// `files`: without them (nullptr) evaluations are not timed. `program`: this executable.
ShapeTimes time_shapes(const StudyPlan& plan, const StudyFiles* files, const std::string& program);

}  // namespace moebius::study
