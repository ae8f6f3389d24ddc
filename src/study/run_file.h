// A run file: all that one process of a study has to know, written by the study and read by the process that it starts
// (`moebius study --run-file FILE`). In, out: RunFile and its JSON (docs/formats.md). Not for what users write: study_file.h.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "eval/evaluate.h"
#include "model/config.h"
#include "records/fields.h"
#include "train/options.h"

namespace moebius::study {

// The word before the file on the command line; it is no option that users give.
inline constexpr const char* kRunFileWord = "--run-file";

struct RunFile {
  std::string name;              // of the run
  train::TrainOptions training;  // with out, tokenizer and sources
  model::ModelConfig config;
  std::vector<i64> branch_steps;  // as in train::TrainHooks
  std::string branch_from;
  std::vector<i64> evaluation_steps;  // empty: no evaluation
  eval::EvalOptions evaluation;
  bool timed = false;  // nothing is trained: a few steps and a part of the evaluation are timed
  i64 threads = 1;
  std::string isa;               // instruction set of the kernels
  std::string log = "info";      // lowest level of messages to print
  bool shares_terminal = false;  // other runs print there too

  Json to_json() const;
  // Throws Error that names the file and the key.
  static RunFile read(const std::string& path);
};

// The process of one run: trains it, or times it, and prints its answer (base/children.h). Returns the exit code.
int run_file_main(const std::string& path);

// What a timed run answers. Seconds are those of one token, of one whole evaluation, and of all else in the process.
struct ShapeTime {
  double token_seconds = 0, evaluation_seconds = 0, start_seconds = 0;
  void visit(records::Fields& f) {
    f("token_seconds", token_seconds)("evaluation_seconds", evaluation_seconds)("start_seconds", start_seconds);
  }
};

}  // namespace moebius::study
