// Figures of laws: IsoFLOP curves with optima, sparsity at fixed compute, predicted against measured, task laws, turning
// points, and scores at equal training loss. In: FitFile (records/fit_file.h), records. Out: Figures for the part on laws.
// Whatever a verdict calls "not determined" has no number and no line here, only the runs' own points.
#pragma once

#include <vector>

#include "report/figure_parts.h"
#include "report/records_load.h"

namespace moebius::report {

Figure figure_isoflop(const FitFile& fit);
Figure figure_sparsity(const FitFile& fit);
Figure figure_predicted(const FitFile& fit);
Figure figure_task_laws(const FitFile& fit);
Figure figure_turning(const FitFile& fit);

// Scores against active FLOPs for configurations whose training losses are equal (within a sixth of their range), with
// the task law at the runs' mean loss where it is determined. Empty panels when no two configurations are.
Figure figure_equal_loss(const StudyRecords& study, const std::vector<Configuration>& points, const FitFile& fit);

// "6.0e18 FLOPs"; "2.5e13".
std::string flops_text(double flops);

}  // namespace moebius::report
