// The stage `data`: text to tokenizer, token shards and generated tasks. Words in, exit code out.
#pragma once

#include <string>
#include <vector>

namespace moebius::data {

int run_data(const std::vector<std::string>& words);

}  // namespace moebius::data
