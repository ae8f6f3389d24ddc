// The roofline of a training step (DESIGN section 5): the sum over operations of max(FLOPs / peak, compulsory bytes /
// bandwidth). In: configuration, tokens, roof; out: seconds by group of operations. Operations and bytes come from the
// configuration alone; what is counted stands at each group in the source and in docs/bench.md.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"
#include "kernels/roof.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace moebius::bench {

struct RooflineRow {
  std::string name;
  double flops = 0, bytes = 0, seconds = 0;
};

// One optimiser step of `tokens` tokens in documents of `document` tokens, `micro_batches` passes.
std::vector<RooflineRow> train_roofline(const model::ModelConfig& config, DType compute, i64 tokens, i64 document,
                                        i64 micro_batches, const kernels::Roof& roof);
double roofline_seconds(const std::vector<RooflineRow>& rows);

}  // namespace moebius::bench
