// The model that a finished study's own laws recommend for its largest compute, with the reasons, as the key `recommended`
// of fit.json (docs/formats.md). In: the plan, the fit. Out: JSON; its verdict says "not determined" where no law that these
// runs determine gives a shape. Not for budgets of the user's choice: moebius plan --fit.
#pragma once

#include <string>

#include "base/json.h"
#include "study/study_plan.h"

namespace moebius::study {

// A law may recommend when half of its coefficients or more are determined, its optimum at the study's largest compute lies
// among the runs, and the interval of its active parameters spans less than a factor of 10; of several the one with the
// least held-out error does. `fit_path`: the study's fit.json, already written and read again here.
Json study_recommend(const StudyPlan& plan, const std::string& fit_path);

}  // namespace moebius::study
