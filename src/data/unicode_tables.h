// The generated tables behind unicode.h and unicode_sets.h, packed as strings of numbers, and their reader.
// Strings in, numbers out. Not for use elsewhere.
#pragma once

#include "base/types.h"

namespace moebius::data {

// Category number and length of each run of equal categories, from U+0000 on. Numbers: the order of kCategoryNames.
extern const char* const kCategoryRuns;
// Characters that are equal without case: distance from the entry before, and down to the least equal character.
extern const char* const kCaseFolds;
// Characters that equal a sequence without case (U+00DF and "ss"): character, length, sequence.
extern const char* const kCaseSequences;
// Combining classes: distance from the run before, length, class.
extern const char* const kCombiningRuns;
// Canonical decompositions: distance from the entry before, first part (signed, relative), second part * 2 + composes.
extern const char* const kDecompositions;
// Scripts and properties: names in lower case without underscores, separated by commas; distance and length of runs.
struct NamedSet {
  const char* names;
  const char* runs;
};
extern const NamedSet kNamedSets[];
extern const i64 kNamedSetsCount;

// Reads a table's numbers in order; see tests/peers/unicode_tables.py for the encoding.
class NumberReader {
 public:
  explicit NumberReader(const char* text) : p_(text) {}
  bool done() const { return *p_ == '\0'; }
  u32 next() {
    u32 value = 0;
    for (int shift = 0;; shift += 5) {
      const u32 digit = digit_of(*p_++);
      value |= (digit & 31) << shift;
      if (digit < 32) return value;
    }
  }

 private:
  static u32 digit_of(char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<u32>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<u32>(c - 'a' + 26);
    if (c >= '0' && c <= '9') return static_cast<u32>(c - '0' + 52);
    return c == '+' ? 62 : 63;
  }
  const char* p_;
};

}  // namespace moebius::data
