// Loss and bits per byte on held-out text, per source, with standard errors over documents.
// In: a token shard, a text file (also packed) or the held-out side of a corpus. Out: LossResult. Documents are cut into
// disjoint windows of at most the model's positions; attention never leaves a document, as in training.
#pragma once

#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "eval/score.h"

namespace moebius::eval {

struct LossSource {
  std::string name;
  std::string path;  // prefix of a shard (PATH.idx is there), else a file that data/reader.h reads
  std::string field = "text";
  bool held_out_only = false;  // text files: only documents that data/pack.h keeps from training
};
// "name=path", or a path alone.
LossSource parse_loss_source(const std::string& text);

struct LossOptions {
  i64 tokens_max = 0;  // of each source, whole documents from the start; 0: all
  i64 window = 0;      // tokens of a window; 0: the engine's positions
  // none: the first token of a document is not scored (no training example has predicted it); prefix: it is, after the
  // begin or end of text token, as lm-evaluation-harness's rolling log-likelihood does.
  bool prefix = false;
};

struct LossResult {
  double loss = 0, loss_se = 0;  // nats per token
  double bits_per_byte = 0, bits_per_byte_se = 0;
  i64 tokens = 0, bytes = 0, documents = 0;
};

// The documents' tokens of a source, read once and scored as often as wanted.
struct LossDocuments {
  std::string name;
  std::vector<std::vector<i32>> documents;
};
// Throws Error when the shard was made with another vocabulary, or nothing is there.
LossDocuments read_loss_documents(const LossSource& source, const data::Tokenizer& tokenizer, i64 tokens_max);

LossResult held_out_loss(const infer::Engine& engine, const data::Tokenizer& tokenizer, const LossDocuments& documents,
                         const LossOptions& options, const ScoreLimits& limits);

}  // namespace moebius::eval
