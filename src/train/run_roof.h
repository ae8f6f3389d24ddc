// How close a training run comes to the limit of its machine. In: tokens and documents of its steps; the machine's roof, given or
// measured around the run. Out: the roof, and the seconds of the steps' roofline (model/roofline.h).
// Not for single operations (bench).
#pragma once

#include "kernels/roof.h"
#include "model/roofline.h"
#include "train/trainer.h"

namespace moebius::train {

// The work of steps, as needed for their roofline.
struct StepsWork {
  i64 steps = 0;
  double tokens = 0, squares = 0;  // StepReport's, summed
  void add(const StepReport& report);
};

// Seconds of the roofline of one step before anything has run; each token attends to at most `document` tokens.
double step_roofline_seconds(const model::ModelConfig& config, const TrainOptions& options, i64 micro_batches,
                             double document, const kernels::Roof& roof);

class RunRoof {
 public:
  // `given`: with bf16_flops_per_s of 0 the roof is measured here and again by measure_again, about 0.15 s each time.
  RunRoof(const model::ModelConfig& config, DType compute, i64 micro_batches, const kernels::Roof& given);

  // After the run: keeps the mean of both, since the speed of a shared machine changes. Nothing for a given roof.
  void measure_again();

  const kernels::Roof& roof() const { return roof_; }
  double flops_per_s() const;  // of the precision that the products take
  // Seconds of the roofline of these steps: their number times that of their mean. No steps: 0.
  double roofline_seconds(const StepsWork& work) const;

 private:
  model::ModelConfig config_;
  DType compute_;
  i64 micro_batches_;
  bool given_;
  kernels::Roof roof_;
};

}  // namespace moebius::train
