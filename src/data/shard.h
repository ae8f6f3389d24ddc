// TokenShard: documents as token ids on disk. Written as Megatron-LM's indexed dataset (PREFIX.bin, PREFIX.idx) with
// PREFIX.meta.json beside it; read from that, from llm.c's .bin and from headerless .bin files (nanoGPT).
// Files are mapped, never loaded; no length, offset or count in them is trusted. Layouts: docs/data.md.
// Not for text: data/reader.h; not for batches: data/mixture.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/options.h"
#include "base/types.h"

namespace moebius::data {

// The content of PREFIX.meta.json. Megatron does not know this file and does not need it.
struct ShardMeta {
  std::string name;      // of the source
  i64 vocab = 0;         // ids are in [0, vocab); 0: unknown
  i64 end_of_text = -1;  // id that ends every document; -1: unknown
  i64 documents = 0;
  i64 tokens = 0;          // with end-of-text tokens
  i64 bytes = 0;           // of text before tokenization
  bool generated = false;  // made by a generated task: may be repeated without limit by default
  std::string tokenizer;   // Tokenizer::fingerprint() in hex; shards of one mixture must agree
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

// automatic: Megatron when there is an index, llm.c by its magic number, else headerless 16-bit ids if the content is
// plausible: not text, no known file of another kind, not 32-bit ids.
enum class ShardFormat { automatic, megatron, llm_c, u16, u32 };
// "auto", "megatron", "llm.c", "u16", "u32". Throws Error.
ShardFormat shard_format_parse(const std::string& text);
inline const std::vector<std::string> kShardFormats = {"auto", "megatron", "llm.c", "u16", "u32"};

// What files without meta.json do not say.
struct ShardOptions {
  // Splits llm.c's and headerless files into documents after each such token. -1: 50256 for llm.c's GPT-2 files
  // (magic 20240520) and 128000 for its Llama 3 files (20240801); a headerless file is one document.
  i64 end_of_text = -1;
  ShardFormat format = ShardFormat::automatic;
};

// --end-of-text and --shard-format; `format` is for shard_format_parse().
void describe(ShardOptions& options, std::string& format, OptionList& list);

class TokenShard {
 public:
  // Whether `path` names a token shard and not text: an index is beside it, or it ends in .bin or .idx.
  static bool is_shard(const std::string& path);
  // `path`: PREFIX, PREFIX.bin or PREFIX.idx of a Megatron shard, or an llm.c or headerless file.
  static TokenShard open(const std::string& path, const ShardOptions& options = {});

  i64 documents() const { return static_cast<i64>(begins_.size()) - 1; }
  i64 tokens() const { return begins_.back(); }
  i64 mapped_bytes() const { return bin_.bytes(); }
  i64 document_tokens(i64 document) const;
  // out[0..count) = tokens [begin, begin + count) of a document. An id out of [0, vocab) is an Error (corrupt shard).
  void copy(i64 document, i64 begin, i64 count, i32* out) const;
  const ShardMeta& meta() const { return meta_; }
  // For a shard that does not state its vocabulary: throws Error, naming file and place, when an id is not below `vocab`,
  // and has copy() check it too. Reads the whole file.
  void require_vocab(i64 vocab);
  // content_digest() of its files, meta.json left out: reads them whole.
  std::string digest() const;
  // Throws Error when the shard says that it was made with a tokenizer of another fingerprint (or larger vocabulary).
  void check_tokenizer(u64 fingerprint, i64 vocab) const;

 private:
  static TokenShard open_megatron(const std::string& prefix);
  static TokenShard open_llm_c(const std::string& path, i64 end_of_text);
  static TokenShard open_headerless(const std::string& path, i64 token_bytes, i64 end_of_text);
  void split_at_end_of_text(i64 tokens, i64 end_of_text);
  i32 token_at(i64 index) const;

  std::string path_;        // of the tokens
  std::string index_path_;  // empty: none
  FileMap bin_;
  i64 header_bytes_ = 0;
  i64 token_bytes_ = 2;  // 1, 2, 4 or 8
  bool signed_ = false;
  std::vector<i64> begins_;  // first token of each document, and the end; in tokens from the header
  ShardMeta meta_;
};

}  // namespace moebius::data
