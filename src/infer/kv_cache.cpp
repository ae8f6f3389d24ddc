// Slots of keys and values: [slot][layer], each layer in the order of kernels::CacheLayout.
#include "infer/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace moebius::infer {

i64 KvCache::bytes(const CacheShape& shape, i64 slots, i64 positions_max) {
  return slots * shape.layers * shape.layer_elements(positions_max) * dtype_bytes(shape.dtype);
}

KvCache::KvCache(const CacheShape& shape, i64 slots, i64 positions_max)
    : positions_max_(positions_max),
      buffer_("key and value cache", std::max<i64>(bytes(shape, slots, positions_max), 64)) {
  CHECK(slots > 0 && positions_max > 0, "a cache has slots and positions");
  const i64 slot_bytes = bytes(shape, 1, positions_max);
  for (i64 s = 0; s < slots; ++s) {
    model::KvSlot slot;
    slot.data = static_cast<u8*>(buffer_.data()) + s * slot_bytes;
    slot.layer_stride = shape.layer_elements(positions_max);
    slot.positions_max = positions_max;
    slots_.push_back(slot);
    free_.push_back(slots - 1 - s);
  }
}

i64 KvCache::take() {
  if (free_.empty()) return -1;
  const i64 slot = free_.back();
  free_.pop_back();
  slots_[static_cast<std::size_t>(slot)].positions = 0;
  return slot;
}

void KvCache::give_back(i64 slot) {
  CHECK(slot >= 0 && slot < slots(), "a slot of this cache");
  free_.push_back(slot);
}

void KvCache::advance(i64 slot, i64 count) {
  model::KvSlot& s = slots_[static_cast<std::size_t>(slot)];
  s.positions += count;
  CHECK(s.positions <= positions_max_, "a slot never overflows");
}

}  // namespace moebius::infer
