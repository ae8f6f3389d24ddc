// Tests of the base folder: known answers, equalities and error texts.
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <cmath>
#include <set>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/test_folder.h"
#include "base/units.h"

namespace moebius {
namespace {

// Known-answer vectors of the Philox4x32-10 reference (Random123, kat_vectors).
TEST(Rng, PhiloxKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (std::array<u32, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (std::array<u32, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Rng, ShuffleIsAPermutation) {
  Rng rng(7, RngStream::test);
  std::vector<i64> order(1000);
  rng_shuffle(rng, order.data(), 1000);
  EXPECT_EQ(std::set<i64>(order.begin(), order.end()).size(), 1000u);
}

TEST(Rng, NormalMoments) {
  double sum = 0, sum2 = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double v = rng_normal_at(1, RngStream::test, 0, static_cast<u64>(i));
    sum += v;
    sum2 += v * v;
  }
  // Four standard errors of the mean and of the variance.
  EXPECT_NEAR(sum / kCount, 0, 4 / std::sqrt(kCount));
  EXPECT_NEAR(sum2 / kCount, 1, 4 * std::sqrt(2.0 / kCount));
}

TEST(Parallel, EveryTaskOnceForAnyNumberOfThreads) {
  for (int threads : {1, 2, 4}) {
    parallel_set_threads(threads);
    std::vector<std::atomic<int>> hits(997);
    for (int round = 0; round < 50; ++round) {
      parallel_for(997, [&](i64 task, int) { hits[static_cast<std::size_t>(task)].fetch_add(1); });
    }
    for (auto& hit : hits) EXPECT_EQ(hit.load(), 50);
  }
}

TEST(Parallel, FewerTasksThanThreadsAndUnevenShares) {
  parallel_set_threads(4);
  for (i64 num_tasks = 0; num_tasks <= 9; ++num_tasks) {
    std::vector<std::atomic<int>> hits(10);
    parallel_for(num_tasks, [&](i64 task, int) { hits[static_cast<std::size_t>(task)].fetch_add(1); });
    for (i64 task = 0; task < 10; ++task)
      EXPECT_EQ(hits[static_cast<std::size_t>(task)].load(), task < num_tasks ? 1 : 0);
  }
}

// The first task ends when all others are done: so the other thread has to take over the rest of its thread's share.
TEST(Parallel, AThreadThatIsHeldUpIsHelped) {
  parallel_set_threads(2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> others{0};
    parallel_for(40, [&](i64 task, int) {
      if (task == 0) {
        while (others.load() < 39) ::sched_yield();
      } else {
        ++others;
      }
    });
    EXPECT_EQ(others.load(), 39);
  }
}

TEST(Parallel, ExceptionsReachTheCaller) {
  parallel_set_threads(2);
  EXPECT_THROW(parallel_for(100,
                            [](i64 task, int) {
                              if (task == 31) throw Error({.what = "no"});
                            }),
               Error);
  std::atomic<int> count{0};
  parallel_for(10, [&](i64, int) { ++count; });
  EXPECT_EQ(count.load(), 10);
}

TEST(Json, RoundTrip) {
  const std::string text = R"({"a":[1,2.5,-3e-7,true,null,"x\"\n\u00e9"],"b":{"c":9007199254740993}})";
  const Json value = Json::parse(text, "test");
  EXPECT_EQ(value.at("b").at("c").as_int(), 9007199254740993);
  EXPECT_EQ(Json::parse(value.dump(2), "again"), value);
}

TEST(Json, ErrorsNameTheKey) {
  const Json value = Json::parse("{}", "test");
  EXPECT_THROW(value.at("missing"), Error);
  EXPECT_THROW(Json::parse("{\"a\":}", "broken.json"), Error);
  EXPECT_THROW(Json::parse(std::string(100000, '['), "deep.json"), Error);
}

TEST(Options, UnknownKeyNamesTheNearest) {
  i64 steps = 3;
  OptionList list;
  list.add("steps", &steps, "steps", {.min = 1, .max = 10});
  try {
    list.set_from_json(Json::object({{"step", 4}}), "run.toml");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean 'steps'"), std::string::npos);
  }
  EXPECT_THROW(list.set_from_text("steps", "11", "flag"), Error);
  EXPECT_THROW(list.set_from_text("steps", "1.5", "flag"), Error);
  list.set_from_text("steps", "7", "flag");
  EXPECT_EQ(steps, 7);
  i64 rows = 0;
  list.add("two-words", &steps, "spelt in two ways");
  EXPECT_THROW(list.set_from_json(Json::object({{"two-words", 1}, {"two_words", 2}}), "run.toml"), Error);
  list.add("rows", &rows, "no upper limit", {.unit = "tokens", .min = 16});
  try {
    list.set_from_text("rows", "3", "flag");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.parts().wanted, "16 or more tokens");
  }
}

TEST(Options, EnumerationsByTheNamesOfTheirValues) {
  enum class Colour { red, green };
  Colour colour = Colour::green;
  OptionList list;
  list.add("colour", &colour, "of the line", {.choices = {"red", "green"}});
  EXPECT_EQ(list.to_json().at("colour").as_string(), "green");
  list.set_from_text("colour", "red", "flag");
  EXPECT_EQ(colour, Colour::red);
  EXPECT_THROW(list.set_from_text("colour", "blue", "flag"), Error);
  EXPECT_EQ(colour, Colour::red);
}

TEST(Options, ItemsOfAFilesListMayHoldCommas) {
  std::vector<std::string> words;
  std::vector<i64> counts;
  double rate = 0;
  OptionList list;
  list.add("words", &words, "words");
  list.add("counts", &counts, "counts", {.max = 5e6});
  list.add("rate", &rate, "rate");
  list.set_from_json(toml_parse("words = ['a,b', 'c']\ncounts = [3, '2M']\nrate = 1e-3", "t"), "t");
  EXPECT_EQ(words, (std::vector<std::string>{"a,b", "c"}));
  EXPECT_EQ(counts, (std::vector<i64>{3, 2'000'000}));
  EXPECT_EQ(rate, 1e-3);
  const Json resolved = list.to_json();
  words.clear();
  list.set_from_json(resolved, "t");
  EXPECT_EQ(list.to_json(), resolved);
  list.set_from_json(toml_parse("words = 'a,b'\ncounts = 7", "t"), "t");  // as the flags' texts
  EXPECT_EQ(words, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(counts, (std::vector<i64>{7}));
  for (const char* bad :
       {"counts = [9000000]", "counts = [[1]]", "rate = [1.0]", "rate = {a = 1}", "words = [{a = 1}]"}) {
    EXPECT_THROW(list.set_from_json(toml_parse(bad, "t"), "t"), Error) << bad;
  }
}

TEST(Digest, IsOfTheContentAlone) {
  const std::string a = test_path("a"), b = test_path("b");
  file_write_atomic(a, std::string(100, 'x'));
  file_write_atomic(b, std::string(100, 'x'));
  const std::string digest = content_digest({a});
  EXPECT_EQ(digest.size(), 16u);
  EXPECT_EQ(content_digest({b}), digest);
  for (const std::size_t at : {std::size_t{0}, std::size_t{50}, std::size_t{99}}) {
    std::string text(100, 'x');
    text[at] = 'y';
    file_write_atomic(b, text);
    EXPECT_NE(content_digest({b}), digest) << at;
  }
  file_write_atomic(b, std::string(101, 'x'));
  EXPECT_NE(content_digest({b}), digest);
  file_write_atomic(b, std::string(100, 'x') + std::string(1, '\0'));
  EXPECT_NE(content_digest({b}), digest);
  // Where one file ends and the next begins counts too.
  const std::string c = test_path("c"), d = test_path("d");
  file_write_atomic(c, "12345678abcdefgh");
  file_write_atomic(d, "");
  const std::string one = content_digest({c, d});
  file_write_atomic(c, "12345678");
  file_write_atomic(d, "abcdefgh");
  EXPECT_NE(content_digest({c, d}), one);
  EXPECT_THROW(content_digest({test_path("missing")}), Error);
}

TEST(Units, CountsAndBytes) {
  EXPECT_EQ(parse_count("1.5M"), 1500000);
  EXPECT_EQ(parse_count("1e3"), 1000);
  EXPECT_FALSE(parse_count("1.5"));
  EXPECT_FALSE(parse_count("ten"));
  EXPECT_EQ(parse_bytes("80GiB"), 85899345920);
  EXPECT_EQ(format_exact(1729905152), "1,729,905,152");
  EXPECT_EQ(format_plural(1, "run"), "1 run");
  EXPECT_EQ(format_plural(0, "run"), "0 runs");
  EXPECT_EQ(format_plural(2, "hypothesis", "hypotheses"), "2 hypotheses");
}

TEST(Memory, ForgottenPagesAreReadAgain) {
  EXPECT_GT(memory_resident(), 0);
  EXPECT_GE(memory_peak(), memory_resident());
  EXPECT_GT(memory_available(), 0);
  const std::string path = test_path("map");
  const std::string text(100'000, 'x');
  file_write_atomic(path, text);
  const FileMap map(path);
  file_map_forget(map.data() + 5'000, 60'000);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(map.data()), static_cast<std::size_t>(map.bytes())), text);
}

// The first leaves its path for the second, which finds it gone and gets another.
std::string test_folder_before;

TEST(TestFolder, IsOneForATest) {
  test_folder_before = test_folder();
  EXPECT_TRUE(folder_exists(test_folder_before));
  EXPECT_EQ(test_path("a/b"), test_folder_before + "/a/b");
  AppendFile(test_path("left")).append("behind");
}

TEST(TestFolder, IsGoneAfterIt) {
  EXPECT_NE(test_folder(), test_folder_before);
  EXPECT_FALSE(folder_exists(test_folder_before));
}

TEST(File, OutputsMakeTheirFolder) {
  file_write_atomic(test_path("new/inner/a"), "1");
  EXPECT_EQ(file_read(test_path("new/inner/a")), "1");
  AppendFile(test_path("log/b")).append("2");
  EXPECT_EQ(file_read(test_path("log/b")), "2");
}

TEST(File, WhatCannotBeWrittenIsKnownBefore) {
  file_write_atomic(test_path("kept"), "old");
  file_check_writable(test_path("kept"));
  file_check_writable(test_path("new"));
  EXPECT_EQ(file_read(test_path("kept")), "old");
  EXPECT_FALSE(file_exists(test_path("new")));
  EXPECT_THROW(file_check_writable(test_folder()), Error);
  EXPECT_THROW(file_check_writable(test_path("kept/inside")), Error);
}

TEST(File, AHandleIsClosedOnce) {
  AppendFile first(test_path("first"));
  AppendFile second = std::move(first);
  EXPECT_FALSE(first.is_open());  // NOLINT: what a move leaves is the point
  second.append("1");
  second = AppendFile(test_path("second"));
  second.append("2");
  FileMap map(test_path("first"));
  const FileMap moved = std::move(map);
  EXPECT_EQ(map.bytes(), 0);  // NOLINT
  EXPECT_EQ(moved.bytes(), 1);
  EXPECT_EQ(file_read(test_path("second")), "2");
}

TEST(File, NameOfAPath) {
  for (const char* path : {"a/b/c", "a/b/c/", "c", "/c", "a/b/d/../../b/c"}) EXPECT_EQ(path_name(path), "c") << path;
  folder_make(test_path("c/d"));
  EXPECT_EQ(path_name(test_path("c/.")), "c");
  EXPECT_EQ(path_name(test_path("c/d/..")), "c");
  EXPECT_NE(path_name("."), ".");
}

TEST(File, AtomicWriteKeepsTheOldFileOnFailure) {
  const std::string path = test_path("atomic");
  file_write_atomic(path, "old");
  {
    AtomicFile file(path);
    file.write("half", 4);
  }
  EXPECT_EQ(file_read(path), "old");
  EXPECT_THROW(file_write_atomic(path + "/x", "y"), Error);
}

}  // namespace
}  // namespace moebius
