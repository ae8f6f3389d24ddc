// Rows, templates, few-shot examples.
#include "eval/task_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "data/reader.h"
#include "eval/python_random.h"

namespace moebius::eval {

namespace {

[[noreturn]] void label_error(const std::string& what, const Json& label, std::size_t choices,
                              const std::string& where) {
  throw Error({.where = where,
               .what = what,
               .wanted = fmt::format("a number from 0 to {}, a letter from A, or the text of a choice", choices - 1),
               .got = label.dump().substr(0, 100)});
}

// The first choice with this text, white space around it aside; -1: none.
i64 choice_of_text(const std::string& text, const std::vector<std::string>& choices) {
  for (std::size_t c = 0; c < choices.size(); ++c) {
    if (stripped(choices[c]) == text) return static_cast<i64>(c);
  }
  return -1;
}

// The index that a label's text means: the text of a choice, a letter, or digits; -1: none of these.
i64 index_of_text(const Json& label, const std::vector<std::string>& choices, const std::string& where) {
  const std::string text = stripped(label.as_string());
  const i64 by_text = choice_of_text(text, choices);
  i64 by_sign = -1;
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
  if (!text.empty() && text.size() < 6 && digits) by_sign = std::stoll(text);
  if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z') by_sign = text[0] - 'A';
  if (text.size() == 1 && text[0] >= 'a' && text[0] <= 'z') by_sign = text[0] - 'a';
  if (by_sign >= static_cast<i64>(choices.size())) by_sign = -1;
  if (by_text >= 0 && by_sign >= 0 && by_text != by_sign) {
    label_error(fmt::format("the label is the text of choice {} and the {} of choice {}", by_text,
                            digits ? "number" : "letter", by_sign),
                label, choices.size(), where);
  }
  return by_text >= 0 ? by_text : by_sign;
}

// The choice that means true (or false); without one, false is the first of two choices and true the second.
i64 index_of_bool(bool label, const std::vector<std::string>& choices) {
  for (std::size_t c = 0; c < choices.size(); ++c) {
    const std::string text = lower_case(stripped(choices[c]));
    if (text == (label ? "true" : "false") || text == (label ? "yes" : "no")) return static_cast<i64>(c);
  }
  return choices.size() != 2 ? -1 : label ? 1 : 0;
}

i64 label_index(const Json& label, const std::vector<std::string>& choices, const std::string& where) {
  const auto count = static_cast<i64>(choices.size());
  i64 index = -1;
  if (label.is_bool()) index = index_of_bool(label.as_bool(), choices);
  if (label.is_number() && label.as_double() == std::floor(label.as_double())) {
    // Compared as a double first: a number beyond 2^63 must not wrap.
    if (label.as_double() >= 0 && label.as_double() < static_cast<double>(count)) index = label.as_int();
  }
  if (label.is_string()) index = index_of_text(label, choices, where);
  if (index < 0 || index >= count) label_error("the label is none of the choices", label, choices.size(), where);
  return index;
}

std::vector<std::string> texts_of(const Json& value, const std::string& where) {
  if (value.is_null()) throw MissingValue({.where = where, .what = "a list of texts is null"});
  if (!value.is_array()) {
    throw Error({.where = where,
                 .what = "not a list of texts",
                 .got = value.dump().substr(0, 100),
                 .fix = value.is_object() ? "name the inner field that has the list: {field.inner}" : ""});
  }
  std::vector<std::string> texts;
  for (const Json& v : value.as_array()) {
    const ErrorParts fault = {.where = where,
                              .what = fmt::format("element {} of a list of texts is not a text", texts.size()),
                              .got = v.dump().substr(0, 100)};
    if (v.is_null()) throw MissingValue(fault);
    if (v.is_array() || v.is_object()) throw Error(fault);
    texts.push_back(value_text(v));
  }
  return texts;
}

bool row_fits(const Variant& v, const Json& row) {
  for (const std::string& field : v.require) {
    const Json* value = row.find(field);
    if (value == nullptr || value->is_null() || (value->is_string() && value->as_string().empty())) return false;
  }
  return true;
}

// An item without description and examples.
EvalItem make_item(const Variant& v, const Json& row, i64 index, const std::string& where) {
  EvalItem item;
  item.index = index;
  item.where = where;
  if (const Json* id = row.find("id")) item.id = value_text(*id);
  item.grade = render_text(v.grade, row, where);
  item.prompt = render_text(v.prompt, row, where);
  for (const std::string& pattern : v.answers) {
    const Json value = render(pattern, row, where);
    if (value.is_array()) {
      for (std::string& one : texts_of(value, where)) item.answers.push_back(std::move(one));
    } else {
      item.answers.push_back(value_text(value));
    }
  }
  if (v.choices.is_string()) item.choices = texts_of(render(v.choices.as_string(), row, where), where);
  if (v.choices.is_array()) {
    for (const Json& pattern : v.choices.as_array())
      item.choices.push_back(render_text(pattern.as_string(), row, where));
  }
  if (!v.choices.is_null() && item.choices.empty())
    throw MissingValue({.where = where, .what = "the list of choices is empty"});
  if (!item.choices.empty()) item.gold = label_index(render(v.answer_index, row, where), item.choices, where);
  if (!v.target.empty()) {
    item.target = render_text(v.target, row, where);
  } else if (item.gold >= 0) {
    item.target = item.choices[static_cast<std::size_t>(item.gold)];
  } else if (!item.answers.empty()) {
    item.target = item.answers[0];
  }
  if (item.answers.empty() && item.gold >= 0) item.answers = {item.target};
  return item;
}

void check_answer(const TaskSpec& task, const Variant& v, const EvalItem& item) {
  if ((task.generate || v.choices_drawn > 0) && item.answers.empty()) {
    throw MissingValue({.where = item.where, .what = "the list of accepted answers is empty"});
  }
  if (task.loss && item.target.empty()) {
    throw MissingValue({.where = item.where,
                        .what = "the answer is empty, so it has no loss",
                        .fix = "require = [\"FIELD\"] in the task skips such rows"});
  }
}

// make_item() and check_answer(), with a skipped item where the row has no value that the task needs. `first`: the first reason.
EvalItem make_item_or_skip(const TaskSpec& task, const Variant& v, const Json& row, i64 index, const std::string& where,
                           std::optional<ErrorParts>& first) {
  try {
    EvalItem item = make_item(v, row, index, where);
    check_answer(task, v, item);
    return item;
  } catch (const MissingValue& e) {
    if (!first) first = e.parts();
    EvalItem item;
    item.index = index;
    item.where = where;
    item.skipped = e.parts().what;
    if (const Json* id = row.find("id")) item.id = value_text(*id);
    return item;
  }
}

// Whether `row` can be an example; a fault of another kind is found when it becomes one.
bool has_values(const Variant& v, const Json& row) {
  try {
    make_item(v, row, 0, "");
  } catch (const MissingValue&) {
    return false;
  } catch (const Error&) {}
  return true;
}

// Wrong choices from the other rows' answers, in an order that depends only on the row's number.
void draw_choices(std::vector<EvalItem>& items, i64 count) {
  std::set<std::string> distinct;
  for (const EvalItem& item : items) distinct.insert(item.answers.at(0));
  const std::vector<std::string> pool(distinct.begin(), distinct.end());
  for (EvalItem& item : items) {
    Rng rng(1, RngStream::few_shot, static_cast<u64>(item.index));
    std::set<std::string> chosen = {item.answers[0]};
    while (static_cast<i64>(chosen.size()) < std::min<i64>(count, static_cast<i64>(pool.size()))) {
      chosen.insert(pool[static_cast<std::size_t>(rng.next_below(pool.size()))]);
    }
    const std::vector<std::string> sorted(chosen.begin(), chosen.end());
    std::vector<i64> order(sorted.size());
    rng_shuffle(rng, order.data(), static_cast<i64>(order.size()));
    for (const i64 i : order) item.choices.push_back(sorted[static_cast<std::size_t>(i)]);
    item.gold = std::find(item.choices.begin(), item.choices.end(), item.answers[0]) - item.choices.begin();
  }
}

// The text with its runs of white space as one blank each, and none at its ends.
std::string squeezed(const std::string& text) {
  std::string out;
  for (const char c : stripped(text)) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!space || out.empty() || out.back() != ' ') out += space ? ' ' : c;
  }
  return out;
}

// The pool of examples, and their draw for one item after the other (lm-evaluation-harness, ContextSampler).
class Examples {
 public:
  Examples(const TaskSpec& task, const Variant& variant, i64 shots, const std::vector<Json>& own_rows)
      : task_(task), variant_(variant), shots_(shots), random_(static_cast<u32>(task.few_shot.seed)) {
    if (shots == 0) return;
    own_ = task.few_shot.file.empty();
    rows_ = own_ ? own_rows : data::read_rows(task.few_shot.file);
    std::erase_if(rows_, [&](const Json& row) { return !row_fits(variant, row) || !has_values(variant, row); });
    examples_.resize(rows_.size());
    if (static_cast<i64>(rows_.size()) < shots + (own_ ? 1 : 0)) too_few(static_cast<i64>(rows_.size()));
  }

  // The examples of `item`, which `row` became; the item has no description and no examples yet.
  std::string text_for(const EvalItem& item, const Json& row) {
    std::string text;
    if (shots_ == 0) return text;
    for (const i64 i : choose(item, row)) {
      const EvalItem& example = example_at(i);
      text += example.prompt + task_.delimiter + example.target + task_.few_shot.separator;
    }
    return text;
  }

 private:
  [[noreturn]] void too_few(i64 got) const {
    throw Error(
        {.where = own_ ? task_.path : task_.few_shot.file,
         .what = "too few rows for the few-shot examples, which must differ from the item",
         .wanted = fmt::format("{} rows", shots_ + (own_ ? 1 : 0)),
         .got = fmt::format("{}", got),
         .fix = fmt::format("lower the number of shots to {} (--shots)", std::max<i64>(0, got - (own_ ? 1 : 0)))});
  }

  const EvalItem& example_at(i64 i) {
    std::optional<EvalItem>& example = examples_[static_cast<std::size_t>(i)];
    if (!example) {
      const std::string where = fmt::format("{}, few-shot example {}", task_.path, i + 1);
      example = make_item(variant_, rows_[static_cast<std::size_t>(i)], i, where);
    }
    return *example;
  }

  // The same question with the same answer, white space aside, whatever file the row is from and whatever other fields
  // it has.
  bool equals(i64 i, const EvalItem& item, const Json& row) {
    if (rows_[static_cast<std::size_t>(i)] == row) return true;
    const EvalItem& example = example_at(i);
    return squeezed(example.prompt) == squeezed(item.prompt) && squeezed(example.target) == squeezed(item.target);
  }

  std::vector<i64> choose(const EvalItem& item, const Json& row) {
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

  const TaskSpec& task_;
  const Variant& variant_;
  i64 shots_;
  bool own_ = false;  // the examples are from the task's own files
  PythonRandom random_;
  std::vector<Json> rows_;
  std::vector<std::optional<EvalItem>> examples_;  // of rows_, made when first needed
};

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
  const i64 gold = label == nullptr ? by_answer : label_index(*label, choices, where);
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

std::vector<EvalItem> items_of_rows(const TaskSpec& task, const ItemsRequest& request,
                                    std::optional<ErrorParts>& first) {
  std::vector<Json> rows;
  std::vector<std::string> wheres;
  for (const std::string& file : task.files) {
    i64 number = 0;
    for (Json& row : data::read_rows(file)) {
      rows.push_back(std::move(row));
      wheres.push_back(fmt::format("{}, row {}", file, ++number));
    }
  }
  const i64 shots = request.shots >= 0 ? request.shots : task.few_shot.shots;
  std::vector<i64> order(rows.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<i64>(i);
  if (task.shuffle_seed >= 0) {
    Rng rng(static_cast<u64>(task.shuffle_seed), RngStream::few_shot);
    rng_shuffle(rng, order.data(), static_cast<i64>(order.size()));
  }
  if (request.limit > 0 && request.limit < static_cast<i64>(order.size()))
    order.resize(static_cast<std::size_t>(request.limit));
  std::vector<EvalItem> all;
  for (const Variant& v : task.variants) {
    std::vector<EvalItem> items;
    Examples examples(task, v, shots, rows);
    for (std::size_t r = 0; v.choices_drawn > 0 && r < rows.size(); ++r) {  // all rows: the pool of choices
      if (!row_fits(v, rows[r])) continue;
      EvalItem item = make_item_or_skip(task, v, rows[r], static_cast<i64>(r), wheres[r], first);
      if (item.skipped.empty()) items.push_back(std::move(item));
    }
    if (v.choices_drawn > 0) draw_choices(items, v.choices_drawn);
    std::map<i64, std::size_t> item_of_row;
    for (std::size_t i = 0; i < items.size(); ++i) item_of_row[items[i].index] = i;
    for (const i64 r : order) {
      const Json& row = rows[static_cast<std::size_t>(r)];
      if (!row_fits(v, row)) continue;
      const auto drawn = item_of_row.find(r);
      EvalItem item = drawn != item_of_row.end()
                          ? items[drawn->second]
                          : make_item_or_skip(task, v, row, r, wheres[static_cast<std::size_t>(r)], first);
      if (item.skipped.empty()) item.prompt = task.description + examples.text_for(item, row) + item.prompt;
      all.push_back(std::move(item));
    }
  }
  if (all.empty()) {
    throw Error({.where = task.path,
                 .what = "every row lacks a field that the task requires",
                 .fix = "correct the field names in 'require', or add the fields to the rows"});
  }
  return all;
}

}  // namespace

std::vector<EvalItem> make_items(const TaskSpec& task, const ItemsRequest& request) {
  std::optional<ErrorParts> first;
  std::vector<EvalItem> items =
      task.item_file ? read_items(task, request.limit, first) : items_of_rows(task, request, first);
  const bool none = std::all_of(items.begin(), items.end(), [](const EvalItem& item) { return !item.skipped.empty(); });
  if (first && none) throw Error(*first);
  return items;
}

}  // namespace moebius::eval
