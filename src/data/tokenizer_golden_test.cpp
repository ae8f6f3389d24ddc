// Our tokenizer against other programs' ids (tests/golden/tokenizer, made by tests/peers/tokenizers_goldens.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/test_folder.h"
#include "data/bpe_trainer.h"
#include "data/byte_stream.h"
#include "data/pretokenizer.h"
#include "data/pretokenizer_pattern.h"
#include "data/tokenizer.h"
#include "data/unicode.h"
#include "data/unicode_sets.h"

namespace moebius::data {
namespace {

std::string golden(const std::string& name) {
  return std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/tokenizer/" + name;
}

std::vector<i32> golden_ids(const std::string& name) {
  const std::string bytes = read_unpacked(golden(name));
  std::vector<i32> ids(bytes.size() / 2);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<u8>(bytes[2 * i]) | static_cast<u8>(bytes[2 * i + 1]) << 8;
  }
  return ids;
}

std::vector<i32> ids_of(const Json& list) {
  std::vector<i32> ids;
  for (const Json& id : list.as_array()) ids.push_back(static_cast<i32>(id.as_int()));
  return ids;
}

void expect_equal(const std::vector<i32>& ours, const std::vector<i32>& theirs, const Tokenizer& tokenizer,
                  const std::string& what) {
  if (ours == theirs) return;
  std::size_t at = 0;
  while (at < ours.size() && at < theirs.size() && ours[at] == theirs[at]) ++at;
  const std::vector<i32> around(ours.begin() + static_cast<i64>(at > 5 ? at - 5 : 0),
                                ours.begin() + static_cast<i64>(std::min(at + 5, ours.size())));
  ADD_FAILURE() << what << ": the ids differ from place " << at << " (" << ours.size() << " against " << theirs.size()
                << " ids), near '" << tokenizer.decode(around) << "'";
}

Tokenizer gpt2() { return Tokenizer::load_gpt2(golden("gpt2_encoder.json.gz"), golden("gpt2_vocab.bpe.gz")); }

TEST(TokenizerGolden, Gpt2Vectors) {
  const Tokenizer tokenizer = gpt2();
  EXPECT_EQ(tokenizer.vocab_size(), 50257);
  EXPECT_EQ(tokenizer.num_merges(), 50000);
  EXPECT_EQ(tokenizer.eos_id(), 50256);
  const Json cases = Json::parse_file(golden("gpt2_vectors.json"));
  ASSERT_EQ(cases.count(), 65);  // 47 and 18
  for (const Json& item : cases.as_array()) {
    const std::string& text = item.at("text").as_string();
    const std::vector<i32> ids = ids_of(item.at("ids"));
    EXPECT_EQ(tokenizer.encode(text), ids) << item.at("from").as_string() << ": " << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST(TokenizerGolden, OlmoeOnMixedText) {
  const Tokenizer tokenizer = Tokenizer::load(golden("olmoe_tokenizer.json.gz"));
  EXPECT_EQ(tokenizer.vocab_size(), 50280);
  EXPECT_EQ(tokenizer.num_merges(), 50009);
  EXPECT_EQ(tokenizer.eos_id(), 50279);
  const std::string text = read_unpacked(golden("mixed_text.txt.gz"));
  ASSERT_GE(text.size(), 1000000u);
  const std::vector<i32> theirs = golden_ids("mixed_olmoe_ids.u16.gz");
  expect_equal(tokenizer.encode(text), theirs, tokenizer, "mixed text");
  std::string nfc;
  append_nfc(text, nfc);
  EXPECT_EQ(tokenizer.decode(theirs), nfc);
}

TEST(TokenizerGolden, SavedAndLoadedIsEqual) {
  const std::string text = read_unpacked(golden("mixed_text.txt.gz")).substr(600000);
  for (const Tokenizer& tokenizer : {gpt2(), Tokenizer::load(golden("olmoe_tokenizer.json.gz"))}) {
    const std::string path = test_path("saved_tokenizer.json");
    tokenizer.save(path);
    const Tokenizer again = Tokenizer::load(path);
    EXPECT_EQ(again.fingerprint(), tokenizer.fingerprint());
    EXPECT_EQ(again.to_json(), tokenizer.to_json());
    expect_equal(again.encode(text), tokenizer.encode(text), tokenizer, "saved and loaded");
  }
  EXPECT_NE(gpt2().fingerprint(), Tokenizer::load(golden("olmoe_tokenizer.json.gz")).fingerprint());
}

TEST(TokenizerGolden, TrainedAsTheLibraryTrains) {
  const std::string text = read_unpacked(golden("trained_text.txt.gz"));
  BpeTrainer trainer({.vocab_size = 2048});
  trainer.add({text});
  const Tokenizer ours = trainer.finish();
  const Json theirs = Json::parse(read_unpacked(golden("trained_tokenizer.json.gz")), "golden");
  const Json mine = Json::parse(ours.to_json(), "ours");
  ASSERT_EQ(ours.vocab_size(), 2048);
  // Merges: theirs are pairs, ours one string each.
  const Json::Array& pairs = theirs.at("model").at("merges").as_array();
  const Json::Array& lines = mine.at("model").at("merges").as_array();
  ASSERT_EQ(lines.size(), pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    ASSERT_EQ(lines[i].as_string(), pairs[i][0].as_string() + " " + pairs[i][1].as_string()) << "merge " << i;
  }
  auto sorted = [](const Json& vocab) {
    Json::Object items = vocab.as_object();
    std::sort(items.begin(), items.end(),
              [](const auto& a, const auto& b) { return a.second.as_int() < b.second.as_int(); });
    return items;
  };
  EXPECT_TRUE(sorted(mine.at("model").at("vocab")) == sorted(theirs.at("model").at("vocab")));
  EXPECT_EQ(ours.fingerprint(), Tokenizer::load(golden("trained_tokenizer.json.gz")).fingerprint());
}

TEST(TokenizerGolden, TrainedEncodesAsTheLibrary) {
  const Tokenizer tokenizer = Tokenizer::load(golden("trained_tokenizer.json.gz"));
  // The golden text is cut by characters: 300,000 to 400,000.
  const std::string text = read_unpacked(golden("mixed_text.txt.gz"));
  const char* p = text.data();
  const char* const end = p + text.size();
  const char* from = p;
  for (i64 i = 0; i < 400000; ++i) {
    if (i == 300000) from = p;
    u32 code;
    p += decode_utf8(p, end, code);
  }
  const std::string_view part(from, static_cast<std::size_t>(p - from));
  expect_equal(tokenizer.encode(part), golden_ids("trained_ids.u16.gz"), tokenizer, "trained");
}

TEST(TokenizerGolden, VariantsOfSections) {
  const Json base = Json::parse(read_unpacked(golden("trained_tokenizer.json.gz")), "golden");
  const Json file = Json::parse(read_unpacked(golden("variants.json.gz")), "variants");
  ASSERT_EQ(file.at("variants").count(), 13);
  for (const Json& variant : file.at("variants").as_array()) {
    Json root = base;
    for (const auto& [key, value] : variant.at("set").as_object()) {
      if (key == "ignore") {
        root.find("model")->set("ignore_merges", value);
      } else {
        root.set(key, value);
      }
    }
    const std::string name = variant.at("name").as_string();
    const Tokenizer tokenizer = Tokenizer::parse(root.dump(), name);
    for (i64 i = 0; i < file.at("texts").count(); ++i) {
      const std::string& text = file.at("texts")[i].as_string();
      expect_equal(tokenizer.encode(text), ids_of(variant.at("ids")[i]), tokenizer, name + ": " + text);
    }
  }
}

TEST(TokenizerGolden, PatternsAsTheLibrary) {
  const Json file = Json::parse(read_unpacked(golden("patterns.json.gz")), "patterns");
  ASSERT_GT(file.at("patterns").count(), 150);
  for (const Json& item : file.at("patterns").as_array()) {
    const std::string& pattern = item.at("pattern").as_string();
    const RegexSplitter regex(parse_pattern(pattern, "test"), pattern, "test");
    for (i64 i = 0; i < file.at("texts").count(); ++i) {
      const std::string& text = file.at("texts")[i].as_string();
      std::vector<std::pair<i64, i64>> matches;
      regex.find(text, matches);
      matches.emplace_back(text.size(), text.size());
      std::vector<std::string> ours, theirs;
      i64 done = 0;
      for (const auto& [from, to] : matches) {
        if (from > done) ours.push_back(text.substr(static_cast<u64>(done), static_cast<u64>(from - done)));
        if (to > from) ours.push_back(text.substr(static_cast<u64>(from), static_cast<u64>(to - from)));
        done = to;
      }
      for (const Json& piece : item.at("pieces")[i].as_array()) theirs.push_back(piece.as_string());
      EXPECT_EQ(ours, theirs) << pattern << " on " << text;
    }
  }
}

TEST(TokenizerGolden, SplitBehaviorsAsTheLibrary) {
  const Json file = Json::parse(read_unpacked(golden("behaviors.json.gz")), "behaviors");
  ASSERT_EQ(file.at("splits").count(), 80);
  const Json byte_level = Json::object({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  for (const Json& item : file.at("splits").as_array()) {
    const PreTokenizer words(
        Json::object({{"type", "Sequence"}, {"pretokenizers", Json::Array{item.at("split"), byte_level}}}), "test");
    for (i64 i = 0; i < file.at("texts").count(); ++i) {
      std::vector<std::string_view> pieces;
      std::string scratch;
      words.split(file.at("texts")[i].as_string(), pieces, scratch);
      EXPECT_EQ(Json(pieces), item.at("pieces")[i])
          << item.at("split").dump() << " on '" << file.at("texts")[i].as_string() << "': " << Json(pieces).dump();
    }
  }
}

TEST(TokenizerGolden, NormalFormC) {
  const Json cases = Json::parse(read_unpacked(golden("nfc_cases.json.gz")), "golden");
  ASSERT_GT(cases.count(), 4000);
  for (const Json& item : cases.as_array()) {
    std::string ours;
    append_nfc(item[0].as_string(), ours);
    ASSERT_EQ(ours, item[1].as_string()) << "from " << item[0].as_string();
    EXPECT_TRUE(!is_nfc_quick(item[0].as_string()) || item[0].as_string() == item[1].as_string());
  }
}

TEST(TokenizerGolden, ScannerIsThePattern) {
  const RegexSplitter regex(parse_pattern(kGpt2Pattern, "test"), kGpt2Pattern, "test");
  // A golden text, and every code point between a letter, a digit and a space.
  std::string every;
  for (u32 code = 0; code <= kCodeMax; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    append_utf8(every, code);
    every += "a";
    append_utf8(every, code);
    every += "1";
    append_utf8(every, code);
    every += " ";
  }
  for (const std::string& text : {read_unpacked(golden("mixed_text.txt.gz")), every}) {
    std::vector<std::pair<i64, i64>> matches;
    regex.find(text, matches);
    const char* p = text.data();
    const char* const end = p + text.size();
    for (const auto& [from, to] : matches) {
      ASSERT_EQ(p - text.data(), from);
      p = gpt2_word_end(p, end);
      ASSERT_EQ(p - text.data(), to) << text.substr(static_cast<std::size_t>(from), 20);
    }
    EXPECT_EQ(p, end);
  }
}

TEST(TokenizerGolden, ThreadsDoNotMatter) {
  const Tokenizer tokenizer = Tokenizer::load(golden("olmoe_tokenizer.json.gz"));
  const std::string text = read_unpacked(golden("mixed_text.txt.gz"));
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t stop = std::min(text.find("\n\n", at + 500), text.size());
    parts.push_back(std::string_view(text).substr(at, stop - at));
    at = stop;
  }
  parts.push_back("");
  const int threads_before = parallel_threads();
  std::vector<std::vector<std::vector<i32>>> encoded;
  std::vector<std::string> trained;
  for (const int threads : {1, 2, 5}) {
    parallel_set_threads(threads);
    encoded.push_back(tokenizer.encode_parallel(parts));
    BpeTrainer trainer({.vocab_size = 700});
    trainer.add(parts);
    trainer.add({"one more, one more"});
    trained.push_back(trainer.finish().to_json());
  }
  parallel_set_threads(threads_before);
  for (std::size_t i = 0; i < parts.size(); ++i) EXPECT_EQ(encoded[0][i], tokenizer.encode(parts[i]));
  for (std::size_t k = 1; k < encoded.size(); ++k) {
    EXPECT_EQ(encoded[k], encoded[0]);
    EXPECT_EQ(trained[k], trained[0]);
  }
}

}  // namespace
}  // namespace moebius::data
