// Ranges and calls of kernels/adamw.h.
#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/adamw.h"

namespace moebius::train {

AdamwState make_adamw(const model::Weights& weights) {
  AdamwState state;
  const i64 bytes = weights.elements * static_cast<i64>(sizeof(float));
  state.m = Buffer("first moments", bytes);
  state.v = Buffer("second moments", bytes);
  for (std::size_t i = 0; i < weights.parameters.size(); ++i) {
    const model::Parameter& parameter = weights.parameters[i];
    const i64 end = i + 1 < weights.parameters.size() ? weights.parameters[i + 1].offset : weights.elements;
    if (!state.ranges.empty() && state.ranges.back().decays == parameter.decays) {
      state.ranges.back().count = end - state.ranges.back().begin;
    } else {
      state.ranges.push_back({parameter.offset, end - parameter.offset, parameter.decays});
    }
  }
  return state;
}

double gradient_norm(const model::Weights& weights) {
  return std::sqrt(kernels::sum_of_squares(weights.gradient.f32(), weights.elements));
}

void adamw_step(model::Weights& weights, AdamwState& state, const OptimizerOptions& options, double learning_rate,
                i64 update, double norm) {
  kernels::AdamwStep step;
  step.learning_rate = static_cast<float>(learning_rate);
  step.beta1 = static_cast<float>(options.beta1);
  step.beta2 = static_cast<float>(options.beta2);
  step.epsilon = static_cast<float>(options.epsilon);
  step.gradient_scale = options.clip > 0 ? static_cast<float>(std::min(1.0, options.clip / (norm + 1e-6))) : 1.0f;
  step.bias1 = static_cast<float>(1 - std::pow(options.beta1, static_cast<double>(update)));
  step.bias2 = static_cast<float>(1 - std::pow(options.beta2, static_cast<double>(update)));
  const bool copies = weights.copy.bytes() > 0;
  for (const AdamwState::Range& range : state.ranges) {
    step.weight_decay = range.decays ? static_cast<float>(options.weight_decay) : 0.0f;
    void* copy = copies ? static_cast<u8*>(weights.copy.data()) + range.begin * dtype_bytes(weights.compute) : nullptr;
    kernels::adamw_update(step, range.count, weights.master.f32() + range.begin, state.m.f32() + range.begin,
                          state.v.f32() + range.begin, weights.gradient.f32() + range.begin, copy, weights.compute);
  }
}

}  // namespace moebius::train
