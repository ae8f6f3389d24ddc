// How near a training run comes to its machine's limit. In: the steps' tokens and documents, the machine's roof, measured
// around the run or given. Out: the roof, and the seconds that the steps' roofline
// (model/roofline.h) asks for. Not for single operations (bench).
#pragma once

#include "kernels/roof.h"
#include "model/roofline.h"
#include "train/trainer.h"

namespace moebius::train {

// What steps had to do, as far as their roofline needs it.
struct StepsWork {
  i64 steps = 0;
  double tokens = 0, squares = 0;  // StepReport's, summed
  void add(const StepReport& report);
};

class RunRoof {
 public:
  // `given`: with bf16_flops_per_s of 0 the roof is measured here and once more by measure_again, about 0.15 s each time.
  RunRoof(const model::ModelConfig& config, DType compute, i64 micro_batches, const kernels::Roof& given);

  // After the run: the mean of both counts, since the machine is shared and its speed moves. Nothing for a given roof.
  void measure_again();

  const kernels::Roof& roof() const { return roof_; }
  double flops_per_s() const;  // of the precision that the products take
  // Seconds of the roofline of these steps: so many times that of their mean. No steps: 0.
  double roofline_seconds(const StepsWork& work) const;

 private:
  model::ModelConfig config_;
  DType compute_;
  i64 micro_batches_;
  bool given_;
  kernels::Roof roof_;
};

}  // namespace moebius::train
