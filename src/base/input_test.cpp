// What is read from files: JSON and TOML faults in plain words, pipes and interrupts, kinds of files by their content.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/test_folder.h"

namespace moebius {
namespace {

using namespace std::string_literals;

template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::string json_error(const std::string& text, const std::string& where = "a.jsonl, line 7") {
  return error_of([&] { Json::parse(text, where); });
}

void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  for (const char* parser_word : {"parse error", "syntax error", "last read", "json.exception"}) {
    EXPECT_EQ(text.find(parser_word), std::string::npos) << text;
  }
}

TEST(Json, FaultsAreNamedInPlainWords) {
  expect_parts(json_error(R"({"text": "x", "score": NaN})"),
               {"a.jsonl, line 7: ", "NaN", "column 24", "'score'", "null"});
  expect_parts(json_error(R"({"a": {"b": [1, -Infinity]}})"), {"-Infinity", "'a.b[1]'"});
  expect_parts(json_error(R"({"a": None})"), {"None", "'a'"});
  expect_parts(json_error(R"({'a': 1})"), {"unexpected '''", "double quotes"});
  expect_parts(json_error("{\"a\": \"x\ny\"}"), {"control character 0x0a"});
  expect_parts(json_error("{\"a\": \"cut of"), {"ends before the value is complete", "'a'"});
  expect_parts(json_error(R"({"a": 1} {"b": 2})"), {"more text after the end", "jsonl"});
  expect_parts(json_error(R"([1, 2,])"), {"unexpected ']'"});
  expect_parts(json_error("{\"a\": 1e999}"), {"too large", "'a'"});
  expect_parts(json_error(" \n"), {"empty"});
  expect_parts(json_error("\xff\xfe{\0"s), {"UTF-16", "iconv"});
  expect_parts(json_error("{\"a\": \"\xe9\"}"), {"UTF-8", "0xe9"});
  // A text of several lines brings its own line number.
  expect_parts(json_error("{\n\"a\": 1,\n\"b\": x}", "config.json"), {"config.json, line 3: ", "column 6"});
}

TEST(Json, DuplicateKeysAreAnError) {
  expect_parts(json_error(R"({"a": 1, "b": {"c": 1, "c": 2}})", "config.json"),
               {"config.json: key 'c' appears twice", "'b'"});
  std::string many = "{";
  for (int i = 0; i < 30; ++i) many += "\"k" + std::to_string(i) + "\": 1, ";
  EXPECT_EQ(json_error(many + "\"k30\": 1}"), "no error");
  expect_parts(json_error(many + "\"k3\": 1}"), {"key 'k3' appears twice"});
}

TEST(Json, InvalidUnicodeIsReplacedBothWays) {
  EXPECT_EQ(Json::parse(R"("a\ud83d")", "t").as_string(), "a\xef\xbf\xbd");
  EXPECT_EQ(Json::parse(R"("\uDE00\ud83d\ud83d\ude00")", "t").as_string(), "\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80");
  EXPECT_EQ(Json::parse(R"("\\ud83d")", "t").as_string(), "\\ud83d");  // a backslash, then letters
  EXPECT_EQ(Json("caf\xe9!").dump(), "\"caf\\ufffd!\"");
  EXPECT_EQ(Json::parse("\xef\xbb\xbf[1]", "t").count(), 1);  // byte order mark
}

TEST(Json, NumbersNeitherWrapNorPrintAsNoJson) {
  EXPECT_EQ(Json(u64{UINT64_MAX}).dump(), "1.8446744073709552e+19");
  EXPECT_EQ(Json(u64{INT64_MAX}).as_int(), INT64_MAX);
  EXPECT_EQ(Json(-std::nan("")).dump(), "null");
  EXPECT_EQ(Json::parse("18446744073709551615", "t").dump(), "1.8446744073709552e+19");
}

TEST(Json, WrongTypesNameTheKey) {
  const Json value = Json::parse(R"({"hidden_size": "64", "list": [1, "x"]})", "t");
  expect_parts(error_of([&] { value.at("hidden_size").as_int(); }), {"'hidden_size'", "a whole number", "\"64\""});
  expect_parts(error_of([&] { value.get_double("hidden_size", 1); }), {"'hidden_size'"});
  EXPECT_EQ(error_of([&] { value.at("list")[1].as_int(); }).find("'list'"), std::string::npos);
}

// Each line with a part of what is said about it; never in the parser's own words.
TEST(Toml, FaultsAreNamedInOurWordsWithAdvice) {
  const std::pair<const char*, const char*> faults[] = {{"a = = 8", "not text in quotes, a number"},
                                                        {"a = abc", "not text in quotes, a number"},
                                                        {"a = True", "lower case"},
                                                        {"a = null", "leave the key out"},
                                                        {"a = include", "not text in quotes, a number"},
                                                        {"a 8", "'=' is missing"},
                                                        {"two words = 1", "'=' is missing"},
                                                        {"a = ", "the value is missing"},
                                                        {"= 8", "no key or table begins here"},
                                                        {"{\"a\": 1}", "no key or table begins here"},
                                                        {"a = 8 9", "more text after the value"},
                                                        {"a = 08", "the number is not valid"},
                                                        {"a = 2M", "\"2M\""},
                                                        {"a = .5", "the number is not valid"},
                                                        {"a = 1e999", "the number is not valid"},
                                                        {"a = 99999999999999999999", "the number is too large"},
                                                        {"a = \"abc", "not closed"},
                                                        {"a = 'abc", "not closed"},
                                                        {"a = \"C:\\data\"", "single quotes"},
                                                        {"a = \"\\ud83d\"", "escape is not valid"},
                                                        {"[model", "is not closed"},
                                                        {"[]", "the table has no name"},
                                                        {"[a..b]", "the key is not valid"},
                                                        {"a = [1 2]", "a comma is missing"},
                                                        {"a = {b = 1,}", "a comma too many"},
                                                        {"a = 2024-13-01", "the date is not valid"},
                                                        {"a = 12:99:00", "the time is not valid"},
                                                        {"a = \xff", "not valid UTF-8"},
                                                        {"a = 1\rb = 2", "CR alone"},
                                                        {"[[x]]\n[x]", "for a table and for something else"}};
  for (const auto& [line, part] : faults) {
    const std::string text = error_of([&] { toml_parse("ok = 1\n" + std::string(line) + "\n", "run.toml"); });
    expect_parts(text, {"run.toml, line ", part, "to do:"});
    for (const char* theirs : {"Error while", "expected", "saw", "ncountered", "prohibited"}) {
      EXPECT_EQ(text.find(theirs), std::string::npos) << text;
    }
  }
}

TEST(Toml, WhatIsRefusedIsNamedWithItsPlace) {
  for (const char* text : {"a = 1\nrate = nan\n", "a = 1\nrate = -inf\n", "a = 1\nday = 2026-01-01\n", "a = 1\na = 2\n",
                           "a = 1\n\u00e9 = 2\n"}) {
    expect_parts(error_of([&] { toml_parse(text, "run.toml"); }), {"run.toml, line 2, column"});
  }
  expect_parts(error_of([&] { toml_parse("a = 1\na = 2\n", "run.toml"); }), {"the key 'a' appears twice"});
}

std::string make_pipe(const std::string& name) {
  const std::string path = test_path(name);
  EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
  return path;
}

TEST(File, ReadsAPipeWhole) {
  const std::string path = make_pipe("pipe");
  EXPECT_TRUE(file_exists(path));
  EXPECT_FALSE(file_exists(test_folder()));
  const pid_t writer = ::fork();
  if (writer == 0) {
    std::ofstream out(path);
    out << "{\"a\":";
    out.flush();
    ::usleep(50'000);
    out << std::string(100'000, ' ') << "1}";
    out.close();
    ::_exit(0);
  }
  EXPECT_EQ(Json::parse_file(path).at("a").as_int(), 1);
  ::waitpid(writer, nullptr, 0);
}

TEST(File, AMapOfAPipeOrFolderIsAnError) {
  const std::string path = make_pipe("pipe");
  EXPECT_THROW(FileMap{path}, Error);  // and does not wait for a writer
  EXPECT_THROW(FileMap{test_folder()}, Error);
  EXPECT_THROW(file_read(test_folder()), Error);
}

TEST(File, AnInterruptEndsTheWaitForAPipe) {
  for (const bool has_writer : {false, true}) {
    const std::string path = make_pipe(has_writer ? "idle" : "no_writer");
    const pid_t child = ::fork();
    if (child == 0) {
      interrupt_install();
      if (has_writer && ::open(path.c_str(), O_RDWR) < 0) ::_exit(5);  // a writer that writes nothing
      const std::string error = error_of([&] { file_read(path); });
      ::_exit(error.rfind("interrupted", 0) == 0 ? 3 : 4);
    }
    ::usleep(150'000);
    ::kill(child, SIGINT);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << path << ": " << status;
  }
}

TEST(FileKind, NamesKnownKindsAndNoText) {
  const auto name = [](std::string head) {
    head.resize(std::max<std::size_t>(head.size(), 64), '\0');
    const FileKind* kind = file_kind(head);
    return kind == nullptr ? std::string() : std::string(kind->name);
  };
  EXPECT_NE(name("version https://git-lfs.github.com/spec/v1\noid sha256:0\n").find("Git LFS"), std::string::npos);
  EXPECT_NE(name("PAR1\x15\x04").find("Parquet"), std::string::npos);
  EXPECT_NE(name("\xfd\x37zXZ\0"s).find("xz"), std::string::npos);
  EXPECT_NE(name("BZh91AY&SY").find("bzip2"), std::string::npos);
  EXPECT_NE(name("PK\x03\x04").find("npz"), std::string::npos);
  EXPECT_NE(name("\x93NUMPY").find("npy"), std::string::npos);
  EXPECT_NE(name("\x12\0\0\0\0\0\0\0{\""s).find("safetensors"), std::string::npos);
  EXPECT_NE(name("GGUF\3").find("GGUF"), std::string::npos);
  EXPECT_NE(name("\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02"s).find("SentencePiece"), std::string::npos);
  EXPECT_NE(name("\xff\xfe{").find("UTF-16"), std::string::npos);
  // Text that begins with the letters of a magic number is text.
  for (const char* text :
       {"PAR1 and more", "GGUF is a format", "ORC armies", "BZh9 is no archive", "Rar", "{\"a\": 1}"}) {
    EXPECT_EQ(file_kind(text), nullptr) << text;
  }
  EXPECT_TRUE(is_plain_text("caf\xc3\xa9\n\xe2\x82"));  // the end may cut a character
  EXPECT_FALSE(is_plain_text("caf\xe9 ol\xe9"));
  EXPECT_FALSE(is_plain_text("a\0b"s));
}

}  // namespace
}  // namespace moebius
