// The roofline of a training step (DESIGN section 5): the sum over operations of max(FLOPs / peak, compulsory bytes /
// bandwidth). In: configuration, tokens, roof; out: FLOPs, bytes and seconds by operation. Both come from the
// configuration alone: weights, their gradients, optimiser state and the activations that backward needs count; what can
// stay in cache between two uses counts zero. What is counted stands in the source and in docs/bench.md.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"
#include "kernels/profile.h"
#include "kernels/roof.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace moebius::bench {

// One operation, all layers and micro-batches of a step together.
struct Operation {
  kernels::Part part = kernels::Part::other;
  bool backward = false;       // towards the input and the weights; the head is one operation, counted as forward
  bool f32 = false;            // its products are f32 in every precision (the router)
  double flops = 0, bytes = 0;
  std::string name() const;
};

struct StepShape {
  i64 tokens = 0;              // of a step, without padding
  i64 document = 0;            // tokens that attend to each other
  i64 micro_batches = 1;
};

// In the order of the forward pass, forward before backward; the optimiser last.
std::vector<Operation> train_operations(const model::ModelConfig& config, DType compute, const StepShape& shape);

// max(FLOPs / peak, bytes / bandwidth); a bandwidth of 0 was not measured and counts for nothing.
double bound_seconds(const Operation& operation, DType compute, const kernels::Roof& roof);
double roofline_seconds(const std::vector<Operation>& operations, DType compute, const kernels::Roof& roof);

}  // namespace moebius::bench
