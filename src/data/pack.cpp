// Text to token shards, and the split into training and held-out documents.
#include "data/pack.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "data/byte_stream.h"
#include "data/reader.h"

namespace moebius::data {

namespace {

// Text that is tokenized in one parallel pass: enough for all threads, small compared with the memory.
constexpr i64 kChunkBytes = i64{8} << 20;

ReaderOptions reader_options(const PackOptions& options) {
  ReaderOptions reader;
  reader.fields = options.field;
  reader.field_option = options.field_option;
  reader.separator = options.separator;
  reader.format = document_format_parse(options.format);
  return reader;
}

bool taken(Split split, std::string_view text, i64 one_in) {
  return split == Split::all || held_out(text, one_in) == (split == Split::held_out);
}

std::string last_part(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

// Collects documents and writes them tokenized.
class Packer {
 public:
  Packer(const Tokenizer& tokenizer, const std::string& out)
      : tokenizer_(tokenizer), writer_(out, tokenizer.vocab_size()), progress_("packing " + last_part(out), 0) {
    if (tokenizer.eos_id() < 0) {
      std::string special;
      for (const AddedToken& token : tokenizer.added_tokens()) {
        if (special.size() < 200) special += (special.empty() ? "" : ", ") + token.content;
      }
      throw Error({.where = out,
                   .what = "the tokenizer does not say which token ends a text",
                   .got = special.empty() ? "no added tokens" : "added tokens: " + special,
                   .fix =
                       "store the tokenizer as FOLDER/tokenizer.json and write FOLDER/tokenizer_config.json beside it: "
                       "{\"eos_token\": \"NAME\"}; then --tokenizer FOLDER"});
    }
  }

  void add(std::string text) {
    if (text.empty()) return;
    pending_bytes_ += static_cast<i64>(text.size());
    pending_.push_back(std::move(text));
    if (pending_bytes_ >= kChunkBytes) flush();
  }

  bool empty() const { return pending_.empty() && writer_.documents() == 0; }

  ShardMeta commit(ShardMeta meta) {
    flush();
    meta.bytes = bytes_;
    meta.end_of_text = tokenizer_.eos_id();
    meta.tokenizer = fmt::format("{:016x}", tokenizer_.fingerprint());
    meta.vocab = tokenizer_.vocab_size();
    meta.documents = writer_.documents();
    meta.tokens = writer_.tokens();
    writer_.commit(meta);
    progress_.finish(fmt::format("{} tokens", meta.tokens));
    return meta;
  }

  double seconds() const { return progress_.seconds(); }

 private:
  void flush() {
    interrupt_check("nothing was written; run the same command again");
    const std::vector<std::string_view> views(pending_.begin(), pending_.end());
    std::vector<std::vector<i32>> tokens = tokenizer_.encode_parallel(views, SpecialTokens::plain);
    for (std::vector<i32>& document : tokens) {
      document.push_back(tokenizer_.eos_id());
      writer_.add(document.data(), static_cast<i64>(document.size()));
    }
    bytes_ += pending_bytes_;
    pending_bytes_ = 0;
    pending_.clear();
    progress_.update(bytes_);
  }

  const Tokenizer& tokenizer_;
  ShardWriter writer_;
  Progress progress_;
  std::vector<std::string> pending_;
  i64 pending_bytes_ = 0;
  i64 bytes_ = 0;
};

// Documents that were not used, by reason.
struct LeftOut {
  i64 other_side = 0;  // of the split
  i64 empty = 0;
};

// Calls use(text) for every document of the split.
template <typename Use>
LeftOut for_each_document(const PackOptions& options, const Use& use) {
  if (options.input.empty()) {
    throw Error({.where = "moebius data", .what = "no input files", .fix = "add --input FILE,FILE"});
  }
  refuse_repeated_pipes(options.input);
  const Split split = split_parse(options.split);
  i64 used = 0;
  LeftOut left_out;
  Document document;
  for (const std::string& path : options.input) {
    DocumentReader reader(path, reader_options(options));
    while ((options.documents_max <= 0 || used < options.documents_max) && reader.next(document)) {
      if (used % 4096 == 0) interrupt_check("nothing was written; run the same command again");
      if (document.text.empty() || !taken(split, document.text, options.held_out_one_in)) {
        ++(document.text.empty() ? left_out.empty : left_out.other_side);
        continue;
      }
      ++used;
      use(document.text);
    }
  }
  return left_out;
}

}  // namespace

Split split_parse(const std::string& text) {
  if (text == "train") return Split::train;
  if (text == "held-out") return Split::held_out;
  if (text == "all") return Split::all;
  throw Error({.where = "split", .what = "unknown split", .wanted = "train, held-out or all", .got = text});
}

bool held_out(std::string_view text, i64 one_in) {
  if (one_in <= 0) return false;
  u64 hash = hash_text(text);
  hash ^= hash >> 32;
  hash *= 0xff51afd7ed558ccdull;
  hash ^= hash >> 33;
  return hash % static_cast<u64>(one_in) == 0;
}

void describe_input(PackOptions& options, OptionList& list) {
  list.add("input", &options.input, "text, JSON lines or JSON arrays, also as .gz or .zst or from a pipe",
           {.unit = "FILE,..."});
  list.add("format", &options.format, "format of the input; auto: by its content",
           {.choices = {"auto", "text", "jsonl", "json"}});
  list.add("field", &options.field, "JSON field with the text; several, separated by commas, are joined");
  list.add("separator", &options.separator, "plain text: line that separates documents, or blank-line");
  list.add("out", &options.out, "file or prefix to write", {.unit = "PATH"});
  list.add("split", &options.split, "documents to take", {.choices = {"train", "held-out", "all"}});
  list.add("held-out-one-in", &options.held_out_one_in, "one document in N is held out; 0: none",
           {.unit = "N", .min = 0});
}

void describe(PackOptions& options, OptionList& list) {
  describe_input(options, list);
  list.add("name", &options.name, "name of the source; the last part of --out if not given");
  list.add("documents-max", &options.documents_max, "stop after N documents; 0: all", {.unit = "N", .min = 0});
  list.add("generated", &options.generated, "mark the shard as generated text, which may be repeated without limit");
}

Json PackResult::to_json() const {
  Json json = meta.to_json();
  json.set("documents_skipped", documents_skipped);
  json.set("documents_empty", documents_empty);
  json.set("seconds", seconds);
  json.set("bytes_per_token", static_cast<double>(meta.bytes) / static_cast<double>(meta.tokens));
  return json;
}

PackResult pack_corpus(const PackOptions& options, const Tokenizer& tokenizer) {
  if (options.out.empty()) throw Error({.where = "moebius data pack", .what = "no output", .fix = "give --out PREFIX"});
  if (last_part(options.out).empty()) {
    throw Error({.where = "--out",
                 .what = "the prefix is a folder: its files would have no name",
                 .wanted = "PREFIX, for PREFIX.bin and PREFIX.idx",
                 .got = options.out,
                 .fix = fmt::format("use --out {}NAME", options.out)});
  }
  PackResult result;
  Packer packer(tokenizer, options.out);
  const LeftOut left_out = for_each_document(options, [&](std::string& text) { packer.add(std::move(text)); });
  if (left_out.other_side > 0 && packer.empty()) {
    throw Error({.where = options.out,
                 .what = fmt::format("no document belongs to the split {}", options.split),
                 .got = fmt::format("{} of the other split, {} empty", left_out.other_side, left_out.empty),
                 .fix = "use --split all, or more and shorter documents (each belongs to one split as a whole)"});
  }
  result.documents_skipped = left_out.other_side;
  result.documents_empty = left_out.empty;
  ShardMeta meta;
  meta.name = options.name.empty() ? last_part(options.out) : options.name;
  meta.generated = options.generated;
  meta.extra = Json::object({{"input", Json(options.input)},
                             {"field", options.field},
                             {"split", options.split},
                             {"held_out_one_in", options.held_out_one_in}});
  result.meta = packer.commit(std::move(meta));
  result.seconds = packer.seconds();
  return result;
}

PackResult pack_documents(const std::vector<std::string>& documents, const Tokenizer& tokenizer,
                          const std::string& name, const std::string& out, bool generated) {
  PackResult result;
  Packer packer(tokenizer, out);
  for (const std::string& document : documents) packer.add(document);
  ShardMeta meta;
  meta.name = name;
  meta.generated = generated;
  result.meta = packer.commit(std::move(meta));
  result.seconds = packer.seconds();
  return result;
}

std::vector<std::string> read_split(const PackOptions& options) {
  std::vector<std::string> texts;
  for_each_document(options, [&](std::string& text) { texts.push_back(std::move(text)); });
  return texts;
}

}  // namespace moebius::data
