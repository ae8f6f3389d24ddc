// RMSNorm: y = x / sqrt(mean(x^2) + eps) * gain (Zhang and Sennrich 2019).
// x_TD is f32 (the residual stream), y is bf16 or f32; inv_rms_T keeps 1/sqrt(...) for backward.
#pragma once

#include "tensor/view.h"

namespace moebius::kernels {

void rmsnorm_forward(ConstMatrix x_TD, const float* gain_D, float eps, Matrix y_TD, float* inv_rms_T);

// dx_TD (f32) += gradient; dgain_D += gradient, summed over tokens in fixed chunks. dy_TD is bf16 or f32. clear_TD
// (dy_TD itself, or empty) is set to zero row by row when it has been read.
void rmsnorm_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const float* gain_D, const float* inv_rms_T, Matrix dx_TD,
                      float* dgain_D, Matrix clear_TD = {});

}  // namespace moebius::kernels
