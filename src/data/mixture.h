// Mixture: the stream of batches from several token shards by weight. A pure function of (sources, seed, position):
// every model of a study sees the same rows in the same order, whatever the batch size or number of threads.
// How: each source's documents are cut into pieces of at most `length` tokens and shuffled again for each pass; the next
// piece comes from the source with the largest token deficit; pieces are packed into sequences. Details: docs/data.md.
// Not for reading text or for tokenization.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/options.h"
#include "data/batch.h"
#include "data/shard.h"

namespace moebius::data {

struct MixtureSource {
  std::string name;
  std::string path;        // shard prefix or file (TokenShard::open)
  double weight = 1;       // share of tokens, relative to the sum of weights
  double epochs_max = -1;  // passes allowed; 0: no limit; -1: no limit for generated shards, 4 for text
                           // (up to 4 passes are nearly as good as new text: Muennighoff et al. 2023, 2305.16264)
};

struct MixtureOptions {
  i64 sequences = 16;  // of a batch; does not change the stream of sequences
  i64 length = 128;    // tokens of a sequence
  i64 seed_data = 1;
  bool attend_across_documents = false;  // spans are whole sequences; end-of-text predicts the next document
  bool positions_restart = true;         // positions restart at documents (spans), else run through the sequence
  bool whole_documents = true;           // documents that fit a sequence are not cut
  i64 lookahead = 64;                    // pending pieces among which one that fits is looked for
  ShardOptions shards;                   // of sources without meta.json
};

// "name=path:weight" or "name=path:weight:epochs" for each source.
std::vector<MixtureSource> mixture_sources_parse(const std::vector<std::string>& texts, const std::string& where);
// [{"name","path","weight","epochs_max"?}, ...]
std::vector<MixtureSource> mixture_sources_from_json(const Json& json, const std::string& where);

Json mixture_sources_to_json(const std::vector<MixtureSource>& sources);

class Tokenizer;

class Mixture : public BatchSource {
 public:
  // Opens the shards. Throws Error when they disagree in vocabulary, tokenizer or end-of-text token.
  Mixture(std::vector<MixtureSource> sources, MixtureOptions options);
  ~Mixture() override;

  void next(Batch& batch) override;
  Json state() const override;
  void restore(const Json& state) override;
  std::vector<SourceCounters> counters() const override;
  i64 tokens_padding() const override;
  i64 sequences() const override;
  i64 length() const override;
  i64 mapped_bytes() const override;

  i64 vocab() const;  // 0 when no shard says
  i64 end_of_text() const;
  // Throws Error when a shard was made with another tokenizer. Shards that do not state their vocabulary get its.
  void check_tokenizer(const Tokenizer& given);
  // The vocabulary of shards that do not state theirs: throws Error when an id is not below `size`.
  void require_vocab(i64 size);
  // [{"name", "weight", "digest"}], the digest of each shard's files: equal for two runs on the same data.
  Json identity() const;
  // Passes over each source that `tokens` tokens of training need (padding left out).
  std::vector<double> epochs_needed(i64 tokens) const;
  // Throws Error "corpus too small for the token count", with numbers and advice, when a source would be used more
  // often than its epochs_max. Call before a run starts; otherwise next() throws the same error later.
  void check_tokens(i64 tokens) const;

 private:
  struct Source;
  struct Pending;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moebius::data
