// The raw Unicode tables behind unicode.h: ranges of code points and canonical decompositions, generated.
// Not for use elsewhere: unicode.h has the questions one asks.
#pragma once

#include "base/types.h"

namespace moebius::data {

struct CodeRange {
  u32 first, last;
};
struct CombiningRange {
  u32 first, last;
  u32 combining_class;  // never 0
};
// Canonical decomposition of `code` into `first` and `second` (0: into `first` alone); `composes`: and back again.
struct Decomposition {
  u32 code, first, second = 0, composes = 0;
};

extern const CodeRange kLetterRanges[];
extern const i64 kLetterRangesCount;
extern const CodeRange kNumberRanges[];
extern const i64 kNumberRangesCount;
extern const CodeRange kWordExtraRanges[];  // word characters that are not letters
extern const i64 kWordExtraRangesCount;
extern const CombiningRange kCombiningClasses[];
extern const i64 kCombiningClassesCount;
extern const Decomposition kDecompositions[];
extern const i64 kDecompositionsCount;

}  // namespace moebius::data
