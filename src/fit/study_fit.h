// The content of a finished study's fit.json: every loss law for which the runs have the inputs, their comparison, task
// laws and turning points. In: the study's folder. Out: FitFile.
#pragma once

#include <string>
#include <vector>

#include "fit/fit_output.h"

namespace moebius::fit {

// The laws whose columns all runs have; the others with the reason in `skipped`.
std::vector<Law> laws_possible(const Runs& runs, std::vector<SkippedLaw>& skipped);

// With the form of `--law all`. Throws Error when no run of the study is finished. The same folder gives the same
// content for any number of threads.
records::FitFile study_fit(const std::string& folder, const FitOptions& options);

// Task laws and turning points of study folders.
struct TaskLawsResult {
  records::TaskLaws laws;
  std::string text;  // tables for people
};

// Throws Error when a folder is no study's or no run of it is finished.
TaskLawsResult run_task_laws(const std::vector<std::string>& folders);

}  // namespace moebius::fit
