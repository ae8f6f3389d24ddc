// One row of a task's file as an item: its templates, its choices, and the right one among them. In: a Variant and a row.
// Out: an EvalItem without description and few-shot examples. Not for rows of item files: item_file.h.
#pragma once

#include <string>
#include <vector>

#include "eval/task_items.h"

namespace moebius::eval {

// Whether the row has the fields of `require`, none of them null, an empty text or an empty list.
bool row_fits(const Variant& v, const Json& row);
// Throws MissingValue when the row has no value where the task needs one, Error for a value that does not fit the task.
EvalItem make_item(const Variant& v, const Json& row, i64 index, const std::string& where);

// The index of the choice that a label means: a number that counts from `base`, a boolean, a letter, or its text.
i64 label_index(const Json& label, const std::vector<std::string>& choices, i64 base, const std::string& where);
// The first choice with this text, white space around it aside; -1: none.
i64 choice_of_text(const std::string& text, const std::vector<std::string>& choices);
// The elements of a list as texts.
std::vector<std::string> texts_of(const Json& value, const std::string& where);

}  // namespace moebius::eval
