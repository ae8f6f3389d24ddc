// Turning points of task scores: does a score rise and then fall in tokens per parameter, in total parameters or in the
// train loss, while experts are added and all else stays? In: runs with scores. Out: for each task, measure, family and
// x the test of rise_fall.h, corrected for the number of tests, with its outcome.
#pragma once

#include <string>
#include <vector>

#include "fit/task_runs.h"
#include "records/fit_file.h"

namespace moebius::fit {

using records::TurningPoint;

// Families of at least four configurations; others give no entry. Two x that put the configurations in the same order
// (or the reverse) are one test: it depends on the order only.
std::vector<TurningPoint> find_turning_points(const std::vector<TaskRun>& runs);

}  // namespace moebius::fit
