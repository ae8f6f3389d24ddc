// The roofline of a training step: the sum over operations of max(FLOPs / peak, compulsory bytes / bandwidth). In: configuration, tokens, roof; out: FLOPs, bytes and seconds by operation. Both come from the
// configuration alone: weights, their gradients, optimiser state and the activations that backward needs count; what can
// stay in cache between two uses counts zero. The counts are described in the source and in docs/bench.md.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"
#include "kernels/profile.h"
#include "kernels/roof.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace moebius::model {

// One operation, all layers and micro-batches of a step together.
struct StepOperation {
  kernels::Part part = kernels::Part::other;
  bool backward = false;  // towards the input and the weights; the head is one operation, counted as forward
  bool f32 = false;       // its products are f32 in every precision (the router)
  double flops = 0, bytes = 0;
  std::string name() const;
};

struct StepShape {
  double tokens = 0;    // of a step, without padding; the mean of several steps
  double document = 0;  // tokens that attend to each other; documents of n_i tokens: document_mean
  i64 micro_batches = 1;
};

// The length whose attention costs as much for each token as that of documents of several lengths does: a document of n
// tokens has n (n + 1) / 2 pairs, so sum n^2 / sum n. Not exact with a sliding window. 0 tokens: 0.
double document_mean(double squares, double tokens);

// In the order of the forward pass, forward before backward; the optimiser last.
std::vector<StepOperation> train_operations(const ModelConfig& config, DType compute, const StepShape& shape);

// max(FLOPs / peak, bytes / bandwidth); a figure of the roof that is 0 was not measured and counts for nothing.
double bound_seconds(const StepOperation& operation, DType compute, const kernels::Roof& roof);
double roofline_seconds(const std::vector<StepOperation>& operations, DType compute, const kernels::Roof& roof);

}  // namespace moebius::model
