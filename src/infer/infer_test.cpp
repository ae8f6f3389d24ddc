// Generation over an engine without a network: its logits are a hash of all tokens in the sequence's cache, so a wrong
// slot, position or segment changes the text.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "infer/generate.h"
#include "infer/kv_cache.h"

namespace moebius::infer {
namespace {

constexpr i64 kVocab = 64;
constexpr i32 kEnd = 63;

u64 mix(u64 h, u64 x) {
  h = (h ^ x) * 0x9E3779B97F4A7C15ull;
  return h ^ (h >> 29);
}

// Keys hold the token itself. Checks the positions.
Engine hash_engine(i64* passes = nullptr) {
  Engine engine;
  engine.vocab = kVocab;
  engine.positions_max = 200;
  engine.cache = {2, 1, 4, DType::f32};
  engine.reserve = [](i64) {};
  engine.logits = [passes](const model::NetworkInput& input, std::span<const i32> rows, Matrix logits_RV) {
    if (passes) ++*passes;
    std::map<i64, u64> hash_of_row;
    for (const model::Segment& segment : input.segments) {
      EXPECT_EQ(segment.position, segment.cache->positions);
      u64 h = 7;
      auto* k = static_cast<float*>(segment.cache->data) + segment.cache->layer_stride;  // of layer 1
      for (i64 p = 0; p < segment.position; ++p) h = mix(h, static_cast<u64>(k[p]));
      for (i64 r = 0; r < segment.rows; ++r) {
        const i32 token = input.token_T[static_cast<std::size_t>(segment.row + r)];
        k[segment.position + r] = static_cast<float>(token);
        h = mix(h, static_cast<u64>(token));
        hash_of_row[segment.row + r] = h;
      }
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (i64 v = 0; v < kVocab; ++v) {
        const u64 h = mix(hash_of_row.at(rows[i]), static_cast<u64>(v));
        logits_RV.f32()[static_cast<i64>(i) * logits_RV.stride + v] = static_cast<float>(h % 1000) / 200.0f;
      }
    }
  };
  return engine;
}

std::vector<std::string> token_texts() {
  std::vector<std::string> texts;
  for (i64 v = 0; v < kVocab; ++v) texts.push_back(std::string(1, static_cast<char>('0' + v)));
  return texts;
}

GenerateOptions make_options(const std::vector<std::string>& texts) {
  GenerateOptions options;
  options.end_of_text = kEnd;
  options.token_bytes = [&texts](i32 token) { return std::string_view(texts[static_cast<std::size_t>(token)]); };
  return options;
}

std::vector<Prompt> make_prompts() {
  std::vector<Prompt> prompts;
  for (u64 p = 0; p < 23; ++p) {
    Prompt prompt;
    for (u64 t = 0; t < 1 + (p * 7) % 31; ++t) prompt.tokens.push_back(static_cast<i32>(mix(p, t) % (kVocab - 1)));
    prompt.tokens_max = static_cast<i64>((p * 5) % 40);
    prompt.sequence = p;
    if (p % 3 == 0) prompt.stops = {"A", "3"};
    prompts.push_back(prompt);
  }
  return prompts;
}

TEST(Generate, BatchOfOneEqualsBatchOfMany) {
  const auto texts = token_texts();
  for (const double temperature : {0.0, 0.8}) {
    GenerateOptions options = make_options(texts);
    options.sampler.temperature = temperature;
    options.sampler.top_k = 20;
    options.sequences_max = 5;
    options.rows_max = 40;
    const auto prompts = make_prompts();
    const auto many = generate(hash_engine(), prompts, options);
    i64 stopped = 0;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto one = generate(hash_engine(), {prompts[i]}, options);
      EXPECT_EQ(one[0].tokens, many[i].tokens) << i;
      EXPECT_EQ(one[0].text, many[i].text);
      EXPECT_EQ(one[0].logprob_sum, many[i].logprob_sum);
      EXPECT_EQ(one[0].finish, many[i].finish);
      EXPECT_LE(static_cast<i64>(many[i].tokens.size()), prompts[i].tokens_max);
      stopped += many[i].finish == Finish::stop;
      if (many[i].finish == Finish::stop) {
        EXPECT_EQ(many[i].text.find('A'), std::string::npos);
      }
    }
    EXPECT_GT(stopped, 0);
  }
}

TEST(Generate, LongPromptsAreCutAndPackedIntoFewPasses) {
  const auto texts = token_texts();
  GenerateOptions options = make_options(texts);
  options.end_of_text = -1;
  Prompt prompt;
  for (i32 t = 0; t < 100; ++t) prompt.tokens.push_back(t % 60);
  prompt.tokens_max = 3;
  const auto whole = generate(hash_engine(), {prompt}, options);
  options.rows_max = 7;
  i64 passes = 0;
  EXPECT_EQ(generate(hash_engine(&passes), {prompt}, options)[0].tokens, whole[0].tokens);
  EXPECT_EQ(passes, 15 + 2);
  passes = 0;
  options.rows_max = 4096;
  generate(hash_engine(&passes), std::vector<Prompt>(20, prompt), options);
  EXPECT_EQ(passes, 3);  // 20 prompts at once
}

TEST(Generate, PromptTooLongIsAnError) {
  Prompt prompt;
  prompt.tokens.assign(190, 1);
  prompt.tokens_max = 11;
  const auto texts = token_texts();
  EXPECT_THROW(generate(hash_engine(), {prompt}, make_options(texts)), Error);
}

// NaN or infinite logits end generation with an error that names the prompt, greedy or sampled.
TEST(Generate, LogitsThatAreNotFiniteAreAnError) {
  const auto texts = token_texts();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const i64 at : {i64{0}, i64{7}, kVocab - 1}) {
      for (const SamplerOptions& sampler :
           {SamplerOptions{}, SamplerOptions{.temperature = 1}, SamplerOptions{.temperature = 1, .top_k = 1},
            SamplerOptions{.temperature = 1, .top_p = 0.5}}) {
        Engine engine = hash_engine();
        const auto logits = engine.logits;
        engine.logits = [=](const model::NetworkInput& input, std::span<const i32> rows, Matrix logits_RV) {
          logits(input, rows, logits_RV);
          if (input.segments.back().position == 3) logits_RV.f32()[(logits_RV.rows - 1) * logits_RV.stride + at] = bad;
        };
        GenerateOptions options = make_options(texts);
        options.end_of_text = -1;
        options.sampler = sampler;
        std::vector<Prompt> prompts(2);
        prompts[0].tokens = {1, 2};
        prompts[0].tokens_max = 1;
        prompts[1].tokens = {4, 5};
        prompts[1].tokens_max = 9;
        try {
          generate(engine, prompts, options);
          ADD_FAILURE() << "chose a token among NaN";
        } catch (const Error& e) {
          EXPECT_NE(std::string(e.what()).find("prompt 2 of 2"), std::string::npos) << e.what();
        }
      }
    }
  }
}

TEST(Sampler, GreedyTiesGoToTheLowestId) {
  const std::vector<float> logits = {1, 3, 3, 2};
  EXPECT_EQ(argmax_token(logits), 1);
  std::vector<std::pair<float, i32>> scratch;
  EXPECT_EQ(sample_token(logits, {}, 0, 0, scratch), 1);
}

TEST(Sampler, FrequenciesFollowTheProbabilities) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  std::vector<std::pair<float, i32>> scratch;
  auto frequencies = [&](const SamplerOptions& options) {
    std::vector<double> f(4);
    for (i64 i = 0; i < 20000; ++i) {
      f[static_cast<std::size_t>(sample_token(logits, options, static_cast<u64>(i / 100), i % 100, scratch))] +=
          1.0 / 20000;
    }
    return f;
  };
  const auto all = frequencies({.temperature = 1});
  EXPECT_NEAR(all[0], 0.5, 0.015);
  EXPECT_NEAR(all[3], 0.05, 0.008);
  const auto two = frequencies({.temperature = 1, .top_k = 2});
  EXPECT_NEAR(two[0], 0.5 / 0.8, 0.015);
  EXPECT_EQ(two[2], 0);
  const auto nucleus = frequencies({.temperature = 1, .top_p = 0.85});  // 0.5 + 0.3 < 0.85 <= 0.95
  EXPECT_NEAR(nucleus[2], 0.15 / 0.95, 0.012);
  EXPECT_EQ(nucleus[3], 0);
  const auto cold = frequencies({.temperature = 0.5});
  EXPECT_NEAR(cold[0], 0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), 0.015);
}

TEST(KvCache, SlotsDoNotOverlap) {
  const CacheShape shape{3, 2, 4, DType::bf16};
  KvCache cache(shape, 4, 10);
  std::vector<i64> slots;
  for (int i = 0; i < 4; ++i) slots.push_back(cache.take());
  EXPECT_EQ(cache.take(), -1);
  std::vector<std::pair<const u8*, const u8*>> ranges;
  for (const i64 s : slots) {
    for (i64 layer = 0; layer < 3; ++layer) {
      const u8* begin = static_cast<const u8*>(cache.slot(s)->data) + layer * cache.slot(s)->layer_stride * 2;
      ranges.emplace_back(begin, begin + shape.layer_elements(10) * 2);
    }
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i) EXPECT_GE(ranges[i].first, ranges[i - 1].second);
  EXPECT_EQ(ranges.back().second - ranges.front().first, KvCache::bytes(shape, 4, 10));
  cache.advance(slots[2], 5);
  cache.give_back(slots[2]);
  EXPECT_EQ(cache.take(), slots[2]);
  EXPECT_EQ(cache.positions(slots[2]), 0);
}

TEST(Text, BrokenUtf8IsReplacedAsPythonDoes) {
  EXPECT_EQ(utf8_repaired("a\xC3\xA9z"), "a\xC3\xA9z");
  // Each from Python: bytes.decode("utf-8", "replace").
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(utf8_repaired("a\xFF"
                          "b"),
            "a" + bad + "b");
  EXPECT_EQ(utf8_repaired("\xE2\x82"), bad);
  EXPECT_EQ(utf8_repaired("\xE2\x82"
                          "x"),
            bad + "x");
  EXPECT_EQ(utf8_repaired("\xED\xA0\x80"), bad + bad + bad);
  EXPECT_EQ(utf8_repaired("\xF0\x9F\x98"), bad);
  EXPECT_EQ(utf8_repaired("\xC0\xAF"), bad + bad);
}

TEST(Text, StopsAreTriedOneAfterTheOther) {
  EXPECT_EQ(cut_at_stops("one.two,three", {",", "."}), "one");
  EXPECT_EQ(cut_at_stops("abcd", {"bc", "ab"}), "a");
  EXPECT_EQ(cut_at_stops("abcd", {"", "x"}), "abcd");
}

}  // namespace
}  // namespace moebius::infer
