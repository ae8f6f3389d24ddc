// What a hypothesis's comparison holds equal: parameters, FLOPs, tokens, data and learning rate over its runs.
// In: a study's runs, a hypothesis; out: records::ComparedQuantity for verdicts.json, --dry-run and the page. Not for
// verdicts: those are hypothesis.h.
#pragma once

#include <vector>

#include "fit/hypothesis.h"
#include "records/run_records.h"
#include "records/verdicts.h"

namespace moebius::fit {

// Over the finished runs that match the hypothesis; over all that match it if none is finished (a plan).
std::vector<records::ComparedQuantity> compared_quantities(const records::StudyRuns& study,
                                                           const Hypothesis& hypothesis);

}  // namespace moebius::fit
