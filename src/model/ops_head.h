// Block-level operations at both ends of the network: the embedding, and the head with the cross-entropy.
#pragma once

#include "kernels/head.h"
#include "kernels/profile.h"
#include "tensor/view.h"

namespace moebius::model {

struct EmbeddingOp {
  const float* table_VD;
  const i32* token_T;
  Matrix x_TD;
  Matrix dx_TD;
  float* dtable_VD;

  kernels::Part part() const { return kernels::Part::embedding; }
  template <typename Write>
  void outputs(Write write) const {
    write({{"x_TD", x_TD}});
  }
  template <typename Write>
  void gradients(Write write) const {
    write({{"dx_TD", dx_TD}});
  }
  void forward() const { kernels::embedding_forward(table_VD, token_T, x_TD); }
  void backward() const { kernels::embedding_backward(token_T, dx_TD, dtable_VD); }
};

// Forward also computes the gradient, since the logits are never stored.
struct HeadOp {
  Matrix x_TD;
  kernels::PackedWeight w;
  const i32* target_T;
  float scale;
  float* loss_T;
  Matrix dx_TD;
  float* dw;
  kernels::GradientSum sum;

  kernels::Part part() const { return kernels::Part::head; }
  template <typename Write>
  void outputs(Write write) const {
    write({{"loss_T", matrix_of(static_cast<const float*>(loss_T), x_TD.rows, 1)},
           {"dx_TD", dx_TD},
           {"dw", matrix_of(static_cast<const float*>(dw), 1, w.shape.elements())}});
  }
  template <typename Write>
  void gradients(Write write) const {
    write({});
  }
  void forward() const { kernels::head_loss(x_TD, w, target_T, scale, loss_T, dx_TD, dw, sum); }
  void backward() const {}
};

}  // namespace moebius::model
