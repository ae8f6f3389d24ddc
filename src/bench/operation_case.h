// One operation alone on one shape: its operands filled with random numbers, the calls to time, and the least work that
// they take. In: a shape. Out: calls with FLOPs and bytes, which measure.h's clocks time. Alone, an operation reads its
// operands from memory and writes its results there, each once: that is its bound. Not for whole steps (bench_train.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/real_text.h"
#include "model/config.h"
#include "model/roofline.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace moebius::bench {

using Operation = model::StepOperation;

struct OperationShape {
  std::string name;  // one of operation_names()
  i64 tokens = 0;
  i64 sequence = 0;        // attention: tokens of a document
  i64 outputs = 0;         // linear
  double load_spread = 0;  // experts: standard deviation of the experts' log-probabilities
  DType dtype = DType::bf16;
  model::ModelConfig config;  // resolved: d_model, heads, experts, vocab

  std::string text() const;  // "experts T=512 d=2048 E=128 k=8 F=768"
};

// linear, attention, route, experts, head, norm, optimizer.
const std::vector<std::string>& operation_names();

// A call that is timed.
struct OperationCall {
  std::string direction;  // forward, backward, weight gradient, both
  Operation work;         // FLOPs and bytes
  std::function<void()> run;
};

struct OperationCase {
  std::vector<OperationCall> calls;
  double load_max_over_mean = 0;  // experts
  std::vector<std::unique_ptr<Buffer>> memory;
};

// Bytes that the operands take.
double operation_bytes(const OperationShape& shape);
// `layer` of a recorded routing (null: drawn with load_spread) gives the experts' load. Throws Error for unknown names.
OperationCase make_operation(const OperationShape& shape, const std::vector<i32>* expert_TK);

}  // namespace moebius::bench
