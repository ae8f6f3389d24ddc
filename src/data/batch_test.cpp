// Batches and the source in memory.
#include "data/batch.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "data/test_batch.h"

namespace moebius::data {
namespace {

TEST(Batch, MemorySourcePacksCutsAndGoesRound) {
  MemorySource source({{1, 2, 3, 0}, {4, 5, 0}}, 2, 5);
  Batch batch;
  source.next(batch);
  batch_check(batch, 6);
  EXPECT_EQ(batch.tokens, (std::vector<i32>{1, 2, 3, 0, 4, 5, 0, 1, 2, 3}));
  EXPECT_EQ(batch.targets, (std::vector<i32>{2, 3, 0, -1, 5, 0, -1, 2, 3, 0}));
  EXPECT_EQ(batch.positions, (std::vector<i32>{0, 1, 2, 3, 0, 0, 1, 0, 1, 2}));
  EXPECT_EQ(batch_targets(batch), 8);
  EXPECT_EQ(source.counters()[0].tokens_unique, 7);
  EXPECT_EQ(source.counters()[0].tokens_repeated, 3);
}

TEST(Batch, MemorySourceRestores) {
  MemorySource a({{1, 2, 3, 0}, {4, 5, 0}}, 1, 5), b({{1, 2, 3, 0}, {4, 5, 0}}, 1, 5);
  Batch x, y;
  a.next(x);
  b.restore(Json::parse(a.state().dump(), "state"));
  for (int i = 0; i < 5; ++i) {
    a.next(x);
    b.next(y);
    EXPECT_EQ(x.tokens, y.tokens);
    EXPECT_EQ(x.targets, y.targets);
  }
  MemorySource other({{1, 2}}, 1, 5);
  EXPECT_THROW(other.restore(a.state()), Error);
}

TEST(BatchDeathTest, ChecksCatchABrokenBatch) {
  MemorySource source({{1, 2, 3, 0}}, 1, 4);
  Batch batch;
  source.next(batch);
  Batch gap = batch;
  gap.spans[0].count = 3;
  EXPECT_DEATH(batch_check(gap, 4), "cover");
  Batch large = batch;
  large.tokens[1] = 4;
  EXPECT_DEATH(batch_check(large, 4), "vocabulary");
}

}  // namespace
}  // namespace moebius::data
