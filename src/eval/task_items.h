// From rows to items: prompts with their few-shot examples, choices, answers. In: a TaskSpec, a number of shots, a limit.
// Out: EvalItem, all text. Not for single rows: row_item.h, item_file.h; few-shot examples: few_shot.h; tokens: score.h.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "eval/task_spec.h"

namespace moebius::eval {

struct EvalItem {
  i64 index = 0;    // number of the row
  i64 variant = 0;  // of the task
  std::string id, grade;
  std::string where;    // file and row, for messages
  std::string skipped;  // why it cannot be scored: its row has no value where the task needs one
  std::string prompt;   // with description and examples
  std::vector<std::string> choices;
  std::vector<std::string> contexts;  // one prompt for each choice, all followed by `target`; empty: the choices follow
  i64 gold = -1;                      // index of the right choice
  std::vector<std::string> answers;   // accepted generated answers
  std::string text;                   // of rolling perplexity
  std::string target;                 // gold continuation, without the delimiter
  std::string answer_after;           // item files: in the target and in generated text, the answer follows this
  std::vector<std::pair<i64, i64>> step_results;  // bytes of `target` that state a step's result: first, and one after
  i64 tokens_max = 0;                             // > 0: limit of generated tokens for this item
  i64 bits_values = 0;                            // > 0: the item counts for knowledge bits, at most log2 of this
};

struct ItemsRequest {
  i64 shots = -1;  // -1: the task's
  i64 limit = 0;   // rows; 0: all. Item files: items of each grade
};

// An item whose row has no value where the task needs one is `skipped`. Throws Error with file and row for a value that
// does not fit the task, and when all items would be skipped.
std::vector<EvalItem> make_items(const TaskSpec& task, const ItemsRequest& request);

}  // namespace moebius::eval
