// Splitting text into the words that BPE merges never cross.
// Text in, a list of its pieces out (views into it). GPT-2's pattern has a hand-written scanner; any other pattern of a
// tokenizer.json goes through PCRE2. Not for the merges (bpe.h) or for added tokens (added_tokens.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/types.h"

namespace moebius::data {

// Radford et al. 2019, as stored in tokenizer files.
extern const char* const kGpt2Pattern;

// End of the GPT-2 word that starts at `p` (p < end). Invalid bytes count as punctuation.
const char* gpt2_word_end(const char* p, const char* end);

struct ParsedPattern;  // pretokenizer_pattern.h

// A regular expression over UTF-8, compiled once, used from many threads.
class RegexSplitter {
 public:
  // `pattern` is for error messages. Throws Error, with `where`, for a pattern that cannot be compiled.
  RegexSplitter(const ParsedPattern& parsed, const std::string& pattern, const std::string& where);
  ~RegexSplitter();
  RegexSplitter(RegexSplitter&&) noexcept;
  RegexSplitter& operator=(RegexSplitter&&) noexcept;

  // Appends the places of all matches, in order, as (begin, end); empty matches too, where the library counts them. No
  // match crosses an invalid byte. Throws Error when the engine exceeds its limits.
  void find(std::string_view text, std::vector<std::pair<i64, i64>>& matches) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

// The pre_tokenizer section of a tokenizer.json: a chain of steps, each splitting the pieces of the one before.
class PreTokenizer {
 public:
  // GPT-2's: the scanner alone.
  PreTokenizer();
  // Throws Error, with `where`, for anything but Split, Digits and a final ByteLevel, alone or in sequences.
  PreTokenizer(const Json& section, const std::string& where);

  // Appends the pieces of `text` in order; together they are the text, except what a Split with "Removed" leaves out and
  // a space that add_prefix_space inserts at the beginning (the pieces are then views of `scratch`).
  void split(std::string_view text, std::vector<std::string_view>& pieces, std::string& scratch) const;
  // True when split() is the GPT-2 scanner and nothing else, so that a caller may run the scanner in its own loop.
  bool is_gpt2_only() const { return steps_.size() == 1 && steps_[0].kind == Kind::gpt2; }
  bool adds_prefix_space() const { return prefix_space_; }

 private:
  enum class Kind { gpt2, regex, digits, digits_single };
  // What a Split does with its matches: each is a piece, is left out, ends the piece before it, begins the piece after it,
  // or is joined with the matches next to it.
  enum class Behavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };
  struct Span {
    i64 from, to;
    bool match;
  };
  struct Step {
    Kind kind = Kind::gpt2;
    Behavior behavior = Behavior::isolated;
    bool invert = false;  // the text between the matches counts as the match
    std::shared_ptr<const RegexSplitter> regex = nullptr;
  };
  static std::vector<Span> merge_spans(std::vector<Span> spans, Behavior behavior);
  static void run_split(const Step& step, std::string_view piece, std::vector<std::string_view>& out);
  void add_section(const Json& section, const std::string& where);
  void add_split(const Json& section, const std::string& where);
  static void run_step(const Step& step, std::string_view piece, std::vector<std::string_view>& out);

  std::vector<Step> steps_;
  bool prefix_space_ = false;
  bool byte_level_ = false;  // a ByteLevel step was seen; in the library, later steps would see its stand-ins for bytes
};

}  // namespace moebius::data
