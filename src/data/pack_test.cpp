// Packing: text to shards, and the split into training and held-out documents.
#include "data/pack.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/test_folder.h"
#include "data/bpe_trainer.h"
#include "data/mixture.h"

namespace moebius::data {
namespace {

std::vector<std::string> sample_texts() {
  std::vector<std::string> texts;
  for (int i = 0; i < 400; ++i)
    texts.push_back("Document " + std::to_string(i) + " says that " + std::to_string(i * i) + " is a square.");
  texts[7] += " <|endoftext|> forged";
  return texts;
}

std::string write_jsonl(const std::string& name, const std::vector<std::string>& texts) {
  std::string lines;
  for (const std::string& text : texts) lines += Json::object({{"title", "t"}, {"text", text}}).dump() + "\n";
  file_write_atomic(test_path(name), lines);
  return test_path(name);
}

Tokenizer train(const std::vector<std::string>& texts) {
  BpeTrainer trainer({.vocab_size = 400});
  trainer.add(std::vector<std::string_view>(texts.begin(), texts.end()));
  return trainer.finish();
}

TEST(Pack, ShardHoldsTheTextsAndNoForgedToken) {
  const std::vector<std::string> texts = sample_texts();
  const Tokenizer tokenizer = train(texts);
  PackOptions options;
  options.input = {write_jsonl("all.jsonl", texts)};
  options.out = test_path("all");
  options.split = "all";
  const PackResult result = pack_corpus(options, tokenizer);
  EXPECT_EQ(result.meta.documents, 400);
  const TokenShard shard = TokenShard::open(options.out);
  for (i64 d = 0; d < shard.documents(); ++d) {
    std::vector<i32> tokens(static_cast<std::size_t>(shard.document_tokens(d)));
    shard.copy(d, 0, static_cast<i64>(tokens.size()), tokens.data());
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), tokenizer.eos_id()), 1);
    EXPECT_EQ(tokens.back(), tokenizer.eos_id());
    tokens.pop_back();
    EXPECT_EQ(tokenizer.decode(tokens), texts[static_cast<std::size_t>(d)]);
  }
}

TEST(Pack, SplitIsAPartition) {
  const std::vector<std::string> texts = sample_texts();
  const Tokenizer tokenizer = train(texts);
  PackOptions options;
  options.input = {write_jsonl("split.jsonl", texts)};
  options.out = test_path("split");
  options.held_out_one_in = 10;
  options.split = "train";
  const PackResult train_part = pack_corpus(options, tokenizer);
  const std::vector<std::string> train_texts = read_split(options);
  options.split = "held-out";
  const PackResult held = pack_corpus(options, tokenizer);
  const std::vector<std::string> held_texts = read_split(options);
  EXPECT_EQ(train_part.meta.documents + held.meta.documents, 400);
  EXPECT_EQ(train_part.documents_skipped, held.meta.documents);
  EXPECT_GT(held.meta.documents, 15);
  EXPECT_LT(held.meta.documents, 80);
  std::set<std::string> all(train_texts.begin(), train_texts.end());
  for (const std::string& text : held_texts) EXPECT_TRUE(all.insert(text).second);
  EXPECT_EQ(all.size(), 400u);
}

TEST(Pack, SameBytesForAnyNumberOfThreads) {
  const std::vector<std::string> texts = sample_texts();
  const Tokenizer tokenizer = train(texts);
  parallel_set_threads(1);
  pack_documents(texts, tokenizer, "one", test_path("one"), true);
  parallel_set_threads(3);
  pack_documents(texts, tokenizer, "three", test_path("three"), true);
  EXPECT_EQ(file_read(test_path("one.bin")), file_read(test_path("three.bin")));
  EXPECT_EQ(file_read(test_path("one.idx")), file_read(test_path("three.idx")));
}

TEST(Pack, ClearErrors) {
  const std::vector<std::string> texts = sample_texts();
  const Tokenizer tokenizer = train(texts);
  PackOptions options;
  options.out = test_path("errors");
  EXPECT_THROW(pack_corpus(options, tokenizer), Error);  // no input
  options.input = {test_path("absent.jsonl")};
  EXPECT_THROW(pack_corpus(options, tokenizer), Error);
  options.input = {write_jsonl("errors.jsonl", texts)};
  options.field = "body";
  EXPECT_THROW(pack_corpus(options, tokenizer), Error);
  options.field = "text";
  options.split = "test";
  EXPECT_THROW(pack_corpus(options, tokenizer), Error);
  options.split = "held-out";
  options.held_out_one_in = 0;
  EXPECT_THROW(pack_corpus(options, tokenizer), Error);  // nothing left
  EXPECT_FALSE(file_exists(test_path("errors.idx")));
}

}  // namespace
}  // namespace moebius::data
