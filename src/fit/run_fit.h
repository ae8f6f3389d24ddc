// The stage `moebius fit`: runs in, coefficients with intervals and verdicts out.
// In: the command's words; out: the exit code, standard output, fit.json. What happens inside: fit.h.
#pragma once

#include <string>
#include <vector>

namespace moebius::fit {

int run_fit(const std::vector<std::string>& words);

}  // namespace moebius::fit
