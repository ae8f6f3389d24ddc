// Reference linear layers, norms, embedding, head and optimiser: plain loops in double.
// In and out as kernels/{linear,norm,head,adamw}.h. Not for use outside tests.
#include <cmath>

#include "kernels/reference/reference.h"

namespace moebius::kernels::reference {

double element(const void* data, DType dtype, i64 index) {
  if (dtype == DType::bf16) return to_float(static_cast<const bf16*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

void set_element(void* data, DType dtype, i64 index, double value) {
  if (dtype == DType::bf16) {
    static_cast<bf16*>(data)[index] = to_bf16(static_cast<float>(value));
  } else {
    static_cast<float*>(data)[index] = static_cast<float>(value);
  }
}

std::vector<double> unpacked(const void* data, DType dtype, PackedShape shape) {
  std::vector<double> w(static_cast<size_t>(shape.n * shape.k));
  for (i64 n = 0; n < shape.n; ++n)
    for (i64 k = 0; k < shape.k; ++k) w[n * shape.k + k] = element(data, dtype, shape.index(n, k));
  return w;
}

namespace {

std::vector<double> row_of(const ConstMatrix& m, i64 r, i64 cols) {
  std::vector<double> row(static_cast<size_t>(cols));
  for (i64 c = 0; c < cols; ++c) row[c] = at(m, r, c);
  return row;
}

double dot(const double* a, const double* b, i64 count) {
  double sum = 0;
  for (i64 i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void put_or_add(const Matrix& m, i64 r, i64 c, double v, bool accumulate) {
  put(m, r, c, accumulate ? at(m, r, c) + v : v);
}

}  // namespace

void linear_forward(ConstMatrix x_TI, const PackedWeight& w, Matrix y_TN, bool accumulate) {
  const std::vector<double> w_NI = unpacked(w.data, w.dtype, w.shape);
  for (i64 t = 0; t < x_TI.rows; ++t) {
    const std::vector<double> x = row_of(x_TI, t, w.shape.k);
    for (i64 n = 0; n < w.shape.n; ++n)
      put_or_add(y_TN, t, n, dot(x.data(), &w_NI[n * w.shape.k], w.shape.k), accumulate);
  }
}

void linear_backward_input(ConstMatrix dy_TN, const PackedWeight& w, Matrix dx_TI, bool accumulate) {
  const std::vector<double> w_NI = unpacked(w.data, w.dtype, w.shape);
  std::vector<double> sum(static_cast<size_t>(w.shape.k));
  for (i64 t = 0; t < dy_TN.rows; ++t) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (i64 n = 0; n < w.shape.n; ++n) {
      const double dy = at(dy_TN, t, n);
      for (i64 k = 0; k < w.shape.k; ++k) sum[k] += dy * w_NI[n * w.shape.k + k];
    }
    for (i64 k = 0; k < w.shape.k; ++k) put_or_add(dx_TI, t, k, sum[k], accumulate);
  }
}

void linear_backward_weight(ConstMatrix dy_TN, ConstMatrix x_TI, PackedShape shape, float* dw) {
  std::vector<double> sum(static_cast<size_t>(shape.n * shape.k));
  for (i64 t = 0; t < dy_TN.rows; ++t) {
    const std::vector<double> x = row_of(x_TI, t, shape.k);
    for (i64 n = 0; n < shape.n; ++n) {
      const double dy = at(dy_TN, t, n);
      for (i64 k = 0; k < shape.k; ++k) sum[n * shape.k + k] += dy * x[k];
    }
  }
  for (i64 n = 0; n < shape.n; ++n)
    for (i64 k = 0; k < shape.k; ++k) {
      float& out = dw[shape.index(n, k)];
      out = static_cast<float>(out + sum[n * shape.k + k]);
    }
}

void rmsnorm_forward(ConstMatrix x_TD, const float* gain_D, float eps, Matrix y_TD, float* inv_rms_T) {
  for (i64 t = 0; t < x_TD.rows; ++t) {
    double squares = 0;
    for (i64 d = 0; d < x_TD.cols; ++d) squares += at(x_TD, t, d) * at(x_TD, t, d);
    const double inv = 1.0 / std::sqrt(squares / static_cast<double>(x_TD.cols) + eps);
    if (inv_rms_T != nullptr) inv_rms_T[t] = static_cast<float>(inv);
    for (i64 d = 0; d < x_TD.cols; ++d) put(y_TD, t, d, at(x_TD, t, d) * inv * gain_D[d]);
  }
}

void rmsnorm_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const float* gain_D, const float* inv_rms_T, Matrix dx_TD,
                      float* dgain_D) {
  const i64 cols = x_TD.cols;
  std::vector<double> dgain(static_cast<size_t>(cols));
  for (i64 t = 0; t < x_TD.rows; ++t) {
    const double inv = inv_rms_T[t];
    double dot_gx = 0;
    for (i64 d = 0; d < cols; ++d) {
      dot_gx += at(dy_TD, t, d) * gain_D[d] * at(x_TD, t, d);
      dgain[d] += at(dy_TD, t, d) * at(x_TD, t, d) * inv;
    }
    const double mean = dot_gx * inv * inv / static_cast<double>(cols);
    for (i64 d = 0; d < cols; ++d)
      put_or_add(dx_TD, t, d, inv * (at(dy_TD, t, d) * gain_D[d] - at(x_TD, t, d) * mean), true);
  }
  for (i64 d = 0; d < cols; ++d) dgain_D[d] = static_cast<float>(dgain_D[d] + dgain[d]);
}

void embedding_forward(const float* table_VD, const i32* token_T, Matrix x_TD) {
  for (i64 t = 0; t < x_TD.rows; ++t)
    for (i64 d = 0; d < x_TD.cols; ++d) put(x_TD, t, d, table_VD[token_T[t] * x_TD.cols + d]);
}

void embedding_backward(const i32* token_T, ConstMatrix dx_TD, float* dtable_VD) {
  for (i64 t = 0; t < dx_TD.rows; ++t)
    for (i64 d = 0; d < dx_TD.cols; ++d) dtable_VD[token_T[t] * dx_TD.cols + d] += static_cast<float>(at(dx_TD, t, d));
}

namespace {

// Logits of one row and their log-sum-exp.
double row_logits(const std::vector<double>& w_VD, const std::vector<double>& x, PackedShape shape,
                  std::vector<double>& logits) {
  double largest = -1e300;
  for (i64 v = 0; v < shape.n; ++v) {
    logits[v] = dot(x.data(), &w_VD[v * shape.k], shape.k);
    largest = std::max(largest, logits[v]);
  }
  double sum = 0;
  for (i64 v = 0; v < shape.n; ++v) sum += std::exp(logits[v] - largest);
  return largest + std::log(sum);
}

}  // namespace

void head_loss(ConstMatrix x_TD, const PackedWeight& w_VD, const i32* target_T, float scale, float* loss_T,
               Matrix dx_TD, float* dw) {
  const PackedShape shape = w_VD.shape;
  const std::vector<double> w = unpacked(w_VD.data, w_VD.dtype, shape);
  std::vector<double> logits(static_cast<size_t>(shape.n)), dx(static_cast<size_t>(shape.k));
  std::vector<double> sum(static_cast<size_t>(shape.n * shape.k));
  for (i64 t = 0; t < x_TD.rows; ++t) {
    std::fill(dx.begin(), dx.end(), 0.0);
    loss_T[t] = 0;
    if (target_T[t] >= 0) {
      const std::vector<double> x = row_of(x_TD, t, shape.k);
      const double lse = row_logits(w, x, shape, logits);
      loss_T[t] = static_cast<float>(lse - logits[target_T[t]]);
      for (i64 v = 0; v < shape.n; ++v) {
        const double dlogit = scale * (std::exp(logits[v] - lse) - (v == target_T[t] ? 1.0 : 0.0));
        for (i64 k = 0; k < shape.k; ++k) {
          dx[k] += dlogit * w[v * shape.k + k];
          sum[v * shape.k + k] += dlogit * x[k];
        }
      }
    }
    for (i64 k = 0; k < shape.k; ++k) put(dx_TD, t, k, dx[k]);
  }
  for (i64 v = 0; v < shape.n; ++v)
    for (i64 k = 0; k < shape.k; ++k) {
      float& out = dw[shape.index(v, k)];
      out = static_cast<float>(out + sum[v * shape.k + k]);
    }
}

void head_score(ConstMatrix x_TD, const PackedWeight& w_VD, const i32* target_T, float* logprob_T, i32* argmax_T) {
  const PackedShape shape = w_VD.shape;
  const std::vector<double> w = unpacked(w_VD.data, w_VD.dtype, shape);
  std::vector<double> logits(static_cast<size_t>(shape.n));
  for (i64 t = 0; t < x_TD.rows; ++t) {
    const double lse = row_logits(w, row_of(x_TD, t, shape.k), shape, logits);
    logprob_T[t] = target_T[t] < 0 ? 0.0f : static_cast<float>(logits[target_T[t]] - lse);
    if (argmax_T == nullptr) continue;
    i64 best = 0;
    for (i64 v = 1; v < shape.n; ++v)
      if (logits[v] > logits[best]) best = v;
    argmax_T[t] = static_cast<i32>(best);
  }
}

void adamw_update(const AdamwStep& step, i64 count, float* master, float* m, float* v, const float* gradient,
                  void* copy, DType copy_dtype) {
  for (i64 i = 0; i < count; ++i) {
    const double g = static_cast<double>(gradient[i]) * step.gradient_scale;
    m[i] = static_cast<float>(step.beta1 * static_cast<double>(m[i]) + (1.0 - step.beta1) * g);
    v[i] = static_cast<float>(step.beta2 * static_cast<double>(v[i]) + (1.0 - step.beta2) * g * g);
    const double direction = (m[i] / step.bias1) / (std::sqrt(static_cast<double>(v[i]) / step.bias2) + step.epsilon);
    const double decay = static_cast<double>(step.weight_decay) * master[i];
    master[i] = static_cast<float>(master[i] - step.learning_rate * (direction + decay));
    if (copy != nullptr) set_element(copy, copy_dtype, i, master[i]);
  }
}

double sum_of_squares(const float* values, i64 count) {
  double sum = 0;
  for (i64 i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * values[i];
  return sum;
}

void convert_from_f32(const float* src, i64 count, void* dst, DType dst_dtype) {
  for (i64 i = 0; i < count; ++i) set_element(dst, dst_dtype, i, src[i]);
}

}  // namespace moebius::kernels::reference
