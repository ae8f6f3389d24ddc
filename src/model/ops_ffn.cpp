// Forward and backward of the FFN's operations.
#include "model/ops_ffn.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "model/ops_attention.h"

namespace moebius::model {

namespace {

// The gates that route_forward gives to chosen experts (kernels/routing.h: RouterShape).
void gates_of_choice(const kernels::RouterShape& shape, const float* logits_E, const float* prob_E, const i32* expert_K,
                     float* gate_K) {
  float sum = 0;
  if (!shape.sigmoid && !shape.softmax_before_top_k) {
    float largest = logits_E[expert_K[0]];
    for (i64 j = 1; j < shape.top_k; ++j) largest = std::max(largest, logits_E[expert_K[j]]);
    for (i64 j = 0; j < shape.top_k; ++j) sum += gate_K[j] = std::exp(logits_E[expert_K[j]] - largest);
  } else {
    for (i64 j = 0; j < shape.top_k; ++j) sum += gate_K[j] = prob_E[expert_K[j]];
    if (!shape.renormalise) sum = 1;
  }
  for (i64 j = 0; j < shape.top_k; ++j) gate_K[j] = gate_K[j] / sum * shape.scale;
}

}  // namespace

kernels::RouterShape router_shape(const ModelConfig& config) {
  kernels::RouterShape shape;
  shape.experts = config.experts.experts;
  shape.top_k = config.experts.top_k;
  shape.sigmoid = config.router.score == "sigmoid";
  shape.softmax_before_top_k = config.router.softmax_before_top_k;
  shape.renormalise = config.router.renormalise;
  shape.scale = static_cast<float>(config.router.scale);
  return shape;
}

void RouteOp::forward() {
  kernels::route_forward(x_TD, w_ED, shape, bias_E, logits_TE, prob_TE, routing);
  if (replay_TK != nullptr) replay();
  {
    const kernels::ProfileScope scope(kernels::Part::dispatch);
    kernels::dispatch_tokens(routing);
  }
  const kernels::ProfileScope scope(kernels::Part::router_losses);
  if (result != nullptr) describe();
}

void RouteOp::forward_again() const {
  kernels::Routing none = routing;
  none.expert_TK = nullptr;
  kernels::route_forward(x_TD, w_ED, shape, bias_E, logits_TE, prob_TE, none);
}

// Takes the recorded choice; where it is the router's own, the router's own gates stay, to the bit.
void RouteOp::replay() {
  const i64 k = shape.top_k;
  CHECK(static_cast<i64>(replay_TK->size()) == routing.tokens * k, "the recorded routing has this batch's tokens");
  for (i64 t = 0; t < routing.tokens; ++t) {
    const i32* recorded = replay_TK->data() + t * k;
    i32* chosen = routing.expert_TK + t * k;
    if (std::equal(recorded, recorded + k, chosen)) continue;
    std::copy(recorded, recorded + k, chosen);
    gates_of_choice(shape, logits_TE + t * shape.experts, prob_TE + t * shape.experts, chosen, routing.gate_TK + t * k);
  }
}

void RouteOp::describe() const {
  const kernels::RouterLosses values = kernels::router_losses(shape, logits_TE, prob_TE, routing, nullptr, routing.tokens);
  result->balance = values.balance;
  result->z = values.z;
  result->entropy = values.entropy;
  for (i64 e = 0; e < shape.experts; ++e) result->count_E[static_cast<std::size_t>(e)] = routing.expert_rows(e);
}

void RouteOp::backward() const {
  kernels::route_backward(x_TD, w_ED, shape, logits_TE, prob_TE, routing, dgate_TK, losses, dlogits_TE, dw_ED, dx_TD);
}

void ExpertsOp::forward() const {
  copy_rows(residual_TD, y_TD);
  kernels::experts_forward(x_TD, routing, bank, saved, out_RD, y_TD);
}

void ExpertsOp::forward_again() const { kernels::experts_forward(x_TD, routing, bank, saved, out_RD, {}); }

void ExpertsOp::backward() const {
  kernels::experts_backward(dy_TD, x_TD, routing, bank, saved, scratch, dx_TD, dgate_TK, dup, ddown, sum);
}

}  // namespace moebius::model
