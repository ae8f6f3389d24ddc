// Making the shared data of a study, step by step; data.json says that it is complete.
#include "study/study_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "data/bpe_trainer.h"
#include "data/pack.h"

namespace moebius::study {

namespace {

// Everything of the generated tasks that the later steps need.
struct Generated {
  std::vector<std::pair<std::string, std::vector<std::string>>> documents;  // name, texts
  std::vector<std::string> items;
};

std::string input_path(const StudySpec& spec, const std::string& file) {
  if (file_exists(file)) return file;
  const std::string beside = path_join(path_join(spec.path, ".."), file);
  if (file_exists(beside)) return beside;
  const std::string shipped = path_join(study_source_folder(), file);
  if (file_exists(shipped)) return shipped;
  throw Error({.where = spec.path,
               .what = fmt::format("there is no file '{}'", file),
               .fix = "give paths relative to the study's file, to the working folder or to the source tree"});
}

data::PackOptions pack_options(const StudySpec& spec, const StudyText& text, const std::string& folder) {
  data::PackOptions options;
  for (const std::string& file : text.input) options.input.push_back(input_path(spec, file));
  options.field = text.field;
  options.field_option = "field = \"NAME\" in [[data.text]]";
  options.format = text.format;
  options.name = text.name;
  options.out = path_join(folder, text.name);
  return options;
}

Generated make_generated(const StudySpec& spec, const std::string& folder) {
  Generated made;
  const auto take = [&](data::GeneratedTask task) {
    data::write_generated_task(task, path_join(folder, "items"), false);
    for (const data::TaskItems& items : task.tasks) {
      made.items.push_back(path_join(folder, "items/" + items.task + ".jsonl"));
    }
    made.documents.emplace_back(task.name, std::move(task.documents));
  };
  folder_make(path_join(folder, "items"));
  if (spec.data.facts_share > 0) take(data::make_facts(spec.data.facts));
  if (spec.data.arithmetic_share > 0) take(data::make_arithmetic(spec.data.arithmetic));
  return made;
}

// The first documents of a list, up to bytes_max.
void take_bytes(const std::vector<std::string>& documents, double bytes_max, std::vector<std::string_view>& out) {
  double bytes = 0;
  for (const std::string& document : documents) {
    if (bytes >= bytes_max) break;
    bytes += static_cast<double>(document.size());
    out.push_back(document);
  }
}

data::Tokenizer make_tokenizer(const StudySpec& spec, const Generated& generated, const std::string& folder) {
  data::BpeTrainer trainer({.vocab_size = spec.data.vocab});
  for (const StudyText& text : spec.data.text) {
    const auto documents = data::read_split(pack_options(spec, text, folder));
    std::vector<std::string_view> some;
    take_bytes(documents, spec.data.tokenizer_bytes_each, some);
    trainer.add(some);
  }
  for (const auto& [name, documents] : generated.documents) {
    std::vector<std::string_view> some;
    take_bytes(documents, spec.data.tokenizer_bytes_each, some);
    trainer.add(some);
  }
  return trainer.finish();
}

std::string held_out_path(const std::string& folder, const std::string& name) {
  return path_join(folder, name + ".held-out.jsonl");
}

std::string write_held_out(const StudySpec& spec, const StudyText& text, const std::string& folder) {
  data::PackOptions options = pack_options(spec, text, folder);
  options.split = "held-out";
  const auto documents = data::read_split(options);
  const std::string path = held_out_path(folder, text.name);
  std::string lines;
  double bytes = 0;
  for (const std::string& document : documents) {
    if (bytes >= text.held_out_bytes) break;
    bytes += static_cast<double>(document.size());
    lines += Json::object({{"text", document}}).dump() + "\n";
  }
  if (lines.empty()) return "";
  file_write_atomic(path, lines);
  return path;
}

StudyShard shard_of(const data::PackResult& packed, const std::string& name, const std::string& prefix, double share) {
  StudyShard shard;
  shard.name = name;
  shard.prefix = prefix;
  shard.share = share;
  shard.tokens = packed.meta.tokens;
  shard.documents = packed.meta.documents;
  shard.bytes = packed.meta.bytes;
  return shard;
}

Json shard_to_json(const StudyShard& shard) {
  return Json::object({{"name", shard.name},
                       {"share", shard.share},
                       {"tokens", shard.tokens},
                       {"documents", shard.documents},
                       {"bytes", shard.bytes},
                       {"held_out", !shard.held_out.empty()}});
}

// Paths are made from the folder, so that a study may be moved.
StudyFiles files_from_json(const Json& json, const std::string& folder) {
  StudyFiles files;
  files.tokenizer = path_join(folder, "tokenizer.json");
  files.vocab = json.at("vocab").as_int();
  for (const Json& item : json.at("items").as_array()) {
    files.items.push_back(path_join(folder, "items/" + item.as_string()));
  }
  for (const Json& row : json.at("shards").as_array()) {
    const std::string& name = row.at("name").as_string();
    files.shards.push_back({name, path_join(folder, name), row.at("share").as_double(), row.at("tokens").as_int(),
                            row.at("documents").as_int(), row.at("bytes").as_int(),
                            row.at("held_out").as_bool() ? held_out_path(folder, name) : ""});
  }
  return files;
}

StudyFiles make_files(const StudySpec& spec, const std::string& folder) {
  log_info("data: generating tasks, training the tokenizer, packing tokens");
  const Generated generated = make_generated(spec, folder);
  const data::Tokenizer tokenizer = make_tokenizer(spec, generated, folder);
  StudyFiles files;
  files.tokenizer = path_join(folder, "tokenizer.json");
  files.vocab = tokenizer.vocab_size();
  files.items = generated.items;
  tokenizer.save(files.tokenizer);
  for (const StudyText& text : spec.data.text) {
    interrupt_check("run the same command again: the data is generated from the start");
    const data::PackOptions options = pack_options(spec, text, folder);
    files.shards.push_back(shard_of(data::pack_corpus(options, tokenizer), text.name, options.out, text.share));
    files.shards.back().held_out = write_held_out(spec, text, folder);
  }
  for (const auto& [name, documents] : generated.documents) {
    const std::string prefix = path_join(folder, name);
    const double share = name == "facts" ? spec.data.facts_share : spec.data.arithmetic_share;
    files.shards.push_back(
        shard_of(data::pack_documents(documents, tokenizer, name, prefix, true), name, prefix, share));
  }
  return files;
}

// Of every text file that the study names.
Json text_digests(const StudySpec& spec) {
  Json digests = Json::object();
  for (const StudyText& text : spec.data.text) {
    for (const std::string& file : text.input) digests.set(file, content_digest({input_path(spec, file)}));
  }
  return digests;
}

// Whether the data of the folder is what the study would make now.
void check_made(const Json& made, const Json& settings, const Json& digests, const std::string& folder) {
  const char* const fix = "use another --out, or remove the folder if its runs are not needed";
  if (made.at("settings").dump() != settings.dump()) {
    throw Error({.where = folder, .what = "the data in this folder was made with other settings", .fix = fix});
  }
  for (const auto& [file, digest] : digests.as_object()) {
    const std::string before = made.contains("text_digests") ? made.at("text_digests").get_string(file, "") : "";
    if (before == digest.as_string()) continue;
    throw Error({.where = file,
                 .what = "the text has changed since the data of this study was made",
                 .wanted = "content with digest " + before,
                 .got = digest.as_string(),
                 .fix = fix});
  }
}

}  // namespace

std::vector<data::MixtureSource> StudyFiles::mixture() const {
  std::vector<data::MixtureSource> sources;
  for (const StudyShard& shard : shards) sources.push_back({shard.name, shard.prefix, shard.share, -1});
  return sources;
}

Json StudyFiles::to_json(i64 tokens) const {
  double sum = 0;
  for (const StudyShard& shard : shards) sum += shard.share;
  Json rows = Json::array();
  for (const StudyShard& shard : shards) {
    const double weight = shard.share / sum;
    rows.push_back(Json::object({{"source", shard.name},
                                 {"weight", weight},
                                 {"tokens_unique", shard.tokens},
                                 {"tokens_seen", weight * static_cast<double>(tokens)}}));
  }
  return rows;
}

StudyFiles prepare_data(const StudySpec& spec, const std::string& folder) {
  folder_make(folder);
  const std::string stamp = path_join(folder, "data.json");
  const Json settings = spec.data.to_json(), digests = text_digests(spec);
  if (file_exists(stamp)) {
    const Json made = Json::parse_file(stamp);
    check_made(made, settings, digests, folder);
    return files_from_json(made, folder);
  }
  const StudyFiles files = make_files(spec, folder);
  Json shards = Json::array(), items = Json::array();
  for (const StudyShard& shard : files.shards) shards.push_back(shard_to_json(shard));
  for (const std::string& item : files.items) items.push_back(path_name(item));
  file_write_atomic(stamp, Json::object({{"settings", settings},
                                         {"text_digests", digests},
                                         {"vocab", files.vocab},
                                         {"items", items},
                                         {"shards", shards}})
                               .dump(2));
  return files;
}

}  // namespace moebius::study
