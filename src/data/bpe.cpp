// Merging: a scan for the best pair while a word is short, a heap over a linked list when it is long.
#include "data/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "base/error.h"

namespace moebius::data {

namespace {

constexpr u64 kMix1 = 0x9E3779B97F4A7C15ull, kMix2 = 0xD6E8FEB86659FD93ull;

inline u64 mix(u64 x) {
  x ^= x >> 32;
  x *= kMix2;
  x ^= x >> 29;
  return x;
}

inline u64 pair_key(i32 left, i32 right) {
  return static_cast<u64>(static_cast<u32>(left)) << 32 | static_cast<u32>(right);
}

constexpr i64 kShortWord = 48;
constexpr i64 kCacheSlots = i64{1} << 16;
constexpr i64 kCacheWordsMax = kCacheSlots * 3 / 4;

}  // namespace

u64 hash_bytes(const char* data, i64 bytes) {
  u64 h = static_cast<u64>(bytes) * kMix1;
  while (bytes >= 8) {
    u64 word;
    std::memcpy(&word, data, 8);
    h = mix((h ^ word) * kMix1);
    data += 8;
    bytes -= 8;
  }
  if (bytes > 0) {
    u64 word = 0;
    std::memcpy(&word, data, static_cast<std::size_t>(bytes));
    h = mix((h ^ word) * kMix1);
  }
  return mix(h);
}

void PairTable::reserve(i64 count) {
  CHECK(count_ == 0, "a table of pairs is sized before it is filled");
  const u64 size = std::bit_ceil(static_cast<u64>(std::max<i64>(count, 8)) * 2);
  slots_.assign(size, {});
  mask_ = size - 1;
}

void PairTable::put(i32 left, i32 right, Found found) {
  CHECK((count_ + 1) * 2 <= static_cast<i64>(slots_.size()), "a table of pairs holds no more than was reserved");
  const u64 key = pair_key(left, right);
  u64 at = mix(key * kMix1) & mask_;
  while (slots_[at].key != key && slots_[at].found.rank >= 0) at = (at + 1) & mask_;
  if (slots_[at].found.rank < 0) ++count_;
  slots_[at] = {key, found};
}

PairTable::Found PairTable::get(i32 left, i32 right) const {
  const u64 key = pair_key(left, right);
  u64 at = mix(key * kMix1) & mask_;
  while (slots_[at].found.rank >= 0) {
    if (slots_[at].key == key) return slots_[at].found;
    at = (at + 1) & mask_;
  }
  return {};
}

WordCache::WordCache() : slots_(kCacheSlots) {}

const i32* WordCache::find(std::string_view word, u64 hash, i64& count) const {
  u64 at = hash & (kCacheSlots - 1);
  while (slots_[at].bytes != 0) {
    const Slot& slot = slots_[at];
    if (slot.hash == hash && slot.bytes == word.size() &&
        std::memcmp(text_.data() + slot.text, word.data(), word.size()) == 0) {
      count = slot.count;
      return ids_.data() + slot.ids;
    }
    at = (at + 1) & (kCacheSlots - 1);
  }
  return nullptr;
}

void WordCache::put(std::string_view word, u64 hash, const i32* ids, i64 count) {
  if (used_ >= kCacheWordsMax) clear();
  u64 at = hash & (kCacheSlots - 1);
  while (slots_[at].bytes != 0) at = (at + 1) & (kCacheSlots - 1);
  Slot& slot = slots_[at];
  slot.hash = hash;
  slot.text = static_cast<u32>(text_.size());
  slot.ids = static_cast<u32>(ids_.size());
  slot.bytes = static_cast<u16>(word.size());
  slot.count = static_cast<u16>(count);
  text_.insert(text_.end(), word.begin(), word.end());
  ids_.insert(ids_.end(), ids, ids + count);
  ++used_;
}

void WordCache::clear() {
  std::fill(slots_.begin(), slots_.end(), Slot{});
  text_.clear();
  ids_.clear();
  used_ = 0;
}

void BpeModel::set(const std::vector<i32>& byte_ids, const std::vector<Merge>& merges) {
  CHECK(byte_ids.size() == 256, "a byte-level model has a token for each byte");
  std::copy(byte_ids.begin(), byte_ids.end(), byte_ids_);
  pairs_.reserve(static_cast<i64>(merges.size()) + 1);
  for (std::size_t i = 0; i < merges.size(); ++i) {
    pairs_.put(merges[i].left, merges[i].right, {static_cast<i32>(i), merges[i].product});
  }
}

void BpeModel::merge_short(std::vector<i32>& ids) const {
  // Ranks and products of the pairs (i, i + 1), kept up to date.
  PairTable::Found found[kShortWord];
  i64 count = static_cast<i64>(ids.size());
  for (i64 i = 0; i + 1 < count; ++i) {
    found[i] = pairs_.get(ids[static_cast<std::size_t>(i)], ids[static_cast<std::size_t>(i + 1)]);
  }
  while (count > 1) {
    i64 best = -1;
    u32 best_rank = ~u32{0};  // -1 as u32 is the largest: no merge
    for (i64 i = 0; i + 1 < count; ++i) {
      const u32 rank = static_cast<u32>(found[i].rank);
      if (rank < best_rank) {
        best_rank = rank;
        best = i;
      }
    }
    if (best < 0) break;
    ids[static_cast<std::size_t>(best)] = found[best].id;
    for (i64 i = best + 1; i + 1 < count; ++i) {
      ids[static_cast<std::size_t>(i)] = ids[static_cast<std::size_t>(i + 1)];
      found[i - 1] = found[i];
    }
    --count;
    const auto id = [&](i64 i) { return ids[static_cast<std::size_t>(i)]; };
    if (best > 0) found[best - 1] = pairs_.get(id(best - 1), id(best));
    if (best + 1 < count) found[best] = pairs_.get(id(best), id(best + 1));
  }
  ids.resize(static_cast<std::size_t>(count));
}

void BpeModel::merge_long(BpeScratch& s) const {
  const i32 count = static_cast<i32>(s.ids.size());
  s.next.resize(s.ids.size());
  s.previous.resize(s.ids.size());
  for (i32 i = 0; i < count; ++i) {
    s.next[static_cast<std::size_t>(i)] = i + 1 < count ? i + 1 : -1;
    s.previous[static_cast<std::size_t>(i)] = i - 1;
  }
  auto& heap = s.heap;
  heap.clear();
  const auto later = std::greater<std::pair<u64, i32>>();
  // Keys sort by rank, then place; the product shows whether an entry is still valid.
  const auto push = [&](i32 left) {
    if (left < 0) return;
    const i32 right = s.next[static_cast<std::size_t>(left)];
    if (right < 0) return;
    const auto found = pairs_.get(s.ids[static_cast<std::size_t>(left)], s.ids[static_cast<std::size_t>(right)]);
    if (found.rank < 0) return;
    heap.emplace_back(static_cast<u64>(found.rank) << 32 | static_cast<u32>(left), found.id);
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (i32 i = 0; i < count; ++i) push(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const auto [key, product] = heap.back();
    heap.pop_back();
    const i32 left = static_cast<i32>(key & 0xFFFFFFFFu);
    const std::size_t l = static_cast<std::size_t>(left);
    if (s.ids[l] < 0 || s.next[l] < 0) continue;
    const std::size_t r = static_cast<std::size_t>(s.next[l]);
    const auto now = pairs_.get(s.ids[l], s.ids[r]);
    if (now.rank != static_cast<i32>(key >> 32) || now.id != product) continue;
    s.ids[l] = product;
    s.ids[r] = -1;
    s.next[l] = s.next[r];
    if (s.next[r] >= 0) s.previous[static_cast<std::size_t>(s.next[r])] = left;
    push(s.previous[l]);
    push(left);
  }
  s.ids.erase(std::remove(s.ids.begin(), s.ids.end(), -1), s.ids.end());
}

i32 BpeModel::id_of_byte(char byte) const {
  const i32 id = byte_ids_[static_cast<u8>(byte)];
  if (id < 0) [[unlikely]] {
    throw Error({.where = "encoding",
                 .what = fmt::format("byte 0x{:02x} is not UTF-8 and has no token", static_cast<u8>(byte)),
                 .fix = "give text in UTF-8, or use a tokenizer with all 256 bytes"});
  }
  return id;
}

void BpeModel::encode_word(std::string_view word, BpeScratch& scratch, std::vector<i32>& out) const {
  if (word.size() == 1) {
    out.push_back(id_of_byte(word[0]));
    return;
  }
  const bool cacheable = static_cast<i64>(word.size()) <= WordCache::kWordBytesMax;
  u64 hash = 0;
  if (cacheable) {
    hash = hash_bytes(word.data(), static_cast<i64>(word.size()));
    i64 count = 0;
    if (const i32* ids = scratch.cache.find(word, hash, count)) {
      out.insert(out.end(), ids, ids + count);
      return;
    }
  }
  if (whole_words_ != nullptr) {
    if (const auto found = whole_words_->find(word); found != whole_words_->end()) {
      if (cacheable) scratch.cache.put(word, hash, &found->second, 1);
      out.push_back(found->second);
      return;
    }
  }
  scratch.ids.resize(word.size());
  for (std::size_t i = 0; i < word.size(); ++i) scratch.ids[i] = id_of_byte(word[i]);
  if (static_cast<i64>(word.size()) <= kShortWord) {
    merge_short(scratch.ids);
  } else {
    merge_long(scratch);
  }
  if (cacheable) scratch.cache.put(word, hash, scratch.ids.data(), static_cast<i64>(scratch.ids.size()));
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
}

}  // namespace moebius::data
