// Batches of real text for measurements: the shipped corpus, a vocabulary trained on it, one stream of tokens cut into
// pieces. And the Routing that training on it ended with, as a file, so that a load can be measured again.
// Not for training runs: those read shards (data/mixture.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/batch.h"
#include "model/config.h"

namespace moebius::bench {

// Files that data/reader.h reads; empty: corpora/enwiki2019-00.jsonl.gz of the source tree. One stream: documents
// follow each other with an end-of-text token between them.
std::vector<i32> real_text_stream(const std::vector<std::string>& files, i64 vocab);

// The stream in pieces of `document` tokens that attend to each other; `length` must be a multiple of it.
std::unique_ptr<data::BatchSource> real_text_source(const std::vector<i32>& stream, i64 sequences, i64 length,
                                                    i64 document);

// The choices of one pass: K experts for each token, of each MoE layer.
struct RoutingRecord {
  i64 tokens = 0, top_k = 0, experts = 0;
  i64 steps = 0;         // of training before it
  bool settled = false;  // load_settled of that training
  std::vector<std::vector<i32>> expert_LTK;
  // Largest number of tokens of an expert over the mean: of the worst layer, and the mean over layers.
  double max_over_mean_worst() const;
  double max_over_mean() const;
  double max_over_mean_of_layer(std::size_t layer) const;

  void save(const std::string& path) const;
  // Throws Error for other files.
  static RoutingRecord load(const std::string& path);
  // Throws Error when it belongs to another shape.
  void check_fits(const model::ModelConfig& config, i64 micro_batch_tokens, const std::string& path) const;
};

// Whether the load has stopped changing: the means of the last two quarters of a curve of a hundred or more values
// differ by at most a tenth.
bool load_settled(const std::vector<double>& curve);

}  // namespace moebius::bench
