// Sets of code points: what a character class or a \p{property} of a pattern stands for, from one version of Unicode.
// Names, ranges and set operations in, sorted ranges out; also a table from code points to small numbers.
// Not for matching (pretokenizer.h).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace moebius::data {

inline constexpr u32 kCodeMax = 0x10FFFF;

struct CodeRange {
  u32 first, last;
  bool operator==(const CodeRange&) const = default;
};

class CodeSet {
 public:
  CodeSet() = default;
  CodeSet(std::initializer_list<CodeRange> ranges);
  void add(u32 first, u32 last);
  void add(const CodeSet& other);
  bool contains(u32 code) const;
  CodeSet complement() const;
  CodeSet intersection(const CodeSet& other) const;
  // Sorted, disjoint, with gaps between them.
  const std::vector<CodeRange>& ranges() const;
  bool operator==(const CodeSet& other) const { return ranges() == other.ranges(); }

 private:
  mutable std::vector<CodeRange> ranges_;
  mutable bool sorted_ = true;
};

// Code points whose general category is one of these, by their letters: "L" for all letters, "Lu", "L,N".
CodeSet category_set(std::string_view categories);
// The set of \p{name}: a general category, a script or a property, as Oniguruma names them (case, spaces, '-' and '_'
// do not count). No value: there is no such property here.
std::optional<CodeSet> property_set(std::string_view name);
// The set of [[:name:]].
std::optional<CodeSet> posix_set(std::string_view name);
// \w of Oniguruma.
const CodeSet& word_set();
// White space: \s.
const CodeSet& space_set();

// Adds to the set all characters that equal a member of it when case is ignored.
void close_case(CodeSet& set);
// The least character that equals this one when case is ignored.
u32 case_fold(u32 code);
// A character and the sequence of (folded) characters that it equals when case is ignored.
struct CaseSequence {
  u32 code;
  std::vector<u32> folded;
};
const std::vector<CaseSequence>& case_sequences();

// A value for each code point, in two stages: pages of 256 values, equal pages stored once.
class CodeTable {
 public:
  // `flat` has kCodeMax + 1 values.
  void set(const std::vector<u8>& flat);
  u8 get(u32 code) const {
    return code <= kCodeMax ? pages_[static_cast<std::size_t>(page_of_[code >> 8]) * 256 + (code & 255)] : u8{0};
  }

 private:
  std::vector<u16> page_of_;
  std::vector<u8> pages_;
};

}  // namespace moebius::data
