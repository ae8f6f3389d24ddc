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

// Fills seconds_estimated of every run. The time of a shape that was not timed is interpolated between its neighbours in
// time at the roofline (model/roofline.h), linear between logarithms.
void estimate_seconds(StudyPlan& plan, const ShapeTimes& times);

// From the first run to the end of the last, without those that are left out or in `done`.
double seconds_of_runs(const StudyPlan& plan, const std::set<std::string>& done = {});

}  // namespace moebius::study
