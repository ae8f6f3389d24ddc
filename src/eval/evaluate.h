// Evaluation of a model: held-out loss per source and scores per task, as records of type `eval` (docs/formats.md).
// Used by the stage, by training at chosen steps and by studies. In: an engine, a tokenizer, options. Out: records, and one
// line per item in ITEMS_FOLDER/TASK.jsonl. Not for training.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"
#include "eval/held_out.h"
#include "eval/task.h"

namespace moebius::eval {

struct EvalOptions {
  std::vector<std::string> tasks;  // names, or paths of .toml or item files
  std::vector<std::string> task_folders = {"corpora/eval"};
  i64 shots = -1;                         // examples before each question; -1: the task's
  i64 limit = 0;                          // rows of each task (items of each grade); 0: all
  std::vector<std::string> loss_sources;  // NAME=PATH
  std::string loss_field = "text";        // of loss_sources that are JSON lines
  std::vector<LossSource> sources;        // further ones, from a program; no flag
  i64 loss_tokens = 0;                    // of each source; 0: all
  i64 loss_window = 0;
  bool loss_prefix = false;
  std::string loss_form;              // of the tasks: as-published, with-separator; empty: the task's
  std::vector<std::string> measures;  // of kMeasures; empty: the task's
  i64 positions_max = 0;              // 0: the model's
  i64 rows_max = 4096;                // tokens of one pass
  i64 sequences_max = 64;             // generated at a time
  std::string items_folder;           // empty: no item records
};
void describe(EvalOptions& options, OptionList& list);

// Reads tasks and held-out text once; run() may be called many times (during training).
class Evaluator {
 public:
  // Throws Error for unknown or repeated tasks and sources, broken files, unknown measures.
  Evaluator(const data::Tokenizer& tokenizer, EvalOptions options);
  // One record of type `eval` for each source, and for each task and grade. Records have no "type" and "time":
  // records::RecordWriter::write("eval", record) adds them.
  std::vector<Json> run(const infer::Engine& engine, i64 step, i64 tokens) const;
  // What run() will do: items of each task, tokens of each source.
  Json counts() const;

 private:
  struct Loaded {
    TaskSpec spec;
    std::vector<EvalItem> items;
  };
  void check_names() const;
  std::vector<Json> run_task(const Loaded& loaded, const TaskContext& context, i64 step, i64 tokens) const;
  void write_items(const Loaded& loaded, const std::vector<ItemScores>& scores, i64 step) const;
  void write_documents(const std::string& source, const LossResult& result, i64 step) const;

  data::Tokenizer tokenizer_;
  EvalOptions options_;
  std::vector<Loaded> tasks_;
  std::vector<LossDocuments> sources_;
};

// The records as a table for the terminal.
std::string format_records(const std::vector<Json>& records);

}  // namespace moebius::eval
