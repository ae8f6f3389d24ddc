// AdamW (Loshchilov and Hutter 2019), decoupled weight decay, over flat arrays; writes the compute copy in the same
// pass, so weights are packed once per optimiser step.
#pragma once

#include "base/types.h"
#include "tensor/dtype.h"

namespace moebius::kernels {

struct AdamwStep {
  float learning_rate = 0, beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f, weight_decay = 0.1f;
  float gradient_scale = 1;    // clipping: gradients are multiplied by this
  float bias1 = 1, bias2 = 1;  // 1 - beta^step
};

// master -= lr * ((m / bias1) / (sqrt(v / bias2) + eps) + wd * master); copy = master as copy_dtype (copy may be null).
void adamw_update(const AdamwStep& step, i64 count, float* master, float* m, float* v, const float* gradient,
                  void* copy, DType copy_dtype);

// Sum of squares in double, in fixed chunks.
double sum_of_squares(const float* values, i64 count);

// dst = src as bf16 or f32.
void convert_from_f32(const float* src, i64 count, void* dst, DType dst_dtype);

}  // namespace moebius::kernels
