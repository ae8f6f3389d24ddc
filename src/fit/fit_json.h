// A fit as JSON (fit.json of docs/formats.md) and as text for people.
// In: fits and their comparison; out: JSON, text. Nothing in either depends on threads or time.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "fit/compare.h"

namespace moebius::fit {

// One law's object.
Json fit_to_json(const LawFit& fit);
// A result (of one law or of all) without what is as long as the runs or the samples: samples, residuals, curves, and of the
// hold-out its runs and errors. What --json prints without --full.
Json fit_json_short(const Json& result);
// A law that was not fitted, and why.
using SkippedLaw = std::pair<Law, std::string>;
Json fits_to_json(const std::vector<LawFit>& fits, const std::vector<SkippedLaw>& skipped,
                  const Comparison& comparison);

// Coefficients with intervals or "not determined", hold-out, verdict, the worst residuals.
std::string fit_to_text(const LawFit& fit);
std::string comparison_to_text(const std::vector<LawFit>& fits, const std::vector<SkippedLaw>& skipped,
                               const Comparison& comparison);

}  // namespace moebius::fit
