// FNV-1a, 64 bits (Fowler, Noll, Vo): the one hash of names and contents whose value is part of a file or of a result.
// In: bytes, and the hash of the bytes before them; out: a number that is the same on every machine.
// Not for hash tables, and not safe against someone who constructs collisions.
#pragma once

#include <string_view>

#include "base/types.h"

namespace moebius {

inline constexpr u64 kHashStart = 0xcbf29ce484222325ull;

inline u64 hash_text(std::string_view text, u64 start = kHashStart) {
  u64 hash = start;
  for (const char c : text) hash = (hash ^ static_cast<u8>(c)) * 0x100000001b3ull;
  return hash;
}

}  // namespace moebius
