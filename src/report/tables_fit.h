// The tables and sentences on laws: verdicts, coefficients, task laws, turning points, the recommended model with its
// reasons. In: FitFile. Out: Tables for html.h. What is not determined is written so, in place of a number.
#pragma once

#include <string>
#include <vector>

#include "report/records_load.h"
#include "report/tables.h"

namespace moebius::report {

Table table_laws(const FitFile& fit);                    // fitted and skipped, one row each
std::vector<std::string> law_notes(const FitFile& fit);  // of all laws, each once
Table table_coefficients(const FitFile& fit);
Table table_task_laws(const FitFile& fit);
Table table_turning_points(const FitFile& fit);
Table table_choices(const FitFile& fit);  // what each law would build for the recommendation's compute

// The sentences under "Recommended model": the model or why there is none, first; then the reasons.
std::vector<std::string> recommended_sentences(const FitFile& fit);
// One line for the summary; empty without fit.json.
std::string fit_summary(const FitFile& fit);

}  // namespace moebius::report
