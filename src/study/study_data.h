// The data of a study, made once and shared by its runs: a tokenizer trained on the mixture, token shards, evaluation
// items of the generated tasks, held-out text. In: StudyData. Out: files under FOLDER. Refuses a
// folder whose data was made with other settings or from other text.
#pragma once

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

// Names within one folder, so that a study may be moved.
struct StudyFiles {
  std::string folder;
  i64 vocab = 0;                   // tokens the tokenizer has
  std::vector<std::string> items;  // item files of the generated tasks
  std::vector<StudyShard> shards;

  void visit(records::Fields& f) { f("vocab", vocab)("items", items)("shards", shards); }  // all but the folder
  std::string tokenizer() const { return path_join(folder, "tokenizer.json"); }
  std::string item_path(const std::string& name) const { return path_join(folder, "items/" + name); }
  std::string held_out_path(const std::string& name) const { return path_join(folder, name + ".held-out.jsonl"); }
  std::vector<data::MixtureSource> mixture() const;
  // The rows of study.json's "data": weights, sizes, number of passes for `tokens`.
  Json to_json(i64 tokens) const;
};

// Makes what is missing under `folder`. Throws Error when files there were made with other settings.
StudyFiles prepare_data(const StudySpec& spec, const std::string& folder);

}  // namespace moebius::study
