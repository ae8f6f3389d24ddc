// Block-level operations of the FFN: route (with dispatch), experts (compute and combine), and the record of what a
// router did. A dense FFN and shared experts are ExpertsOp with one expert that every token uses.
#pragma once

#include <vector>

#include "kernels/experts.h"
#include "kernels/profile.h"
#include "kernels/routing.h"
#include "model/network.h"

namespace moebius::model {

// The router of a configuration.
kernels::RouterShape router_shape(const ModelConfig& config);

// From the router's input to a Routing.
struct RouteOp {
  kernels::RouterShape shape;
  Matrix x_TD;  // this layer's FFN input, or with pre-gating that of the previous layer
  const float* w_ED;
  const float* bias_E;  // selection bias; null: none
  float *logits_TE, *prob_TE;
  kernels::Routing routing;
  kernels::RouterLossGradients losses;
  const std::vector<i32>* replay_TK;  // experts to select instead of the router's own; null: none
  LayerRouting* result;               // null: not wanted
  float *dgate_TK, *dlogits_TE, *dw_ED;
  Matrix dx_TD;

  kernels::Part part() const { return kernels::Part::route; }
  template <typename Write>
  void outputs(Write write) const {
    write({{"logits_TE", matrix_of(static_cast<const float*>(logits_TE), routing.tokens, shape.experts)},
           {"expert_TK", {routing.expert_TK, DType::i32, routing.tokens, routing.top_k, routing.top_k}},
           {"gate_TK", matrix_of(static_cast<const float*>(routing.gate_TK), routing.tokens, routing.top_k)}});
  }
  template <typename Write>
  void gradients(Write write) const {
    write({{"dx_TD", dx_TD}, {"dw_ED", matrix_of(static_cast<const float*>(dw_ED), shape.experts, x_TD.cols)}});
  }
  void forward();
  // Recomputes logits and probabilities for backward; the recorded routing is kept.
  void forward_again() const;
  void backward() const;

 private:
  void describe() const;
};

// y = x_residual + experts(x); y may be the residual itself.
struct ExpertsOp {
  Matrix x_TD;
  kernels::Routing routing;
  kernels::ExpertBank bank;
  kernels::ExpertSaved saved;
  Matrix out_RD;
  Matrix residual_TD, y_TD;
  Matrix dy_TD;  // gradient of y, i.e. of the residual stream; not modified
  Matrix dx_TD;
  kernels::ExpertBackwardScratch scratch;
  float *dgate_TK, *dup, *ddown;
  kernels::GradientSum sum;

  kernels::Part part() const { return bank.experts == 1 ? kernels::Part::dense_ffn : kernels::Part::experts; }
  template <typename Write>
  void outputs(Write write) const {
    write({{"y_TD", y_TD}});
  }
  template <typename Write>
  void gradients(Write write) const {
    write({{"dx_TD", dx_TD},
           {"dup", matrix_of(static_cast<const float*>(dup), 1, bank.experts * bank.up_shape().elements())},
           {"ddown", matrix_of(static_cast<const float*>(ddown), 1, bank.experts * bank.down_shape().elements())}});
  }
  void forward() const;
  void forward_again() const;  // `saved` alone
  void backward() const;
};

}  // namespace moebius::model
