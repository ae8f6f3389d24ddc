// Reference router: scores, choice, auxiliary losses and their gradients, one token after the other in double.
// In and out as kernels/routing.h. Not for use outside tests.
#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace moebius::kernels::reference {

namespace {

// Gate weights of the chosen experts from one token's logits; also what gradients need.
struct Gates {
  std::vector<double> weight;  // before renormalisation and scale
  double sum = 1;
};

Gates token_gates(const RouterShape& shape, const float* logits, const i32* chosen, double lse) {
  Gates gates;
  const bool after = !shape.sigmoid && !shape.softmax_before_top_k;
  double largest = -1e300;
  for (i64 j = 0; j < shape.top_k; ++j) largest = std::max<double>(largest, logits[chosen[j]]);
  for (i64 j = 0; j < shape.top_k; ++j) {
    const double logit = logits[chosen[j]];
    if (shape.sigmoid) {
      gates.weight.push_back(1.0 / (1.0 + std::exp(-logit)));
    } else {
      gates.weight.push_back(std::exp(logit - (after ? largest : lse)));
    }
  }
  if (after || shape.renormalise) {
    gates.sum = 0;
    for (double w : gates.weight) gates.sum += w;
  }
  return gates;
}

double log_sum_exp(const float* values, i64 count) {
  double largest = values[0], sum = 0;
  for (i64 i = 1; i < count; ++i) largest = std::max<double>(largest, values[i]);
  for (i64 i = 0; i < count; ++i) sum += std::exp(values[i] - largest);
  return largest + std::log(sum);
}

// f_i = count_i / (tokens * K)
std::vector<double> load_fractions(const RouterShape& shape, const Routing& routing) {
  std::vector<double> fraction(static_cast<size_t>(shape.experts));
  for (i64 i = 0; i < routing.rows(); ++i) fraction[routing.expert_TK[i]] += 1;
  for (double& f : fraction) f /= static_cast<double>(routing.tokens * shape.top_k);
  return fraction;
}

}  // namespace

void route_forward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* selection_bias_E,
                   float* logits_TE, float* prob_TE, Routing& routing) {
  const i64 experts = shape.experts;
  for (i64 t = 0; t < x_TD.rows; ++t) {
    float* logits = logits_TE + t * experts;
    float* prob = prob_TE + t * experts;
    for (i64 e = 0; e < experts; ++e) {
      double sum = 0;
      for (i64 d = 0; d < x_TD.cols; ++d) sum += at(x_TD, t, d) * w_ED[e * x_TD.cols + d];
      logits[e] = static_cast<float>(sum);
    }
    const double lse = log_sum_exp(logits, experts);
    for (i64 e = 0; e < experts; ++e)
      prob[e] = static_cast<float>(shape.sigmoid ? 1.0 / (1.0 + std::exp(-static_cast<double>(logits[e])))
                                                 : std::exp(logits[e] - lse));
    std::vector<double> score(static_cast<size_t>(experts));
    for (i64 e = 0; e < experts; ++e) {
      score[e] = selection_bias_E != nullptr ? static_cast<double>(prob[e]) + selection_bias_E[e]
                                             : static_cast<double>(logits[e]);
    }
    i32* chosen = routing.expert_TK + t * shape.top_k;
    for (i64 j = 0; j < shape.top_k; ++j) {
      i64 best = -1;
      for (i64 e = 0; e < experts; ++e) {
        if (std::find(chosen, chosen + j, static_cast<i32>(e)) != chosen + j) continue;
        if (best < 0 || score[e] > score[best]) best = e;
      }
      chosen[j] = static_cast<i32>(best);
    }
    const Gates gates = token_gates(shape, logits, chosen, lse);
    for (i64 j = 0; j < shape.top_k; ++j)
      routing.gate_TK[t * shape.top_k + j] = static_cast<float>(shape.scale * gates.weight[j] / gates.sum);
  }
}

void dispatch_tokens(Routing& routing) {
  i32 row = 0;
  for (i64 e = 0; e < routing.experts; ++e) {
    routing.offset_E1[e] = row;
    for (i64 slot = 0; slot < routing.rows(); ++slot) {
      if (routing.expert_TK[slot] != e) continue;
      routing.token_R[row] = static_cast<i32>(slot / routing.top_k);
      routing.slot_R[row++] = static_cast<i32>(slot);
    }
  }
  std::vector<i64> known(static_cast<size_t>(routing.tokens), 0);
  for (i32 r = 0; r < row; ++r) {
    const i64 t = routing.token_R[r];
    routing.row_TK[t * routing.top_k + known[static_cast<size_t>(t)]++] = r;
  }
  routing.offset_E1[routing.experts] = row;
}

RouterLosses router_losses(const RouterShape& shape, const float* logits_TE, const float* prob_TE,
                           const Routing& routing) {
  const i64 experts = shape.experts;
  const std::vector<double> fraction = load_fractions(shape, routing);
  RouterLosses losses;
  for (i64 t = 0; t < routing.tokens; ++t) {
    for (i64 e = 0; e < experts; ++e)
      losses.balance += static_cast<double>(experts) * fraction[e] * prob_TE[t * experts + e];
    const double lse = log_sum_exp(logits_TE + t * experts, experts);
    losses.z += lse * lse;
  }
  losses.balance /= static_cast<double>(routing.tokens);
  losses.z /= static_cast<double>(routing.tokens);
  return losses;
}

void route_backward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* logits_TE,
                    const float* prob_TE, const Routing& routing, const float* dgate_TK,
                    const RouterLossGradients& losses, float* dlogits_TE, float* dw_ED, Matrix dx_TD) {
  const i64 experts = shape.experts, top_k = shape.top_k;
  const double tokens = static_cast<double>(routing.tokens);
  const std::vector<double> fraction = load_fractions(shape, routing);
  for (i64 t = 0; t < routing.tokens; ++t) {
    const float* logits = logits_TE + t * experts;
    const float* prob = prob_TE + t * experts;
    const double lse = log_sum_exp(logits, experts);
    const Gates gates = token_gates(shape, logits, routing.expert_TK + t * top_k, lse);
    // Gradient of the probabilities (or sigmoids), then of the logits.
    std::vector<double> dprob(static_cast<size_t>(experts)), dlogit(static_cast<size_t>(experts));
    for (i64 e = 0; e < experts; ++e)
      dprob[e] = losses.balance_coefficient * static_cast<double>(experts) * fraction[e] / tokens;
    const bool normalised = shape.renormalise || (!shape.sigmoid && !shape.softmax_before_top_k);
    double weighted = 0;
    for (i64 j = 0; j < top_k; ++j) weighted += dgate_TK[t * top_k + j] * gates.weight[j] / gates.sum;
    for (i64 j = 0; j < top_k; ++j) {
      const i64 e = routing.expert_TK[t * top_k + j];
      const double dweight =
          shape.scale * (normalised ? (dgate_TK[t * top_k + j] - weighted) / gates.sum : dgate_TK[t * top_k + j]);
      if (!shape.sigmoid && !shape.softmax_before_top_k) {
        dlogit[e] += dweight * gates.weight[j];
      } else {
        dprob[e] += dweight;
      }
    }
    double mean = 0;
    for (i64 e = 0; e < experts; ++e) mean += shape.sigmoid ? 0 : dprob[e] * prob[e];
    for (i64 e = 0; e < experts; ++e) {
      const double p = prob[e];
      dlogit[e] += shape.sigmoid ? dprob[e] * p * (1.0 - p) : p * (dprob[e] - mean);
      dlogit[e] += losses.z_coefficient * 2.0 * lse * std::exp(logits[e] - lse) / tokens;
      dlogits_TE[t * experts + e] = static_cast<float>(dlogit[e]);
    }
  }
  const i64 cols = x_TD.cols;
  std::vector<double> dw(static_cast<size_t>(experts * cols));
  for (i64 t = 0; t < routing.tokens; ++t)
    for (i64 d = 0; d < cols; ++d) {
      double sum = at(dx_TD, t, d);
      for (i64 e = 0; e < experts; ++e) {
        const double dlogit = dlogits_TE[t * experts + e];
        sum += dlogit * w_ED[e * cols + d];
        dw[e * cols + d] += dlogit * at(x_TD, t, d);
      }
      put(dx_TD, t, d, sum);
    }
  for (i64 i = 0; i < experts * cols; ++i) dw_ED[i] = static_cast<float>(dw_ED[i] + dw[i]);
}

}  // namespace moebius::kernels::reference
