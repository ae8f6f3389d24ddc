// Chooses the next token from its logits: greedy, or random with temperature, top-k and top-p (Holtzman et al. 2020).
// A draw depends on (seed, sequence, position) only, so a sequence's text does not depend on the rest of the batch.
#pragma once

#include <span>
#include <vector>

#include "base/types.h"

namespace moebius::infer {

struct SamplerOptions {
  double temperature = 0;  // 0: greedy
  i64 top_k = 0;           // keep the k likeliest; 0: all
  double top_p = 1;        // keep the smallest set of likeliest tokens whose probability reaches p
  i64 seed = 1;
};

// The likeliest token; ties go to the lowest id. Logits must be finite (all_finite of tensor/dtype.h): NaN has no order.
i32 argmax_token(std::span<const float> logits_V);

// The token at `position` of a sequence. Logits must be finite. `scratch` is reused between calls.
i32 sample_token(std::span<const float> logits_V, const SamplerOptions& options, u64 sequence, i64 position,
                 std::vector<std::pair<float, i32>>& scratch);

}  // namespace moebius::infer
