// UTF-8, one character at a time. Bytes in, code points out; never reads past the end, never trusts a lead byte.
// Not for character classes (data/unicode.h).
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "base/types.h"

namespace moebius {

// What decode_utf8 gives for a byte that starts no valid character (it then takes one byte).
inline constexpr u32 kInvalidCode = 0xFFFFFFFFu;

// Reads the character at `p` (p < end) into `code`; returns its length in bytes. Overlong forms, surrogates and codes
// above U+10FFFF are invalid.
inline int decode_utf8(const char* p, const char* end, u32& code) {
  const auto at = [&](int i) { return static_cast<u32>(static_cast<u8>(p[i])); };
  const auto tail = [&](int i) { return (at(i) & 0xC0u) == 0x80u; };
  const u32 lead = at(0);
  if (lead < 0x80) {
    code = lead;
    return 1;
  }
  const i64 left = end - p;
  if (lead >= 0xC2 && lead < 0xE0) {
    if (left >= 2 && tail(1)) {
      code = (lead & 0x1Fu) << 6 | (at(1) & 0x3Fu);
      return 2;
    }
  } else if (lead >= 0xE0 && lead < 0xF0) {
    if (left >= 3 && tail(1) && tail(2)) {
      code = (lead & 0x0Fu) << 12 | (at(1) & 0x3Fu) << 6 | (at(2) & 0x3Fu);
      if (code >= 0x800 && !(code >= 0xD800 && code < 0xE000)) return 3;
    }
  } else if (lead >= 0xF0 && lead < 0xF5) {
    if (left >= 4 && tail(1) && tail(2) && tail(3)) {
      code = (lead & 0x07u) << 18 | (at(1) & 0x3Fu) << 12 | (at(2) & 0x3Fu) << 6 | (at(3) & 0x3Fu);
      if (code >= 0x10000 && code < 0x110000) return 4;
    }
  }
  code = kInvalidCode;
  return 1;
}

inline void append_utf8(std::string& out, u32 code) {
  const auto put = [&](u32 byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// Position of the first byte that is not valid UTF-8, or -1.
inline i64 find_invalid_utf8(std::string_view text) {
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

}  // namespace moebius
