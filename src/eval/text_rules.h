// Rules on texts that scoring needs, as lm-evaluation-harness has them: white space, characters, regular expressions
// (PCRE2 instead of Python's re), extraction of an answer, normalisation before exact match.
// In and out: valid UTF-8. Not for tokens, nor for templates: template.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace moebius::eval {

// Number of code points.
i64 characters(std::string_view text);
// Bytes of white space (Python's str.isspace) at the end; the text without it at both ends.
i64 trailing_space_bytes(std::string_view text);
std::string stripped(std::string_view text);
// len(re.split(r"\s+", text)) in Python, the word count of the harness's word perplexity: runs of white space + 1.
i64 words(std::string_view text);
// Lower case, also beyond ASCII where a character has one lower-case character.
std::string lower_case(const std::string& text);

class Pattern {
 public:
  // Throws Error with the place of the fault.
  explicit Pattern(const std::string& regex, const std::string& where = "regular expression");
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  // Python's re.sub(regex, "", text).
  std::string removed_from(const std::string& text) const;
  // Each match replaced; $1 in the replacement is the first group, $$ a dollar sign.
  std::string replaced_in(const std::string& text, const std::string& replacement) const;
  // Python's re.findall: for each match its groups, or the whole match when the pattern has no group.
  std::vector<std::vector<std::string>> find_all(const std::string& text) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// How the answer is taken out of a generated text.
struct Extraction {
  std::string name;                // suffix of the score's name; empty for the first
  std::shared_ptr<Pattern> regex;  // null: the whole text
  bool last = false;               // the last match instead of the first
  bool strip = false;              // remove white space at both ends
  std::string after;               // after the last occurrence of this, up to a full stop or line break, stripped
};
std::optional<std::string> extract_or_none(const Extraction& rule, const std::string& text);
// "[invalid]" when nothing matches, as in the harness.
std::string extract(const Extraction& rule, const std::string& text);
// The first non-empty group of every match, or the whole match when the pattern has no group.
std::vector<std::string> matches_of(const Pattern& pattern, const std::string& text);

// Applied to both sides before they are compared.
struct Normalisation {
  std::vector<std::shared_ptr<Pattern>> remove;
  bool ignore_case = false;
  bool ignore_punctuation = false;  // ASCII punctuation
};
std::string normalised(const Normalisation& rule, const std::string& text);

}  // namespace moebius::eval
