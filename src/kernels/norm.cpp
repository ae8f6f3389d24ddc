// Drivers of RMSNorm: rows in fixed chunks; the gain's gradient is summed chunk by chunk. In, out: norm.h.
#include "kernels/norm.h"

#include <cstring>

#include "base/parallel.h"
#include "kernels/driver.h"

namespace moebius::kernels {

namespace {
constexpr i64 kNormRows = 128;
}

void rmsnorm_forward(ConstMatrix x_TD, const float* gain_D, float eps, Matrix y_TD, float* inv_rms_T) {
  check_operand(y_TD.dtype);
  CHECK(x_TD.dtype == DType::f32, "norms read f32");
  CHECK(x_TD.rows == y_TD.rows && y_TD.cols >= x_TD.cols, "shapes of a norm do not fit");
  const TypedOps& ops = ops_of(vector_table(), y_TD.dtype);
  parallel_for(parallel_chunks(x_TD.rows, kNormRows), [&](i64 task, int) {
    const i64 end = std::min(x_TD.rows, (task + 1) * kNormRows);
    for (i64 t = task * kNormRows; t < end; ++t)
      ops.norm_forward(x_TD.f32() + t * x_TD.stride, gain_D, x_TD.cols, eps,
                       advance(y_TD.data, t * y_TD.stride, y_TD.dtype), inv_rms_T == nullptr ? nullptr : inv_rms_T + t);
  });
}

void rmsnorm_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const float* gain_D, const float* inv_rms_T, Matrix dx_TD,
                      float* dgain_D, Matrix clear_TD) {
  check_operand(dy_TD.dtype);
  CHECK(x_TD.dtype == DType::f32 && dx_TD.dtype == DType::f32, "norms read and give gradients in f32");
  CHECK(x_TD.rows == dy_TD.rows && x_TD.rows == dx_TD.rows && dy_TD.cols >= x_TD.cols && dx_TD.cols >= x_TD.cols,
        "shapes of a norm do not fit");
  const OpTable& table = vector_table();
  const TypedOps& ops = ops_of(table, dy_TD.dtype);
  const i64 chunks = parallel_chunks(x_TD.rows, kNormRows), cols = x_TD.cols, clear_bytes = dtype_bytes(clear_TD.dtype);
  float* partial = static_cast<float*>(workspace_shared(std::max<i64>(1, chunks * cols * 4)));
  parallel_for(chunks, [&](i64 task, int) {
    float* dgain = partial + task * cols;
    std::memset(dgain, 0, static_cast<size_t>(cols) * 4);
    const i64 end = std::min(x_TD.rows, (task + 1) * kNormRows);
    for (i64 t = task * kNormRows; t < end; ++t) {
      ops.norm_backward(dy_TD.row(t), x_TD.f32() + t * x_TD.stride, gain_D, cols, inv_rms_T[t],
                        static_cast<float*>(dx_TD.data) + t * dx_TD.stride, dgain);
      if (clear_TD.data != nullptr) std::memset(clear_TD.row(t), 0, static_cast<size_t>(clear_TD.cols * clear_bytes));
    }
  });
  for (i64 chunk = 0; chunk < chunks; ++chunk) table.add(partial + chunk * cols, cols, dgain_D);
}

}  // namespace moebius::kernels
