// A fit as the structs of fit.json (records/fit_file.h) and as text for people.
// In: fits and their comparison; out: structs, text. Nothing in either depends on threads or time.
#pragma once

#include <string>
#include <vector>

#include "fit/compare.h"
#include "records/fit_file.h"

namespace moebius::fit {

using records::SkippedLaw;

records::FittedLaw fitted_law(const LawFit& fit);
// The form of `--law all`.
records::LossLaws fitted_laws(const std::vector<LawFit>& fits, const std::vector<SkippedLaw>& skipped,
                              const Comparison& comparison);

// Coefficients with intervals or "not determined", hold-out, verdict, the worst residuals.
std::string fit_to_text(const LawFit& fit);
std::string comparison_to_text(const std::vector<SkippedLaw>& skipped, const Comparison& comparison);

}  // namespace moebius::fit
