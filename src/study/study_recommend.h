// The model that a finished study's own laws recommend for its largest compute, with the reasons, as the key `recommended`
// of fit.json (docs/formats.md). In: the plan, the fit. Out: Recommendation; its verdict is "not determined" where no law that these
// runs determine gives a shape. Not for budgets of the user's choice: moebius plan --fit.
#pragma once

#include "records/fit_file.h"
#include "study/study_plan.h"

namespace moebius::study {

// A law may recommend when half of its coefficients or more are determined, its optimum at the study's largest compute lies
// among the runs, and the interval of its active parameters spans less than a factor of 10; of several the one with the
// least held-out error does.
records::Recommendation study_recommend(const StudyPlan& plan, const records::FitFile& fit);

}  // namespace moebius::study
