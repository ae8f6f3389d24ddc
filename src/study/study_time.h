// The time that a study will take here. In: a plan, the times of some shapes; out: seconds of every run, and of all of them
// in the order in which they run, side by side. What one shape takes: run_file.h.
#pragma once

#include <map>
#include <set>
#include <string>

#include "study/run_file.h"
#include "study/study_plan.h"

namespace moebius::study {

using ShapeTimes = std::map<std::string, ShapeTime>;  // by the model's name

// The models whose shapes are worth timing: all of them if that is quick; else some from the cheapest to the most
// expensive, between which the others are interpolated.
std::vector<std::string> shapes_to_time(const StudyPlan& plan);

// Fills seconds_estimated of every run. A shape that was not timed takes its roofline's time (model/roofline.h) times the
// ratio of time to roofline of its neighbours, linear in the logarithm of the roofline's time.
void estimate_seconds(StudyPlan& plan, const ShapeTimes& times);

// From the first run to the end of the last, without those that are left out or in `done`.
double seconds_of_runs(const StudyPlan& plan, const std::set<std::string>& done = {});

}  // namespace moebius::study
