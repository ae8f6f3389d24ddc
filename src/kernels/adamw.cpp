// Drivers of the optimiser's flat passes: fixed chunks of elements. In, out: adamw.h.
#include "kernels/adamw.h"

#include <cmath>

#include "base/parallel.h"
#include "kernels/driver.h"

namespace moebius::kernels {

namespace {
constexpr i64 kFlatElements = 1 << 15;
}

void adamw_update(const AdamwStep& step, i64 count, float* master, float* m, float* v, const float* gradient,
                  void* copy, DType copy_dtype) {
  check_operand(copy_dtype);
  AdamwCoefficients c;
  c.beta1 = step.beta1;
  c.one_minus_beta1 = static_cast<float>(1.0 - step.beta1);
  c.beta2 = step.beta2;
  c.one_minus_beta2 = static_cast<float>(1.0 - step.beta2);
  c.gradient_scale = step.gradient_scale;
  c.rate = step.learning_rate;
  c.inverse_bias1 = static_cast<float>(1.0 / step.bias1);
  c.inverse_sqrt_bias2 = static_cast<float>(1.0 / std::sqrt(static_cast<double>(step.bias2)));
  c.epsilon = step.epsilon;
  c.decay = step.learning_rate * step.weight_decay;
  const TypedOps& ops = ops_of(vector_table(), copy_dtype);
  parallel_for(parallel_chunks(count, kFlatElements), [&](i64 task, int) {
    const i64 begin = task * kFlatElements, part = std::min(kFlatElements, count - begin);
    ops.adamw(c, part, master + begin, m + begin, v + begin, gradient + begin,
              copy == nullptr ? nullptr : advance(copy, begin, copy_dtype));
  });
}

double sum_of_squares(const float* values, i64 count) {
  const OpTable& table = vector_table();
  const i64 chunks = parallel_chunks(count, kFlatElements);
  double* partial = static_cast<double*>(workspace_shared(std::max<i64>(chunks, 1) * 8));
  parallel_for(chunks, [&](i64 task, int) {
    const i64 begin = task * kFlatElements;
    partial[task] = table.sum_of_squares(values + begin, std::min(kFlatElements, count - begin));
  });
  double sum = 0;
  for (i64 chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk];
  return sum;
}

void convert_from_f32(const float* src, i64 count, void* dst, DType dst_dtype) {
  check_operand(dst_dtype);
  const TypedOps& ops = ops_of(vector_table(), dst_dtype);
  parallel_for(parallel_chunks(count, kFlatElements), [&](i64 task, int) {
    const i64 begin = task * kFlatElements;
    ops.from_f32(src + begin, std::min(kFlatElements, count - begin), advance(dst, begin, dst_dtype));
  });
}

}  // namespace moebius::kernels
