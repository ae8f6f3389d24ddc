// The tokenizer's promises on small hand-made vocabularies, and its errors.
#include "data/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/test_folder.h"
#include "data/bpe_trainer.h"
#include "data/pretokenizer_pattern.h"
#include "data/tokenizer_impl.h"
#include "data/unicode.h"

namespace moebius::data {
namespace {

// 256 bytes in numeric order, then these products, then the added tokens.
Tokenizer small(std::vector<std::pair<std::string, std::string>> merges, std::vector<AddedToken> added = {}) {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  std::vector<std::pair<i32, i32>> pairs;
  const auto id_of = [&](const std::string& bytes) {
    return static_cast<i32>(std::find(tokens.begin(), tokens.end(), bytes) - tokens.begin());
  };
  for (const auto& [left, right] : merges) {
    pairs.emplace_back(id_of(left), id_of(right));
    tokens.push_back(left + right);
  }
  for (AddedToken& token : added) {
    token.id = static_cast<i32>(tokens.size());
    tokens.push_back(token.content);
  }
  return Tokenizer::from_parts(tokens, pairs, added);
}

std::string error_of(const std::string& json) {
  try {
    Tokenizer::parse(json, "file.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Tokenizer, MergesByRankThenLeftmost) {
  const Tokenizer t = small({{"b", "c"}, {"a", "b"}, {"a", "a"}});
  EXPECT_EQ(t.encode("abc"), (std::vector<i32>{'a', 256}));
  EXPECT_EQ(t.encode("ab"), (std::vector<i32>{257}));
  EXPECT_EQ(t.encode("aaa"), (std::vector<i32>{258, 'a'}));
  EXPECT_EQ(t.encode(""), std::vector<i32>{});
}

TEST(Tokenizer, LongWordsMergeAsShortOnes) {
  const Tokenizer t = small({{"a", "b"}, {"b", "a"}, {"ab", "ab"}, {"ba", "b"}, {"abab", "ab"}, {"ab", "a"}});
  // The same letters: once within the scan's length, once far beyond it.
  std::string word;
  u32 state = 12345;
  for (int i = 0; i < 400; ++i) {
    state = state * 1664525u + 1013904223u;
    word += (state >> 20) % 3 == 0 ? 'b' : 'a';
  }
  // A plain reference: the best pair of all, again and again.
  const auto reference = [&](const std::string& text) {
    std::vector<std::string> parts;
    for (const char c : text) parts.emplace_back(1, c);
    const std::vector<std::pair<std::string, std::string>> merges = {{"a", "b"},  {"b", "a"},     {"ab", "ab"},
                                                                     {"ba", "b"}, {"abab", "ab"}, {"ab", "a"}};
    for (;;) {
      std::size_t best_rank = merges.size(), best = 0;
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        for (std::size_t r = 0; r < best_rank; ++r) {
          if (parts[i] == merges[r].first && parts[i + 1] == merges[r].second) {
            best_rank = r;
            best = i;
          }
        }
      }
      if (best_rank == merges.size()) return parts;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<i64>(best) + 1);
    }
  };
  for (const std::size_t length : {2u, 3u, 17u, 47u, 48u, 49u, 64u, 65u, 150u, 400u}) {
    const std::string text = word.substr(0, length);
    std::vector<std::string> ours;
    for (const i32 id : t.encode(text)) ours.emplace_back(t.token_bytes(id));
    EXPECT_EQ(ours, reference(text)) << length;
    EXPECT_EQ(t.encode(text), t.encode(text));  // once more, now from the cache
  }
}

TEST(Tokenizer, SpecialTokensParsedOrPlain) {
  const Tokenizer t = small({{"e", "n"}}, {{.content = "<|endoftext|>"}, {.content = "<tool>", .special = false}});
  const i32 eos = t.eos_id();
  EXPECT_EQ(t.token_bytes(eos), "<|endoftext|>");
  EXPECT_EQ(t.bos_id(), eos);
  EXPECT_EQ(t.encode("a<|endoftext|>b"), (std::vector<i32>{'a', eos, 'b'}));
  const auto plain = t.encode("a<|endoftext|>b", SpecialTokens::plain);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), eos), 0);
  EXPECT_EQ(t.decode(plain), "a<|endoftext|>b");
  EXPECT_EQ(t.encode("<tool>", SpecialTokens::plain).size(), 1u);
  EXPECT_EQ(t.decode(t.encode("a<|endoftext|>b"), true), "ab");
  EXPECT_TRUE(t.is_special(eos));
  EXPECT_FALSE(t.is_special('a'));
  EXPECT_FALSE(t.is_special(-1));
}

TEST(Tokenizer, EveryByteComesBack) {
  const Tokenizer t = small({{"t", "h"}, {"\xc3", "\xa9"}});
  std::string bytes;
  for (int round = 0; round < 3; ++round) {
    for (int b = 0; b < 256; ++b) bytes += static_cast<char>((b * 7 * (round + 1)) & 255);
  }
  EXPECT_EQ(t.decode(t.encode(bytes)), bytes);
  EXPECT_EQ(t.encode("\xc3\xa9"), std::vector<i32>{257});
  EXPECT_THROW(t.decode({300}), Error);
  EXPECT_THROW(t.decode({-1}), Error);
}

TEST(Tokenizer, EndsFromTheConfigBeside) {
  const Tokenizer t = small({}, {{.content = "<one>"}, {.content = "<two>"}});
  EXPECT_EQ(t.eos_id(), -1);
  const std::string folder = test_path("ends");
  folder_make(folder);
  t.save(folder + "/tokenizer.json");
  file_write_atomic(folder + "/tokenizer_config.json", R"({"eos_token": {"content": "<two>"}, "bos_token": "<one>"})");
  const Tokenizer loaded = Tokenizer::load(folder);
  EXPECT_EQ(loaded.eos_id(), 257);
  EXPECT_EQ(loaded.bos_id(), 256);
  file_write_atomic(folder + "/tokenizer_config.json", R"({"eos_token": "<three>"})");
  EXPECT_THROW(Tokenizer::load(folder), Error);
}

TEST(Tokenizer, ErrorsNameFileAndFault) {
  const std::string good = small({{"a", "b"}}).to_json();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_EQ(error_of(good), "");
  struct Case {
    std::string json, wanted;
  };
  const std::vector<Case> cases = {
      {with("\"BPE\"", "\"WordPiece\""), "WordPiece"},
      {with("\"byte_fallback\": false", "\"byte_fallback\": true"), "not on bytes"},
      {with("\"dropout\": null", "\"dropout\": 0.1"), "dropout"},
      {with("\"end_of_word_suffix\": null", "\"end_of_word_suffix\": \"</w>\""), "end_of_word_suffix"},
      {with("\"a b\"", "\"a  b\""), "merge 0"},
      {with("\"a b\"", "\"a zz\""), "not in the vocabulary"},
      {with("\"a b\"", "[\"a\"]"), "merge"},
      {with("\"a b\"", "7"), "merge"},
      {with("\"ab\": 256", "\"ab\": 255"), "255"},
      {with("\"ab\": 256", "\"ab\": -3"), "out of range"},
      {with("\"ab\": 256", "\"ab\": 99999999999"), "out of range"},
      {with("\"ab\": 256", "\"ab\": \"x\""), "wrong type"},
      {with("\"z\":", "\"zz\":"), "0x7a"},
      {with("\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}"), "Lowercase"},
      {with("\"type\": \"ByteLevel\"", "\"type\": \"Metaspace\""), "Metaspace"},
      {"{\"x\": 1}", "no \"model\""},
      {"[1, 2]", "no \"model\""},
      {good.substr(0, good.size() / 2), "not valid JSON"},
      {"", "not valid JSON"},
      {"\"\xff\"", "UTF-8"},
  };
  for (const Case& c : cases) {
    const std::string text = error_of(c.json);
    EXPECT_NE(text.find(c.wanted), std::string::npos) << "wanted '" << c.wanted << "' in: " << text;
    EXPECT_EQ(text.rfind("file.json", 0), 0u) << text;
  }
  EXPECT_THROW(Tokenizer::load(test_path("none.json")), Error);
}

TEST(Tokenizer, AddedTokensAndIdsAreChecked) {
  const std::string good = small({{"a", "b"}}, {{.content = "<one>"}, {.content = "<two>"}}).to_json();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return error_of(text.replace(at, from.size(), to));
  };
  EXPECT_EQ(error_of(good), "");
  const std::string id = "\"id\": 257";
  EXPECT_NE(with(id, "\"id\": 36").find("257 in the vocabulary"), std::string::npos) << with(id, "\"id\": 36");
  EXPECT_NE(with("\"content\": \"<one>\"", "\"content\": \"<two>\"").find("257"), std::string::npos);
  // Not in the vocabulary, with an id that is taken there, by another added token, and far away.
  const std::string content = "\"content\": \"<one>\"";
  const auto renamed = [&](const std::string& new_id) {
    std::string text = good;
    text.replace(text.find(content), content.size(), "\"content\": \"<new>\"");
    return error_of(text.replace(text.find(id), id.size(), "\"id\": " + new_id));
  };
  EXPECT_NE(renamed("36").find("id 36, which is '$' in the vocabulary"), std::string::npos) << renamed("36");
  EXPECT_NE(renamed("258").find("id 258"), std::string::npos) << renamed("258");
  EXPECT_NE(renamed("9000000").find("out of range"), std::string::npos) << renamed("9000000");
  EXPECT_NE(renamed("-7").find("got:    -7"), std::string::npos) << renamed("-7");
  EXPECT_NE(renamed("-7").find("added_tokens[0]"), std::string::npos) << renamed("-7");
  EXPECT_NE(renamed("4294967296").find("got:    4294967296"), std::string::npos) << renamed("4294967296");
  EXPECT_EQ(renamed("300"), "");
  // Merges as strings may begin with the version of GPT-2's file.
  EXPECT_EQ(with("\"merges\": [", "\"merges\": [\"#version: 0.2\", "), "");
}

TEST(Tokenizer, PatternsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {{"(?~abc)", "absence operator"},
                                                       {"(a)\\1", "back-reference"},
                                                       {"(?<n>a)\\k<n>", "back-reference"},
                                                       {"(?<n>a)\\g<n>", "call of a group"},
                                                       {"a\\Kb", "\\K"},
                                                       {"\\X", "\\X"},
                                                       {"\\yb", "\\y"},
                                                       {"\\Ga", "\\G"},
                                                       {"(?<=a+)b", "look-behind of variable length"},
                                                       {"(?(1)a|b)", "conditional"},
                                                       {"(?{x})", "callout"},
                                                       {"(*FAIL)", "callout"},
                                                       {"\\p{In_Basic_Latin}", "In_Basic_Latin"},
                                                       {"\\p{Nothing}", "Nothing"},
                                                       {"(?i)\xc3\x9f", "U+00DF"},
                                                       {"(?i)mass", "U+00DF"},
                                                       {"(?W)a", "(?W...)"},
                                                       {"[a-\\d]", "ends in a class"},
                                                       {"[[:foo:]]", "[:foo:]"},
                                                       {"*a", "nothing before it"},
                                                       {"\\xe4", "byte"}};
  for (const auto& [pattern, wanted] : cases) {
    try {
      const RegexSplitter regex(parse_pattern(pattern, "file.json"), pattern, "file.json");
      ADD_FAILURE() << pattern << " was accepted";
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find(wanted), std::string::npos) << pattern << ": " << text;
      EXPECT_NE(text.find("not supported"), std::string::npos) << text;
      EXPECT_EQ(text.rfind("file.json", 0), 0u) << text;
    }
  }
  EXPECT_THROW(parse_pattern(std::string(5000, '('), "deep"), Error);
  EXPECT_THROW(parse_pattern(std::string(5000, '['), "deep"), Error);
}

TEST(Tokenizer, PreTokenizersRefusedByName) {
  const std::string byte_level = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})";
  const std::string digits = R"({"type": "Digits", "individual_digits": true})";
  const std::string split =
      R"({"type": "Split", "pattern": {"String": "x"}, "behavior": "MergedWithBoth", "invert": false})";
  const auto error = [](const std::string& steps) {
    try {
      PreTokenizer(Json::parse("{\"type\": \"Sequence\", \"pretokenizers\": [" + steps + "]}", "test"), "file.json");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error(digits + ", " + byte_level), "");
  EXPECT_NE(error(byte_level + ", " + digits).find("Digits after ByteLevel"), std::string::npos);
  EXPECT_NE(error(digits).find("no ByteLevel"), std::string::npos);
  EXPECT_NE(error(split + ", " + byte_level).find("unknown behavior 'MergedWithBoth'"), std::string::npos);
}

TEST(Tokenizer, TrainerEdges) {
  EXPECT_THROW(BpeTrainer({.vocab_size = 256}), Error);
  BpeTrainer empty;
  EXPECT_THROW(empty.finish(), Error);
  BpeTrainer few({.vocab_size = 1000});
  few.add({"abababab", "", "ab"});
  const Tokenizer t = few.finish();
  EXPECT_EQ(t.eos_id(), 0);
  // "ab" twice and more, then "abab"; "abababab" comes once only, from two of them.
  EXPECT_EQ(t.encode("abab").size(), 1u);
  EXPECT_EQ(t.vocab_size(), 259);
  BpeTrainer rare({.vocab_size = 1000, .min_frequency = 100});
  rare.add({"abababab"});
  EXPECT_EQ(rare.finish().num_merges(), 0);
}

TEST(Unicode, ClassesAndBadBytes) {
  EXPECT_EQ(char_class('a'), CharClass::letter);
  EXPECT_EQ(char_class(0x4E00), CharClass::letter);
  EXPECT_EQ(char_class(0x0663), CharClass::number);
  EXPECT_EQ(char_class(0x2167), CharClass::number);
  EXPECT_EQ(char_class(0x85), CharClass::space);
  EXPECT_EQ(char_class(0x180E), CharClass::other);
  EXPECT_EQ(char_class(0x200B), CharClass::other);
  EXPECT_EQ(char_class(0x300), CharClass::other);
  EXPECT_EQ(char_class(kInvalidCode), CharClass::other);
  // Letters of Unicode 15, 15.1 and 16; one of Unicode 17 is not assigned yet.
  for (const u32 code : {0x31350u, 0x2EBF0u, 0x105C0u}) EXPECT_EQ(char_class(code), CharClass::letter) << code;
  EXPECT_EQ(char_class(0x16EA0), CharClass::other);
  EXPECT_TRUE(is_word_char('_'));
  EXPECT_TRUE(is_word_char(0x301));
  EXPECT_FALSE(is_word_char('-'));
  EXPECT_EQ(find_invalid_utf8("plain text, long enough"), -1);
  EXPECT_EQ(find_invalid_utf8("caf\xc3\xa9 caf\xe9"), 9);
  for (const char* bad : {"\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xff"}) {
    EXPECT_EQ(find_invalid_utf8(bad), 0) << bad;
  }
  std::string out;
  append_nfc("e\xcc\x81\xff\xcc\x81", out);
  EXPECT_EQ(out, "\xc3\xa9\xff\xcc\x81");
}

}  // namespace
}  // namespace moebius::data
