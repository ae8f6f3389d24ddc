// MurmurHash3's mixing (Appleby, public domain) over words of eight bytes.
// In, out: digest.h.
#include "base/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/file.h"
#include "base/types.h"

namespace moebius {

namespace {

constexpr i64 kPieceBytes = i64{64} << 20;  // pages are given back after each piece

u64 mix(u64 hash, u64 word) {
  word = std::rotl(word * 0x87c37b91114253d5ull, 31) * 0x4cf5ad432745937full;
  return std::rotl(hash ^ word, 27) * 5 + 0x52dce729;
}

u64 add_bytes(u64 hash, const u8* data, i64 bytes) {
  i64 at = 0;
  for (u64 word; at + 8 <= bytes; at += 8) {
    std::memcpy(&word, data + at, 8);
    hash = mix(hash, word);
  }
  u64 rest = 0;
  if (at < bytes) std::memcpy(&rest, data + at, static_cast<std::size_t>(bytes - at));
  return mix(hash, rest);
}

}  // namespace

std::string content_digest(const std::vector<std::string>& paths) {
  u64 hash = 0;
  for (const std::string& path : paths) {
    const FileMap file(path);
    hash = mix(hash, static_cast<u64>(file.bytes()));
    for (i64 at = 0; at < file.bytes(); at += kPieceBytes) {
      const i64 bytes = std::min(kPieceBytes, file.bytes() - at);
      hash = add_bytes(hash, file.data() + at, bytes);
      file_map_forget(file.data() + at, bytes);
    }
  }
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdull;
  return fmt::format("{:016x}", hash ^ hash >> 33);
}

}  // namespace moebius
