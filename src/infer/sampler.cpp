// Greedy and random choice of tokens.
#include "infer/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "tensor/dtype.h"

namespace moebius::infer {

i32 argmax_token(std::span<const float> logits_V) {
  CHECK(all_finite(logits_V), "the caller refuses NaN and infinite logits");
  i32 best = 0;
  for (std::size_t v = 1; v < logits_V.size(); ++v) {
    if (logits_V[v] > logits_V[static_cast<std::size_t>(best)]) best = static_cast<i32>(v);
  }
  return best;
}

i32 sample_token(std::span<const float> logits_V, const SamplerOptions& options, u64 sequence, i64 position,
                 std::vector<std::pair<float, i32>>& scratch) {
  if (options.temperature <= 0) return argmax_token(logits_V);
  CHECK(all_finite(logits_V), "the caller refuses NaN and infinite logits");
  scratch.clear();
  for (std::size_t v = 0; v < logits_V.size(); ++v) scratch.emplace_back(logits_V[v], static_cast<i32>(v));
  // Likeliest first; equal logits in order of ids, so that the cut never depends on the sort's internals.
  std::sort(scratch.begin(), scratch.end(),
            [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  std::size_t keep = scratch.size();
  if (options.top_k > 0) keep = std::min(keep, static_cast<std::size_t>(options.top_k));
  const double top = scratch[0].first;
  auto weight = [&](std::size_t i) {
    return std::exp((static_cast<double>(scratch[i].first) - top) / options.temperature);
  };
  double total = 0;
  for (std::size_t i = 0; i < keep; ++i) total += weight(i);
  if (options.top_p < 1) {
    double reached = 0;
    std::size_t n = 0;
    while (n < keep && (n == 0 || reached < options.top_p * total)) reached += weight(n++);
    keep = n;
    total = reached;
  }
  Rng rng(static_cast<u64>(options.seed), RngStream::sampling, sequence);
  rng.seek(static_cast<u64>(position));
  const double draw = rng.next_uniform() * total;
  double reached = 0;
  for (std::size_t i = 0; i < keep; ++i) {
    reached += weight(i);
    if (draw < reached) return scratch[i].second;
  }
  return scratch[keep - 1].second;
}

}  // namespace moebius::infer
