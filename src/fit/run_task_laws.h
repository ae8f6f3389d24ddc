// The part of `moebius fit` that is about tasks: study folders in; task laws and turning points out, as the structs
// of fit.json and as text. The loss laws are run_fit.cpp's.
#pragma once

#include <string>
#include <vector>

#include "records/fit_file.h"

namespace moebius::fit {

struct TaskLawsResult {
  records::TaskLaws laws;
  std::string text;  // tables for people
};

// Throws Error when a folder is no study's or no run of it is finished.
TaskLawsResult run_task_laws(const std::vector<std::string>& folders);

}  // namespace moebius::fit
