// Attention over keys and values that several passes or several segments use: those of a cache (generation adds a row to
// a sequence in each pass) and those of a beginning that segments of one batch share (the choices of one question).
// Both are packed once, in the order that products read, so a new row costs one row and not its whole past.
// Arithmetic and bits are attention_forward's. Not for training.
#pragma once

#include <span>

#include "kernels/attention.h"
#include "kernels/packed.h"

namespace moebius::kernels {

// One layer of one sequence: keys, then values, both in panels. A key panel is 32 positions, [pair of columns][32][2];
// a value panel is 32 columns, [pair of positions][32][2] over all positions. Head after head.
struct CacheLayout {
  i64 kv_heads = 0, head_dim = 0;
  i64 positions_max = 0;

  i64 positions_padded() const { return round_to_block(positions_max); }
  i64 key_panel_elements() const { return kBlock * head_dim; }  // head_dim is even
  i64 value_panel_elements() const { return kBlock * positions_padded(); }
  i64 head_key_elements() const { return positions_padded() * head_dim; }
  i64 head_value_elements() const { return positions_padded() * round_to_block(head_dim); }
  i64 key_elements() const { return kv_heads * head_key_elements(); }
  i64 elements() const { return kv_heads * (head_key_elements() + head_value_elements()); }
};

struct CachedSegment {
  i64 row = 0, rows = 0;  // of the batch
  i64 position = 0;       // of its first row: so many positions are in the cache already
  i64 positions_max = 0;  // of its layout; position + rows at most
  void* cache = nullptr;  // CacheLayout::elements() of the batch's type
};

// The segments [first, first + count) of a list stand behind the same rows of the batch.
struct SharedBeginning {
  i64 row = 0, rows = 0;
  i64 first = 0, count = 0;
};
struct SharingSegment {
  i64 row = 0, rows = 0;
};

// qkv_TC: [T, (heads + 2 kv_heads) * head_dim], queries, keys, values with rotary positions. Appends the segments' keys
// and values to their caches, then writes their rows of out_TH [T, heads * head_dim].
void attention_cached(const AttentionShape& shape, ConstMatrix qkv_TC, std::span<const CachedSegment> segments,
                      Matrix out_TH);

// A segment's rows see the beginning's rows and their own up to themselves. Writes the segments' rows of out_TH only.
void attention_shared(const AttentionShape& shape, ConstMatrix qkv_TC, std::span<const SharedBeginning> beginnings,
                      std::span<const SharingSegment> segments, Matrix out_TH);

}  // namespace moebius::kernels
