// Forward and backward of the FFN's operations.
#include "model/ops_ffn.h"

#include <algorithm>

#include "base/check.h"
#include "model/ops_attention.h"

namespace moebius::model {

kernels::RouterShape router_shape(const ModelConfig& config) {
  kernels::RouterShape shape;
  shape.experts = config.experts.experts;
  shape.top_k = config.experts.top_k;
  shape.sigmoid = config.router.score == RouterScore::sigmoid;
  shape.softmax_before_top_k = config.router.softmax_before_top_k;
  shape.renormalise = config.router.renormalise;
  shape.scale = static_cast<float>(config.router.scale);
  return shape;
}

void RouteOp::forward() {
  kernels::route_forward(x_TD, w_ED, shape, bias_E, logits_TE, prob_TE, routing);
  if (replay_TK != nullptr) {
    CHECK(static_cast<i64>(replay_TK->size()) == routing.rows(), "the recorded routing has this batch's tokens");
    std::copy(replay_TK->begin(), replay_TK->end(), routing.expert_TK);
    kernels::route_gates(shape, prob_TE, routing);
  }
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

void RouteOp::describe() const {
  const kernels::RouterLosses values = kernels::router_losses(shape, logits_TE, prob_TE, routing);
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
