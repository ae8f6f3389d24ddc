// Two-stage tables built once from the generated ranges; normalisation after Unicode Standard Annex 15.
#include "data/unicode.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "data/unicode_tables.h"

namespace moebius::data {

namespace {

constexpr u32 kCodes = 0x110000;
constexpr u32 kHangulBase = 0xAC00, kHangulCount = 11172;
constexpr u32 kLBase = 0x1100, kVBase = 0x1161, kTBase = 0x11A7;
constexpr u32 kLCount = 19, kVCount = 21, kTCount = 28;

// Bits of one code point's byte.
constexpr u8 kClassMask = 3, kWordBit = 4, kNotQuickBit = 8, kCombiningBit = 16;

struct Tables {
  // Pages of 256 code points; equal pages are stored once.
  std::vector<u16> page_of;
  std::vector<u8> pages;
  std::unordered_map<u32, u8> combining;
  std::unordered_map<u32, const Decomposition*> decompositions;
  std::unordered_map<u64, u32> compositions;

  Tables() {
    std::vector<u8> flat(kCodes, 0);
    const auto mark = [&](const CodeRange* ranges, i64 count, u8 bits) {
      for (i64 i = 0; i < count; ++i) {
        for (u32 c = ranges[i].first; c <= ranges[i].last; ++c) flat[c] |= bits;
      }
    };
    mark(kLetterRanges, kLetterRangesCount, static_cast<u8>(CharClass::letter));
    mark(kNumberRanges, kNumberRangesCount, static_cast<u8>(CharClass::number));
    mark(kWordExtraRanges, kWordExtraRangesCount, kWordBit);
    constexpr CodeRange kSpaces[] = {{0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                     {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                     {0x205F, 0x205F}, {0x3000, 0x3000}};
    mark(kSpaces, sizeof(kSpaces) / sizeof(kSpaces[0]), static_cast<u8>(CharClass::space));
    for (i64 i = 0; i < kCombiningClassesCount; ++i) {
      const CombiningRange& r = kCombiningClasses[i];
      for (u32 c = r.first; c <= r.last; ++c) {
        combining[c] = static_cast<u8>(r.combining_class);
        flat[c] |= kCombiningBit;
      }
    }
    for (i64 i = 0; i < kDecompositionsCount; ++i) {
      const Decomposition& d = kDecompositions[i];
      decompositions[d.code] = &d;
      if (d.composes != 0) {
        compositions[static_cast<u64>(d.first) << 32 | d.second] = d.code;
        flat[d.second] |= kNotQuickBit;  // may compose with what stands before
      } else {
        flat[d.code] |= kNotQuickBit;  // never in form C
      }
    }
    for (u32 i = 0; i < kVCount; ++i) flat[kVBase + i] |= kNotQuickBit;
    for (u32 i = 1; i < kTCount; ++i) flat[kTBase + i] |= kNotQuickBit;
    fold(flat);
  }

  void fold(const std::vector<u8>& flat) {
    page_of.resize(kCodes / 256);
    for (u32 page = 0; page < kCodes / 256; ++page) {
      const u8* data = flat.data() + page * 256;
      u16 found = static_cast<u16>(pages.size() / 256);
      for (u16 k = 0; k < found; ++k) {
        if (std::memcmp(pages.data() + k * 256, data, 256) == 0) {
          found = k;
          break;
        }
      }
      if (found == pages.size() / 256) pages.insert(pages.end(), data, data + 256);
      page_of[page] = found;
    }
  }

  u8 bits(u32 code) const {
    return code < kCodes ? pages[static_cast<std::size_t>(page_of[code >> 8]) * 256 + (code & 255)] : u8{0};
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
    decompose(t, found->second->first, out);
    if (found->second->second != 0) decompose(t, found->second->second, out);
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
  int last = -1;  // combining class of the last kept mark after the starter; -1: none stands between
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

// Starts of stretches that normalise on their own: what neither combines nor composes with what stands before.
bool is_boundary(u8 bits) { return (bits & (kNotQuickBit | kCombiningBit)) == 0; }

}  // namespace

CharClass char_class(u32 code) { return static_cast<CharClass>(tables().bits(code) & kClassMask); }

bool is_word_char(u32 code) {
  const u8 bits = tables().bits(code);
  return (bits & kWordBit) != 0 || static_cast<CharClass>(bits & kClassMask) == CharClass::letter;
}

i64 find_invalid_utf8(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    while (end - p >= 8) {
      u64 word;
      std::memcpy(&word, p, 8);
      if ((word & 0x8080808080808080ull) != 0) break;
      p += 8;
    }
    if (p >= end) break;
    u32 code;
    p += decode_utf8(p, end, code);
    if (code == kInvalidCode) return p - 1 - text.data();
  }
  return -1;
}

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
    const u8 bits = t.bits(code);
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
    bool alone = is_boundary(t.bits(code));
    while (p < end) {
      const char* const at = p;
      const int length = decode_utf8(p, end, code);
      if (code == kInvalidCode || is_boundary(t.bits(code))) break;
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
