// Finding added tokens ("<|endoftext|>", runs of spaces) in a text before any other step.
// Text in, stretches out: plain text or one token each. Longest match at the leftmost place, flags as the `tokenizers`
// library applies them. Not for the merges.
#pragma once

#include <string_view>
#include <vector>

#include "base/types.h"
#include "data/tokenizer.h"

namespace moebius::data {

struct Stretch {
  i32 id;  // -1: plain text
  i64 begin, end;
};

class AddedTokenMatcher {
 public:
  // Takes those tokens whose `normalized` equals the argument; with `nfc` their texts are normalised first.
  void set(const std::vector<AddedToken>& tokens, bool normalized, bool nfc);
  // Appends the stretches of `text` in order; they cover it. With SpecialTokens::plain special tokens stay text.
  void split(std::string_view text, SpecialTokens special, std::vector<Stretch>& out) const;
  bool empty() const { return entries_.empty(); }

 private:
  struct Entry {
    std::string content;
    AddedToken token;
  };
  // The longest entry that starts at `at`, or nullptr.
  const Entry* match(std::string_view text, i64 at) const;

  std::vector<Entry> entries_;  // by first byte, then longest first
  i32 first_[257] = {};         // entries_ of first byte b: [first_[b], first_[b + 1])
  std::vector<bool> pairs_;     // first byte * 256 + second byte: may start an entry
};

}  // namespace moebius::data
