// Patterns in Oniguruma's dialect (the `tokenizers` library's), parsed into a form that refers to sets of characters. A
// pattern in; sets of code points and text with references to them out, which pretokenizer_regex.cpp writes as a PCRE2
// pattern over small numbers. What cannot be translated exactly is refused by name. Not a matcher.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/unicode_sets.h"

namespace moebius::data {

// A part of the translated pattern: one character out of sets[set], or, with set -1, PCRE2 text.
struct PatternPart {
  std::string text = {};
  i32 set = -1;
};

struct ParsedPattern {
  std::vector<PatternPart> parts;
  std::vector<CodeSet> sets;  // all different

  void add_text(std::string text) { parts.push_back({.text = std::move(text)}); }
  void add_set(const CodeSet& set);
};

// Throws Error, starting with `where`, for what is not valid or not supported.
ParsedPattern parse_pattern(std::string_view pattern, const std::string& where);
// A pattern that matches this text and nothing else.
ParsedPattern literal_pattern(std::string_view text);

}  // namespace moebius::data
