// Few-shot examples of a task's items, drawn as in lm-evaluation-harness (ContextSampler). In: the rows of the task or of
// [few_shot] file. Out: the text before an item's prompt. An example never equals the item, whatever file it is from.
// Not for the description, which precedes the examples: task_items.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/python_random.h"
#include "eval/task_items.h"

namespace moebius::eval {

class FewShotExamples {
 public:
  // `own_rows`: of the task's own files. Throws Error when there are too few rows.
  FewShotExamples(const TaskSpec& task, const Variant& variant, i64 shots, const std::vector<Json>& own_rows);
  // The examples of `item`, which `row` became; the item has no description and no examples yet. Draws advance one
  // generator, so the order of calls matters.
  std::string text_for(const EvalItem& item, const Json& row);

 private:
  struct Example {
    EvalItem item;                    // by the template of the examples
    std::optional<EvalItem> as_item;  // by the task's template, where that is another one and fits the row
  };
  [[noreturn]] void too_few(i64 got) const;
  Example& example_at(i64 i);
  bool equals(i64 i, const EvalItem& item, const Json& row);
  std::vector<i64> choose(const EvalItem& item, const Json& row);

  const TaskSpec& task_;
  const Variant& variant_;
  const Variant& example_variant_;
  i64 shots_;
  bool own_ = false;  // the examples are from the task's own files
  PythonRandom random_;
  std::vector<Json> rows_;
  std::vector<std::optional<Example>> examples_;  // of rows_, made when first needed
};

}  // namespace moebius::eval
