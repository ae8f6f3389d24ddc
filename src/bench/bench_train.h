// `moebius bench train`: real training steps on synthetic tokens, and the roof measured before and after them.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/options.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace moebius::bench {

struct BenchTrainOptions {
  std::string preset;
  i64 sequence = 512;
  i64 document = 0;             // tokens of a document; 0: the sequence
  i64 tokens_per_step = 16384;
  i64 micro_batch_tokens = 0;   // 0: the whole step
  i64 steps = 5;                // measured
  i64 steps_warm = 2;           // not measured
  i64 roof_milliseconds = 200;  // for each figure of the roof, before and after
  i64 seed = 1;
  std::string precision = "bf16";
  void describe(OptionList& list);
};

// The keys of --json; `text` receives the table.
Json bench_train(const BenchTrainOptions& options, const model::ModelConfig& config, std::string* text);

}  // namespace moebius::bench
