// `--compare FILE`: a measurement beside one that was saved with --json on the same machine. In: both JSON objects;
// out: what got slower. Seconds are scaled by the roof of their own run, so a machine that is slower today does not
// count.
#pragma once

#include <string>

#include "base/json.h"

namespace moebius::bench {

// Reads a saved result. Throws Error when it differs in a key of `identity` (what, isa, threads, machine, shape): such
// results cannot be compared.
Json baseline_load(const std::string& path, const Json& identity);

// {compared, not_compared, slower: [{name, ratio, seconds, seconds_expected}]}: what takes over 10 % longer than
// expected and also exceeds a floor (compare.cpp). Rows without a counterpart count as not_compared. Throws Error when
// there is no row in common.
Json compare(const Json& before, const Json& now);

// The same as lines of text.
std::string compare_text(const Json& comparison, const std::string& path);

}  // namespace moebius::bench
