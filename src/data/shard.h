// TokenShard: documents as token ids on disk. Written as Megatron-LM's indexed dataset (PREFIX.bin, PREFIX.idx) with
// PREFIX.meta.json beside it; read from that, from llm.c's .bin and from nanoGPT's headerless .bin.
// Files are mapped, never loaded; no length, offset or count in them is trusted. Layouts: docs/data.md.
// Not for text: data/reader.h; not for batches: data/mixture.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/types.h"

namespace moebius::data {

// What stands in PREFIX.meta.json. Megatron does not know this file and does not need it.
struct ShardMeta {
  std::string name;      // of the source
  i64 vocab = 0;         // ids are in [0, vocab); 0: unknown
  i64 end_of_text = -1;  // id that ends every document; -1: unknown
  i64 documents = 0;
  i64 tokens = 0;          // with end-of-text tokens
  i64 bytes = 0;           // of text before tokenization
  bool generated = false;  // made by a generated task: may be repeated without limit by default
  std::string tokenizer;   // digest of the tokenizer; shards of one mixture must agree
  Json extra;              // source files, split, options

  Json to_json() const;
  static ShardMeta from_json(const Json& json, const std::string& where);
};

// Streams documents to PREFIX.bin and PREFIX.idx. Both appear at commit(), the index last: a crash leaves no index.
class ShardWriter {
 public:
  // Ids are u16 when vocab < 65500, else i32 (Megatron's rule).
  ShardWriter(std::string prefix, i64 vocab);
  // `tokens` with their end-of-text token. Throws Error when an id is out of [0, vocab).
  void add(const i32* tokens, i64 count);
  i64 documents() const { return static_cast<i64>(lengths_.size()); }
  i64 tokens() const { return tokens_; }
  // Fills documents and tokens of `meta`. Throws Error when no document was added.
  void commit(ShardMeta meta);

 private:
  std::string prefix_;
  i64 vocab_;
  bool wide_;
  AtomicFile bin_;
  std::vector<i32> lengths_;
  std::vector<u16> narrow_;
  i64 tokens_ = 0;
};

class TokenShard {
 public:
  // PREFIX.bin + PREFIX.idx (and PREFIX.meta.json when there).
  static TokenShard open_megatron(const std::string& prefix);
  // llm.c: header of 256 i32 (magic 20240520 or 20240801). nanoGPT: bare u16. Documents are cut after each
  // `end_of_text`; with -1 the file is one document.
  static TokenShard open_llm_c(const std::string& path, i64 end_of_text);
  static TokenShard open_nanogpt(const std::string& path, i64 end_of_text);
  // Picks by what is there: PATH.idx -> Megatron; llm.c's magic; else nanoGPT.
  static TokenShard open(const std::string& path, i64 end_of_text = -1);

  i64 documents() const { return static_cast<i64>(begins_.size()) - 1; }
  i64 tokens() const { return begins_.back(); }
  i64 mapped_bytes() const { return bin_.bytes(); }
  i64 document_tokens(i64 document) const;
  // out[0..count) = tokens [begin, begin + count) of a document. An id out of [0, vocab) is an Error (corrupt shard).
  void copy(i64 document, i64 begin, i64 count, i32* out) const;
  const ShardMeta& meta() const { return meta_; }
  // The bound that copy() holds ids against; for shards without meta.
  void set_vocab(i64 vocab) { meta_.vocab = vocab; }

 private:
  void cut_at_end_of_text(i64 tokens, i64 end_of_text);
  i32 token_at(i64 index) const;

  std::string path_;
  FileMap bin_;
  i64 header_bytes_ = 0;
  i64 token_bytes_ = 2;  // 1, 2, 4 or 8
  bool signed_ = false;
  std::vector<i64> begins_;  // first token of each document, and the end; in tokens from the header
  ShardMeta meta_;
};

}  // namespace moebius::data
