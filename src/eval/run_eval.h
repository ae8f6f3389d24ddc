// The stage `eval`: a checkpoint to scores. Words in, exit code out.
#pragma once

#include <string>
#include <vector>

namespace moebius::eval {

int run_eval(const std::vector<std::string>& words);

}  // namespace moebius::eval
