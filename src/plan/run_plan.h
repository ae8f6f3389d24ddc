// The stage `plan`: one model's numbers.
#pragma once

#include <string>
#include <vector>

namespace moebius::plan {

int run_plan(const std::vector<std::string>& words);

}  // namespace moebius::plan
