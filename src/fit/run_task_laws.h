// The part of `moebius fit` that is about tasks: study folders in; task laws and turning points out, as the JSON of
// fit.json and as text. The loss laws are run_fit.cpp's.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace moebius::fit {

struct TaskLawsResult {
  Json task_laws = Json::array();
  Json turning_points = Json::array();
  Json left_out = Json::array();  // lines on runs that could not be used
  std::string text;               // tables for people
};

// Throws Error when a folder is no study's or no run of it is finished.
TaskLawsResult run_task_laws(const std::vector<std::string>& folders);

}  // namespace moebius::fit
