// The stage `moebius train`: token shards in, checkpoint and records out.
#pragma once

#include <string>
#include <vector>

namespace moebius::train {

int run_train(const std::vector<std::string>& words);

}  // namespace moebius::train
