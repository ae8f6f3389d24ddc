// From text files or generated documents to token shards, and the split of every corpus into training and held-out
// documents. in: files that data/reader.h reads, or strings, and a tokenizer -> out: PREFIX.bin, .idx, .meta.json.
// Not for batches: data/mixture.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "data/reader.h"
#include "data/shard.h"
#include "data/tokenizer.h"

namespace moebius::data {

// Which documents of a corpus to take.
enum class Split { train, held_out, all };
Split split_parse(const std::string& text);  // "train", "held-out", "all"

// Whether a document is kept from training: a hash of its text, so that equal texts fall on the same side and neither
// order nor file names matter. One document in `one_in`; 0: none. Every consumer of a corpus uses this function.
inline constexpr i64 kHeldOutOneIn = 50;
bool held_out(std::string_view text, i64 one_in = kHeldOutOneIn);

struct PackOptions {
  std::vector<std::string> input;  // files, in this order
  std::string field = "text";      // JSON field; "question,answer" joins several by a line break
  std::string field_option = ReaderOptions().field_option;
  std::string separator;        // plain text: as ReaderOptions::separator
  std::string format = "auto";  // of the input: document_format_parse()
  std::string name;             // of the source; empty: last part of `out`
  std::string out;              // prefix of the shard
  std::string split = "train";
  i64 held_out_one_in = kHeldOutOneIn;
  i64 documents_max = 0;  // 0: all
  bool generated = false;
};
// The options of the input, which packing and training a tokenizer share; then those of packing.
void describe_input(PackOptions& options, OptionList& list);
void describe(PackOptions& options, OptionList& list);

struct PackResult {
  ShardMeta meta;
  i64 documents_skipped = 0;  // of the other side of the split
  i64 documents_empty = 0;    // without text
  double seconds = 0;
  Json to_json() const;
};

// Tokenizes in parallel, ends every document with the tokenizer's end-of-text token, writes the shard. The text of a
// document never becomes a special token. Throws Error when the tokenizer has no end-of-text token or nothing is left.
PackResult pack_corpus(const PackOptions& options, const Tokenizer& tokenizer);
// The same for documents in memory (generated tasks): all of them, in order.
PackResult pack_documents(const std::vector<std::string>& documents, const Tokenizer& tokenizer,
                          const std::string& name, const std::string& out, bool generated);

// The texts of one side of a corpus, in order (held-out text for evaluation; training of a tokenizer).
std::vector<std::string> read_split(const PackOptions& options);

}  // namespace moebius::data
