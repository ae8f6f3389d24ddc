// A task law as lines with 95 % bands: score over train loss at the runs' mean FLOPs and TPP, and over FLOPs at their mean
// train loss. In: a fitted TaskLaw with its covariance. Out: JSON for fit.json, which `report` draws as it is.
#pragma once

#include "fit/task_law.h"

namespace moebius::fit {

// {"over_train_loss": [{x, value, low, high}], "over_flops": [...], "at": {train_loss, flops, tpp}}; a curve is empty when
// the law lacks its term, or without a fit. The band is that of the law's mean, not of one run.
Json task_curves(const TaskLaw& law);

}  // namespace moebius::fit
