// Mixtures: shares, packing, purity of the stream, restoring, repeats and errors.
#include "data/mixture.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <new>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/test_folder.h"
#include "data/test_batch.h"

namespace {
std::atomic<long> allocations{0};
}  // namespace

// Counts every allocation of this test program; the sanitizers bring their own. GCC cannot see that the pair belongs
// together.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MOEBIUS_COUNTS_ALLOCATIONS
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace moebius::data {
namespace {

constexpr i32 kEnd = 0;
constexpr i64 kVocab = 60000;

// Documents of which every token names its place: first + running number.
std::vector<std::vector<i32>> numbered(i64 documents, i64 length_min, i64 length_max, i32 first) {
  std::vector<std::vector<i32>> all;
  Rng rng(3, RngStream::test, static_cast<u64>(first));
  i32 next = first;
  for (i64 d = 0; d < documents; ++d) {
    const i64 length = length_min + static_cast<i64>(rng.next_below(static_cast<u64>(length_max - length_min + 1)));
    std::vector<i32> document;
    for (i64 i = 0; i + 1 < length; ++i) document.push_back(next++);
    document.push_back(kEnd);
    all.push_back(document);
  }
  return all;
}

MixtureSource make_source(const std::string& name, double weight, const std::vector<std::vector<i32>>& documents,
                          bool generated = false) {
  const std::string prefix = test_path(name);
  ShardWriter writer(prefix, kVocab);
  for (const auto& d : documents) writer.add(d.data(), static_cast<i64>(d.size()));
  ShardMeta meta;
  meta.name = name;
  meta.end_of_text = kEnd;
  meta.generated = generated;
  writer.commit(meta);
  return {name, prefix, weight, -1};
}

struct Two {
  std::vector<std::vector<i32>> small = numbered(300, 5, 20, 1);
  std::vector<std::vector<i32>> large = numbered(40, 60, 400, 20000);
  std::vector<MixtureSource> sources = {make_source("short", 1, small, true), make_source("long", 3, large)};
};

MixtureOptions options_of(i64 sequences, i64 length) {
  MixtureOptions options;
  options.sequences = sequences;
  options.length = length;
  return options;
}

void expect_equal(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.targets, b.targets);
  EXPECT_EQ(a.positions, b.positions);
  ASSERT_EQ(a.spans.size(), b.spans.size());
  for (std::size_t i = 0; i < a.spans.size(); ++i) {
    EXPECT_EQ(a.spans[i].begin, b.spans[i].begin);
    EXPECT_EQ(a.spans[i].count, b.spans[i].count);
    EXPECT_EQ(a.spans[i].source, b.spans[i].source);
    EXPECT_EQ(a.spans[i].position, b.spans[i].position);
  }
}

TEST(Mixture, RowsAreRightAndSharesAreKept) {
  const Two two;
  Mixture mixture(two.sources, options_of(4, 64));
  EXPECT_EQ(mixture.vocab(), kVocab);
  Batch batch;
  for (int step = 0; step < 30; ++step) {
    mixture.next(batch);
    batch_check(batch, kVocab);
    for (const DocumentSpan& span : batch.spans) {
      EXPECT_EQ(span.position, 0);
      for (i64 row = span.begin; row < span.begin + span.count; ++row) {
        const auto r = static_cast<std::size_t>(row);
        if (span.source < 0) {
          EXPECT_EQ(batch.tokens[r], kEnd);
          EXPECT_EQ(batch.targets[r], -1);
        } else if (batch.tokens[r] == kEnd) {
          EXPECT_EQ(batch.targets[r], -1);
        } else {
          EXPECT_TRUE(batch.targets[r] == batch.tokens[r] + 1 || batch.targets[r] == kEnd);
        }
        if (row + 1 < span.begin + span.count) {
          EXPECT_EQ(batch.targets[r], batch.tokens[r + 1]);
        }
      }
    }
  }
  const auto counters = mixture.counters();
  const double rows = 30 * 4 * 64;
  EXPECT_EQ(counters[0].tokens_seen + counters[1].tokens_seen + mixture.tokens_padding(), static_cast<i64>(rows));
  // The pool of 64 pieces is drawn ahead: its tokens are the slack.
  EXPECT_NEAR(static_cast<double>(counters[1].tokens_seen) / rows, 0.75, 0.1);
  EXPECT_LT(static_cast<double>(mixture.tokens_padding()) / rows, 0.01);
}

TEST(Mixture, ShortDocumentsStayWholeAndEachComesOnceInAPass) {
  const auto documents = numbered(500, 10, 60, 1);
  MixtureOptions options = options_of(1, 64);
  Mixture mixture({make_source("whole", 1, documents)}, options);
  std::map<i32, int> starts;
  Batch batch;
  i64 spans = 0;
  while (mixture.counters()[0].tokens_repeated == 0) {
    mixture.next(batch);
    batch_check(batch, kVocab);
    for (const DocumentSpan& span : batch.spans) {
      if (span.source < 0) continue;
      EXPECT_EQ(batch.tokens[static_cast<std::size_t>(span.begin + span.count - 1)], kEnd);
      ++starts[batch.tokens[static_cast<std::size_t>(span.begin)]];
      ++spans;
    }
  }
  EXPECT_GE(spans, 436);  // all but those that waited when the first repeat came
  for (const auto& [token, count] : starts) EXPECT_LE(count, 2) << token;
  EXPECT_LT(static_cast<double>(mixture.tokens_padding()) / static_cast<double>(mixture.counters()[0].tokens_seen),
            0.08);
  // Without the option nothing is padded and documents are cut.
  options.whole_documents = false;
  Mixture cut({make_source("whole", 1, documents)}, options);
  bool any_cut = false;
  for (int i = 0; i < 50; ++i) {
    cut.next(batch);
    batch_check(batch, kVocab);
    const DocumentSpan& last = batch.spans.back();
    any_cut = any_cut || batch.tokens[static_cast<std::size_t>(last.begin + last.count - 1)] != kEnd;
  }
  EXPECT_EQ(cut.tokens_padding(), 0);
  EXPECT_TRUE(any_cut);
}

TEST(Mixture, EveryTokenOfAPassComesOnce) {
  const auto documents = numbered(30, 50, 300, 1);
  i64 total = 0;
  for (const auto& d : documents) total += static_cast<i64>(d.size());
  for (const bool whole : {false, true}) {
    MixtureOptions options = options_of(1, 32);
    options.whole_documents = whole;
    options.lookahead = 1;
    Mixture mixture({make_source("pass", 1, documents)}, options);
    std::map<i32, int> seen;
    Batch batch;
    while (mixture.counters()[0].tokens_repeated == 0) {
      mixture.next(batch);
      for (const DocumentSpan& span : batch.spans) {
        for (i64 r = span.begin; r < span.begin + span.count; ++r) {
          const i32 token = batch.tokens[static_cast<std::size_t>(r)];
          if (token != kEnd) ++seen[token];
        }
      }
    }
    EXPECT_EQ(mixture.counters()[0].tokens_unique, total);
    EXPECT_EQ(static_cast<i64>(seen.size()), total - 30);
  }
}

TEST(Mixture, TheStreamDoesNotDependOnTheBatchSize) {
  const Two two;
  Mixture one(two.sources, options_of(1, 64)), eight(two.sources, options_of(8, 64));
  Batch small, large;
  for (int step = 0; step < 5; ++step) {
    eight.next(large);
    for (std::size_t s = 0; s < 8; ++s) {
      one.next(small);
      EXPECT_TRUE(
          std::equal(small.tokens.begin(), small.tokens.end(), large.tokens.begin() + static_cast<i64>(s) * 64));
      EXPECT_TRUE(
          std::equal(small.targets.begin(), small.targets.end(), large.targets.begin() + static_cast<i64>(s) * 64));
    }
  }
}

TEST(Mixture, SeedsDiffer) {
  const Two two;
  MixtureOptions options = options_of(4, 64);
  Mixture a(two.sources, options);
  options.seed_data = 2;
  Mixture b(two.sources, options);
  Batch x, y;
  a.next(x);
  b.next(y);
  EXPECT_NE(x.tokens, y.tokens);
}

TEST(Mixture, RestoredGoesOnWithTheSameBits) {
  const Two two;
  for (const bool across : {false, true}) {
    for (const bool whole : {false, true}) {
      MixtureOptions options = options_of(3, 48);
      options.attend_across_documents = across;
      options.whole_documents = whole;
      Mixture a(two.sources, options);
      Batch x, y;
      for (const int steps : {0, 1, 7, 40}) {
        for (int i = 0; i < steps; ++i) a.next(x);
        Mixture b(two.sources, options);  // as a new process would
        b.restore(Json::parse(a.state().dump(), "state"));
        EXPECT_EQ(a.state().dump(), b.state().dump());
        Mixture c(two.sources, options);
        c.restore(a.state());
        for (int i = 0; i < 20; ++i) {
          b.next(x);
          c.next(y);
          expect_equal(x, y);
        }
        for (int i = 0; i < 20; ++i) a.next(x);
        expect_equal(x, y);
        EXPECT_EQ(a.state().dump(), c.state().dump());
      }
    }
  }
}

TEST(Mixture, AnotherMixturesPositionIsRefused) {
  const Two two;
  Mixture a(two.sources, options_of(2, 64));
  Batch batch;
  a.next(batch);
  EXPECT_THROW(Mixture(two.sources, options_of(2, 32)).restore(a.state()), Error);
  MixtureOptions seed = options_of(2, 64);
  seed.seed_data = 9;
  EXPECT_THROW(Mixture(two.sources, seed).restore(a.state()), Error);
  Json broken = a.state();
  broken.set("pending", Json(std::vector<Json>{Json(std::vector<i64>{0, 0, 99999, 0, 1})}));
  EXPECT_THROW(Mixture(two.sources, options_of(2, 64)).restore(broken), Error);
  EXPECT_THROW(Mixture(two.sources, options_of(2, 64)).restore(Json::object()), Error);
}

TEST(Mixture, AcrossDocumentsSpansAreSequencesAndTargetsGoOn) {
  const Two two;
  MixtureOptions options = options_of(4, 64);
  options.attend_across_documents = true;
  Mixture mixture(two.sources, options);
  Batch batch;
  mixture.next(batch);
  batch_check(batch, kVocab);
  ASSERT_EQ(batch.spans.size(), 4u);
  for (i64 row = 0; row < batch.rows(); ++row) {
    const auto r = static_cast<std::size_t>(row);
    if (row % 64 != 63 && batch.targets[r] >= 0) {
      EXPECT_EQ(batch.targets[r], batch.tokens[r + 1]);
    }
    EXPECT_EQ(batch.positions[r], row % 64);
  }
}

TEST(Mixture, PositionsMayRunThroughTheSequence) {
  const Two two;
  MixtureOptions options = options_of(4, 64);
  options.positions_restart = false;
  Mixture mixture(two.sources, options);
  Batch batch;
  mixture.next(batch);
  batch_check(batch, kVocab);
  for (i64 row = 0; row < batch.rows(); ++row) EXPECT_EQ(batch.positions[static_cast<std::size_t>(row)], row % 64);
}

TEST(Mixture, RepeatsAreCountedAndTextHasALimit) {
  const auto documents = numbered(20, 10, 20, 1);
  i64 total = 0;
  for (const auto& d : documents) total += static_cast<i64>(d.size());
  Mixture generated({make_source("many", 1, documents, true)}, options_of(4, 32));
  Batch batch;
  for (int i = 0; i < 50; ++i) generated.next(batch);
  const SourceCounters counters = generated.counters()[0];
  EXPECT_EQ(counters.tokens_seen + generated.tokens_padding(), 50 * 4 * 32);
  EXPECT_EQ(counters.tokens_unique + counters.tokens_repeated, counters.tokens_seen);
  EXPECT_EQ(counters.tokens_unique, total);
  EXPECT_GT(counters.epochs, 15);
  generated.check_tokens(1 << 30);

  MixtureOptions options = options_of(4, 32);
  options.lookahead = 4;
  Mixture text({make_source("text", 1, documents)}, options);
  text.check_tokens(total * 4);
  try {
    text.check_tokens(total * 4 + 1000);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("too small for the token count"), std::string::npos);
  }
  EXPECT_THROW(
      {
        for (int i = 0; i < 100; ++i) text.next(batch);
      },
      Error);
}

TEST(Mixture, SteadyStateAllocatesNothing) {
#ifndef MOEBIUS_COUNTS_ALLOCATIONS
  GTEST_SKIP() << "allocations are not counted under a sanitizer";
#endif
  const Two two;
  Mixture mixture(two.sources, options_of(4, 64));
  Batch batch;
  mixture.next(batch);
  const long before = allocations.load();
#ifdef MOEBIUS_COUNTS_ALLOCATIONS
  ASSERT_GT(before, 0);
#endif
  for (int i = 0; i < 100; ++i) mixture.next(batch);  // several passes over the short source
  EXPECT_EQ(allocations.load(), before);
  EXPECT_GT(mixture.counters()[0].epochs, 1);
}

TEST(Mixture, SourcesMustAgreeAndBeNamedOnce) {
  const Two two;
  std::vector<MixtureSource> twice = two.sources;
  twice[1].name = "short";
  EXPECT_THROW(Mixture(twice, options_of(1, 32)), Error);
  EXPECT_THROW(Mixture({}, options_of(1, 32)), Error);
  const std::string other = test_path("other");
  ShardWriter writer(other, 100);
  const i32 token = 1;
  writer.add(&token, 1);
  writer.commit({});
  EXPECT_THROW(Mixture({two.sources[0], {"other", other, 1, -1}}, options_of(1, 32)), Error);
  std::vector<MixtureSource> weightless = two.sources;
  weightless[0].weight = 0;
  EXPECT_THROW(Mixture(weightless, options_of(1, 32)), Error);
}

TEST(Mixture, SourcesFromWordsAndJson) {
  const auto sources = mixture_sources_parse({"wiki=data/wiki:2", "facts=data/facts:0.5:0"}, "--sources");
  ASSERT_EQ(sources.size(), 2u);
  EXPECT_EQ(sources[0].path, "data/wiki");
  EXPECT_EQ(sources[0].weight, 2);
  EXPECT_EQ(sources[0].epochs_max, -1);
  EXPECT_EQ(sources[1].epochs_max, 0);
  for (const char* bad : {"wiki", "=a:1", "a=", "a=b:x", "a=b:1:2:3", "a=b:-1"}) {
    EXPECT_THROW(mixture_sources_parse({bad}, "--sources"), Error) << bad;
  }
  const Json json = Json::parse(R"([{"name": "a", "path": "p", "weight": 2}])", "test");
  EXPECT_EQ(mixture_sources_from_json(json, "test")[0].weight, 2);
  EXPECT_THROW(mixture_sources_from_json(Json::parse(R"([{"name": "a", "path": "p", "wieght": 2}])", "t"), "t"), Error);
  // A wrong type names the file and the source.
  for (const char* text : {R"([{"name": "a", "path": "p"}, {"name": "a", "path": ["p"]}])",
                           R"([{"name": "a", "path": "p"}, {"name": "a", "path": "p", "weight": "x"}])",
                           R"([{"name": "a", "path": "p"}, 3])", R"([{"name": "a", "path": "p"}, {"path": "p"}])"}) {
    try {
      mixture_sources_from_json(Json::parse(text, "t"), "m.toml");
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.parts().where, "m.toml, source 2") << text;
    }
  }
}

}  // namespace
}  // namespace moebius::data
