// KvCache: keys and values of many sequences in one buffer, divided into equal slots. A sequence takes a slot, appends to
// it in every pass and gives it back. Not paged: each slot has positions_max positions.
#pragma once

#include <vector>

#include "infer/engine.h"
#include "tensor/buffer.h"

namespace moebius::infer {

class KvCache {
 public:
  // Throws Error when there is not enough memory.
  KvCache(const CacheShape& shape, i64 slots, i64 positions_max);

  i64 slots() const { return static_cast<i64>(slots_.size()); }
  i64 positions_max() const { return positions_max_; }
  // The index of an empty slot, or -1 when all are taken.
  i64 take();
  void give_back(i64 slot);
  const model::KvSlot* slot(i64 slot) const { return &slots_[static_cast<std::size_t>(slot)]; }
  i64 positions(i64 slot) const { return slots_[static_cast<std::size_t>(slot)].positions; }
  // After a pass that appended `count` positions.
  void advance(i64 slot, i64 count);

  static i64 bytes(const CacheShape& shape, i64 slots, i64 positions_max);

 private:
  i64 positions_max_;
  Buffer buffer_;
  std::vector<model::KvSlot> slots_;
  std::vector<i64> free_;
};

}  // namespace moebius::infer
