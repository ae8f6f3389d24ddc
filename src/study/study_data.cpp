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

constexpr const char* kNewFolder = "use another --out, or remove the folder if its runs are not needed";

// Name and documents of each generated task.
using Generated = std::vector<std::pair<std::string, std::vector<std::string>>>;

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

// The task as the seed draws it. Copies of a family share their options, so the seed is set for this call only.
data::GeneratedTask make_task(const StudySpec& spec, const StudyTask& task, i64 seed) {
  struct Restore {
    i64& seed;
    const i64 before = seed;
    ~Restore() { seed = before; }
  } const restore{*task.family.seed};
  *task.family.seed = spec.seed_task(task, seed);
  return task.family.make();
}

// Writes the items of the generated tasks, too.
Generated make_generated(const StudySpec& spec, i64 seed, StudyFiles& files) {
  Generated made;
  const std::string folder = path_join(files.task_folder(seed), "items");
  folder_make(folder);
  files.items.clear();
  for (const StudyTask& of_study : spec.data.tasks) {
    data::GeneratedTask task = make_task(spec, of_study, seed);
    data::write_generated_task(task, folder, false);
    for (const data::TaskItems& items : task.tasks) files.items.push_back(items.task + ".jsonl");
    made.emplace_back(task.name, std::move(task.documents));
  }
  return made;
}

// The first documents of a list, up to bytes_max.
std::vector<std::string_view> take_bytes(const std::vector<std::string>& documents, double bytes_max) {
  std::vector<std::string_view> taken;
  double bytes = 0;
  for (const std::string& document : documents) {
    if (bytes >= bytes_max) break;
    bytes += static_cast<double>(document.size());
    taken.push_back(document);
  }
  return taken;
}

data::Tokenizer make_tokenizer(const StudySpec& spec, const Generated& generated, const std::string& folder) {
  data::BpeTrainer trainer({.vocab_size = spec.data.vocab});
  for (const StudyText& text : spec.data.text) {
    trainer.add(take_bytes(data::read_split(pack_options(spec, text, folder)), spec.data.tokenizer_bytes_each));
  }
  for (const auto& [name, documents] : generated) trainer.add(take_bytes(documents, spec.data.tokenizer_bytes_each));
  return trainer.finish();
}

// False: the split has no text.
bool write_held_out(const StudySpec& spec, const StudyText& text, const StudyFiles& files) {
  data::PackOptions options = pack_options(spec, text, files.folder);
  options.split = "held-out";
  const std::vector<std::string> documents = data::read_split(options);
  std::string lines;
  for (const std::string_view document : take_bytes(documents, text.held_out_bytes)) {
    lines += Json::object({{"text", document}}).dump() + "\n";
  }
  if (!lines.empty()) file_write_atomic(files.held_out_path(text.name), lines);
  return !lines.empty();
}

StudyShard shard_of(const std::string& name, double share, const data::PackResult& packed, bool held_out) {
  return {name, share, packed.meta.tokens, packed.meta.documents, packed.meta.bytes, held_out};
}

void check_interrupt() { interrupt_check("run the same command again: the data is generated from the start"); }

void pack_generated(const StudySpec& spec, const Generated& generated, const data::Tokenizer& tokenizer,
                    const std::string& folder, std::vector<StudyShard>& shards) {
  for (std::size_t t = 0; t < generated.size(); ++t) {
    const auto& [name, documents] = generated[t];
    const data::PackResult packed = data::pack_documents(documents, tokenizer, name, path_join(folder, name), true);
    shards.push_back(shard_of(name, spec.data.tasks[t].share, packed, false));
  }
}

StudyFiles make_files(const StudySpec& spec, const std::string& folder) {
  log_info("data: generating tasks, training the tokenizer, packing tokens");
  StudyFiles files;
  files.folder = folder;
  if (spec.tasks_by_seed()) {
    for (const i64 seed : spec.seeds) files.seeds.push_back({seed, {}});
  }
  Generated generated = make_generated(spec, spec.seeds.front(), files);
  const data::Tokenizer tokenizer = make_tokenizer(spec, generated, folder);
  files.vocab = tokenizer.vocab_size();
  tokenizer.save(files.tokenizer());
  for (const StudyText& text : spec.data.text) {
    check_interrupt();
    const data::PackResult packed = data::pack_corpus(pack_options(spec, text, folder), tokenizer);
    files.shards.push_back(shard_of(text.name, text.share, packed, write_held_out(spec, text, files)));
  }
  if (files.seeds.empty()) pack_generated(spec, generated, tokenizer, folder, files.shards);
  for (SeedShards& own : files.seeds) {
    check_interrupt();
    if (own.seed != spec.seeds.front()) generated = make_generated(spec, own.seed, files);
    pack_generated(spec, generated, tokenizer, files.task_folder(own.seed), own.shards);
  }
  return files;
}

// What decides the files, for data.json.
Json settings_of(const StudySpec& spec) {
  Json settings = spec.data.to_json();
  if (spec.tasks_by_seed()) settings.set("seeds", Json(Json::Array(spec.seeds.begin(), spec.seeds.end())));
  return settings;
}

// Of every text file that the study names.
Json text_digests(const StudySpec& spec) {
  Json digests = Json::object();
  for (const StudyText& text : spec.data.text) {
    for (const std::string& file : text.input) digests.set(file, content_digest({input_path(spec, file)}));
  }
  return digests;
}

bool complete(const StudyFiles& files) {
  std::vector<std::string> paths = {files.tokenizer()};
  for (const StudyShard& shard : files.shards) {
    if (shard.held_out) paths.push_back(files.held_out_path(shard.name));
  }
  const auto add_of_seed = [&](i64 seed) {
    for (const std::string& item : files.items) paths.push_back(files.item_path(item, seed));
    for (const data::MixtureSource& source : files.mixture(seed)) {
      paths.insert(paths.end(), {source.path + ".bin", source.path + ".idx"});
    }
  };
  for (const SeedShards& own : files.seeds) add_of_seed(own.seed);
  if (files.seeds.empty()) add_of_seed(0);
  return std::all_of(paths.begin(), paths.end(), file_exists);
}

// Whether the data of the folder is what the study would make now.
void check_made(const Json& made, const Json& settings, const Json& digests, const std::string& folder) {
  const Json* before = made.find("settings");
  if (before == nullptr || before->dump() != settings.dump()) {
    throw Error({.where = folder, .what = "the data in this folder was made with other settings", .fix = kNewFolder});
  }
  for (const auto& [file, digest] : digests.as_object()) {
    const std::string text = made.contains("text_digests") ? made.at("text_digests").get_string(file, "") : "";
    if (text == digest.as_string()) continue;
    throw Error({.where = file,
                 .what = "the text has changed since the data of this study was made",
                 .wanted = "content with digest " + text,
                 .got = digest.as_string(),
                 .fix = kNewFolder});
  }
}

}  // namespace

std::string StudyFiles::task_folder(i64 seed) const {
  return seeds.empty() ? folder : path_join(folder, fmt::format("seed-{}", seed));
}

std::vector<data::MixtureSource> StudyFiles::mixture(i64 seed, const std::map<std::string, double>& shares) const {
  std::vector<data::MixtureSource> sources;
  const auto add = [&](const StudyShard& shard, const std::string& of) {
    const auto own = shares.find(shard.name);
    const double share = own == shares.end() ? shard.share : own->second;
    if (share > 0) sources.push_back({shard.name, path_join(of, shard.name), share, -1});
  };
  for (const StudyShard& shard : this->shards) add(shard, folder);
  for (const SeedShards& own : seeds) {
    if (own.seed != seed) continue;
    for (const StudyShard& shard : own.shards) add(shard, task_folder(seed));
  }
  return sources;
}

Json StudyFiles::to_json(i64 tokens) const {
  std::vector<StudyShard> all = shards;
  if (!seeds.empty()) all.insert(all.end(), seeds.front().shards.begin(), seeds.front().shards.end());
  double sum = 0;
  for (const StudyShard& shard : all) sum += shard.share;
  Json rows = Json::array();
  for (const StudyShard& shard : all) {
    const double weight = shard.share / sum;
    rows.push_back(Json::object({{"source", shard.name},
                                 {"weight", weight},
                                 {"tokens_unique", shard.tokens},
                                 {"tokens_seen", weight * static_cast<double>(tokens)}}));
  }
  return rows;
}

void check_texts(const StudySpec& spec) {
  for (const StudyText& text : spec.data.text) {
    for (const std::string& file : text.input) input_path(spec, file);
  }
}

StudyFiles prepare_data(const StudySpec& spec, const std::string& folder) {
  folder_make(folder);
  const std::string stamp = path_join(folder, "data.json");
  const Json settings = settings_of(spec), digests = text_digests(spec);
  if (file_exists(stamp)) {
    const Json made = Json::parse_file(stamp);
    check_made(made, settings, digests, folder);
    StudyFiles files = records::fields_from_json_all<StudyFiles>(made, stamp, kNewFolder);
    files.folder = folder;
    if (complete(files)) return files;
    log_warning(fmt::format("{}: files are missing; the data is made again", folder));
  }
  const StudyFiles files = make_files(spec, folder);
  Json made = records::fields_to_json(files);
  made.set("settings", settings);
  made.set("text_digests", digests);
  file_write_atomic(stamp, made.dump(2));
  return files;
}

}  // namespace moebius::study
