// tokenizer.json in both directions, and GPT-2's two files.
#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "data/byte_stream.h"
#include "data/tokenizer_impl.h"
#include "base/utf8.h"

namespace moebius::data {

namespace {

constexpr i64 kFileBytesMax = i64{256} << 20;

AddedToken read_added(const Json& item) {
  AddedToken token;
  const i64 id = item.at("id").as_int();
  if (id < 0 || id > INT32_MAX) {
    throw Error({.what = "a token id is out of range",
                 .wanted = fmt::format("0 to {}", INT32_MAX),
                 .got = fmt::format("{}", id)});
  }
  token.id = static_cast<i32>(id);
  token.content = item.at("content").as_string();
  token.special = item.get_bool("special", false);
  token.normalized = item.get_bool("normalized", !token.special);
  token.single_word = item.get_bool("single_word", false);
  token.lstrip = item.get_bool("lstrip", false);
  token.rstrip = item.get_bool("rstrip", false);
  return token;
}

Json write_added(const AddedToken& token) {
  return Json::object({{"id", static_cast<i64>(token.id)},
                       {"content", token.content},
                       {"single_word", token.single_word},
                       {"lstrip", token.lstrip},
                       {"rstrip", token.rstrip},
                       {"normalized", token.normalized},
                       {"special", token.special}});
}

const Json& section_of(const Json& root, std::string_view key) {
  static const Json none;
  const Json* section = root.find(key);
  return section == nullptr ? none : *section;
}

[[noreturn]] void unsupported(const std::string& where, const std::string& what, const std::string& got) {
  throw Error({.where = where,
               .what = what,
               .wanted = "a byte-level BPE tokenizer such as those of GPT-2, GPT-NeoX, Llama 3 and Qwen",
               .got = got});
}

void read_model(const Json& model, const std::string& where, TokenizerBuilder& builder) {
  const std::string type = model.get_string("type", "BPE");
  if (type != "BPE") unsupported(where, fmt::format("the model type '{}' is not supported", type), "");
  if (model.get_bool("byte_fallback", false)) {
    unsupported(where, "\"byte_fallback\": true is not supported: this BPE model works on characters, not on bytes",
                "");
  }
  if (model.get_double("dropout", 0.0) != 0.0) {
    unsupported(where, "BPE dropout is not supported", section_of(model, "dropout").dump());
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (model.get_string(key, "").empty()) continue;
    unsupported(where, fmt::format("{} is not supported", key), model.at(key).dump());
  }
  builder.impl().ignore_merges = model.get_bool("ignore_merges", false);
  error_within(where + ", vocab", [&] {
    for (const auto& [text, id] : model.at("vocab").as_object()) builder.add_token(text, id.as_int());
  });
  for (const Json& merge : model.at("merges").as_array()) {
    if (merge.is_string()) {
      builder.add_merge_line(merge.as_string());
    } else if (merge.count() == 2 && merge.is_array()) {
      builder.add_merge(merge[0].as_string(), merge[1].as_string());
    } else {
      unsupported(where, "a merge is neither \"left right\" nor [left, right]", merge.dump());
    }
  }
}

// A token name of tokenizer_config.json: a string, or an object with its content.
std::string name_in(const Json& config, const char* key, const std::string& where) {
  const Json* value = config.find(key);
  if (value == nullptr || value->is_null()) return "";
  const Json* name = value->is_object() ? value->find("content") : value;
  if (name != nullptr && name->is_string()) return name->as_string();
  throw Error({.where = where,
               .what = fmt::format("'{}' has the wrong type", key),
               .wanted = "a string, or an object with the string 'content'",
               .got = value->dump().substr(0, 100)});
}

// `config`: the text of the tokenizer_config.json at `config_path`, or empty.
Tokenizer from_json(std::string_view text, const std::string& where, std::string_view config,
                    const std::string& config_path) {
  return error_within(where, [&] {
    if (const i64 at = find_invalid_utf8(text); at >= 0) {
      throw Error({.where = where, .what = fmt::format("not valid UTF-8 at byte {}", at)});
    }
    const Json root = Json::parse(text, where);
    if (!root.is_object() || !root.contains("model")) {
      unsupported(where, "this is not a tokenizer.json: there is no \"model\"", "");
    }
    TokenizerBuilder builder(where);
    const Json& added = section_of(root, "added_tokens");
    builder.expect_tokens(root.at("model").at("vocab").count() + (added.is_array() ? added.count() : 0));
    read_model(root.at("model"), where, builder);
    if (!added.is_null()) {
      i64 index = 0;
      error_within(where + ", added_tokens", [&] { added.as_array(); });
      for (const Json& item : added.as_array()) {
        builder.add_added(
            error_within(fmt::format("{}, added_tokens[{}]", where, index++), [&] { return read_added(item); }));
      }
    }
    error_within(where + ", normalizer", [&] { builder.set_normalizer(section_of(root, "normalizer")); });
    error_within(where + ", pre_tokenizer", [&] { builder.set_pre_tokenizer(section_of(root, "pre_tokenizer")); });
    builder.impl().post_processor = section_of(root, "post_processor");
    builder.impl().decoder = section_of(root, "decoder");
    if (!config_path.empty()) {
      const Json json = Json::parse(config, config_path);
      if (!json.is_object()) throw Error({.where = config_path, .what = "not a JSON object", .wanted = "{...}"});
      builder.set_ends(name_in(json, "eos_token", config_path), name_in(json, "bos_token", config_path), config_path);
    }
    return builder.build();
  });
}

}  // namespace

Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) { return from_json(json, where, "", ""); }

TokenizerFiles TokenizerFiles::read(const std::string& path) {
  TokenizerFiles files;
  files.path = folder_exists(path) ? path_join(checkpoint_of(path, "tokenizer.json"), "tokenizer.json") : path;
  files.tokenizer = read_unpacked(files.path, kFileBytesMax);
  constexpr std::string_view kName = "tokenizer.json";
  if (!files.path.ends_with(kName)) return files;
  files.config_path = files.path.substr(0, files.path.size() - kName.size()) + "tokenizer_config.json";
  if (file_exists(files.config_path)) {
    files.config = file_read(files.config_path);
  } else {
    files.config_path.clear();
  }
  return files;
}

void TokenizerFiles::write(const std::string& folder) const {
  if (!tokenizer.empty()) file_write_atomic(path_join(folder, "tokenizer.json"), tokenizer);
  if (!config_path.empty()) file_write_atomic(path_join(folder, "tokenizer_config.json"), config);
}

Tokenizer Tokenizer::load(const std::string& path) {
  const TokenizerFiles files = TokenizerFiles::read(path);
  return from_json(files.tokenizer, files.path, files.config, files.config_path);
}

Tokenizer Tokenizer::load_gpt2(const std::string& encoder_path, const std::string& merges_path) {
  TokenizerBuilder builder(encoder_path);
  const Json encoder = Json::parse(read_unpacked(encoder_path, kFileBytesMax), encoder_path);
  if (!encoder.is_object()) unsupported(encoder_path, "this is not a JSON object of tokens and ids", "");
  for (const auto& [text, id] : encoder.as_object()) {
    if (!id.is_int()) unsupported(encoder_path, "a token's id is not a whole number", id.dump());
    builder.add_token(text, id.as_int());
    if (text == "<|endoftext|>") builder.add_added({.id = static_cast<i32>(id.as_int()), .content = text});
  }
  const std::string merges = read_unpacked(merges_path, kFileBytesMax);
  i64 line_number = 0;
  for (std::size_t at = 0; at < merges.size();) {
    const std::size_t stop = std::min(merges.find('\n', at), merges.size());
    std::string_view line = std::string_view(merges).substr(at, stop - at);
    at = stop + 1;
    ++line_number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    try {
      builder.add_merge_line(line);
    } catch (const Error& error) {
      ErrorParts parts = error.parts();
      parts.where = fmt::format("{}, line {}", merges_path, line_number);
      throw Error(std::move(parts));
    }
  }
  builder.set_pre_tokenizer(byte_level_section());
  builder.impl().decoder = byte_level_section();
  return builder.build();
}

std::string Tokenizer::to_json() const {
  const Impl& t = *impl_;
  // Members are appended, not set: `set` looks for the key each time.
  Json vocab = Json::object();
  for (std::size_t i = 0; i < t.texts.size(); ++i) {
    if (t.known[i] != 0) vocab.as_object().emplace_back(t.texts[i], Json(static_cast<i64>(i)));
  }
  const auto text_of = [&](i32 id) -> const std::string& { return t.texts[static_cast<std::size_t>(id)]; };
  bool spaces = false;
  for (const auto& merge : t.merges) {
    spaces = spaces || (text_of(merge.left) + text_of(merge.right)).find(' ') != std::string::npos;
  }
  Json merges = Json::array();
  merges.as_array().reserve(t.merges.size());
  for (const auto& merge : t.merges) {
    if (spaces) {
      Json pair = Json::array();
      pair.push_back(text_of(merge.left));
      pair.push_back(text_of(merge.right));
      merges.push_back(std::move(pair));
    } else {
      merges.push_back(text_of(merge.left) + " " + text_of(merge.right));
    }
  }
  Json added = Json::array();
  for (const AddedToken& token : t.added) added.push_back(write_added(token));
  Json model = Json::object({{"type", "BPE"},
                             {"dropout", Json()},
                             {"unk_token", Json()},
                             {"continuing_subword_prefix", Json()},
                             {"end_of_word_suffix", Json()},
                             {"fuse_unk", false},
                             {"byte_fallback", false},
                             {"ignore_merges", t.ignore_merges}});
  model.as_object().emplace_back("vocab", std::move(vocab));
  model.as_object().emplace_back("merges", std::move(merges));
  Json root = Json::object({{"version", "1.0"}, {"truncation", Json()}, {"padding", Json()}});
  root.as_object().emplace_back("added_tokens", std::move(added));
  root.as_object().emplace_back("normalizer", t.normalizer);
  root.as_object().emplace_back("pre_tokenizer", t.pre_tokenizer);
  root.as_object().emplace_back("post_processor", t.post_processor);
  root.as_object().emplace_back("decoder", t.decoder);
  root.as_object().emplace_back("model", std::move(model));
  return root.dump(1);
}

void Tokenizer::save(const std::string& path) const { file_write_atomic(path, to_json()); }

}  // namespace moebius::data
