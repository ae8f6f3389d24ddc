// The stage `study`: one TOML file in, a folder with data, runs and a report out.
#pragma once

#include <string>
#include <vector>

namespace moebius::study {

int run_study(const std::vector<std::string>& words);

}  // namespace moebius::study
