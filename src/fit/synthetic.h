// Planted runs: a law's own published coefficients, random sizes, known noise; what a fit must give back.
// In: a law, a number, a noise; out: Runs. Not a model of training: only the law and independent noise of ln loss.
#pragma once

#include "fit/runs.h"

namespace moebius::fit {

// Sizes are drawn log-uniformly: active parameters 1e7 to 1e10, 5 to 500 tokens per active parameter, 1 to 128 experts,
// top-k 1 to 8, granularity 1 to 32 (all powers of two). For Clark's law all runs see 130B tokens, for the
// fine-grained one experts = 64 G and top-k = G. ln loss has normal noise of standard deviation `noise`.
// Run i is a pure function of seed and i.
Runs synthetic_runs(const PublishedFit& planted, i64 count, double noise, i64 seed);

}  // namespace moebius::fit
