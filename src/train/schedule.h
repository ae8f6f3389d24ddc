// The learning rate at every step: linear warm-up, then cosine (Loshchilov and Hutter 2017), constant, or
// warm-up-stable-decay (wsd; Hu et al. 2024, 2404.06395; shape 1-sqrt: Haegele et al. 2024, 2405.18392).
#pragma once

#include "train/options.h"

namespace moebius::train {

// Resolved: steps instead of fractions.
struct Schedule {
  enum class Kind { cosine, wsd_linear, wsd_one_minus_sqrt, constant };
  Kind kind = Kind::cosine;
  double peak = 0;
  double last = 0;  // learning rate at step `total`
  i64 warmup = 0;   // steps
  i64 decay = 0;    // wsd: number of last steps
  i64 total = 0;
};

Schedule make_schedule(const OptimizerOptions& options, i64 steps_total);

// s in [0, total]; 0 at step 0 with a warm-up, peak at step `warmup`. The update number n (from 1) uses step n, so the
// last update uses `last`. Cosine: last + (peak - last) / 2 * (1 + cos(pi (s - warmup) / (total - warmup))), as
// Megatron-LM has it.
double learning_rate_at(const Schedule& schedule, i64 step);

}  // namespace moebius::train
