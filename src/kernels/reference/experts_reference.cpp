// Reference grouped experts: one routed row after the other, in double.
// In and out as kernels/experts.h. Not for use outside tests.
#include <cmath>

#include "kernels/reference/reference.h"

namespace moebius::kernels::reference {

namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
// GELU with the error function (Hendrycks and Gimpel 2016), as torch's default.
double gelu(double x) { return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0))); }
double gelu_slope(double x) {
  return 0.5 * (1.0 + std::erf(x / std::sqrt(2.0))) + x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * M_PI);
}

const void* expert_matrix(const void* base, DType dtype, PackedShape shape, i64 expert) {
  return static_cast<const u8*>(base) + expert * shape.elements() * dtype_bytes(dtype);
}

// The activation of unit f from a row of pre-activations.
double activation(const ExpertBank& bank, const ConstMatrix& pre_RU, i64 row, i64 f) {
  if (bank.activation == Activation::gelu) return gelu(at(pre_RU, row, f));
  const double gate = at(pre_RU, row, gate_row(f));
  return gate * sigmoid(gate) * at(pre_RU, row, up_row(f));
}

}  // namespace

void experts_forward(ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank, const ExpertSaved& saved,
                     Matrix out_RD, Matrix y_TD) {
  const PackedShape up_shape = bank.up_shape(), down_shape = bank.down_shape();
  for (i64 e = 0; e < bank.experts; ++e) {
    if (routing.expert_rows(e) == 0) continue;
    const auto up = unpacked(expert_matrix(bank.up, bank.dtype, up_shape, e), bank.dtype, up_shape);
    const auto down = unpacked(expert_matrix(bank.down, bank.dtype, down_shape, e), bank.dtype, down_shape);
    for (i64 r = routing.offset_E1[e]; r < routing.offset_E1[e + 1]; ++r) {
      for (i64 u = 0; u < up_shape.n; ++u) {
        double sum = 0;
        for (i64 d = 0; d < bank.d_model; ++d) sum += up[u * bank.d_model + d] * at(x_TD, routing.token_R[r], d);
        put(saved.pre_RU, r, u, sum);
      }
      for (i64 f = 0; f < bank.width; ++f)
        put(saved.hidden_RF, r, f, routing.gate_TK[routing.slot_R[r]] * activation(bank, saved.pre_RU, r, f));
      for (i64 d = 0; d < bank.d_model; ++d) {
        double sum = 0;
        for (i64 f = 0; f < bank.width; ++f) sum += down[d * bank.width + f] * at(saved.hidden_RF, r, f);
        put(out_RD, r, d, sum);
      }
    }
  }
  for (i64 t = 0; t < routing.tokens; ++t)
    for (i64 j = 0; j < routing.top_k; ++j)
      for (i64 d = 0; d < bank.d_model; ++d)
        put(y_TD, t, d, at(y_TD, t, d) + at(out_RD, routing.row_TK[t * routing.top_k + j], d));
}

namespace {

// From dhidden of one row to dpre and the router's dgate.
void activation_backward(const ExpertBank& bank, const ExpertSaved& saved, const ExpertBackwardScratch& scratch,
                         const std::vector<double>& dhidden_F, i64 row, double gate_value, float* dgate) {
  double dgate_sum = 0;
  for (i64 u = 0; u < bank.up_shape().n; ++u) put(scratch.dpre_RU, row, u, 0);
  for (i64 f = 0; f < bank.width; ++f) {
    const double dhidden = dhidden_F[static_cast<std::size_t>(f)];
    dgate_sum += dhidden * activation(bank, saved.pre_RU, row, f);
    const double dact = gate_value * dhidden;
    if (bank.activation == Activation::gelu) {
      put(scratch.dpre_RU, row, f, dact * gelu_slope(at(saved.pre_RU, row, f)));
      continue;
    }
    const double gate = at(saved.pre_RU, row, gate_row(f)), up = at(saved.pre_RU, row, up_row(f));
    const double s = sigmoid(gate);
    put(scratch.dpre_RU, row, gate_row(f), dact * up * s * (1.0 + gate * (1.0 - s)));
    put(scratch.dpre_RU, row, up_row(f), dact * gate * s);
  }
  *dgate = static_cast<float>(dgate_sum);
}

void add_outer(const PackedShape& shape, const std::vector<double>& sum, float* out) {
  for (i64 n = 0; n < shape.n; ++n)
    for (i64 k = 0; k < shape.k; ++k) {
      float& value = out[shape.index(n, k)];
      value = static_cast<float>(value + sum[n * shape.k + k]);
    }
}

}  // namespace

void experts_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank,
                      const ExpertSaved& saved, const ExpertBackwardScratch& scratch, Matrix dx_TD, float* dgate_TK,
                      float* dup, float* ddown) {
  const PackedShape up_shape = bank.up_shape(), down_shape = bank.down_shape();
  for (i64 e = 0; e < bank.experts; ++e) {
    if (routing.expert_rows(e) == 0) continue;
    const auto up = unpacked(expert_matrix(bank.up, bank.dtype, up_shape, e), bank.dtype, up_shape);
    const auto down = unpacked(expert_matrix(bank.down, bank.dtype, down_shape, e), bank.dtype, down_shape);
    std::vector<double> dup_sum(up.size()), ddown_sum(down.size()), dhidden_F(static_cast<std::size_t>(bank.width));
    for (i64 r = routing.offset_E1[e]; r < routing.offset_E1[e + 1]; ++r) {
      const i64 token = routing.token_R[r], slot = routing.slot_R[r];
      for (i64 f = 0; f < bank.width; ++f) {
        double sum = 0;
        for (i64 d = 0; d < bank.d_model; ++d) {
          sum += down[d * bank.width + f] * at(dy_TD, token, d);
          ddown_sum[d * bank.width + f] += at(dy_TD, token, d) * at(saved.hidden_RF, r, f);
        }
        dhidden_F[static_cast<std::size_t>(f)] = sum;
      }
      activation_backward(bank, saved, scratch, dhidden_F, r, routing.gate_TK[slot], dgate_TK + slot);
      for (i64 d = 0; d < bank.d_model; ++d) {
        double sum = 0;
        for (i64 u = 0; u < up_shape.n; ++u) {
          sum += up[u * bank.d_model + d] * at(scratch.dpre_RU, r, u);
          dup_sum[u * bank.d_model + d] += at(scratch.dpre_RU, r, u) * at(x_TD, token, d);
        }
        put(scratch.dx_RD, r, d, sum);
      }
    }
    add_outer(up_shape, dup_sum, dup + e * up_shape.elements());
    add_outer(down_shape, ddown_sum, ddown + e * down_shape.elements());
  }
  for (i64 t = 0; t < routing.tokens; ++t)
    for (i64 j = 0; j < routing.top_k; ++j)
      for (i64 d = 0; d < bank.d_model; ++d)
        put(dx_TD, t, d, at(dx_TD, t, d) + at(scratch.dx_RD, routing.row_TK[t * routing.top_k + j], d));
}

}  // namespace moebius::kernels::reference
