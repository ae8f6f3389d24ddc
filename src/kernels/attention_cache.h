// Attention over keys and values that several passes or several segments use: those of a cache (generation adds a row
// to a sequence in each pass) and those of a prefix that segments of one batch share (the choices of one question).
// Both are packed once, in the order that products read, so adding a row does not pack the earlier ones again. Cached,
// shared and unshared attention give a query the same bits. Not for training (attention.h), whose results differ by
// rounding.
#pragma once

#include <algorithm>
#include <span>

#include "kernels/attention.h"
#include "kernels/packed.h"

namespace moebius::kernels {

// One layer of one sequence: keys, then values, both in panels. A key panel is 32 positions of a head, [pair of
// columns][32][2]; a value panel is 32 columns, [pair of positions][32][2] over all positions. Heads of 8 or 16 columns
// lie side by side in a value panel: a pass reads the whole cache, so its bytes are what a generated token costs.
struct CacheLayout {
  i64 kv_heads = 0, head_dim = 0;  // head_dim is even
  i64 positions_max = 0;

  i64 positions_padded() const { return round_to_block(positions_max); }
  i64 key_panel_elements() const { return kBlock * head_dim; }
  i64 value_panel_elements() const { return kBlock * positions_padded(); }
  // Columns of a head among the value panels' columns, and heads of one value panel.
  i64 value_columns() const { return kBlock % head_dim == 0 ? head_dim : round_to_block(head_dim); }
  i64 heads_together() const { return std::max<i64>(1, kBlock / value_columns()); }

  i64 keys_at(i64 kv_head) const { return kv_head * positions_padded() * head_dim; }
  i64 values_at(i64 kv_head) const {
    const i64 column = kv_head * value_columns();
    return keys_at(kv_heads) + column / kBlock * value_panel_elements() + column % kBlock * 2;
  }
  // With room behind the last panel, because products load 32 columns from wherever a head begins.
  i64 elements() const {
    return keys_at(kv_heads) + round_to_block(kv_heads * value_columns()) * positions_padded() + 2 * kBlock;
  }
};

struct CachedSegment {
  i64 row = 0, rows = 0;  // of the batch
  i64 position = 0;       // of its first row: the number of positions in the cache already
  i64 positions_max = 0;  // of its layout; position + rows at most
  void* cache = nullptr;  // CacheLayout::elements() of the batch's type
};

// The segments [first, first + count) of a list follow the same rows of the batch.
struct SharedPrefix {
  i64 row = 0, rows = 0;
  i64 first = 0, count = 0;
};
struct SharingSegment {
  i64 row = 0, rows = 0;
};

// q_TA, out_TA: [T, heads * head_dim]. The segments' keys are packed for this call alone.
void attention_uncached(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                        Matrix out_TA);

// qkv_TC: [T, (heads + 2 kv_heads) * head_dim], queries, keys, values with rotary positions. Appends the segments' keys
// and values to their caches, then writes their rows of out_TA [T, heads * head_dim].
void attention_cached(const AttentionShape& shape, ConstMatrix qkv_TC, std::span<const CachedSegment> segments,
                      Matrix out_TA);

// A segment's rows see the prefix's rows and their own up to themselves. Writes the segments' rows of out_TA only.
void attention_shared(const AttentionShape& shape, ConstMatrix qkv_TC, std::span<const SharedPrefix> prefixes,
                      std::span<const SharingSegment> segments, Matrix out_TA);

}  // namespace moebius::kernels
