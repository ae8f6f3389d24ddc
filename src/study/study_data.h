// The data of a study, made once and shared by its runs: a tokenizer trained on the mixture, token shards, evaluation
// items of the generated tasks, held-out text. In: StudyData. Out: files under FOLDER. Refuses a
// folder whose data was made with other settings or from other text.
#pragma once

#include <string>
#include <vector>

#include "data/mixture.h"
#include "study/study_file.h"

namespace moebius::study {

struct StudyShard {
  std::string name;
  std::string prefix;
  double share = 0;
  i64 tokens = 0;  // in the shard
  i64 documents = 0;
  i64 bytes = 0;
  std::string held_out;  // text file (JSON lines) for the held-out loss; empty: none
};

struct StudyFiles {
  std::string tokenizer;  // tokenizer.json
  std::vector<StudyShard> shards;
  std::vector<std::string> items;  // item files of the generated tasks
  i64 vocab = 0;                   // tokens the tokenizer has

  std::vector<data::MixtureSource> mixture() const;
  // The rows of study.json's "data": weights, sizes, number of passes for `tokens`.
  Json to_json(i64 tokens) const;
};

// Makes what is missing under `folder`. Throws Error when files there were made with other settings.
StudyFiles prepare_data(const StudySpec& spec, const std::string& folder);

}  // namespace moebius::study
