// Block-level operations of the FFN: route (with dispatch), experts (compute and combine), and the record of what a
// router did. A dense FFN and shared experts are ExpertsOp with one expert that every token uses.
#pragma once

#include <vector>

#include "kernels/experts.h"
#include "kernels/profile.h"
#include "kernels/routing.h"
#include "model/network.h"

namespace moebius::model {

// The router that a configuration asks for.
kernels::RouterShape router_shape(const ModelConfig& config);

// From the router's input to a Routing.
struct RouteOp {
  kernels::RouterShape shape;
  Matrix x_TD;  // this layer's FFN input, or with pre-gating that of the layer before
  const float* w_ED;
  const float* bias_E;  // selection bias; null: none
  float *logits_TE, *prob_TE;
  kernels::Routing routing;
  kernels::RouterLossGradients losses;
  const std::vector<i32>* replay_TK;  // a choice to take instead of its own; null: none
  LayerRouting* result;               // null: nobody asks
  float *dgate_TK, *dlogits_TE, *dw_ED;
  Matrix dx_TD;

  kernels::Part part() const { return kernels::Part::route; }
  void forward();
  // Logits and probabilities for backward; the routing stays the recorded one, nobody is chosen a second time.
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
  Matrix dy_TD;  // gradient of y: the residual stream's, which it leaves as it is
  Matrix dx_TD;
  kernels::ExpertBackwardScratch scratch;
  float *dgate_TK, *dup, *ddown;
  kernels::GradientSum sum;

  kernels::Part part() const { return bank.experts == 1 ? kernels::Part::dense_ffn : kernels::Part::experts; }
  void forward() const;
  void forward_again() const;  // `saved` alone
  void backward() const;
};

}  // namespace moebius::model
