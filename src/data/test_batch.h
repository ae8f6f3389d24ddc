// Tests only: CHECKs what every Batch keeps to (data/batch.h): cover, sequence borders, ids in [0, vocab).
#pragma once

#include "base/check.h"
#include "data/batch.h"

namespace moebius::data {

inline void batch_check(const Batch& batch, i64 vocab) {
  const i64 rows = batch.rows();
  CHECK(static_cast<i64>(batch.tokens.size()) == rows && static_cast<i64>(batch.targets.size()) == rows &&
            static_cast<i64>(batch.positions.size()) == rows,
        "every row has a token, a target and a position");
  i64 next = 0;
  for (const DocumentSpan& span : batch.spans) {
    CHECK(span.begin == next && span.count >= 1, "spans cover the rows in order, once");
    next += span.count;
    CHECK(span.begin / batch.length == (next - 1) / batch.length, "a span lies inside one sequence");
    CHECK(span.position >= 0 && span.position + span.count <= batch.length, "positions lie inside the sequence");
  }
  CHECK(next == rows, "spans cover all rows");
  for (i64 row = 0; row < rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    CHECK(batch.tokens[i] >= 0 && batch.tokens[i] < vocab, "a token is an id of the vocabulary");
    CHECK(batch.targets[i] >= -1 && batch.targets[i] < vocab, "a target is an id of the vocabulary or -1");
  }
}

}  // namespace moebius::data
