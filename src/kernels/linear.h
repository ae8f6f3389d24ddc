// Linear layers over packed weights. Shapes: x_TI, y_TN, w as packed.h says. Operands x and dy are bf16 with a bf16
// weight (accumulation in f32), or f32 with an f32 weight. Outputs may be bf16 or f32; `accumulate` (f32 outputs only)
// adds to the values in y. Each output element sums over K in one fixed order: a row's result does not depend on the
// other rows of its batch nor on the number of threads.
// Columns of the operands beyond the weight's unpadded n and k are never read or written.
#pragma once

#include "kernels/packed.h"
#include "kernels/workspace.h"
#include "tensor/view.h"

namespace moebius::kernels {

// y_TN (+)= x_TI w^T
void linear_forward(ConstMatrix x_TI, const PackedWeight& w, Matrix y_TN, bool accumulate);

// dx_TI (+)= dy_TN w
void linear_backward_input(ConstMatrix dy_TN, const PackedWeight& w, Matrix dx_TI, bool accumulate);

// dw (+)= dy^T x, in packed order, f32. `shape` is the weight's.
void linear_backward_weight(ConstMatrix dy_TN, ConstMatrix x_TI, PackedShape shape, float* dw,
                            GradientSum sum = GradientSum::add);

// Of all three calls with `rows` rows.
WorkspaceBytes linear_workspace(i64 rows, PackedShape shape, DType dtype);

}  // namespace moebius::kernels
