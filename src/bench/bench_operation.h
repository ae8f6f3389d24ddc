// `moebius bench operation NAME` and `moebius bench grid`: single operations on one or many shapes, compared with their bounds.
// In: options, a configuration. Out: the object of --json, a table.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/options.h"
#include "bench/bench_train.h"
#include "bench/operation_case.h"

namespace moebius::bench {

struct BenchOperationOptions {
  i64 outputs = 0;                      // of linear; 0: d_model
  double load_spread = 0.5;             // of the experts' log-probabilities
  i64 call_milliseconds = 30;           // of each direction in a repeat, at least one call
  bool full = false;                    // grid: every combination
  double seconds_max = 300;             // grid
  std::string weights_max = "4GiB";     // grid: compute copy of a case
  std::vector<std::string> operations;  // grid; empty: linear, attention, experts, head
  void describe(OptionList& list);
};

// Shapes come from `config` and from sequence, tokens_per_step, precision, repeats, roof_milliseconds, routing and
// records of `common`. Throws Error for an unknown name and for files.
Json bench_operation(const std::string& name, const BenchTrainOptions& common, const BenchOperationOptions& options,
                     const model::ModelConfig& config, std::string* text);
Json bench_grid(const BenchTrainOptions& common, const BenchOperationOptions& options, std::string* text);

// The grid's shapes in a fixed order, without those whose weights or operands are too large.
std::vector<OperationShape> grid_shapes(const BenchTrainOptions& common, const BenchOperationOptions& options,
                                        double bytes_max);

}  // namespace moebius::bench
