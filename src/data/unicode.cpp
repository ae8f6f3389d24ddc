// A table of bits for each code point, built once; normalisation after Unicode Standard Annex 15.
#include "data/unicode.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "data/unicode_sets.h"
#include "data/unicode_tables.h"

namespace moebius::data {

namespace {

constexpr u32 kHangulBase = 0xAC00, kHangulCount = 11172;
constexpr u32 kLBase = 0x1100, kVBase = 0x1161, kTBase = 0x11A7;
constexpr u32 kLCount = 19, kVCount = 21, kTCount = 28;

// Bits of one code point's byte.
constexpr u8 kClassMask = 3, kWordBit = 4, kNotQuickBit = 8, kCombiningBit = 16;

struct Decomposition {
  u32 first, second;  // second 0: into `first` alone
};

struct Tables {
  CodeTable bits;
  std::unordered_map<u32, u8> combining;
  std::unordered_map<u32, Decomposition> decompositions;
  std::unordered_map<u64, u32> compositions;

  Tables() {
    std::vector<u8> flat(kCodeMax + 1, 0);
    const auto mark = [&](const CodeSet& set, u8 bit) {
      for (const CodeRange& range : set.ranges()) {
        for (u32 c = range.first; c <= range.last; ++c) flat[c] |= bit;
      }
    };
    mark(category_set("L"), static_cast<u8>(CharClass::letter));
    mark(category_set("N"), static_cast<u8>(CharClass::number));
    mark(space_set(), static_cast<u8>(CharClass::space));
    CodeSet word = *posix_set("word");
    word.add(0x200C, 0x200D);
    mark(word, kWordBit);
    NumberReader runs(kCombiningRuns);
    for (u32 at = 0; !runs.done();) {
      at += runs.next();
      const u32 end = at + runs.next();
      const u8 combining_class = static_cast<u8>(runs.next());
      for (; at < end; ++at) {
        combining[at] = combining_class;
        flat[at] |= kCombiningBit;
      }
    }
    NumberReader reader(kDecompositions);
    for (u32 code = 0; !reader.done();) {
      code += reader.next();
      const u32 distance = reader.next(), rest = reader.next();
      const u32 first = (distance & 1) != 0 ? code - (distance + 1) / 2 : code + distance / 2;
      decompositions[code] = {first, rest >> 1};
      if ((rest & 1) != 0) {
        compositions[static_cast<u64>(first) << 32 | rest >> 1] = code;
        flat[rest >> 1] |= kNotQuickBit;  // may compose with the character before it
      } else {
        flat[code] |= kNotQuickBit;  // never in form C
      }
    }
    for (u32 i = 0; i < kVCount; ++i) flat[kVBase + i] |= kNotQuickBit;
    for (u32 i = 1; i < kTCount; ++i) flat[kTBase + i] |= kNotQuickBit;
    bits.set(flat);
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

struct Mark {
  u32 code;
  u8 combining;
};

void decompose(const Tables& t, u32 code, std::vector<Mark>& out) {
  if (code - kHangulBase < kHangulCount) {
    const u32 s = code - kHangulBase;
    out.push_back({kLBase + s / (kVCount * kTCount), 0});
    out.push_back({kVBase + s % (kVCount * kTCount) / kTCount, 0});
    if (s % kTCount != 0) out.push_back({kTBase + s % kTCount, 0});
    return;
  }
  const auto found = t.decompositions.find(code);
  if (found != t.decompositions.end()) {
    decompose(t, found->second.first, out);
    if (found->second.second != 0) decompose(t, found->second.second, out);
    return;
  }
  const auto combining = t.combining.find(code);
  out.push_back({code, combining == t.combining.end() ? u8{0} : combining->second});
}

// The primary composite of two characters, or 0.
u32 compose_pair(const Tables& t, u32 first, u32 second) {
  if (first - kLBase < kLCount && second - kVBase < kVCount) {
    return kHangulBase + ((first - kLBase) * kVCount + (second - kVBase)) * kTCount;
  }
  if (first - kHangulBase < kHangulCount && (first - kHangulBase) % kTCount == 0 && second > kTBase &&
      second - kTBase < kTCount) {
    return first + (second - kTBase);
  }
  const auto found = t.compositions.find(static_cast<u64>(first) << 32 | second);
  return found == t.compositions.end() ? 0 : found->second;
}

void reorder(std::vector<Mark>& marks) {
  for (std::size_t i = 0; i < marks.size();) {
    if (marks[i].combining == 0) {
      ++i;
      continue;
    }
    std::size_t j = i;
    while (j < marks.size() && marks[j].combining != 0) ++j;
    std::stable_sort(marks.begin() + static_cast<i64>(i), marks.begin() + static_cast<i64>(j),
                     [](const Mark& a, const Mark& b) { return a.combining < b.combining; });
    i = j;
  }
}

void append_composed(const Tables& t, std::vector<Mark>& marks, std::string& out) {
  reorder(marks);
  constexpr std::size_t kNone = ~std::size_t{0};
  std::size_t starter = kNone, kept = 0;
  int last = -1;  // combining class of the last kept mark after the starter; -1: none
  for (const Mark& mark : marks) {
    if (starter != kNone && last < static_cast<int>(mark.combining)) {
      const u32 whole = compose_pair(t, marks[starter].code, mark.code);
      if (whole != 0) {
        marks[starter].code = whole;
        continue;
      }
    }
    if (mark.combining == 0) {
      starter = kept;
      last = -1;
    } else {
      last = mark.combining;
    }
    marks[kept++] = mark;
  }
  for (std::size_t i = 0; i < kept; ++i) append_utf8(out, marks[i].code);
}

// Where text can be cut before normalising: a character that neither combines nor composes with the one before it.
bool is_boundary(u8 bits) { return (bits & (kNotQuickBit | kCombiningBit)) == 0; }

}  // namespace

CharClass char_class(u32 code) { return static_cast<CharClass>(tables().bits.get(code) & kClassMask); }

bool is_word_char(u32 code) { return (tables().bits.get(code) & kWordBit) != 0; }

bool is_nfc_quick(std::string_view text) {
  const Tables& t = tables();
  const char* p = text.data();
  const char* const end = p + text.size();
  u8 last = 0;
  while (p < end) {
    // Nothing below U+0300 combines or composes backwards, and its lead bytes are below 0xCC.
    if (static_cast<u8>(*p) < 0xCC) {
      last = 0;
      ++p;
      continue;
    }
    u32 code;
    p += decode_utf8(p, end, code);
    const u8 bits = t.bits.get(code);
    if ((bits & kNotQuickBit) != 0) return false;
    u8 combining = 0;
    if ((bits & kCombiningBit) != 0) combining = t.combining.at(code);
    if (combining != 0 && combining < last) return false;
    last = combining;
  }
  return true;
}

void append_nfc(std::string_view text, std::string& out) {
  if (is_nfc_quick(text)) {
    out.append(text);
    return;
  }
  const Tables& t = tables();
  const char* p = text.data();
  const char* const end = p + text.size();
  std::vector<Mark> marks;
  while (p < end) {
    // One stretch: a boundary character and all that may combine with it.
    const char* const begin = p;
    u32 code;
    p += decode_utf8(p, end, code);
    if (code == kInvalidCode) {
      out += *begin;
      continue;
    }
    marks.clear();
    decompose(t, code, marks);
    bool alone = is_boundary(t.bits.get(code));
    while (p < end) {
      const char* const at = p;
      const int length = decode_utf8(p, end, code);
      if (code == kInvalidCode || is_boundary(t.bits.get(code))) break;
      alone = false;
      decompose(t, code, marks);
      p = at + length;
    }
    if (alone) {
      out.append(begin, static_cast<std::size_t>(p - begin));
    } else {
      append_composed(t, marks, out);
    }
  }
}

}  // namespace moebius::data
