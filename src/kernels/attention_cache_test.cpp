// Attention over packed keys against that over keys packed at once: fed in pieces through a cache, and behind a shared
// prefix, every query gets the same bits, on all sets, with grouped queries, windows and odd head sizes.
#include "kernels/attention_cache.h"

#include "kernels/cases.h"
#include "kernels/test_support.h"

namespace moebius::kernels {
namespace {

AttentionShape shape_of(const AttentionCase& c) {
  return {c.heads, c.kv_heads, c.head_dim, static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim))),
          c.window};
}

i64 columns_of(const AttentionCase& c) { return (c.heads + 2 * c.kv_heads) * c.head_dim; }

// The rows [row, row + rows) of the batch as one document.
AttentionSegment document(const AttentionCase& c, const TestMatrix& qkv, i64 row, i64 rows) {
  const i64 size = dtype_bytes(qkv.view.dtype), width = c.heads * c.head_dim;
  const u8* at = static_cast<const u8*>(qkv.view.row(row)) + width * size;
  return {row, rows, at, at + c.kv_heads * c.head_dim * size, qkv.view.stride, rows};
}

TEST(AttentionCache, PiecesGiveTheBitsOfTheWhole) {
  constexpr i64 kRows = 75;
  for (const AttentionCase& c : kAttentionCases)
    for (DType dtype : kTypes) {
      const i64 width = c.heads * c.head_dim;
      TestMatrix qkv(dtype, kRows, columns_of(c)), whole(dtype, kRows, width), parts(dtype, kRows, width);
      qkv.random(1, 1.2);
      const CacheLayout layout{c.kv_heads, c.head_dim, kRows + 1};
      for_each_set([&] {
        const AttentionSegment all = document(c, qkv, 0, kRows);
        attention_uncached(shape_of(c), qkv.view.part(0, kRows, 0, width), std::span(&all, 1), whole.view);
        // The previous content of the cache must not matter, not even if it is not a number.
        TestMatrix cache(dtype, 1, layout.elements(), 0);
        cache.fill(NAN);
        i64 done = 0;
        for (i64 rows : {3, 1, 1, 40, 1, 28, 1}) {
          const CachedSegment piece{done, rows, done, layout.positions_max, cache.memory.data()};
          attention_cached(shape_of(c), qkv.view, std::span(&piece, 1), parts.view);
          done += rows;
        }
        ASSERT_EQ(done, kRows);
        EXPECT_EQ(bytes_of(whole.view), bytes_of(parts.view)) << "head_dim " << c.head_dim << " " << dtype_name(dtype);
        EXPECT_TRUE(parts.padding_intact());
      });
    }
}

// Prefixes of 37 and 64 rows, each with continuations of several lengths, against whole documents.
TEST(AttentionCache, SharedPrefixesGiveTheBitsOfWholeDocuments) {
  for (const AttentionCase& c : kAttentionCases)
    for (DType dtype : kTypes) {
      const i64 width = c.heads * c.head_dim;
      const std::vector<SharedPrefix> prefixes = {{0, 37, 0, 3}, {60, 64, 3, 2}};
      const std::vector<SharingSegment> segments = {{40, 9}, {49, 1}, {50, 10}, {130, 40}, {170, 3}};
      constexpr i64 kRows = 173;
      TestMatrix qkv(dtype, kRows, columns_of(c)), out(dtype, kRows, width), document_qkv(dtype, 110, columns_of(c)),
          wanted(dtype, 110, width);
      qkv.random(2, 1.2);
      for_each_set([&] {
        out.fill(0);
        attention_shared(shape_of(c), qkv.view, prefixes, segments, out.view);
        for (const SharedPrefix& b : prefixes)
          for (i64 i = b.first; i < b.first + b.count; ++i) {
            const SharingSegment& s = segments[static_cast<size_t>(i)];
            const i64 row_bytes = columns_of(c) * dtype_bytes(dtype), rows = b.rows + s.rows;
            for (i64 r = 0; r < rows; ++r) {
              const void* from = ConstMatrix(qkv.view).row(r < b.rows ? b.row + r : s.row + r - b.rows);
              std::memcpy(document_qkv.view.row(r), from, static_cast<size_t>(row_bytes));
            }
            const AttentionSegment whole = document(c, document_qkv, 0, rows);
            attention_uncached(shape_of(c), document_qkv.view.part(0, rows, 0, width), std::span(&whole, 1),
                               wanted.view.part(0, rows, 0, width));
            EXPECT_EQ(bytes_of(wanted.view.part(b.rows, s.rows, 0, width)),
                      bytes_of(out.view.part(s.row, s.rows, 0, width)))
                << "head_dim " << c.head_dim << " " << dtype_name(dtype) << " segment " << i;
          }
        EXPECT_EQ(values_of(out.view.part(0, 40, 0, width)), std::vector<double>(static_cast<size_t>(40 * width), 0.0));
      });
    }
}

TEST(AttentionCache, ThreadsDoNotChangeBits) {
  const AttentionCase& c = kAttentionCases[1];
  const i64 sequences = 300, width = c.heads * c.head_dim;
  const CacheLayout layout{c.kv_heads, c.head_dim, 4};
  TestMatrix qkv(DType::bf16, sequences, columns_of(c));
  qkv.random(3);
  std::vector<std::vector<unsigned char>> results;
  for (int threads : {1, 3}) {
    parallel_set_threads(threads);
    TestMatrix cache(DType::bf16, sequences, layout.elements(), 0), out(DType::bf16, sequences, width);
    cache.fill(0);
    for (i64 step = 0; step < 3; ++step) {
      std::vector<CachedSegment> segments;
      for (i64 s = 0; s < sequences; ++s) segments.push_back({s, 1, step, layout.positions_max, cache.view.row(s)});
      attention_cached(shape_of(c), qkv.view, segments, out.view);
    }
    results.push_back(bytes_of(out.view));
  }
  parallel_set_threads(0);
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace
}  // namespace moebius::kernels
