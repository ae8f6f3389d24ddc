// Token shards: Megatron's .bin/.idx written and read; llm.c's and headerless files read.
#include "data/shard.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/log.h"

namespace moebius::data {

namespace {

// .idx, little-endian: magic[9], u64 version, u8 type, u64 sequences, u64 boundaries, i32 length[], i64 offset[],
// i64 boundary[] (Megatron-LM, indexed_dataset.py).
constexpr char kMagic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};
constexpr i64 kIndexHeaderBytes = 34;
constexpr i64 kNarrowVocabMax = 65500;
constexpr i64 kLlmCHeaderBytes = 256 * 4;
constexpr i32 kLlmCMagic = 20240520;        // u16 tokens
constexpr i32 kLlmCMagicLlama3 = 20240801;  // u32 tokens
constexpr i64 kGpt2EndOfText = 50256;
constexpr i64 kLlama3BeginOfText = 128000;  // llm.c writes it between documents

template <typename T>
T load(const u8* data, i64 offset) {
  T value;
  std::memcpy(&value, data + offset, sizeof(T));
  return value;
}

[[noreturn]] void corrupt(const std::string& path, const std::string& what, const std::string& wanted = "",
                          const std::string& got = "") {
  throw Error(
      {.where = path,
       .what = what,
       .wanted = wanted,
       .got = got,
       .fix = "the file is damaged or not complete: copy it again, or pack the text again with `moebius data pack`"});
}

struct TokenType {
  i64 bytes;
  bool is_signed;
};

TokenType token_type(u8 code, const std::string& path) {
  switch (code) {
    case 1: return {1, false};
    case 2: return {1, true};
    case 3: return {2, true};
    case 4: return {4, true};
    case 5: return {8, true};
    case 8: return {2, false};
    default:
      corrupt(path, "the type of its tokens is not an integer", "1, 2, 3, 4, 5 or 8 (u8, i8, i16, i32, i64, u16)",
              fmt::format("{}", code));
  }
}

// Sections of an index, with their places checked against the file's size.
struct IndexView {
  const u8* data;
  i64 sequences, boundaries;
  TokenType type;
  i64 length_at(i64 i) const { return load<i32>(data, kIndexHeaderBytes + 4 * i); }
  i64 offset_at(i64 i) const { return load<i64>(data, kIndexHeaderBytes + 4 * sequences + 8 * i); }
  i64 boundary_at(i64 i) const { return load<i64>(data, kIndexHeaderBytes + 12 * sequences + 8 * i); }
};

IndexView read_index(const FileMap& map, const std::string& path) {
  if (map.bytes() < kIndexHeaderBytes) corrupt(path, "too short for a Megatron index");
  if (std::memcmp(map.data(), kMagic, sizeof(kMagic)) != 0) {
    corrupt(path, "the file does not begin as a Megatron index", "MMIDIDX and two zero bytes");
  }
  const u64 version = load<u64>(map.data(), 9);
  if (version != 1) corrupt(path, "unknown version of the index", "1", fmt::format("{}", version));
  const u64 sequences = load<u64>(map.data(), 18);
  const u64 boundaries = load<u64>(map.data(), 26);
  const u64 bytes = static_cast<u64>(map.bytes());
  // Bounds before products, so that nothing overflows.
  if (sequences > bytes / 12 || boundaries > bytes / 8 || boundaries < 1 ||
      static_cast<u64>(kIndexHeaderBytes) + 12 * sequences + 8 * boundaries > bytes) {
    corrupt(path, fmt::format("{} sequences and {} document borders do not fit into its {} bytes", sequences,
                              boundaries, bytes));
  }
  return {map.data(), static_cast<i64>(sequences), static_cast<i64>(boundaries),
          token_type(load<u8>(map.data(), 17), path)};
}

// Begins of documents in tokens. A document's sequences lie one after the other in all files of Megatron's own tools.
std::vector<i64> document_begins(const IndexView& index, i64 bin_bytes, const std::string& path) {
  std::vector<i64> begins;
  begins.reserve(static_cast<std::size_t>(index.boundaries));
  if (index.boundary_at(0) != 0) corrupt(path, "the first document border is not 0");
  if (index.boundary_at(index.boundaries - 1) != index.sequences) {
    corrupt(path, "the last document border is not the number of sequences", fmt::format("{}", index.sequences),
            fmt::format("{}", index.boundary_at(index.boundaries - 1)));
  }
  i64 tokens = 0;
  i64 sequence = 0;
  for (i64 d = 0; d < index.boundaries; ++d) {
    const i64 border = index.boundary_at(d);
    if (border < sequence || border > index.sequences)
      corrupt(path, fmt::format("document border {} goes backwards", d));
    for (; sequence < border; ++sequence) {
      const i64 length = index.length_at(sequence);
      if (length < 0 || length > bin_bytes / index.type.bytes - tokens) {
        corrupt(path, fmt::format("sequence {} of {} tokens reaches beyond the .bin file", sequence, length));
      }
      if (index.offset_at(sequence) != tokens * index.type.bytes) {
        corrupt(path, fmt::format("sequence {} does not begin where the one before ends", sequence),
                fmt::format("{}", tokens * index.type.bytes), fmt::format("{}", index.offset_at(sequence)));
      }
      tokens += length;
    }
    if (d == 0 || tokens > begins.back()) begins.push_back(tokens);  // documents without tokens are left out
  }
  if (tokens * index.type.bytes != bin_bytes) {
    corrupt(path, "the .bin file has another size than the index says",
            fmt::format("{} bytes", tokens * index.type.bytes), fmt::format("{} bytes", bin_bytes));
  }
  if (begins.size() < 2) corrupt(path, "the shard has no tokens");
  return begins;
}

}  // namespace

Json ShardMeta::to_json() const {
  Json json = Json::object({{"name", name},
                            {"vocab", vocab},
                            {"end_of_text", end_of_text},
                            {"documents", documents},
                            {"tokens", tokens},
                            {"bytes", bytes},
                            {"generated", generated},
                            {"tokenizer", tokenizer}});
  if (extra.is_object()) json.set("extra", extra);
  return json;
}

ShardMeta ShardMeta::from_json(const Json& json, const std::string& where) {
  if (!json.is_object())
    throw Error({.where = where, .what = "not a JSON object", .fix = "pack the text again with `moebius data pack`"});
  ShardMeta meta;
  meta.name = json.get_string("name", "");
  meta.vocab = json.get_int("vocab", 0);
  meta.end_of_text = json.get_int("end_of_text", -1);
  meta.documents = json.get_int("documents", 0);
  meta.tokens = json.get_int("tokens", 0);
  meta.bytes = json.get_int("bytes", 0);
  meta.generated = json.get_bool("generated", false);
  meta.tokenizer = json.get_string("tokenizer", "");
  if (const Json* extra = json.find("extra")) meta.extra = *extra;
  return meta;
}

ShardWriter::ShardWriter(std::string prefix, i64 vocab)
    : prefix_(std::move(prefix)), vocab_(vocab), wide_(vocab >= kNarrowVocabMax), bin_(prefix_ + ".bin") {
  CHECK(vocab > 0, "a vocabulary holds at least one id");
}

void ShardWriter::add(const i32* tokens, i64 count) {
  CHECK(count > 0 && count <= INT32_MAX, "a document holds 1 to 2^31 - 1 tokens");
  for (i64 i = 0; i < count; ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_) {
      throw Error({.where = prefix_,
                   .what = fmt::format("token id {} is out of the vocabulary", tokens[i]),
                   .wanted = fmt::format("0 to {}", vocab_ - 1),
                   .fix = "pack with the tokenizer that made the tokens"});
    }
  }
  if (wide_) {
    bin_.write(tokens, count * 4);
  } else {
    narrow_.assign(tokens, tokens + count);
    bin_.write(narrow_.data(), count * 2);
  }
  lengths_.push_back(static_cast<i32>(count));
  tokens_ += count;
}

void ShardWriter::commit(ShardMeta meta) {
  if (lengths_.empty()) {
    throw Error({.where = prefix_, .what = "no document to write", .fix = "check the input and the split"});
  }
  const u64 count = lengths_.size();
  const i64 token_bytes = wide_ ? 4 : 2;
  std::string index(kMagic, sizeof(kMagic));
  const auto put = [&index](const auto value) { index.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  index.reserve(static_cast<std::size_t>(kIndexHeaderBytes) + count * 20 + 8);
  put(u64{1});
  put(static_cast<u8>(wide_ ? 4 : 8));
  put(count);
  put(count + 1);
  for (const i32 length : lengths_) put(length);
  i64 offset = 0;
  for (const i32 length : lengths_) {
    put(offset);
    offset += length * token_bytes;
  }
  for (u64 i = 0; i <= count; ++i) put(static_cast<i64>(i));
  meta.documents = documents();
  meta.tokens = tokens_;
  meta.vocab = vocab_;
  // An old index must not exist next to a new .bin.
  file_remove(prefix_ + ".idx");
  file_remove(prefix_ + ".meta.json");
  bin_.commit();
  file_write_atomic(prefix_ + ".meta.json", meta.to_json().dump(2) + "\n");
  file_write_atomic(prefix_ + ".idx", index);
}

TokenShard TokenShard::open_megatron(const std::string& prefix) {
  TokenShard shard;
  shard.path_ = prefix + ".bin";
  const std::string index_path = prefix + ".idx";
  shard.index_path_ = index_path;
  const FileMap index_map(index_path);
  const IndexView index = read_index(index_map, index_path);
  shard.bin_ = FileMap(shard.path_);
  shard.token_bytes_ = index.type.bytes;
  shard.signed_ = index.type.is_signed;
  shard.begins_ = document_begins(index, shard.bin_.bytes(), index_path);
  if (const std::string meta_path = prefix + ".meta.json"; file_exists(meta_path)) {
    shard.meta_ = ShardMeta::from_json(Json::parse_file(meta_path), meta_path);
    if (shard.meta_.tokens != shard.tokens()) {
      corrupt(meta_path, "the number of tokens differs from the shard's", fmt::format("{}", shard.tokens()),
              fmt::format("{}", shard.meta_.tokens));
    }
  }
  shard.meta_.documents = shard.documents();
  shard.meta_.tokens = shard.tokens();
  return shard;
}

TokenShard TokenShard::open_llm_c(const std::string& path, i64 end_of_text) {
  TokenShard shard;
  shard.path_ = path;
  shard.bin_ = FileMap(path);
  if (shard.bin_.bytes() < kLlmCHeaderBytes) corrupt(path, "too short for the header of an llm.c shard");
  const i32 magic = load<i32>(shard.bin_.data(), 0);
  if (magic != kLlmCMagic && magic != kLlmCMagicLlama3) {
    corrupt(path, "the file does not begin as an llm.c token file", "20240520 or 20240801", fmt::format("{}", magic));
  }
  shard.header_bytes_ = kLlmCHeaderBytes;
  shard.token_bytes_ = magic == kLlmCMagic ? 2 : 4;
  const i32 version = load<i32>(shard.bin_.data(), 4), version_known = magic == kLlmCMagic ? 1 : 7;
  if (version != version_known) {
    corrupt(path, "unknown version of llm.c's header", fmt::format("{}", version_known), fmt::format("{}", version));
  }
  const i64 tokens = load<i32>(shard.bin_.data(), 8);
  const i64 bytes = shard.bin_.bytes() - kLlmCHeaderBytes;
  if (tokens <= 0 || tokens * shard.token_bytes_ != bytes) {
    corrupt(path, "the file has another size than its header says",
            tokens <= 0 ? "a positive number of tokens"
                        : fmt::format("{} bytes: {} tokens of {} bits after the header", tokens * shard.token_bytes_,
                                      tokens, 8 * shard.token_bytes_),
            tokens <= 0 ? fmt::format("{}", tokens) : fmt::format("{} bytes", bytes));
  }
  if (end_of_text < 0) end_of_text = magic == kLlmCMagic ? kGpt2EndOfText : kLlama3BeginOfText;
  shard.split_at_end_of_text(tokens, end_of_text);
  return shard;
}

TokenShard TokenShard::open_headerless(const std::string& path, i64 token_bytes, i64 end_of_text) {
  TokenShard shard;
  shard.path_ = path;
  shard.bin_ = FileMap(path);
  shard.token_bytes_ = token_bytes;
  if (shard.bin_.bytes() == 0 || shard.bin_.bytes() % token_bytes != 0) {
    corrupt(path, fmt::format("the file's size is not that of {}-bit tokens", 8 * token_bytes),
            fmt::format("a multiple of {} bytes", token_bytes), fmt::format("{} bytes", shard.bin_.bytes()));
  }
  if (end_of_text < 0) {
    log_warning(
        fmt::format("{}: read as one document: the file does not say which token ends a document "
                    "(--end-of-text ID does; 50256 in GPT-2's vocabulary)",
                    path));
  }
  shard.split_at_end_of_text(shard.bin_.bytes() / token_bytes, end_of_text);
  return shard;
}

namespace {

// Whether the 16-bit values are letters, digits, blanks and line ends alone: UTF-16 without a byte-order mark.
bool is_utf16_text(std::string_view head) {
  constexpr std::size_t kValuesMin = 8;
  if (head.size() < 2 * kValuesMin) return false;
  bool space = false;
  for (std::size_t i = 0; i + 1 < head.size(); i += 2) {
    const u16 value = load<u16>(reinterpret_cast<const u8*>(head.data()), static_cast<i64>(i));
    const bool is_space = value == ' ' || value == '\n' || value == '\r' || value == '\t';
    if (!is_space && (value < 0x21 || value > 0x7e)) return false;
    space |= is_space;
  }
  return space;
}

// Refuses a file whose content is not a plausible row of 16-bit token ids.
void check_headerless(const FileMap& map, const std::string& path) {
  const auto bytes = static_cast<std::size_t>(std::min<i64>(map.bytes(), kFileKindBytes));
  const std::string_view head(reinterpret_cast<const char*>(map.data()), bytes);
  refuse_file_kind(path, head, "a token shard");
  if (head.empty()) throw Error({.where = path, .what = "the file is empty", .fix = "give a token shard"});
  if (is_plain_text(head)) {
    throw Error(
        {.where = path,
         .what = "the file is text, not a token shard",
         .wanted = "token ids",
         .fix = "turn it into a shard with `moebius data pack --input FILE --tokenizer tokenizer.json --out PREFIX`"});
  }
  if (is_utf16_text(head)) {
    throw Error({.where = path,
                 .what = "the file looks like text in UTF-16, not like a token shard",
                 .wanted = "token ids",
                 .fix = "convert it (iconv -f utf-16le -t utf-8 FILE > NEW) and pack it; if it does have token ids: "
                        "--shard-format u16"});
  }
  // 32-bit ids, read as 16-bit ids, have a high half in every second place; in 64-bit ids, every second pair is 0.
  const i64 pairs = map.bytes() / 4, step = std::max<i64>(pairs / 65536 / 2 * 2 + 1, 1);
  u16 low_max = 0, high_max = 0, odd_max = 0;
  for (i64 i = 0; i < pairs; i += step) {
    if (i % 2 == 1) odd_max = std::max(odd_max, load<u16>(map.data(), 4 * i));
    low_max = std::max(low_max, load<u16>(map.data(), 4 * i));
    high_max = std::max(high_max, load<u16>(map.data(), 4 * i + 2));
  }
  const bool all_zero = pairs >= 2 && high_max == 0 && low_max > 0;
  const bool small = pairs >= 32 && high_max < 4 && low_max >= 1024;  // a vocabulary below 262,144
  if (map.bytes() % 8 == 0 && pairs >= 16 && (all_zero || small) && odd_max == 0) {
    throw Error({.where = path,
                 .what = "the file has 64-bit token ids, but no header or index that says so",
                 .wanted = "16-bit ids, an llm.c file, or PREFIX.bin with its PREFIX.idx",
                 .fix = "save it with 32-bit ids and give --shard-format u32 (numpy: "
                        "fromfile(FILE, \"int64\").astype(\"uint32\").tofile(NEW))"});
  }
  if (map.bytes() % 4 == 0 && (all_zero || small)) {
    throw Error({.where = path,
                 .what = "the file has 32-bit token ids, but no header or index that says so",
                 .wanted = "16-bit ids, an llm.c file, or PREFIX.bin with its PREFIX.idx",
                 .got = fmt::format("16-bit values of which every second is {}", all_zero ? "0" : "below 4"),
                 .fix = "a Megatron .bin needs its .idx beside it; a headerless file: --shard-format u32"});
  }
}

[[noreturn]] void no_shard(const std::string& path) {
  throw Error({.where = path,
               .what = "there is no such token shard",
               .wanted = path + ".idx and .bin, or a .bin file",
               .fix = "check the path, or make a shard with `moebius data pack`"});
}

// The prefix of a Megatron shard that `path` names, or "".
std::string megatron_prefix(const std::string& path) {
  if (file_exists(path + ".idx")) return path;
  for (const char* ending : {".bin", ".idx"}) {
    if (path.size() <= 4 || !path.ends_with(ending)) continue;
    const std::string prefix = path.substr(0, path.size() - 4);
    if (file_exists(prefix + ".idx")) return prefix;
  }
  return "";
}

}  // namespace

ShardFormat shard_format_parse(const std::string& text) {
  for (std::size_t i = 0; i < kShardFormats.size(); ++i) {
    if (text == kShardFormats[i]) return static_cast<ShardFormat>(i);
  }
  throw Error({.where = "shard-format",
               .what = "unknown format of token shards",
               .wanted = fmt::format("{}", fmt::join(kShardFormats, ", ")),
               .got = text});
}

void describe(ShardOptions& options, std::string& format, OptionList& list) {
  list.add("end-of-text", &options.end_of_text,
           "token that ends a document in llm.c's and headerless .bin files; -1: 50256 or 128000 by llm.c's header",
           {.unit = "ID", .min = -1, .max = 2147483647});
  list.add("shard-format", &format, "format of token shards; auto: by index, header and content",
           {.choices = kShardFormats});
}

bool TokenShard::is_shard(const std::string& path) {
  return !megatron_prefix(path).empty() || path.ends_with(".bin") || path.ends_with(".idx");
}

TokenShard TokenShard::open(const std::string& path, const ShardOptions& options) {
  const std::string prefix = megatron_prefix(path);
  const bool automatic = options.format == ShardFormat::automatic;
  if (options.format == ShardFormat::megatron || (automatic && !prefix.empty())) {
    if (prefix.empty() && !file_exists(path)) no_shard(path);
    return open_megatron(prefix.empty() && path.ends_with(".bin") ? path.substr(0, path.size() - 4) : prefix);
  }
  for (const std::string& other : {path, path.size() > 4 ? path.substr(0, path.size() - 4) : path}) {
    if (automatic && file_exists(other + ".meta.json")) corrupt(other + ".idx", "the shard's index is missing");
  }
  if (!file_exists(path)) no_shard(path);
  switch (options.format) {
    case ShardFormat::llm_c: return open_llm_c(path, options.end_of_text);
    case ShardFormat::u16: return open_headerless(path, 2, options.end_of_text);
    case ShardFormat::u32: return open_headerless(path, 4, options.end_of_text);
    default: break;
  }
  const FileMap map(path);
  const i32 magic = map.bytes() >= 4 ? load<i32>(map.data(), 0) : 0;
  if (magic == kLlmCMagic || magic == kLlmCMagicLlama3) return open_llm_c(path, options.end_of_text);
  check_headerless(map, path);
  return open_headerless(path, 2, options.end_of_text);
}

void TokenShard::split_at_end_of_text(i64 tokens, i64 end_of_text) {
  begins_ = {0};
  meta_.end_of_text = end_of_text;
  meta_.tokens = tokens;
  if (end_of_text >= 0) {
    for (i64 i = 0; i + 1 < tokens; ++i) {
      if (token_at(i) == end_of_text) begins_.push_back(i + 1);
    }
  }
  begins_.push_back(tokens);
  meta_.documents = documents();
}

std::string TokenShard::digest() const {
  std::vector<std::string> files = {path_};
  if (!index_path_.empty()) files.push_back(index_path_);
  return content_digest(files);
}

void TokenShard::require_vocab(i64 vocab) {
  if (meta_.vocab > 0 || vocab <= 0) return;
  meta_.vocab = vocab;
  for (i64 i = 0; i < tokens(); ++i) {
    const i32 id = token_at(i);
    if (id >= 0 && id < vocab) continue;
    throw Error(
        {.where = path_,
         .what = fmt::format("the token at byte {} is not in the vocabulary", header_bytes_ + i * token_bytes_),
         .wanted = fmt::format("ids from 0 to {}", vocab - 1),
         .got = fmt::format("{}", id),
         .fix = fmt::format("check that the file has {}-bit token ids of this vocabulary (--shard-format, --vocab)",
                            8 * token_bytes_)});
  }
}

void TokenShard::check_tokenizer(u64 fingerprint, i64 vocab) const {
  const std::string wanted = fmt::format("{:016x}", fingerprint);
  const bool other = !meta_.tokenizer.empty() && meta_.tokenizer != wanted;
  if (!other && meta_.vocab <= vocab) return;
  throw Error({.where = path_,
               .what = "the shard was made with another tokenizer",
               .wanted = fmt::format("tokenizer {}, {} tokens", wanted, vocab),
               .got = fmt::format("tokenizer {}, {} tokens", meta_.tokenizer.empty() ? "unknown" : meta_.tokenizer,
                                  meta_.vocab),
               .fix = "pack the text again with this tokenizer, or give the shard's own tokenizer"});
}

i32 TokenShard::token_at(i64 index) const {
  const i64 at = header_bytes_ + index * token_bytes_;
  const u8* data = bin_.data();
  switch (token_bytes_) {
    case 1: return signed_ ? load<i8>(data, at) : load<u8>(data, at);
    case 2: return signed_ ? load<i16>(data, at) : load<u16>(data, at);
    case 4: return load<i32>(data, at);
    default: {
      const i64 value = load<i64>(data, at);
      return value < 0 || value > INT32_MAX ? -1 : static_cast<i32>(value);
    }
  }
}

i64 TokenShard::document_tokens(i64 document) const {
  DCHECK(document >= 0 && document < documents(), "a document of this shard");
  return begins_[static_cast<std::size_t>(document) + 1] - begins_[static_cast<std::size_t>(document)];
}

void TokenShard::copy(i64 document, i64 begin, i64 count, i32* out) const {
  CHECK(
      document >= 0 && document < documents() && begin >= 0 && count >= 0 && begin + count <= document_tokens(document),
      "tokens of a document of this shard");
  const i64 first = begins_[static_cast<std::size_t>(document)] + begin;
  for (i64 i = 0; i < count; ++i) {
    out[i] = token_at(first + i);
    if (out[i] < 0 || (meta_.vocab > 0 && out[i] >= meta_.vocab)) {
      corrupt(path_, fmt::format("token {} of document {} has the id {}", begin + i, document, out[i]),
              meta_.vocab > 0 ? fmt::format("0 to {}", meta_.vocab - 1) : "0 or more");
    }
  }
}

}  // namespace moebius::data
