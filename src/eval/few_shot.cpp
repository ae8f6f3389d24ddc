// The pool of examples and their draw.
#include "eval/few_shot.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "data/reader.h"
#include "eval/row_item.h"
#include "eval/template.h"

namespace moebius::eval {

namespace {

// The text with its runs of white space as one blank each, and none at its ends.
std::string squeezed(const std::string& text) {
  std::string out;
  for (const char c : stripped(text)) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!space || out.empty() || out.back() != ' ') out += space ? ' ' : c;
  }
  return out;
}

// Whether `row` can be an example; a fault of another kind is found when it becomes one.
bool has_values(const Variant& v, const Json& row) {
  try {
    return !make_item(v, row, 0, "").target.empty();
  } catch (const MissingValue&) {
    return false;
  } catch (const Error&) {
    return true;
  }
}

// The same question with the same answer, white space aside.
bool same_item(const EvalItem& a, const EvalItem& b) {
  return squeezed(a.prompt) == squeezed(b.prompt) && squeezed(a.target) == squeezed(b.target);
}

}  // namespace

FewShotExamples::FewShotExamples(const TaskSpec& task, const Variant& variant, i64 shots,
                                 const std::vector<Json>& own_rows)
    : task_(task),
      variant_(variant),
      example_variant_(variant.example ? *variant.example : variant),
      shots_(shots),
      random_(static_cast<u32>(task.few_shot.seed)) {
  if (shots == 0) return;
  own_ = task.few_shot.file.empty();
  rows_ = own_ ? own_rows : data::read_rows(task.few_shot.file);
  std::erase_if(
      rows_, [&](const Json& row) { return !row_fits(example_variant_, row) || !has_values(example_variant_, row); });
  examples_.resize(rows_.size());
  if (static_cast<i64>(rows_.size()) < shots + (own_ ? 1 : 0)) too_few(static_cast<i64>(rows_.size()));
}

std::string FewShotExamples::text_for(const EvalItem& item, const Json& row) {
  std::string text;
  if (shots_ == 0) return text;
  for (const i64 i : choose(item, row)) {
    const EvalItem& example = example_at(i).item;
    text += example.prompt + task_.few_shot.delimiter.value_or(task_.delimiter) + example.target;
    text += task_.few_shot.separator;
  }
  return text;
}

void FewShotExamples::too_few(i64 got) const {
  throw Error(
      {.where = own_ ? task_.path : task_.few_shot.file,
       .what = "too few rows for the few-shot examples, which must differ from the item",
       .wanted = fmt::format("{} rows", shots_ + (own_ ? 1 : 0)),
       .got = fmt::format("{}", got),
       .fix = fmt::format("lower the number of shots to {} (--shots)", std::max<i64>(0, got - (own_ ? 1 : 0)))});
}

FewShotExamples::Example& FewShotExamples::example_at(i64 i) {
  std::optional<Example>& example = examples_[static_cast<std::size_t>(i)];
  if (example) return *example;
  const Json& row = rows_[static_cast<std::size_t>(i)];
  const std::string where = fmt::format("{}, few-shot example {}", own_ ? task_.path : task_.few_shot.file, i + 1);
  example = Example{make_item(example_variant_, row, i, where), {}};
  if (variant_.example) {
    try {
      example->as_item = make_item(variant_, row, i, where);
    } catch (const Error&) {}  // a row of another form
  }
  return *example;
}

bool FewShotExamples::equals(i64 i, const EvalItem& item, const Json& row) {
  if (rows_[static_cast<std::size_t>(i)] == row) return true;
  const Example& example = example_at(i);
  return same_item(example.item, item) || (example.as_item && same_item(*example.as_item, item));
}

std::vector<i64> FewShotExamples::choose(const EvalItem& item, const Json& row) {
  std::vector<i64> chosen;
  const auto count = static_cast<i64>(rows_.size());
  if (task_.few_shot.draw == "first") {
    for (i64 i = 0; i < count && static_cast<i64>(chosen.size()) < shots_; ++i) {
      if (!equals(i, item, row)) chosen.push_back(i);
    }
    if (static_cast<i64>(chosen.size()) < shots_) too_few(static_cast<i64>(chosen.size()));
    return chosen;
  }
  // As the harness: from the task's own rows one more is drawn, and the item itself is dropped.
  for (const i64 i : random_.sample(count, shots_ + (own_ ? 1 : 0))) {
    if (!equals(i, item, row)) chosen.push_back(i);
  }
  if (static_cast<i64>(chosen.size()) < shots_) {  // rows that equal the item were drawn: draw among the others
    std::vector<i64> others;
    for (i64 i = 0; i < count; ++i) {
      if (!equals(i, item, row)) others.push_back(i);
    }
    if (static_cast<i64>(others.size()) < shots_) too_few(static_cast<i64>(others.size()));
    chosen.clear();
    for (const i64 i : random_.sample(static_cast<i64>(others.size()), shots_))
      chosen.push_back(others[static_cast<std::size_t>(i)]);
  }
  chosen.resize(static_cast<std::size_t>(shots_));
  return chosen;
}

}  // namespace moebius::eval
