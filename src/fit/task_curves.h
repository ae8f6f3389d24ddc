// A task law as lines with 95 % bands: score over train loss at the runs' mean FLOPs and TPP, and over FLOPs at their mean
// train loss. In: a fitted TaskLaw with its covariance. Out: the `curves` of a task law
// in fit.json, which `report` draws as they are.
#pragma once

#include "fit/task_law.h"

namespace moebius::fit {

// A curve is empty when the law lacks its term, or without a fit. The band is that of the law's mean, not of one run.
records::TaskCurves task_curves(const TaskLaw& law);

}  // namespace moebius::fit
