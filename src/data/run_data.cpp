// moebius data: tokenizer, pack, tasks, show. Reads as the table of contents of the stage.
#include "data/run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/progress.h"
#include "base/stage.h"
#include "base/units.h"
#include "data/bpe_trainer.h"
#include "data/byte_stream.h"
#include "data/generated_tasks.h"
#include "data/pack.h"
#include "data/shard.h"

namespace moebius::data {

namespace {

struct DataOptions {
  PackOptions pack;
  std::string tokenizer;  // file or folder
  i64 vocab = 8192;
  bool with_text = true;
  i64 show = 3;
  ShardOptions shard;
  std::string shard_format = "auto";
};

using Words = std::vector<std::string>;

// The help of each action.
const StageHelp kTokenizerHelp = {
    .name = "data tokenizer",
    .summary = "train a byte-level BPE tokenizer on text",
    .usage = "moebius data tokenizer --input FILE,... --vocab 8192 --out tokenizer.json",
    .reads = "text files (--input)",
    .writes = "a Hugging Face tokenizer.json (--out)",
    .json_keys = "out, vocab, merges, documents, bytes, seconds",
    .examples = "  moebius data tokenizer --input corpora/enwiki2019-00.jsonl.gz --vocab 4096 --out tokenizer.json"};
const StageHelp kPackHelp = {
    .name = "data pack",
    .summary = "tokenize text into a token shard",
    .usage = "moebius data pack --input FILE,... --tokenizer tokenizer.json --out PREFIX",
    .reads = "text files (--input), tokenizer.json (--tokenizer)",
    .writes = "PREFIX.bin, PREFIX.idx (Megatron's layout) and PREFIX.meta.json",
    .json_keys =
        "name, vocab, end_of_text, documents, documents_skipped, documents_empty, tokens, bytes, bytes_per_token, "
        "seconds",
    .examples =
        "  moebius data pack --input corpora/gsm8k_train.jsonl.gz --field question,answer --tokenizer tokenizer.json --out data/gsm8k"};
const StageHelp kTasksHelp = {
    .name = "data tasks",
    .summary = "generate training text and evaluation items of a family of tasks",
    .usage = "moebius data tasks FAMILY --out FOLDER",
    .reads = "nothing; with --tokenizer, tokenizer.json",
    .writes =
        "FOLDER/TASK.jsonl and TASK.meta.json (items), NAME.train.jsonl (text); with --tokenizer also shards FOLDER/NAME",
    .json_keys = "out, task, documents, bytes, seconds, item_files, ...; with --tokenizer: tokens",
    .examples = "  moebius data tasks expressions --problems 20000 --grades 1,2,3 --grade-weights 1,2,2 --out tasks"};
const StageHelp kShowHelp = {
    .name = "data show",
    .summary = "counts and first documents of a token shard",
    .usage = "moebius data show PREFIX [--tokenizer tokenizer.json]",
    .reads = "PREFIX.idx and PREFIX.bin, or llm.c's or a headerless .bin; tokenizer.json to show text",
    .writes = "",
    .json_keys =
        "path, documents, tokens, tokens_per_document, vocab, end_of_text, digest, first (array of tokens or texts)",
    .examples = ""};

void wanted(const std::string& value, const std::string& flag, const std::string& action) {
  if (!value.empty()) return;
  throw Error({.where = "moebius data " + action,
               .what = "--" + flag + " is missing",
               .fix = "see moebius data " + action + " --help"});
}

int run_tokenizer(const Words& words) {
  DataOptions o;
  OptionList list;
  describe_input(o.pack, list);
  list.add("vocab", &o.vocab, "size of the vocabulary", {.unit = "N", .min = 257, .max = 1 << 20});
  const StageCommon common = stage_parse(kTokenizerHelp, list, words, nullptr, 0);
  wanted(o.pack.out, "out", "tokenizer");
  if (common.dry_run) {
    stage_print(common, list.to_json(), list.to_json().dump(2) + "\n");
    return 0;
  }
  const i64 start = clock_ns();
  const std::vector<std::string> texts = read_split(o.pack);
  BpeTrainer trainer({.vocab_size = o.vocab});
  trainer.add(std::vector<std::string_view>(texts.begin(), texts.end()));
  const Tokenizer tokenizer = trainer.finish();
  tokenizer.save(o.pack.out);
  i64 bytes = 0;
  for (const std::string& text : texts) bytes += static_cast<i64>(text.size());
  const double seconds = static_cast<double>(clock_ns() - start) * 1e-9;
  stage_print(common,
              Json::object({{"out", o.pack.out},
                            {"vocab", tokenizer.vocab_size()},
                            {"merges", tokenizer.num_merges()},
                            {"documents", static_cast<i64>(texts.size())},
                            {"bytes", bytes},
                            {"seconds", seconds}}),
              fmt::format("{}: {} tokens from {} documents, {} in {}\n", o.pack.out, tokenizer.vocab_size(),
                          texts.size(), format_bytes(static_cast<double>(bytes)), format_seconds(seconds)));
  return 0;
}

int run_pack(const Words& words) {
  DataOptions o;
  OptionList list;
  describe(o.pack, list);
  list.add("tokenizer", &o.tokenizer, "tokenizer.json, or a folder with one", {.unit = "PATH"});
  const StageCommon common = stage_parse(kPackHelp, list, words, nullptr, 0);
  wanted(o.pack.out, "out", "pack");
  wanted(o.tokenizer, "tokenizer", "pack");
  if (common.dry_run) {
    stage_print(common, list.to_json(), list.to_json().dump(2) + "\n");
    return 0;
  }
  std::vector<std::string> paths = o.pack.input;
  paths.push_back(o.tokenizer);
  refuse_repeated_pipes(paths);
  const PackResult result = pack_corpus(o.pack, Tokenizer::load(o.tokenizer));
  stage_print(common, result.to_json(),
              fmt::format("{}: {} documents, {} tokens, {:.2f} bytes per token; left out: {} by the split, {} empty\n",
                          o.pack.out, format_exact(result.meta.documents), format_exact(result.meta.tokens),
                          static_cast<double>(result.meta.bytes) / static_cast<double>(result.meta.tokens),
                          format_exact(result.documents_skipped), format_exact(result.documents_empty)));
  return 0;
}

Json write_task(const DataOptions& o, const GeneratedTask& task, double seconds, std::string& text) {
  write_generated_task(task, o.pack.out, o.with_text);
  Json summary = task.summary;
  summary.set("seconds", seconds);
  Json files = Json::array();
  for (const TaskItems& items : task.tasks) {
    files.push_back(path_join(o.pack.out, items.task + ".jsonl"));
    text += fmt::format("{}: {} items\n", path_join(o.pack.out, items.task + ".jsonl"), items.items.size());
  }
  summary.set("item_files", files);
  text += fmt::format("{}: {} training documents\n", task.name, format_exact(static_cast<i64>(task.documents.size())));
  if (!o.tokenizer.empty()) {
    const Tokenizer tokenizer = Tokenizer::load(o.tokenizer);
    const PackResult packed =
        pack_documents(task.documents, tokenizer, task.name, path_join(o.pack.out, task.name), true);
    const double mean = static_cast<double>(packed.meta.tokens) / static_cast<double>(packed.meta.documents);
    summary.set("tokens", packed.meta.tokens);
    summary.set("tokens_per_document", mean);
    text += fmt::format("{}: {} tokens, {:.1f} per document\n", task.name, format_exact(packed.meta.tokens), mean);
  }
  return summary;
}

// The names of the families, each with what it measures.
std::string families_text() {
  std::string text;
  for (const GeneratedFamily& family : generated_families()) {
    text += fmt::format("  {:<12} {}\n", family.name, family.summary);
  }
  return text;
}

GeneratedFamily family_named(const std::string& name) {
  std::vector<std::string> known;
  for (const GeneratedFamily& family : generated_families()) {
    if (family.name == name) return family;
    known.push_back(family.name);
  }
  throw Error({.where = "moebius data tasks",
               .what = name.empty() ? "the family of tasks is missing" : fmt::format("unknown family '{}'", name),
               .wanted = fmt::format("{}", fmt::join(known, ", ")),
               .fix = nearest_advice(name, known, "see moebius data tasks --help")});
}

// The options depend on the family, so it is the first word.
int run_family(const GeneratedFamily& family, const Words& words) {
  DataOptions o;
  OptionList list;
  list.add("out", &o.pack.out, "folder to write", {.unit = "FOLDER"});
  list.add("with-text", &o.with_text, "write the training documents as JSON lines too");
  list.add("tokenizer", &o.tokenizer, "also pack the documents with this tokenizer.json", {.unit = "PATH"});
  family.describe(list);
  StageHelp help = kTasksHelp;
  help.name = "data tasks " + family.name;
  help.summary = family.summary;
  help.usage = fmt::format("moebius {} --out FOLDER", help.name);
  const StageCommon common = stage_parse(help, list, words, nullptr, 0);
  wanted(o.pack.out, "out", "tasks " + family.name);
  if (common.dry_run) {
    stage_print(common, list.to_json(), list.to_json().dump(2) + "\n");
    return 0;
  }
  std::string text;
  const i64 start = clock_ns();
  const GeneratedTask task = family.make();
  const double seconds = static_cast<double>(clock_ns() - start) * 1e-9;
  Json result = write_task(o, task, seconds, text);
  result.set("out", o.pack.out);
  stage_print(common, result, text);
  return 0;
}

int run_tasks(const Words& words) {
  if (!words.empty() && words[0] == kOptionsPage) {
    for (const GeneratedFamily& family : generated_families()) {
      stage_options_page([&](const Words& page) { return run_family(family, page); });
    }
    return 0;
  }
  if (words.empty() || words[0] == "--help" || words[0] == "-h") {
    stage_print(StageCommon(), Json::object(),
                fmt::format("moebius data tasks: {}\n\nusage: {}\n\nfamilies:\n{}\n"
                            "each family's options: moebius data tasks FAMILY --help\n",
                            kTasksHelp.summary, kTasksHelp.usage, families_text()));
    return words.empty() ? 2 : 0;
  }
  const bool named = words[0][0] != '-';
  return run_family(family_named(named ? words[0] : ""), Words(words.begin() + 1, words.end()));
}

int run_show(const Words& words) {
  DataOptions o;
  OptionList list;
  list.add("tokenizer", &o.tokenizer, "tokenizer.json to decode with", {.unit = "PATH"});
  list.add("documents", &o.show, "documents to show", {.min = 0, .max = 1000000});
  describe(o.shard, o.shard_format, list);
  std::vector<std::string> positional;
  const StageCommon common = stage_parse(kShowHelp, list, words, &positional, 1);
  wanted(positional.empty() ? "" : positional[0], "PREFIX", "show");
  o.shard.format = shard_format_parse(o.shard_format);
  TokenShard shard = TokenShard::open(positional[0], o.shard);
  std::optional<Tokenizer> tokenizer;
  if (!o.tokenizer.empty()) {
    tokenizer = Tokenizer::load(o.tokenizer);
    shard.check_tokenizer(tokenizer->fingerprint(), tokenizer->vocab_size());
    shard.require_vocab(tokenizer->vocab_size());
  }
  Json first = Json::array();
  std::string text = fmt::format("{}: {} documents, {} tokens, vocabulary {}\n", positional[0],
                                 format_exact(shard.documents()), format_exact(shard.tokens()), shard.meta().vocab);
  for (i64 d = 0; d < std::min(o.show, shard.documents()); ++d) {
    std::vector<i32> tokens(static_cast<std::size_t>(std::min<i64>(shard.document_tokens(d), 256)));
    shard.copy(d, 0, static_cast<i64>(tokens.size()), tokens.data());
    std::string line = fmt::format("{}", fmt::join(tokens, " "));
    if (tokenizer) line = tokenizer->decode(tokens);
    text += fmt::format("--- document {}, {} tokens\n{}\n", d, shard.document_tokens(d), line);
    first.push_back(line);
  }
  stage_print(common,
              Json::object({{"path", positional[0]},
                            {"documents", shard.documents()},
                            {"tokens", shard.tokens()},
                            {"tokens_per_document",
                             static_cast<double>(shard.tokens()) / static_cast<double>(shard.documents())},
                            {"vocab", shard.meta().vocab},
                            {"end_of_text", shard.meta().end_of_text},
                            {"digest", shard.digest()},
                            {"first", first}}),
              text);
  return 0;
}

void print_actions() {
  const StageCommon plain;
  stage_print(plain, Json::object(),
              "moebius data: text to tokens to shards, and generated tasks\n\n"
              "usage: moebius data ACTION [--options]\n\nactions:\n"
              "  tokenizer  text files -> tokenizer.json\n"
              "  pack       text files + tokenizer.json -> PREFIX.bin, PREFIX.idx, PREFIX.meta.json\n"
              "  tasks      a family and a seed -> training text and evaluation items\n"
              "  show       a shard -> its counts and first documents\n\n"
              "each action's options: moebius data ACTION --help\n");
}

}  // namespace

int run_data(const std::vector<std::string>& words) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h") {
    print_actions();
    return words.empty() ? 2 : 0;
  }
  if (words[0] == kOptionsPage) {
    stage_options_page(run_tokenizer);
    stage_options_page(run_pack);
    run_tasks(words);
    stage_options_page(run_show);
    return 0;
  }
  const Words rest(words.begin() + 1, words.end());
  if (words[0] == "tokenizer") return run_tokenizer(rest);
  if (words[0] == "pack") return run_pack(rest);
  if (words[0] == "tasks") return run_tasks(rest);
  if (words[0] == "show") return run_show(rest);
  throw Error({.where = "moebius data",
               .what = fmt::format("there is no action '{}'", words[0]),
               .wanted = "tokenizer, pack, tasks or show",
               .fix = nearest_advice(words[0], {"tokenizer", "pack", "tasks", "show"})});
}

}  // namespace moebius::data
