// Planted runs for `moebius fit --synthetic` and for tests.
#include "fit/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"

namespace moebius::fit {

namespace {

double log_uniform(Rng& rng, double least, double largest) {
  return std::exp(std::log(least) + std::log(largest / least) * rng.next_uniform());
}

double power_of_two(Rng& rng, u64 exponent_max) {
  return std::ldexp(1.0, static_cast<int>(rng.next_below(exponent_max + 1)));
}

}  // namespace

Runs synthetic_runs(const PublishedFit& planted, i64 count, double noise, i64 seed) {
  Runs runs;
  runs.measures_leverage = planted.law == Law::leverage;
  runs.sources.push_back(fmt::format("synthetic:{}", planted.name));
  for (i64 i = 0; i < count; ++i) {
    Rng rng(static_cast<u64>(seed), RngStream::benchmark, static_cast<u64>(i));
    LawPoint p;
    p.parameters_active = std::round(log_uniform(rng, 1e7, 1e10));
    p.tokens = std::round(p.parameters_active * log_uniform(rng, 5, 500));
    if (planted.law == Law::routed) p.tokens = 130e9;  // the law holds at one number of tokens
    p.experts = power_of_two(rng, 7);
    p.top_k = std::min(p.experts, power_of_two(rng, 3));
    p.granularity = power_of_two(rng, 5);
    if (planted.law == Law::fine_grained) {  // one expansion rate, 64
      p.experts = 64 * p.granularity;
      p.top_k = p.granularity;
    }
    // Two thirds of the active parameters are experts.
    p.parameters_total = std::round(p.parameters_active * (1 + 2.0 / 3.0 * (p.experts / p.top_k - 1)));
    p.flops = 6 * p.parameters_active * p.tokens;
    p.loss = law_value(planted.law, planted.values, p) * std::exp(noise * rng.next_normal());
    runs.points.push_back(p);
    runs.names.push_back(fmt::format("run {}", i));
  }
  return runs;
}

}  // namespace moebius::fit
