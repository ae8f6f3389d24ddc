// Files of generated items (docs/formats.md, "Evaluation items"): every row is an item already. In: a TaskSpec of such a
// file. Out: its items. Not for rows that templates turn into items: row_item.h.
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "eval/task_items.h"

namespace moebius::eval {

// At most `limit` items of each grade (0: all). `first` receives the reason of the first item that is skipped.
std::vector<EvalItem> read_items(const TaskSpec& task, i64 limit, std::optional<ErrorParts>& first);

}  // namespace moebius::eval
