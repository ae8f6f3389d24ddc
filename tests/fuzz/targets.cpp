// The fuzz targets; targets.h says what each one reads.
#include "targets.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/options.h"
#include "base/utf8.h"
#include "data/bpe_trainer.h"
#include "data/pretokenizer.h"
#include "data/reader.h"
#include "data/shard.h"
#include "data/tokenizer.h"
#include "data/unicode.h"
#include "model/config.h"
#include "study/study_file.h"
#include "tensor/safetensors.h"
#include "train/options.h"

namespace moebius::fuzz {

namespace {

// In memory where the system has /dev/shm, else in the working folder. Removed when the process ends without a crash.
struct InputFolder {
  std::filesystem::path path;
  InputFolder() {
    std::error_code ignored;
    const bool memory = std::filesystem::is_directory("/dev/shm", ignored) && ::access("/dev/shm", W_OK) == 0;
    std::string name = std::string(memory ? "/dev/shm/" : "") + "moebius-fuzz-XXXXXX";
    require(::mkdtemp(name.data()) != nullptr, "a folder for inputs can be made");
    path = name;
  }
  ~InputFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

InputFolder& folder() {
  static InputFolder made;
  return made;
}

// Runs a parser; Error is a right answer.
template <typename F>
void expect_error_or_result(F&& parse) {
  try {
    parse();
  } catch (const Error& error) {
    require(error.what()[0] != '\0', "an error says something");
  }
}

u32 take_u32(std::string_view& input) {
  u32 value = 0;
  for (int i = 0; i < 4 && !input.empty(); ++i, input.remove_prefix(1))
    value |= static_cast<u32>(static_cast<u8>(input[0])) << (8 * i);
  return value;
}

u8 take_u8(std::string_view& input) {
  if (input.empty()) return 0;
  const u8 value = static_cast<u8>(input[0]);
  input.remove_prefix(1);
  return value;
}

void read_shard(const std::string& path) {
  const data::TokenShard shard = data::TokenShard::open(path);
  i64 tokens = 0;
  std::vector<i32> ids;
  for (i64 d = 0; d < shard.documents() && d < 1000; ++d) {
    const i64 count = shard.document_tokens(d);
    require(count >= 0 && count <= shard.tokens(), "a document has between 0 and all tokens");
    tokens += count;
    ids.resize(static_cast<std::size_t>(count));
    expect_error_or_result([&] { shard.copy(d, 0, count, ids.data()); });
  }
  require(tokens <= shard.tokens(), "documents are no longer than the shard");
}

}  // namespace

std::string input_file(const std::string& name, std::string_view bytes) {
  const std::string path = folder().path / name;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  require(out.good(), "the input can be written");
  return path;
}

void input_remove(const std::string& name) { std::filesystem::remove(folder().path / name); }

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz target: does not hold: %s\n", what);
  std::abort();
}

void fuzz_safetensors(std::string_view input) {
  const std::string path = input_file("input.safetensors", input);
  expect_error_or_result([&] {
    const SafetensorsReader reader(path);
    std::vector<float> values;
    for (const auto& entry : reader.tensors()) {
      const StoredTensor& tensor = entry.second;
      require(tensor.bytes >= 0 && tensor.bytes <= static_cast<i64>(input.size()), "a tensor lies in its file");
      values.resize(static_cast<std::size_t>(tensor.elements()));
      expect_error_or_result([&] { stored_to_f32(tensor, 0, tensor.elements(), values.data()); });
    }
  });
}

void fuzz_shard(std::string_view input) {
  if (take_u8(input) % 2 == 1) {
    const std::string path = input_file("ids.bin", input);
    expect_error_or_result([&] { read_shard(path); });
    return;
  }
  const std::size_t wanted = take_u32(input);
  const std::size_t idx = std::min(wanted, input.size());
  input_file("shard.idx", input.substr(0, idx));
  const std::string bin = input_file("shard.bin", input.substr(idx));
  expect_error_or_result([&] { read_shard(bin.substr(0, bin.size() - 4)); });
}

void fuzz_tokenizer(std::string_view input) {
  expect_error_or_result([&] {
    const data::Tokenizer tokenizer = data::Tokenizer::parse(input, "input");
    const std::string text = "the other text\n\n 12's <|endoftext|> d\xc3\xa9j\xc3\xa0 vu\t\xe4\xb8\xad\xe6\x96\x87 ";
    for (const auto special : {data::SpecialTokens::parse, data::SpecialTokens::plain}) {
      const std::vector<i32> ids = tokenizer.encode(text, special);
      for (const i32 id : ids) require(id >= 0 && id < tokenizer.vocab_size(), "an id is in the vocabulary");
      tokenizer.decode(ids);
    }
    const data::Tokenizer again = data::Tokenizer::parse(tokenizer.to_json(), "written");
    require(again.encode(text) == tokenizer.encode(text), "a written tokenizer gives the same ids");
  });
}

void fuzz_encode(std::string_view input) {
  static const data::Tokenizer tokenizer = [] {
    data::BpeTrainer trainer({.vocab_size = 300});
    trainer.add({"the theme of the thesis is this: there, then, the 1212 other others' it's"});
    return trainer.finish();
  }();
  static const data::PreTokenizer regex(Json::parse(R"({"type": "Sequence", "pretokenizers": [
    {"type": "Split", "behavior": "Isolated", "invert": false,
     "pattern": {"Regex": "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s+(?!\\S)|\\s+"}},
    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})",
                                                    "test"),
                                        "test");
  require(tokenizer.decode(tokenizer.encode(input, data::SpecialTokens::plain)) == input, "decode(encode(x)) = x");
  std::vector<std::string_view> pieces;
  std::string scratch, joined;
  regex.split(input, pieces, scratch);
  for (const std::string_view piece : pieces) joined += piece;
  require(joined == input, "the pieces of a text are the text");
  std::string normal, again;
  data::append_nfc(input, normal);
  data::append_nfc(normal, again);
  require(normal == again, "NFC of NFC is the same");
}

void fuzz_config(std::string_view input) {
  expect_error_or_result([&] {
    model::ModelConfig config = model::config_from_hugging_face(Json::parse(input, "config.json"), "config.json");
    config.resolve();
    model::count_model(config, 128);
    expect_error_or_result([&] { model::config_to_hugging_face(config); });
  });
}

void fuzz_text(std::string_view input) {
  const u8 form = take_u8(input);
  data::ReaderOptions options;
  options.format = static_cast<data::DocumentFormat>(form % 4);
  if (form & 16) options.separator = "blank-line";
  if (form & 32) options.fields = "text,meta.title";
  const std::string path = input_file((form & 64) ? "input.jsonl" : "input.txt", input);
  expect_error_or_result([&] {
    data::DocumentReader reader(path, options);
    data::Document document;
    i64 bytes = 0;
    while (reader.next(document) && bytes < (i64{1} << 24)) {
      require(find_invalid_utf8(document.text) < 0, "a document is valid UTF-8");
      bytes += static_cast<i64>(document.text.size()) + 1;
    }
  });
}

void fuzz_json(std::string_view input) {
  expect_error_or_result([&] {
    const std::string text = Json::parse(input, "input").dump();
    const std::string again = Json::parse(text, "written").dump();
    require(text == again, "what was written reads back equal");
  });
}

void fuzz_options(std::string_view input) {
  expect_error_or_result([&] {
    const Json root = toml_parse(input, "input");
    model::ModelConfig config;
    train::TrainOptions train;
    for (const auto& [key, table] : root.as_object()) {
      expect_error_or_result([&, &table = table, &key = key] {
        OptionList list;
        if (key == "train")
          train.describe(list);
        else
          config.describe(list);
        list.set_from_json(table, key);
        list.to_json().dump();
      });
    }
    config.resolve();
    model::count_model(config, 128);
  });
}

void fuzz_study(std::string_view input) {
  const std::string path = input_file("input.toml", input);
  expect_error_or_result([&] { study::study_load(path); });
}

}  // namespace moebius::fuzz
