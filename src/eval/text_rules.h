// Rules on texts that scoring needs, as lm-evaluation-harness has them: white space, characters, regular expressions
// (PCRE2 in the place of Python's re), extraction of an answer, normalisation before exact match, templates over a row.
// In and out: valid UTF-8. Not for tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace moebius::eval {

// Number of code points.
i64 characters(std::string_view text);
// Bytes of white space (Python's str.isspace) at the end; the text without it at both ends.
i64 trailing_space_bytes(std::string_view text);
std::string stripped(std::string_view text);
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
  bool last = false;               // the last match in the place of the first
  bool strip = false;              // remove white space at both ends
  std::string after;               // after the last occurrence of this, up to a full stop or line break, stripped
};
// "[invalid]" when nothing matches, as the harness says it.
std::string extract(const Extraction& rule, const std::string& text);

// Applied to both sides before they are compared.
struct Normalisation {
  std::vector<std::shared_ptr<Pattern>> remove;
  bool ignore_case = false;
  bool ignore_punctuation = false;  // ASCII punctuation
};
std::string normalised(const Normalisation& rule, const std::string& text);

// A row has no value where the task needs one (null, a missing field, an empty list): its item is skipped, not the task.
struct MissingValue : Error {
  using Error::Error;
};

// Replaces {field} and {outer.inner} by the row's values; {{ and }} are braces. A template that is one field alone gives
// the value itself (a list stays a list), else the result is a string. Throws MissingValue for a field that is null or
// unknown, naming the nearest. `where` names the row.
Json render(const std::string& pattern, const Json& row, const std::string& where);
std::string render_text(const std::string& pattern, const Json& row, const std::string& where);
// How a value is written in a text: 51.0 as "51".
std::string value_text(const Json& value);

}  // namespace moebius::eval
