// From rows to items: prompts with their few-shot examples, choices, answers. In: a TaskSpec, a number of shots, a limit.
// Out: EvalItem, all text. Few-shot examples are drawn as lm-evaluation-harness draws them. Not for tokens: score.h.
#pragma once

#include <string>
#include <vector>

#include "eval/task_spec.h"

namespace moebius::eval {

struct EvalItem {
  i64 index = 0;  // number of the row
  std::string id, grade, where;
  std::string prompt;  // with description and examples
  std::vector<std::string> choices;
  i64 gold = -1;                     // index of the right choice
  std::vector<std::string> answers;  // accepted generated answers
  std::string target;                // gold continuation, without the delimiter
  std::string answer_after;          // item files: in the target and in generated text, the answer stands after this
  i64 tokens_max = 0;                // > 0: generate at most so many tokens for this item
  i64 bits_values = 0;               // > 0: counts for knowledge bits, log2 of this is known when all is
};

struct ItemsRequest {
  i64 shots = -1;  // -1: as the task says
  i64 limit = 0;   // rows; 0: all. Item files: items of each grade
};

// Throws Error with file and line for a row that does not fit the task.
std::vector<EvalItem> make_items(const TaskSpec& task, const ItemsRequest& request);

// The rows of a JSON-lines file or JSON array, also packed.
std::vector<Json> read_rows(const std::string& path);

}  // namespace moebius::eval
