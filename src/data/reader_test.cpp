// Readers on good, odd and broken files.
#include "data/reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>

#include "base/error.h"
#include "base/test_folder.h"
#include "data/byte_stream.h"

namespace moebius::data {
namespace {

std::string place(const std::string& name, const std::string& content) {
  const std::string path = test_path(name);
  // Not written atomically: that waits for the disk.
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string gzip(const std::string& content) {
  std::string packed(compressBound(content.size()) + 64, '\0');
  z_stream s = {};
  deflateInit2(&s, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  s.avail_in = static_cast<uInt>(content.size());
  s.next_out = reinterpret_cast<Bytef*>(packed.data());
  s.avail_out = static_cast<uInt>(packed.size());
  deflate(&s, Z_FINISH);
  packed.resize(s.total_out);
  deflateEnd(&s);
  return packed;
}

std::string zstd(const std::string& content) {
  std::string packed(ZSTD_compressBound(content.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), content.data(), content.size(), 3));
  return packed;
}

std::vector<Document> read_documents(const std::string& path, const ReaderOptions& options = {}) {
  std::vector<Document> documents;
  DocumentReader reader(path, options);
  Document document;
  while (reader.next(document)) documents.push_back(document);
  return documents;
}

std::vector<std::string> texts(const std::string& path, const ReaderOptions& options = {}) {
  std::vector<std::string> out;
  for (const Document& d : read_documents(path, options)) out.push_back(d.text);
  return out;
}

std::string read_error(const std::string& path, const ReaderOptions& options = {}) {
  try {
    read_documents(path, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void expect_error(const std::string& path, const std::vector<std::string>& parts, const ReaderOptions& options = {}) {
  const std::string text = read_error(path, options);
  EXPECT_EQ(text.rfind(path, 0), 0u) << text;
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "wanted '" << part << "' in: " << text;
  }
}

using Texts = std::vector<std::string>;

TEST(Reader, PlainText) {
  EXPECT_EQ(texts(place("a.txt", "one\ntwo\n")), Texts{"one\ntwo\n"});
  EXPECT_EQ(texts(place("b.txt", "no line feed")), Texts{"no line feed"});
  EXPECT_EQ(texts(place("c.txt", "\xEF\xBB\xBFmark")), Texts{"mark"});
  const auto path = place("d.txt", "one\nstill one\n\n \r\n\ntwo\n\n");
  EXPECT_EQ(texts(path, {.separator = "blank-line"}), (Texts{"one\nstill one", "two"}));
  EXPECT_EQ(read_documents(path, {.separator = "blank-line"})[1].line, 6);
  EXPECT_EQ(texts(place("e.txt", "a\n<|endoftext|>\nb\nc\n<|endoftext|>"), {.separator = "<|endoftext|>"}),
            (Texts{"a", "b\nc"}));
}

TEST(Reader, JsonLinesAndFields) {
  const auto path =
      place("a.jsonl", "{\"text\": \"one\", \"n\": 1}\n\n{\"meta\": {\"q\": \"why\"}, \"text\": \"tw\\u00f6\"}\n");
  EXPECT_EQ(texts(path), (Texts{"one", "tw\xc3\xb6"}));
  const auto documents = read_documents(path);
  EXPECT_EQ(documents[1].line, 3);
  EXPECT_EQ(documents[1].index, 1);
  EXPECT_EQ(documents[1].where(), path + ", line 3");
  const auto qa = place("qa.jsonl", "{\"answer\": \"42\", \"question\": \"6*7?\", \"m\": {\"t\": \"x\"}}");
  EXPECT_EQ(texts(qa, {.fields = "question,answer", .field_joiner = " "}), Texts{"6*7? 42"});
  EXPECT_EQ(texts(qa, {.fields = "m.t"}), Texts{"x"});
  const auto array =
      place("a.json", "[{\"Body\": \"b\", \"Question\": \"q\"},\n {\"Body\": \"c\", \"Question\": \"r\"}]");
  EXPECT_EQ(texts(array, {.fields = "Body,Question"}), (Texts{"b\nq", "c\nr"}));
}

TEST(Reader, Archives) {
  std::string lines;
  for (int i = 0; i < 40000; ++i) lines += "{\"text\": \"document number " + std::to_string(i * 7919) + "\"}\n";
  const Texts plain = texts(place("long.jsonl", lines));
  ASSERT_EQ(plain.size(), 40000u);
  EXPECT_EQ(texts(place("long.jsonl.gz", gzip(lines))), plain);
  EXPECT_EQ(texts(place("long.jsonl.zst", zstd(lines))), plain);
  // Two archives one after another are one stream.
  EXPECT_EQ(read_unpacked(place("two.gz", gzip("one ") + gzip("two"))), "one two");
  EXPECT_EQ(read_unpacked(place("two.zst", zstd("one ") + zstd("two"))), "one two");
  // Told by content, not by name.
  EXPECT_EQ(read_unpacked(place("unnamed", gzip("inside"))), "inside");
  EXPECT_THROW(read_unpacked(place("bomb.gz", gzip(std::string(5000000, 'x'))), 1000000), Error);
}

TEST(Reader, BrokenArchives) {
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "{\"text\": \"" + std::to_string(i * 104729) + "\"}\n";
  for (const bool gz : {true, false}) {
    const std::string ending = gz ? ".jsonl.gz" : ".jsonl.zst";
    const std::string packed = gz ? gzip(lines) : zstd(lines);
    for (const std::size_t keep : {std::size_t{5}, packed.size() / 2, packed.size() - 1}) {
      const auto path = place("cut" + ending, packed.substr(0, keep));
      expect_error(path, {"truncated", "archive"});
    }
    std::string damaged = packed;
    for (std::size_t i = 0; i < 20; ++i) damaged[damaged.size() / 2 + i] ^= '\xff';
    EXPECT_NE(read_error(place("bad" + ending, damaged)), "no error");
    expect_error(place("not" + ending, "{\"text\": \"plain\"}"), {"does not start as one"});
    expect_error(place("junk" + ending, packed + "trailing bytes"), {"archive"});
  }
}

TEST(Reader, BrokenContent) {
  expect_error(place("utf.jsonl", "{\"text\": \"ok\"}\n{\"text\": \"caf\xe9\"}\n"), {"line 2", "0xe9", "byte 14"});
  expect_error(place("utf.txt", "fine\nfine\n\xff\n"), {"line 3", "0xff", "byte 1 "});
  expect_error(place("utf.json", "[{\"text\": \"\xc3\"}]"), {"UTF-8", "byte 12"});
  expect_error(place("half.jsonl", "{\"text\": \"ok\"}\n{\"text\": \"cut of"), {"line 2", "not valid JSON"});
  expect_error(place("miss.jsonl", "{\"text\": \"ok\"}\n{\"txt\": \"x\", \"id\": 1}\n"),
               {"line 2", "'text' is missing", "txt, id"});
  expect_error(place("type.jsonl", "{\"text\": 5}\n"), {"line 1", "wrong type", "a number"});
  expect_error(place("list.jsonl", "[1]\n"), {"line 1", "not a JSON object", "an array"});
  EXPECT_EQ(texts(place("object.json", "{\"text\": \"x\"}")), Texts{"x"});  // one JSON line
  expect_error(place("many_lines.json", "{\n\"text\": \"x\"\n}"),
               {"line 1", "ends before the value is complete", "jq -c"});
  expect_error(place("element.json", "[{\"text\": \"x\"}, {\"text\": null}]"), {"element 2", "null"});
  expect_error(place("empty.txt", ""), {"empty"});
  expect_error(place("empty.jsonl", ""), {"empty"});
  expect_error(place("empty.json", ""), {"empty"});
  expect_error(place("empty.jsonl.gz", gzip("")), {"empty"});
  expect_error(place("blank.jsonl", "\n\n"), {"no documents"});
  expect_error(place("blank.txt", "\n\n"), {"no documents"}, {.separator = "blank-line"});
  expect_error(test_path("none.txt"), {"No such file"});
  expect_error(place("none.json", " [ ] \n"), {"no documents"});
  // Zero bytes: advice that fits what they are.
  const auto wide = [](const std::string& text, bool big) {
    std::string out;
    for (const char c : text) out += big ? std::string("\0", 1) + c : c + std::string("\0", 1);
    return out;
  };
  expect_error(place("le.txt", wide("some text in UTF-16", false)), {"byte 2 is zero", "-f utf-16le"});
  expect_error(place("be.txt", wide("some text in UTF-16", true)), {"byte 1 is zero", "-f utf-16be"});
  expect_error(place("pad.jsonl", "{\"text\": \"x\"}\n" + std::string(3, '\0')), {"tr -d"});
  // Prose that begins as JSON does.
  expect_error(place("prose.txt", "{\"x\": 1} is an object.\n"), {"line 1", "--format text"});
  EXPECT_EQ(texts(place("prose.txt", "{\"x\": 1} is an object.\n"), {.format = DocumentFormat::text}).size(), 1u);
  expect_error(place("comma.jsonl", "{\"text\": \"x\"}\n{\"text\": \"x\"},\n"),
               {"line 2", "remove the text that follows"});
  EXPECT_EQ(read_error(place("comma.jsonl", "{\"text\": \"x\"}\n{\"text\": \"x\"},\n")).find("--format"),
            std::string::npos);
  EXPECT_THROW(texts(place("f.jsonl", "{\"text\": \"x\"}"), {.fields = "text,,x"}), Error);
}

TEST(Reader, RowsThatAreNotJson) {
  try {
    read_rows(place("table.jsonl", "q,a\nx,0\n"));
    ADD_FAILURE() << "a table was read as rows";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("the rows are not JSON"), std::string::npos) << text;
    EXPECT_NE(text.find("begins with 'q,a'"), std::string::npos) << text;
  }
}

TEST(Reader, APipeIsGivenOnce) {
  const std::string pipe = test_path("pipe"), file = place("file.txt", "x");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(refuse_repeated_pipes({pipe, file, pipe}), Error);
  EXPECT_NO_THROW(refuse_repeated_pipes({pipe, file, file, test_path("absent")}));
}

}  // namespace
}  // namespace moebius::data
