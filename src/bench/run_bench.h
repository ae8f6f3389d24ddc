// The stage `moebius bench WHAT`: the machine's roof, and the program's speed relative to it in the same run.
#pragma once

#include <string>
#include <vector>

namespace moebius::bench {

int run_bench(const std::vector<std::string>& words);

}  // namespace moebius::bench
