// What a Tokenizer consists of, and the one class that builds it. For tokenizer*.cpp only.
// Vocabulary, merges and sections of a tokenizer file in, a checked and indexed Tokenizer out.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "data/added_tokens.h"
#include "data/bpe.h"
#include "data/pretokenizer.h"
#include "data/tokenizer.h"

namespace moebius::data {

// Working memory of one encode() call.
struct EncodeScratch {
  BpeScratch bpe;
  std::vector<Stretch> outer, inner;
  std::vector<std::string_view> pieces;
  std::string normalized, prefixed;
};

struct Tokenizer::Impl {
  // By id. `texts` are the vocabulary's strings as stored ("" and not `known`: a hole, or an added token that the
  // vocabulary does not list).
  std::vector<std::string> texts;
  std::vector<std::string> bytes;  // what the id decodes to
  std::vector<u8> known, special;
  std::vector<BpeModel::Merge> merges;
  std::vector<AddedToken> added;
  bool ignore_merges = false;  // a word that is itself a token is not merged from its bytes
  bool nfc = false;
  Json normalizer, pre_tokenizer, post_processor, decoder;  // as stored
  i32 eos = -1, bos = -1;

  // Made from the above by TokenizerBuilder::build.
  BpeModel bpe;
  PreTokenizer words;
  AddedTokenMatcher raw_matcher, normalized_matcher;
  std::unordered_map<std::string_view, i32> by_bytes;
  u64 fingerprint = 0;

  mutable std::mutex scratch_mutex;
  mutable std::vector<std::unique_ptr<EncodeScratch>> scratch_free;

  void encode(std::string_view text, SpecialTokens special, EncodeScratch& scratch, std::vector<i32>& ids) const;
  void encode_plain(std::string_view text, EncodeScratch& scratch, std::vector<i32>& ids) const;
  std::unique_ptr<EncodeScratch> take_scratch() const;
  void give_scratch(std::unique_ptr<EncodeScratch> scratch) const;
};

// Builds an Impl step by step; every Error starts with `where`.
class TokenizerBuilder {
 public:
  explicit TokenizerBuilder(std::string where);

  // Limits the ids: a file of `count` tokens has none that lie far beyond. Call before the tokens are added.
  void expect_tokens(i64 count);
  // A vocabulary entry as files store it (bytes as GPT-2's printable characters).
  void add_token(const std::string& text, i64 id);
  void add_merge(const std::string& left, const std::string& right);
  // A merge as files store it: "left right".
  void add_merge_line(std::string_view line);
  void add_added(AddedToken token);
  // The end and the beginning of a text, by name (empty: not named); `where` is the file that names them. Call after
  // all tokens are added.
  void set_ends(const std::string& eos, const std::string& bos, const std::string& where);
  void set_normalizer(const Json& section);
  void set_pre_tokenizer(const Json& section);
  Tokenizer::Impl& impl() { return *impl_; }

  // Checks and indexes everything.
  Tokenizer build();

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& got = "", const std::string& fix = "") const;
  void grow_to(i64 id);
  void choose_ends();
  u64 fingerprint() const;

  std::string where_;
  std::shared_ptr<Tokenizer::Impl> impl_;
  i64 ids_max_;
  std::unordered_map<std::string, i32> id_of_;        // the vocabulary
  std::unordered_map<std::string, i32> added_id_of_;  // the added tokens
  std::unordered_map<i32, std::string> taken_by_added_;
};

// GPT-2's printable stand-ins for bytes: the code point for each byte.
u32 byte_to_code(u8 byte);
// A vocabulary string back to bytes; false when it holds a character that stands for no byte.
bool text_to_bytes(std::string_view text, std::string& bytes);
std::string bytes_to_text(std::string_view bytes);
// The sections of a tokenizer without normaliser that uses GPT-2's words.
Json byte_level_section();

}  // namespace moebius::data
