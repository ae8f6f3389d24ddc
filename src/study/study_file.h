// A study as its TOML file describes it: models, data, budget, seeds, learning rates, evaluations, hypotheses. In:
// studies/NAME.toml or a path. Out: StudySpec, every key checked. Not for derived numbers: study_plan.h.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/generated_tasks.h"

namespace moebius::study {

// One corpus of real text: files relative to the study's file or to the source tree.
struct StudyText {
  std::string name;
  std::vector<std::string> input;
  std::string field = "text";
  std::string format = "auto";     // of the input: data::document_format_parse()
  double share = 0;                // of the training tokens
  double held_out_bytes = 200000;  // text scored for the held-out loss
};

struct StudyTask {
  data::GeneratedFamily family;
  double share = 0;  // of the training tokens
};

// The mixture that all runs of a seed see, in the same order.
struct StudyData {
  i64 sequence = 128;
  i64 vocab = 1024;
  i64 seed = 1;                         // order of the data, of the first seed
  double tokenizer_bytes_each = 1.5e6;  // text of each source that the tokenizer is trained on
  std::vector<StudyText> text;
  std::vector<StudyTask> tasks;  // generated
  bool attend_across_documents = false;
  Json to_json() const;
};

// One configuration: a name and what differs from the study's [model], [train] and [data] tables.
struct StudyModel {
  std::string name;
  Json overrides = Json::object();
  bool essential = true;  // never left out to save time
  Json train = Json::object();
  std::map<std::string, double> shares = {};  // of sources, by name
};

// How learning rates are chosen: one value with its source, or a sweep at some models of each width, the others by
// interpolation (study_rates.h).
struct StudyLearningRate {
  double value = 0;           // > 0: this one for all
  std::string source;         // why
  std::vector<double> sweep;  // three values or so
  i64 sweep_tokens = 0;       // tokens of a trial; 0: a fifth of the budget
};

struct StudyEvaluate {
  std::vector<std::string> tasks;  // names of eval tasks in addition to the generated ones
  i64 items_max = 0;               // of each task and grade; 0: all
  std::vector<double> at = {1.0};  // fractions of the budget at which runs are evaluated; 0: untrained
  i64 batch_tokens = 8192;
};

// Several token budgets from one trunk; empty: none.
struct StudyBranches {
  std::vector<double> at;  // shares of the study's tokens at which a decay begins, rising
};

struct StudySpec {
  std::string name, title, question;
  i64 tokens = 0;  // of each run
  std::vector<i64> seeds = {1};
  std::vector<std::string> vary = {"init", "order", "tasks"};  // what differs between seeds
  double minutes = 0;  // limit that seeds, tokens and models are fitted to (study_fit.h); 0: none
  Json model = Json::object();
  std::vector<StudyModel> models;
  StudyData data;
  Json train = Json::object();
  StudyLearningRate learning_rate;
  StudyEvaluate evaluate;
  StudyBranches branches;
  Json hypotheses = Json::array();
  Json notes = Json::array();
  std::string path;  // of the file

  bool varies(const std::string& part) const { return std::find(vary.begin(), vary.end(), part) != vary.end(); }
  // Several seeds, each with its own generated tasks.
  bool tasks_by_seed() const { return varies("tasks") && seeds.size() > 1 && !data.tasks.empty(); }
  // What the seed of a run means: the first seed of the study has the seeds of [data] as they are.
  i64 seed_init(i64 seed) const { return varies("init") ? seed : seeds.front(); }
  i64 seed_data(i64 seed) const { return data.seed + (varies("order") ? seed - seeds.front() : 0); }
  i64 seed_task(const StudyTask& task, i64 seed) const {
    return *task.family.seed + (tasks_by_seed() ? seed - seeds.front() : 0);
  }
};

// `name_or_path`: "quick" finds studies/quick.toml in the source tree. Throws Error for unknown keys (with the nearest),
// missing tables, shares that are not positive, a grid without models, unknown evaluation tasks.
StudySpec study_load(const std::string& name_or_path);
std::vector<std::string> study_names();
// The source tree that the program was built from, which contains corpora/ and studies/.
std::string study_source_folder();
std::string study_task_folder();  // of the shipped evaluation tasks

}  // namespace moebius::study
