// From parts to an indexed tokenizer: checks that vocabulary, merges and added tokens fit together.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "data/tokenizer_impl.h"
#include "base/utf8.h"

namespace moebius::data {

namespace {

constexpr i64 kIdsMax = i64{1} << 24;
// Ids may have gaps, but a small file must not create a large table: this many ids beyond four times the number of
// tokens.
constexpr i64 kHolesFree = i64{64} << 10;

struct ByteCodes {
  std::array<u32, 256> code_of = {};
  std::array<i32, 512> byte_of = {};

  ByteCodes() {
    byte_of.fill(-1);
    u32 next = 256;
    for (u32 b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      code_of[b] = printable ? b : next++;
      byte_of[code_of[b]] = static_cast<i32>(b);
    }
  }
};

const ByteCodes& byte_codes() {
  static const ByteCodes instance;
  return instance;
}

// Bytes that no valid UTF-8 contains: vocabularies may leave them out (GPT-NeoX's does).
bool never_in_utf8(int byte) { return byte == 0xC0 || byte == 0xC1 || byte >= 0xF5; }

u64 combine(u64 hash, std::string_view bytes) {
  return hash * 0x100000001B3ull ^ hash_bytes(bytes.data(), static_cast<i64>(bytes.size()));
}

}  // namespace

u32 byte_to_code(u8 byte) { return byte_codes().code_of[byte]; }

bool text_to_bytes(std::string_view text, std::string& bytes) {
  bytes.clear();
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    u32 code;
    p += decode_utf8(p, end, code);
    if (code >= 512 || byte_codes().byte_of[code] < 0) return false;
    bytes += static_cast<char>(byte_codes().byte_of[code]);
  }
  return true;
}

std::string bytes_to_text(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) append_utf8(text, byte_to_code(static_cast<u8>(c)));
  return text;
}

Json byte_level_section() {
  return Json::object(
      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}});
}

TokenizerBuilder::TokenizerBuilder(std::string where)
    : where_(std::move(where)), impl_(std::make_shared<Tokenizer::Impl>()), ids_max_(kIdsMax) {}

void TokenizerBuilder::expect_tokens(i64 count) { ids_max_ = std::min(kIdsMax, 4 * count + kHolesFree); }

void TokenizerBuilder::fail(const std::string& what, const std::string& got, const std::string& fix) const {
  throw Error({.where = where_, .what = what, .got = got, .fix = fix});
}

void TokenizerBuilder::grow_to(i64 id) {
  if (id < 0 || id >= ids_max_) {
    throw Error({.where = where_,
                 .what = "a token id is out of range",
                 .wanted = fmt::format("0 to {}", ids_max_ - 1),
                 .got = fmt::format("{}", id)});
  }
  const std::size_t size = static_cast<std::size_t>(id) + 1;
  if (impl_->texts.size() >= size) return;
  impl_->texts.resize(size);
  impl_->bytes.resize(size);
  impl_->known.resize(size, 0);
  impl_->special.resize(size, 0);
}

void TokenizerBuilder::add_token(const std::string& text, i64 id) {
  grow_to(id);
  const std::size_t at = static_cast<std::size_t>(id);
  if (impl_->known[at] != 0) {
    fail(fmt::format("token id {} is listed twice in the vocabulary", id),
         fmt::format("'{}' and '{}'", impl_->texts[at], text));
  }
  if (!id_of_.emplace(text, static_cast<i32>(id)).second) fail("a token is listed twice in the vocabulary", text);
  impl_->known[at] = 1;
  impl_->texts[at] = text;
  if (!text_to_bytes(text, impl_->bytes[at])) impl_->bytes[at] = text;
}

void TokenizerBuilder::add_merge(const std::string& left, const std::string& right) {
  const auto id_of = [&](const std::string& text) {
    const auto found = id_of_.find(text);
    if (found == id_of_.end()) {
      fail(fmt::format("merge {} refers to a token that is not in the vocabulary", impl_->merges.size()), text);
    }
    return found->second;
  };
  impl_->merges.push_back({id_of(left), id_of(right), id_of(left + right)});
}

void TokenizerBuilder::add_merge_line(std::string_view line) {
  if (line.starts_with("#version")) return;
  const auto space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos) {
    fail(fmt::format("merge {} is not two tokens separated by one space", impl_->merges.size()), std::string(line));
  }
  add_merge(std::string(line.substr(0, space)), std::string(line.substr(space + 1)));
}

void TokenizerBuilder::add_added(AddedToken token) {
  if (token.content.empty()) fail("an added token has no text");
  const std::string name = fmt::format("added token '{}'", token.content);
  if (!added_id_of_.emplace(token.content, token.id).second) fail(fmt::format("{} is listed twice", name));
  const std::string fix = "give it the id of its entry in the vocabulary, or a free id if it has none";
  const auto found = id_of_.find(token.content);
  if (found != id_of_.end() && found->second != token.id) {
    fail(fmt::format("{} has two ids", name),
         fmt::format("{} in added_tokens, {} in the vocabulary", token.id, found->second), fix);
  }
  grow_to(token.id);
  const std::size_t at = static_cast<std::size_t>(token.id);
  if (impl_->known[at] != 0 && impl_->texts[at] != token.content && impl_->bytes[at] != token.content) {
    fail(fmt::format("{} has an id that is taken", name),
         fmt::format("id {}, which is '{}' in the vocabulary", token.id, impl_->texts[at]), fix);
  }
  if (taken_by_added_.emplace(token.id, token.content).first->second != token.content) {
    fail(fmt::format("{} has an id that is taken", name),
         fmt::format("id {}, which is also that of '{}'", token.id, taken_by_added_[token.id]), fix);
  }
  impl_->bytes[at] = token.content;
  impl_->special[at] = token.special ? 1 : 0;
  impl_->added.push_back(std::move(token));
}

void TokenizerBuilder::set_ends(const std::string& eos, const std::string& bos, const std::string& where) {
  const auto id_of = [&](const std::string& name, const char* key) {
    if (name.empty()) return -1;
    for (const auto* ids : {&added_id_of_, &id_of_}) {
      if (const auto found = ids->find(name); found != ids->end()) return found->second;
    }
    throw Error({.where = where,
                 .what = fmt::format("{} is not a token of the tokenizer.json beside it", key),
                 .got = name,
                 .fix = fmt::format("name one of its added_tokens, or remove \"{}\"", key)});
  };
  impl_->eos = id_of(eos, "eos_token");
  impl_->bos = id_of(bos, "bos_token");
}

void TokenizerBuilder::set_normalizer(const Json& section) {
  impl_->normalizer = section;
  const std::string type = section.is_null() ? "" : section.get_string("type", "?");
  if (type == "NFC") {
    impl_->nfc = true;
  } else if (type == "Sequence") {
    for (const Json& inner : section.at("normalizers").as_array()) set_normalizer(inner);
    impl_->normalizer = section;
  } else if (!type.empty()) {
    throw Error({.where = where_,
                 .what = fmt::format("normalizer: the kind '{}' is not supported", type),
                 .wanted = "none or NFC",
                 .fix = "use a byte-level BPE tokenizer such as those of GPT-2, GPT-NeoX, Llama 3 and Qwen"});
  }
}

void TokenizerBuilder::set_pre_tokenizer(const Json& section) {
  impl_->pre_tokenizer = section;
  impl_->words = PreTokenizer(section, where_);
}

void TokenizerBuilder::choose_ends() {
  const auto first_of = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      for (const AddedToken& token : impl_->added) {
        if (token.content == name) return token.id;
      }
    }
    return -1;
  };
  Tokenizer::Impl& t = *impl_;
  if (t.eos < 0) t.eos = first_of({"<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[EOS]"});
  if (t.bos < 0) t.bos = first_of({"<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>", "[BOS]"});
  if (t.bos < 0) t.bos = t.eos;
}

u64 TokenizerBuilder::fingerprint() const {
  const Tokenizer::Impl& t = *impl_;
  u64 hash = 0x6D6F6562697573ull;
  for (std::size_t i = 0; i < t.texts.size(); ++i) hash = combine(hash, t.known[i] != 0 ? t.texts[i] : t.bytes[i]);
  for (const auto& merge : t.merges) {
    const i32 numbers[3] = {merge.left, merge.right, merge.product};
    hash = combine(hash, {reinterpret_cast<const char*>(numbers), sizeof(numbers)});
  }
  for (const AddedToken& a : t.added) {
    hash = combine(hash, fmt::format("{} {} {} {} {} {} {}", a.id, a.content, a.special, a.normalized, a.single_word,
                                     a.lstrip, a.rstrip));
  }
  hash = combine(hash, fmt::format("{} {}", t.nfc, t.ignore_merges));
  return combine(hash, t.pre_tokenizer.dump());
}

Tokenizer TokenizerBuilder::build() {
  Tokenizer::Impl& t = *impl_;
  std::string bytes;
  for (std::size_t i = 0; i < t.texts.size(); ++i) {
    if (t.known[i] == 0 || !text_to_bytes(t.texts[i], bytes)) continue;
    // An added token may decode to other bytes than its entry in the vocabulary; then only the matcher finds it.
    if (bytes == t.bytes[i]) t.by_bytes.emplace(t.bytes[i], static_cast<i32>(i));
  }
  std::vector<i32> byte_ids(256, -1);
  for (int b = 0; b < 256; ++b) {
    std::string text;
    append_utf8(text, byte_to_code(static_cast<u8>(b)));
    const auto found = id_of_.find(text);
    if (found == id_of_.end()) {
      if (never_in_utf8(b)) continue;
      fail(fmt::format("byte 0x{:02x} has no token in the vocabulary", b), "",
           "use a byte-level BPE tokenizer with the whole byte alphabet");
    }
    byte_ids[static_cast<std::size_t>(b)] = found->second;
  }
  t.bpe.set(byte_ids, t.merges);
  if (t.ignore_merges) t.bpe.set_whole_words(&t.by_bytes);
  t.raw_matcher.set(t.added, false, t.nfc);
  t.normalized_matcher.set(t.added, true, t.nfc);
  choose_ends();
  t.fingerprint = fingerprint();
  return Tokenizer(impl_);
}

Tokenizer Tokenizer::from_parts(std::vector<std::string> tokens, std::vector<std::pair<i32, i32>> merges,
                                std::vector<AddedToken> added) {
  TokenizerBuilder builder("tokenizer");
  for (std::size_t i = 0; i < tokens.size(); ++i) builder.add_token(bytes_to_text(tokens[i]), static_cast<i64>(i));
  const auto text_of = [&](i32 id) {
    if (id < 0 || static_cast<std::size_t>(id) >= tokens.size()) {
      throw Error({.where = "tokenizer", .what = "a merge refers to a token id that does not exist"});
    }
    return bytes_to_text(tokens[static_cast<std::size_t>(id)]);
  };
  for (const auto& [left, right] : merges) builder.add_merge(text_of(left), text_of(right));
  for (AddedToken& token : added) builder.add_added(std::move(token));
  builder.set_pre_tokenizer(byte_level_section());
  builder.impl().decoder = byte_level_section();
  return builder.build();
}

}  // namespace moebius::data
