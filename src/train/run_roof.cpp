// The roof around a run, and the mean step's roofline.
// In, out: run_roof.h.
#include "train/run_roof.h"

#include "kernels/isa.h"

namespace moebius::train {

namespace {

constexpr int kMilliseconds = 40;  // for each of three figures

kernels::Roof measure() {
  return kernels::roof_measure(kernels::isa_current(), kMilliseconds, kernels::RoofMemory::dram);
}

}  // namespace

void StepsWork::add(const StepReport& report) {
  ++steps;
  tokens += static_cast<double>(report.tokens);
  squares += report.squares;
}

double step_roofline_seconds(const model::ModelConfig& config, const TrainOptions& options, i64 micro_batches,
                             double document, const kernels::Roof& roof) {
  const model::StepShape shape{static_cast<double>(options.batch_tokens), document, micro_batches};
  return model::roofline_seconds(model::train_operations(config, options.compute(), shape), options.compute(), roof);
}

RunRoof::RunRoof(const model::ModelConfig& config, DType compute, i64 micro_batches, const kernels::Roof& given)
    : config_(config),
      compute_(compute),
      micro_batches_(micro_batches),
      given_(given.bf16_flops_per_s > 0),
      roof_(given_ ? given : measure()) {}

void RunRoof::measure_again() {
  if (!given_) roof_ = kernels::roof_mean(roof_, measure());
}

double RunRoof::flops_per_s() const { return compute_ == DType::bf16 ? roof_.bf16_flops_per_s : roof_.f32_flops_per_s; }

double RunRoof::roofline_seconds(const StepsWork& work) const {
  if (work.steps == 0) return 0;
  const double steps = static_cast<double>(work.steps);
  const model::StepShape shape{work.tokens / steps, model::document_mean(work.squares, work.tokens), micro_batches_};
  return steps * model::roofline_seconds(model::train_operations(config_, compute_, shape), compute_, roof_);
}

}  // namespace moebius::train
