// Random and damaged input: readers and tokenizers give a result or an Error, never a crash (the sanitizer builds look
// closely). The same inputs in every run.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/test_folder.h"
#include "data/bpe_trainer.h"
#include "data/byte_stream.h"
#include "data/pretokenizer.h"
#include "data/pretokenizer_pattern.h"
#include "data/reader.h"
#include "data/tokenizer.h"
#include "data/unicode.h"

namespace moebius::data {
namespace {

std::string golden_path(const std::string& name) {
  return std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/tokenizer/" + name;
}

std::string random_bytes(Rng& rng, u64 size_max) {
  std::string bytes(rng.next_below(size_max), '\0');
  // Half of them near to text, so that more than the first check is reached.
  const bool text = rng.next_below(2) == 0;
  for (char& c : bytes) {
    const bool printable = text && rng.next_below(8) != 0;
    c = static_cast<char>(printable ? 32 + rng.next_below(95) : rng.next_below(256));
  }
  return bytes;
}

void damage(Rng& rng, std::string& bytes) {
  for (u64 i = 0, n = 1 + rng.next_below(4); i < n && !bytes.empty(); ++i) {
    const std::size_t at = rng.next_below(bytes.size());
    switch (rng.next_below(4)) {
      case 0: bytes[at] = static_cast<char>(rng.next_below(256)); break;
      case 1: bytes.erase(at, 1 + rng.next_below(9)); break;
      case 2: bytes.insert(at, bytes.substr(rng.next_below(bytes.size()), rng.next_below(20))); break;
      default:
        if (rng.next_below(4) == 0) bytes.resize(at);
        break;
    }
  }
}

TEST(Fuzz, BytesSurviveEncoding) {
  Rng rng(1, RngStream::test);
  const Tokenizer tokenizer = Tokenizer::load(golden_path("trained_tokenizer.json.gz"));
  const RegexSplitter regex(parse_pattern(kGpt2Pattern, "test"), kGpt2Pattern, "test");
  for (int round = 0; round < 1500; ++round) {
    const std::string bytes = random_bytes(rng, 300);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(bytes, SpecialTokens::plain)), bytes);
    std::vector<std::pair<i64, i64>> matches;
    regex.find(bytes, matches);
    std::string normal, again;
    append_nfc(bytes, normal);
    append_nfc(normal, again);
    ASSERT_EQ(normal, again);
  }
}

TEST(Fuzz, DamagedTokenizerFiles) {
  Rng rng(2, RngStream::test);
  BpeTrainer trainer({.vocab_size = 270});
  trainer.add({"the theme of the thesis is this: there, then, the"});
  const std::string whole = trainer.finish().to_json();
  int loaded = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = whole;
    // Most of the file is vocabulary; the ends hold the sections.
    std::string part = round % 3 == 0 ? text.substr(0, 700) : text.substr(text.size() - 400);
    damage(rng, part);
    text = round % 3 == 0 ? part + text.substr(700) : text.substr(0, text.size() - 400) + part;
    try {
      const Tokenizer tokenizer = Tokenizer::parse(text, "damaged");
      tokenizer.decode(tokenizer.encode("the other text\n\n 12's <|endoftext|>"));
      ++loaded;
    } catch (const Error&) {}
  }
  EXPECT_GT(loaded, 0);
  EXPECT_LT(loaded, 3000);
}

TEST(Fuzz, DamagedArchivesAndLines) {
  Rng rng(3, RngStream::test);
  const std::string packed = file_read(golden_path("trained_tokenizer.json.gz"));
  const std::string zstd_head = "\x28\xb5\x2f\xfd";
  std::string lines;
  for (int i = 0; i < 20; ++i) lines += "{\"text\": \"a line \\u00e9 of text\", \"n\": [1, {\"x\": null}]}\n";
  const std::string folder = test_folder() + "/";
  int failed = 0;
  for (int round = 0; round < 240; ++round) {
    std::string bytes = round % 4 == 0 ? packed : round % 4 == 1 ? zstd_head + random_bytes(rng, 100) : lines;
    if (round % 4 == 3) bytes = random_bytes(rng, 200);
    damage(rng, bytes);
    const std::string path = folder + "/fuzz" + (round % 2 == 0 ? ".jsonl" : ".txt");
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      for (const Document& document : read_documents(path, {.separator = round % 8 == 3 ? "blank-line" : ""})) {
        ASSERT_EQ(find_invalid_utf8(document.text), -1);
      }
    } catch (const Error&) {
      ++failed;
    }
  }
  EXPECT_GT(failed, 60);
}

}  // namespace
}  // namespace moebius::data
