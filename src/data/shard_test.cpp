// Token shards: round trips, foreign layouts, and files that lie.
#include "data/shard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"

namespace moebius::data {
namespace {

std::vector<i32> document(const TokenShard& shard, i64 d) {
  std::vector<i32> tokens(static_cast<std::size_t>(shard.document_tokens(d)));
  shard.copy(d, 0, static_cast<i64>(tokens.size()), tokens.data());
  return tokens;
}

// Not synced: there are many.
void put_file(const std::string& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

std::string write(const std::string& name, i64 vocab, const std::vector<std::vector<i32>>& documents) {
  const std::string prefix = test_path(name);
  ShardWriter writer(prefix, vocab);
  for (const auto& d : documents) writer.add(d.data(), static_cast<i64>(d.size()));
  ShardMeta meta;
  meta.name = name;
  meta.end_of_text = 0;
  writer.commit(meta);
  return prefix;
}

TEST(Shard, RoundTripNarrowAndWide) {
  for (const i64 vocab : {i64{65499}, i64{65500}}) {
    const std::vector<std::vector<i32>> documents = {{5, 6, 0}, {static_cast<i32>(vocab) - 1, 0}, {0}};
    const std::string prefix = write("round", vocab, documents);
    EXPECT_EQ(std::ssize(file_read(prefix + ".bin")), 6 * (vocab < 65500 ? 2 : 4));
    const TokenShard shard = TokenShard::open(prefix);
    ASSERT_EQ(shard.documents(), 3);
    EXPECT_EQ(shard.tokens(), 6);
    EXPECT_EQ(shard.meta().vocab, vocab);
    EXPECT_EQ(shard.meta().name, "round");
    for (i64 d = 0; d < 3; ++d) EXPECT_EQ(document(shard, d), documents[static_cast<std::size_t>(d)]);
    EXPECT_EQ(TokenShard::open(prefix + ".bin").documents(), 3);
    EXPECT_EQ(TokenShard::open(prefix + ".idx").documents(), 3);
  }
}

// Byte for byte the layout of Megatron-LM's indexed dataset.
TEST(Shard, IndexBytes) {
  const std::string prefix = write("bytes", 100, {{7, 8}, {9}});
  std::string wanted = std::string("MMIDIDX\0\0", 9);
  const auto put = [&](auto v) { wanted.append(reinterpret_cast<const char*>(&v), sizeof(v)); };
  put(u64{1});
  put(u8{8});
  put(u64{2});
  put(u64{3});
  for (const i32 v : {2, 1}) put(v);
  for (const i64 v : {i64{0}, i64{4}, i64{0}, i64{1}, i64{2}}) put(v);
  EXPECT_EQ(file_read(prefix + ".idx"), wanted);
  EXPECT_EQ(file_read(prefix + ".bin"), std::string("\7\0\10\0\11\0", 6));
}

TEST(Shard, SeveralSequencesMakeOneDocument) {
  const std::string prefix = write("joined", 100, {{7, 8}, {9}, {4, 0}});
  std::string index = file_read(prefix + ".idx");
  // Borders 0 2 3 in place of 0 1 2 3.
  const u64 borders = 3;
  std::memcpy(index.data() + 26, &borders, 8);
  index.resize(34 + 12 * 3);
  for (const i64 v : {i64{0}, i64{2}, i64{3}}) index.append(reinterpret_cast<const char*>(&v), 8);
  file_write_atomic(prefix + ".idx", index);
  const TokenShard shard = TokenShard::open(prefix);
  ASSERT_EQ(shard.documents(), 2);
  EXPECT_EQ(document(shard, 0), (std::vector<i32>{7, 8, 9}));
  EXPECT_EQ(document(shard, 1), (std::vector<i32>{4, 0}));
}

// Every shortened file and every flipped byte of the index is an Error or a shard that is still within its file.
TEST(Shard, NothingInAFileIsTrusted) {
  const std::string prefix = write("broken", 100, {{7, 8, 0}, {9, 0}});
  const std::string index = file_read(prefix + ".idx");
  const std::string bin = file_read(prefix + ".bin");
  for (std::size_t cut = 0; cut < index.size(); ++cut) {
    put_file(prefix + ".idx", index.substr(0, cut));
    EXPECT_THROW(TokenShard::open(prefix), Error) << cut;
  }
  for (std::size_t i = 0; i < index.size(); ++i) {
    for (const char mask : {'\x01', '\x80', '\xff'}) {
      std::string changed = index;
      changed[i] = static_cast<char>(changed[i] ^ mask);
      put_file(prefix + ".idx", changed);
      try {
        const TokenShard shard = TokenShard::open(prefix);
        for (i64 d = 0; d < shard.documents(); ++d) document(shard, d);
      } catch (const Error&) {}
    }
  }
  put_file(prefix + ".idx", index);
  put_file(prefix + ".bin", bin.substr(0, bin.size() - 2));
  EXPECT_THROW(TokenShard::open(prefix), Error);
  put_file(prefix + ".bin", bin + "ab");
  EXPECT_THROW(TokenShard::open(prefix), Error);
  std::string large = bin;
  large[1] = '\x7f';
  put_file(prefix + ".bin", large);
  const TokenShard shard = TokenShard::open(prefix);
  EXPECT_THROW(document(shard, 0), Error);
  file_remove(prefix + ".idx");
  EXPECT_THROW(TokenShard::open(prefix + ".bin"), Error);  // not taken for nanoGPT's layout
}

TEST(Shard, WriterRefusesIdsOutOfTheVocabularyAndNothing) {
  const std::string prefix = test_path("refuse");
  ShardWriter writer(prefix, 10);
  const i32 bad = 10;
  EXPECT_THROW(writer.add(&bad, 1), Error);
  EXPECT_THROW(writer.commit({}), Error);
  EXPECT_FALSE(file_exists(prefix + ".bin"));
}

TEST(Shard, ReadsLlmC) {
  for (const bool wide : {false, true}) {
    const std::string path = test_path("llmc.bin");
    std::string content(1024, '\0');
    const i32 header[3] = {wide ? 20240801 : 20240520, wide ? 7 : 1, 6};
    std::memcpy(content.data(), header, sizeof(header));
    for (const u32 token : {50u, 1u, 2u, 50u, 3u, 4u}) {
      content.append(reinterpret_cast<const char*>(&token), wide ? 4 : 2);
    }
    file_write_atomic(path, content);
    const TokenShard shard = TokenShard::open(path, {.end_of_text = 50});
    ASSERT_EQ(shard.documents(), 3);  // end-of-text comes before a document there
    EXPECT_EQ(document(shard, 1), (std::vector<i32>{1, 2, 50}));
    EXPECT_EQ(document(shard, 2), (std::vector<i32>{3, 4}));
    // Sizes, counts, versions and headers that do not fit each other.
    std::string none = content, version = content;
    none[8] = '\0';
    version[4] = '\2';
    for (const std::string& bad : {content.substr(0, content.size() - 1), content + "xx",
                                   content + content.substr(1024), content.substr(0, 12), none, version}) {
      file_write_atomic(path, bad);
      EXPECT_THROW(TokenShard::open(path, {.end_of_text = 50}), Error) << bad.size();
    }
  }
}

TEST(Shard, HeaderlessContentMustBePlausible) {
  const std::string path = test_path("guess.bin");
  const auto fault = [&](const std::string& content, const std::string& part) {
    put_file(path, content);
    try {
      TokenShard::open(path);
      ADD_FAILURE() << "read: wanted " << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  const auto numbers = [](i64 bytes) {
    std::string out;
    for (u64 i = 0; i < 64; ++i) {
      const u64 id = 7 + i * 31;
      out.append(reinterpret_cast<const char*>(&id), static_cast<std::size_t>(bytes));
    }
    return out;
  };
  fault("", "empty");
  fault(numbers(8), "64-bit");
  fault(numbers(4), "32-bit");
  std::string wide;
  for (const char c : std::string("plain text without a mark\n")) wide += c + std::string("\0", 1);
  fault(wide, "UTF-16");
  fault(std::string("\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02\0", 17), "SentencePiece");
  put_file(path, wide);
  EXPECT_EQ(TokenShard::open(path, {.format = ShardFormat::u16}).tokens(), 26);
  put_file(path, numbers(2));
  EXPECT_EQ(TokenShard::open(path).tokens(), 64);
}

// Random bytes pass for 16-bit ids until the vocabulary is known; then the first id that is none is named at once.
TEST(Shard, IdsOutsideOfAVocabularyThatIsKnownLaterAreNamed) {
  const std::string path = test_path("ids.bin");
  const std::vector<u16> ids = {7, 50256, 3, 50257, 65535};
  put_file(path, {reinterpret_cast<const char*>(ids.data()), ids.size() * 2});
  TokenShard shard = TokenShard::open(path, {.end_of_text = 50256});
  try {
    shard.require_vocab(50257);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.parts().where, path);
    EXPECT_NE(std::string(e.what()).find("byte 6 "), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("50257"), std::string::npos) << e.what();
  }
  TokenShard fits = TokenShard::open(path, {.end_of_text = 50256});
  fits.require_vocab(65536);
  EXPECT_EQ(fits.meta().vocab, 65536);
  TokenShard states = TokenShard::open(write("states", 100, {{5, 0}}));
  states.require_vocab(200);
  EXPECT_EQ(states.meta().vocab, 100);
}

TEST(Shard, ReadsNanoGpt) {
  const std::string path = test_path("nano.bin");
  file_write_atomic(path, std::string("\1\0\2\0\11\0\3\0\11\0", 10));
  const TokenShard shard = TokenShard::open(path, {.end_of_text = 9});
  ASSERT_EQ(shard.documents(), 2);
  EXPECT_EQ(document(shard, 0), (std::vector<i32>{1, 2, 9}));
  EXPECT_EQ(document(shard, 1), (std::vector<i32>{3, 9}));
  file_write_atomic(path, "abc");
  EXPECT_THROW(TokenShard::open(path, {.end_of_text = 9}), Error);
  EXPECT_THROW(TokenShard::open(test_path("absent"), {.end_of_text = 9}), Error);
}

}  // namespace
}  // namespace moebius::data
