// The data of a study, made once: a tokenizer trained on the mixture of the first seed, token shards, evaluation items of
// the generated tasks, held-out text. All runs share it, except for the generated tasks of a study that varies them: each
// seed has its own. In: StudySpec. Out: files under FOLDER. Refuses a folder whose data was made with other settings or
// from other text.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/mixture.h"
#include "records/fields.h"
#include "study/study_file.h"

namespace moebius::study {

struct StudyShard {
  std::string name;
  double share = 0;
  i64 tokens = 0, documents = 0, bytes = 0;  // in the shard
  bool held_out = false;                     // there is text for the held-out loss
  void visit(records::Fields& f) {
    f("name", name)("share", share)("tokens", tokens)("documents", documents)("bytes", bytes)("held_out", held_out);
  }
};

// The shards of one seed's own generated tasks.
struct SeedShards {
  i64 seed = 0;
  std::vector<StudyShard> shards;
  void visit(records::Fields& f) { f("seed", seed)("shards", shards); }
};

// Names within one folder, so that a study may be moved.
struct StudyFiles {
  std::string folder;
  i64 vocab = 0;                   // tokens the tokenizer has
  std::vector<std::string> items;  // item files of the generated tasks
  std::vector<StudyShard> shards;  // of all seeds
  std::vector<SeedShards> seeds;   // empty: all seeds share the generated tasks

  void visit(records::Fields& f) {  // all but the folder
    f("vocab", vocab)("items", items)("shards", shards)("seeds", seeds);
  }
  std::string tokenizer() const { return path_join(folder, "tokenizer.json"); }
  // Of the generated tasks of a seed.
  std::string task_folder(i64 seed) const;
  std::string item_path(const std::string& name, i64 seed) const {
    return path_join(task_folder(seed), "items/" + name);
  }
  std::string held_out_path(const std::string& name) const { return path_join(folder, name + ".held-out.jsonl"); }
  // `shares`: those that differ from the study's; a source with a share of 0 is left out.
  std::vector<data::MixtureSource> mixture(i64 seed, const std::map<std::string, double>& shares = {}) const;
  // The rows of study.json's "data": weights, sizes (of the first seed), number of passes for `tokens`.
  Json to_json(i64 tokens) const;
};

// Throws Error when a text file of the study is missing.
void check_texts(const StudySpec& spec);

// Makes what is missing under `folder`. Throws Error when files there were made with other settings.
StudyFiles prepare_data(const StudySpec& spec, const std::string& folder);

}  // namespace moebius::study
