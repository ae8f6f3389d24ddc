// The merges of a byte-level BPE model, applied to one word at a time.
// A word's bytes in, token ids out, through a cache of words seen before. Lowest rank first, leftmost of equals, as the
// `tokenizers` library merges. Not for cutting text into words (pretokenizer.h).
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/types.h"

namespace moebius::data {

// 64-bit hash of some bytes: fast, not for adversaries.
u64 hash_bytes(const char* data, i64 bytes);

// (left id, right id) -> rank and id of the product. Open addressing, filled once.
class PairTable {
 public:
  struct Found {
    i32 rank = -1;  // -1: no such merge
    i32 id = -1;
  };
  void reserve(i64 count);
  // Adds, or replaces rank and id.
  void put(i32 left, i32 right, Found found);
  Found get(i32 left, i32 right) const;

 private:
  struct Slot {
    u64 key = ~u64{0};
    Found found = {};
  };
  std::vector<Slot> slots_;
  u64 mask_ = 0;
  i64 count_ = 0;
};

// Words and their ids. One per thread; forgets everything when full. Lookups compare the whole word.
class WordCache {
 public:
  static constexpr i64 kWordBytesMax = 64;
  WordCache();
  // The ids of `word`, or nullptr; `count` receives how many.
  const i32* find(std::string_view word, u64 hash, i64& count) const;
  void put(std::string_view word, u64 hash, const i32* ids, i64 count);

 private:
  struct Slot {
    u64 hash = 0;
    u32 text = 0, ids = 0;
    u16 bytes = 0, count = 0;  // bytes 0: free
  };
  void clear();
  std::vector<Slot> slots_;
  std::vector<char> text_;
  std::vector<i32> ids_;
  i64 used_ = 0;
};

struct BpeScratch {
  WordCache cache;
  std::vector<i32> ids, next, previous;
  std::vector<std::pair<u64, i32>> heap;
};

class BpeModel {
 public:
  // ids of the 256 single bytes (-1: none; then encoding such a byte is an Error), and the merges in order of rank. A
  // pair that occurs twice keeps its last rank, as in the `tokenizers` library.
  struct Merge {
    i32 left, right, product;
  };
  void set(const std::vector<i32>& byte_ids, const std::vector<Merge>& merges);
  // A word that is itself one of these tokens is not merged from its bytes. The map must outlive the model.
  void set_whole_words(const std::unordered_map<std::string_view, i32>* words) { whole_words_ = words; }
  // Appends the ids of `word` (not empty).
  void encode_word(std::string_view word, BpeScratch& scratch, std::vector<i32>& out) const;

 private:
  i32 id_of_byte(char byte) const;
  void merge_short(std::vector<i32>& ids) const;
  void merge_long(BpeScratch& scratch) const;

  i32 byte_ids_[256] = {};
  PairTable pairs_;
  const std::unordered_map<std::string_view, i32>* whole_words_ = nullptr;
};

}  // namespace moebius::data
