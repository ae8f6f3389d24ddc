// The choice of the next token from logits: greedy, or random with temperature, top-k and top-p (Holtzman et al. 2020).
// A draw depends on (seed, sequence, position) alone, so a sequence's text does not depend on what else is generated.
#pragma once

#include <span>
#include <vector>

#include "base/options.h"
#include "base/types.h"

namespace moebius::infer {

struct SamplerOptions {
  double temperature = 0;  // 0: greedy
  i64 top_k = 0;           // keep the k likeliest; 0: all
  double top_p = 1;        // keep the smallest set of likeliest tokens whose probability reaches p
  i64 seed = 1;
};
void describe(SamplerOptions& options, OptionList& list);

// The likeliest token; ties go to the lowest id.
i32 argmax_token(std::span<const float> logits_V);

// log(sum(exp(logits))), in double, in order of ids: the same whatever else is computed.
double log_sum_exp(std::span<const float> logits_V);

// `scratch` is reused between calls.
i32 sample_token(std::span<const float> logits_V, const SamplerOptions& options, u64 sequence, i64 position,
                 std::vector<std::pair<float, i32>>& scratch);

}  // namespace moebius::infer
