// Loss and bits per byte on held-out text, per source, with standard errors over documents.
// In: token shards and text files. Out: LossResult. Documents are cut into disjoint windows of at most the model's
// positions; attention never crosses documents, as in training. Not for tasks: task.h.
#pragma once

#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "eval/score.h"

namespace moebius::eval {

struct LossSource {
  std::string name;
  std::string path;            // a token shard (PREFIX, PREFIX.bin or PREFIX.idx), else a file that data/reader.h reads
  std::string field = "text";  // of JSON lines
};
// "NAME=PATH", or a path alone.
LossSource parse_loss_source(const std::string& text, const std::string& field);

struct LossOptions {
  i64 window = 0;  // tokens of a window; 0: the engine's positions
  // Whether the first token of a document is scored, after the begin-of-text or end-of-text token, as in
  // lm-evaluation-harness's rolling log-likelihood. No training example predicts it.
  bool prefix = false;
};

struct LossResult {
  double loss = 0, loss_se = 0;                    // nats per token; the errors of a single document are NaN
  double bits_per_byte = 0, bits_per_byte_se = 0;  // NaN when no scored token has bytes
  i64 tokens = 0, bytes = 0, documents = 0;
  // Sums of each scored document, for comparing models document by document.
  struct Document {
    i64 index = 0;  // in the source
    double nats = 0, tokens = 0, bytes = 0;
  };
  std::vector<Document> by_document;
};

// The tokens of a source's documents, read once and scored many times.
struct LossDocuments {
  std::string name;
  std::vector<std::vector<i32>> documents;
};
// Whole documents from the start, up to `tokens_max` tokens (0: all). Throws Error when a shard was made with another
// tokenizer, or the source has no tokens.
LossDocuments read_loss_documents(const LossSource& source, const data::Tokenizer& tokenizer, i64 tokens_max);

// Disjoint windows of at most `window` tokens over a document, each after at least one token of context. `context` precedes
// the first token; empty: the first token is not scored. Each is a request of group 0.
std::vector<LoglikRequest> rolling_windows(const std::vector<i32>& document, std::vector<i32> context, i64 window);

LossResult held_out_loss(const infer::Engine& engine, const data::Tokenizer& tokenizer, const LossDocuments& documents,
                         const LossOptions& options, const ScoreLimits& limits);

}  // namespace moebius::eval
