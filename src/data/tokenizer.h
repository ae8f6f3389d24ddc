// The byte-level BPE tokenizer: text to token ids and back.
// In: a Hugging Face tokenizer.json (GPT-2, GPT-NeoX/OLMoE, Llama 3, Qwen families), GPT-2's encoder.json + vocab.bpe,
// or a fresh vocabulary from bpe_trainer.h. Out: ids equal to those of the `tokenizers` library without its
// post-processor (no token is added before or after a text). Immutable, cheap to copy, safe from many threads at once.
// Sources: Sennrich et al. 2016 (BPE), Radford et al. 2019 (bytes). Not for SentencePiece or WordPiece models.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/types.h"

namespace moebius::data {

// A token outside of the merges, found in the text before anything else (fields as in tokenizer.json).
struct AddedToken {
  i32 id = 0;
  std::string content;
  bool special = true;       // left out by decode(..., skip_special)
  bool normalized = false;   // looked for after normalisation
  bool single_word = false;  // only when no letter, digit or underscore touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space after it along
};

// parse: the special tokens' texts in a document become those tokens (as `tokenizers` does). plain: they are ordinary
// text, so that no document can forge one. Added tokens that are not special are always found.
enum class SpecialTokens { parse, plain };

// The text of a tokenizer.json (unpacked) and of the tokenizer_config.json beside it: read once, written beside a model.
struct TokenizerFiles {
  std::string path, tokenizer;
  std::string config_path, config;  // config_path is empty when there is none
  // `path`: a tokenizer.json or a folder with one.
  static TokenizerFiles read(const std::string& path);
  void write(const std::string& folder) const;  // nothing when nothing was read
};

class Tokenizer {
 public:
  // A tokenizer.json (also .gz), or a folder that holds one. eos and bos come from tokenizer_config.json beside it if
  // there is one, else from the usual names. Throws Error for a broken file and for kinds that are not byte-level BPE.
  static Tokenizer load(const std::string& path);
  // The same from text; `where` names it in errors.
  static Tokenizer parse(std::string_view json, const std::string& where);
  // GPT-2's two files (also .gz): token text -> id, and the merges, one a line.
  static Tokenizer load_gpt2(const std::string& encoder_path, const std::string& merges_path);
  // From raw parts: byte strings by id, and merges as pairs of ids in order of rank. `added` ids index the same space.
  // GPT-2's pre-tokenizer, no normaliser. Throws Error when the parts do not fit together.
  static Tokenizer from_parts(std::vector<std::string> tokens, std::vector<std::pair<i32, i32>> merges,
                              std::vector<AddedToken> added);

  // Bytes that are not UTF-8 count as punctuation and keep their byte tokens; a vocabulary that has no token for such a
  // byte (GPT-NeoX's lacks 0xC0, 0xC1 and 0xF5 to 0xFF) makes it an Error.
  std::vector<i32> encode(std::string_view text, SpecialTokens special = SpecialTokens::parse) const;
  // Appends to `ids`.
  void encode(std::string_view text, std::vector<i32>& ids, SpecialTokens special = SpecialTokens::parse) const;
  // One list of ids for each text; the same for any number of threads (long texts are not cut).
  std::vector<std::vector<i32>> encode_parallel(const std::vector<std::string_view>& texts,
                                                SpecialTokens special = SpecialTokens::parse) const;

  // The exact bytes of the tokens; a cut in the middle of a character stays cut. Ids out of range are an Error.
  std::string decode(const std::vector<i32>& ids, bool skip_special = false) const;
  std::string_view token_bytes(i32 id) const;

  i64 vocab_size() const;  // one more than the largest id (ids in holes decode to nothing)
  i64 num_merges() const;
  i32 eos_id() const;  // -1: none
  i32 bos_id() const;  // -1: none; GPT-2 kinds use eos here
  bool is_special(i32 id) const;
  const std::vector<AddedToken>& added_tokens() const;
  // 64-bit hash of all that decides the ids; equal for equal tokenizers, however they were stored.
  u64 fingerprint() const;

  // tokenizer.json, version 1.0, written whole or not at all. load() gives an equal tokenizer.
  void save(const std::string& path) const;
  std::string to_json() const;

  struct Impl;  // tokenizer_impl.h

 private:
  friend class TokenizerBuilder;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace moebius::data
