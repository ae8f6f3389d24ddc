// Keys of an item, and what they must agree on.
#include "eval/item_file.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "data/reader.h"
#include "eval/row_item.h"
#include "eval/template.h"

namespace moebius::eval {

namespace {

std::string without_space(const std::string& text) { return text.starts_with(' ') ? text.substr(1) : text; }

// A text of an item, numbers as text; empty when the key is missing or null.
std::string text_at(const Json& row, const std::string& key, const std::string& where) {
  const Json* value = row.find(key);
  if (value == nullptr || value->is_null()) return "";
  if (value->is_string() || value->is_number()) return value_text(*value);
  throw Error({.where = where, .what = fmt::format("'{}' is not a text", key), .got = value->dump().substr(0, 100)});
}

// A count of an item; 0 when the key is missing or null.
i64 count_at(const Json& row, const std::string& key, i64 most, const std::string& where) {
  const Json* value = row.find(key);
  if (value == nullptr || value->is_null()) return 0;
  if (value->is_number() && value->as_double() >= 0 && value->as_double() <= static_cast<double>(most) &&
      value->as_double() == std::floor(value->as_double())) {
    return value->as_int();
  }
  throw Error({.where = where,
               .what = fmt::format("'{}' is out of range", key),
               .wanted = fmt::format("a whole number from 0 to {}", most),
               .got = value->dump().substr(0, 100)});
}

// The index of the right choice, by answer_index or by the answer's text; -1 for an item without choices.
i64 gold_of(const Json& row, const std::vector<std::string>& choices, const std::string& answer,
            const std::string& where) {
  const Json* label = row.find("answer_index");
  if (label != nullptr && label->is_null()) label = nullptr;
  if (choices.empty()) {
    if (label != nullptr) throw Error({.where = where, .what = "answer_index is given, but no choices"});
    return -1;
  }
  const i64 by_answer = answer.empty() ? -1 : choice_of_text(stripped(answer), choices);
  if (label == nullptr && by_answer < 0) {
    const ErrorParts fault = {.where = where,
                              .what = answer.empty() ? "answer_index is missing" : "the answer is none of the choices",
                              .got = answer,
                              .fix = "add answer_index, the number of the right choice from 0"};
    if (answer.empty()) throw MissingValue(fault);
    throw Error(fault);
  }
  const i64 gold = label == nullptr ? by_answer : label_index(*label, choices, 0, where);
  const std::string& right = choices[static_cast<std::size_t>(gold)];
  if (!answer.empty() && stripped(answer) != stripped(right)) {
    throw Error({.where = where,
                 .what = "answer and answer_index contradict each other",
                 .wanted = fmt::format("answer '{}'", right),
                 .got = answer});
  }
  return gold;
}

// Byte ranges of `target`, in rising order. `shift`: what was cut from the front of the solution that they refer to.
std::vector<std::pair<i64, i64>> step_results_of(const Json& row, i64 shift, i64 bytes, const std::string& where) {
  std::vector<std::pair<i64, i64>> results;
  const Json* ranges = row.find("step_results");
  if (ranges == nullptr) return results;
  const auto fail = [&] {
    throw Error({.where = where,
                 .what = "'step_results' does not fit the solution",
                 .wanted = "[[first byte, byte after the last], ...] within the solution, in rising order",
                 .got = ranges->dump().substr(0, 100)});
  };
  if (!ranges->is_array()) fail();
  i64 before = 0;
  for (const Json& range : ranges->as_array()) {
    if (!range.is_array() || range.as_array().size() != 2 || !range.as_array()[0].is_int() ||
        !range.as_array()[1].is_int())
      fail();
    const i64 begin = range.as_array()[0].as_int() - shift, end = range.as_array()[1].as_int() - shift;
    if (begin < before || end <= begin || end > bytes) fail();
    results.emplace_back(begin, end);
    before = end;
  }
  return results;
}

void read_values(const Json& row, const std::string& where, EvalItem& item) {
  item.prompt = text_at(row, "prompt", where);
  if (item.prompt.empty()) throw MissingValue({.where = where, .what = "the prompt is missing or empty"});
  if (const Json* choices = row.find("choices")) {
    for (const std::string& choice : texts_of(*choices, where)) item.choices.push_back(without_space(choice));
  }
  const std::string answer = text_at(row, "answer", where);
  if (!answer.empty()) item.answers = {answer};
  item.gold = gold_of(row, item.choices, answer, where);
  if (const Json* answers = row.find("answers")) item.answers = texts_of(*answers, where);
  item.answer_after = text_at(row, "answer_after", where);
  item.target = item.gold >= 0         ? item.choices[static_cast<std::size_t>(item.gold)]
                : item.answers.empty() ? ""
                                       : item.answers[0];
  const std::string written = text_at(row, "solution", where), solution = without_space(written);
  if (!solution.empty()) item.target = solution + " " + item.target;
  item.step_results = step_results_of(row, static_cast<i64>(written.size() - solution.size()),
                                      static_cast<i64>(solution.size()), where);
  if (item.target.empty()) throw MissingValue({.where = where, .what = "the item has no answer"});
  item.tokens_max = count_at(row, "tokens_max", 1 << 20, where);
  item.bits_values = count_at(row, "bits_values", i64{1} << 40, where);
}

EvalItem read_item(const Json& row, i64 index, const std::string& where, std::optional<ErrorParts>& first) {
  EvalItem item;
  item.index = index;
  item.where = where;
  item.id = row.contains("id") ? value_text(row.at("id")) : std::to_string(index);
  item.grade = text_at(row, "grade", where);
  try {
    read_values(row, where, item);
  } catch (const MissingValue& e) {
    if (!first) first = e.parts();
    item.skipped = e.parts().what;
  }
  return item;
}

}  // namespace

std::vector<EvalItem> read_items(const TaskSpec& task, i64 limit, std::optional<ErrorParts>& first) {
  std::vector<EvalItem> items;
  std::map<std::string, i64> of_grade;
  for (const std::string& file : task.files) {
    const std::vector<Json> rows = data::read_rows(file);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EvalItem item =
          read_item(rows[i], static_cast<i64>(items.size()), fmt::format("{}, item {}", file, i + 1), first);
      if (limit == 0 || ++of_grade[item.grade] <= limit) items.push_back(std::move(item));
    }
  }
  return items;
}

}  // namespace moebius::eval
