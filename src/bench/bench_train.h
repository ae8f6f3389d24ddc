// `moebius bench train`: real training steps on real text with the machine's roof measured around each repeat, the time of
// every operation and its bound, memory and train's plan for it. In: options, a configuration. Out: the object of --json.
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
  i64 document = 0;  // tokens per document (attention stays within it); 0: the sequence
  i64 tokens_per_step = 8192;
  i64 micro_batch_tokens = 0;  // 0: the whole step
  i64 repeats = 0;             // each between two measurements of the roof; 0: 5, in the grid 2
  i64 steps = 0;               // of a repeat; 0: as many as fill a second
  i64 steps_warm = -1;         // trained before the routing is recorded; -1: 400, or 5 when one is replayed
  i64 warm_tokens = 2048;      // of a warm step, at most; the last one is as large as the measured ones
  i64 roof_milliseconds = 0;   // for each figure of the roof; 0: 100, in the grid 20
  i64 seed = 1;
  i64 threads_beside = 0;  // measured in the same run too; 0: not
  double learning_rate = 1e-3;
  std::string precision = "auto";  // run_bench makes it definite
  std::string recompute = "none";
  std::vector<std::string> corpus;  // empty: the shipped text
  std::string routing;              // replay this one and do not train for it
  std::string record_routing;       // write the one that was recorded
  std::string records;              // append a record to this file
  void describe(OptionList& list);
  DType compute() const;
  void resolve(bool grid);  // fills in what depends on other options
};

// The keys of --json; `text` receives the table. Throws Error for shapes that do not fit and for files.
Json bench_train(const BenchTrainOptions& options, const model::ModelConfig& config, std::string* text);

// The table of a result, at most 120 columns.
std::string bench_train_table(const Json& result);

}  // namespace moebius::bench
