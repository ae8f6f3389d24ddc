// Formulas of the header.
#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace moebius::train {

Schedule make_schedule(const OptimizerOptions& options, i64 steps_total) {
  Schedule schedule;
  const double total = static_cast<double>(steps_total);
  schedule.total = steps_total;
  schedule.peak = options.learning_rate;
  schedule.last = options.learning_rate * options.final_fraction;
  const i64 by_fraction = std::llround(options.warmup_fraction * total);
  schedule.warmup = std::min(options.warmup_steps >= 0 ? options.warmup_steps : by_fraction, steps_total);
  if (options.schedule == "constant") {
    schedule.kind = Schedule::Kind::constant;
    schedule.last = schedule.peak;
  } else if (options.schedule == "wsd") {
    schedule.kind = options.decay_shape == "linear" ? Schedule::Kind::wsd_linear : Schedule::Kind::wsd_one_minus_sqrt;
    schedule.decay = std::clamp<i64>(std::llround(options.decay_fraction * total), 0, steps_total - schedule.warmup);
  }
  return schedule;
}

double learning_rate_at(const Schedule& schedule, i64 step) {
  const i64 s = std::clamp<i64>(step, 0, schedule.total);
  if (s < schedule.warmup) return schedule.peak * static_cast<double>(s) / static_cast<double>(schedule.warmup);
  const double fall = schedule.peak - schedule.last;
  if (schedule.kind == Schedule::Kind::constant) return schedule.peak;
  if (schedule.kind == Schedule::Kind::cosine) {
    if (schedule.total == schedule.warmup) return schedule.peak;
    const double x = static_cast<double>(s - schedule.warmup) / static_cast<double>(schedule.total - schedule.warmup);
    return schedule.last + fall * 0.5 * (1 + std::cos(std::numbers::pi * x));
  }
  const i64 begin = schedule.total - schedule.decay;
  if (s <= begin || schedule.decay == 0) return schedule.peak;
  const double x = static_cast<double>(s - begin) / static_cast<double>(schedule.decay);
  const double gone = schedule.kind == Schedule::Kind::wsd_linear ? x : std::sqrt(x);
  return schedule.last + fall * (1 - gone);
}

}  // namespace moebius::train
