// Training of a byte-level BPE vocabulary on text (Sennrich et al. 2016), equal to BpeTrainer of the `tokenizers`
// library: GPT-2's words, most frequent pair first, ties to the lower pair of ids.
// Texts in, Tokenizer out; parallel, and the same merges for any number of threads. Not for other kinds of model.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "data/tokenizer.h"

namespace moebius::data {

struct BpeTrainerOptions {
  i64 vocab_size = 8192;  // with special tokens and the 256 bytes; fewer if the text has no more pairs
  i64 min_frequency = 2;  // pairs rarer than this are not merged
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // get the first ids
};

class BpeTrainer {
 public:
  // Throws Error when vocab_size leaves no room for bytes and special tokens.
  explicit BpeTrainer(BpeTrainerOptions options = {});
  ~BpeTrainer();

  // Counts the words of these documents, in parallel. Call as often as wanted; the order of documents does not matter.
  void add(const std::vector<std::string_view>& texts);
  // Learns the merges. Throws Error when no text was added. Call once.
  Tokenizer finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moebius::data
