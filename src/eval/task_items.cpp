// Rows, templates, few-shot examples.
#include "eval/task_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "data/byte_stream.h"
#include "eval/python_random.h"

namespace moebius::eval {

std::vector<Json> read_rows(const std::string& path) {
  const std::string text = data::read_unpacked(path);
  std::vector<Json> rows;
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) throw Error({.where = path, .what = "the file holds no rows"});
  if (text[first] == '[') {
    Json all = Json::parse(text, path);
    return std::move(all.as_array());
  }
  i64 line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    ++line;
    const std::string_view one = std::string_view(text).substr(begin, end - begin);
    if (one.find_first_not_of(" \t\r") != std::string_view::npos) {
      rows.push_back(Json::parse(one, fmt::format("{}, line {}", path, line)));
    }
    begin = end + 1;
  }
  return rows;
}

namespace {

i64 resolve_index(const Json& value, const std::vector<std::string>& choices, const std::string& where) {
  i64 index = -1;
  const auto count = static_cast<i64>(choices.size());
  if (value.is_bool()) index = value.as_bool() ? 1 : 0;
  if (value.is_number()) index = value.as_int();
  if (value.is_string()) {
    const std::string& text = value.as_string();
    index = std::find(choices.begin(), choices.end(), text) - choices.begin();
    if (index == count && text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z') index = text[0] - 'A';
    if (index == count && !text.empty() && text.find_first_not_of("0123456789") == std::string::npos &&
        text.size() < 6) {
      index = std::stoll(text);
    }
  }
  if (index < 0 || index >= count) {
    throw Error({.where = where,
                 .what = "the answer is none of the choices",
                 .wanted = fmt::format("0 to {}, or a choice's text", count - 1),
                 .got = value.dump()});
  }
  return index;
}

std::vector<std::string> texts_of(const Json& value, const std::string& where) {
  if (!value.is_array())
    throw Error({.where = where, .what = "choices are no list", .got = value.dump().substr(0, 100)});
  std::vector<std::string> texts;
  for (const Json& v : value.as_array()) texts.push_back(value_text(v));
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
      for (const Json& one : value.as_array()) item.answers.push_back(value_text(one));
    } else {
      item.answers.push_back(value_text(value));
    }
  }
  if (v.choices.is_string()) item.choices = texts_of(render(v.choices.as_string(), row, where), where);
  if (v.choices.is_array()) {
    for (const Json& pattern : v.choices.as_array())
      item.choices.push_back(render_text(pattern.as_string(), row, where));
  }
  if (!item.choices.empty()) item.gold = resolve_index(render(v.answer_index, row, where), item.choices, where);
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

// Wrong choices from the other rows' answers, in an order that depends on the row's number alone.
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

// The pool of examples, and the draw for one item after the other (lm-evaluation-harness, ContextSampler).
class Examples {
 public:
  Examples(const TaskSpec& task, i64 shots, const std::vector<Json>& own_rows)
      : task_(task), shots_(shots), random_(static_cast<u32>(task.few_shot.seed)) {
    if (shots == 0) return;
    if (task.few_shot.file.empty()) {
      rows_ = own_rows;
      own_ = true;
    } else {
      rows_ = read_rows(task.few_shot.file);
    }
    const i64 wanted = shots + (own_ ? 1 : 0);
    if (static_cast<i64>(rows_.size()) < wanted) {
      throw Error({.where = task.path,
                   .what = "too few rows for the examples",
                   .wanted = fmt::format("{} rows", wanted),
                   .got = fmt::format("{}", rows_.size()),
                   .fix = "ask for fewer shots"});
    }
  }

  std::string text_for(const Variant& v, const Json& row) {
    std::string text;
    if (shots_ == 0) return text;
    for (const i64 i : choose(row)) {
      const Json& example = rows_[static_cast<std::size_t>(i)];
      const EvalItem item = make_item(v, example, i, task_.path + ", an example");
      text += item.prompt + task_.delimiter + item.target + task_.few_shot.separator;
    }
    return text;
  }

 private:
  std::vector<i64> choose(const Json& row) {
    std::vector<i64> chosen;
    const auto count = static_cast<i64>(rows_.size());
    if (task_.few_shot.draw == "first") {
      for (i64 i = 0; i < count && static_cast<i64>(chosen.size()) < shots_; ++i) {
        if (!own_ || !(rows_[static_cast<std::size_t>(i)] == row)) chosen.push_back(i);
      }
      return chosen;
    }
    if (!own_) return random_.sample(count, shots_);
    for (const i64 i : random_.sample(count, shots_ + 1)) {
      if (!(rows_[static_cast<std::size_t>(i)] == row)) chosen.push_back(i);
    }
    if (static_cast<i64>(chosen.size()) < shots_) {  // several equal rows were drawn
      std::vector<i64> others;
      for (i64 i = 0; i < count; ++i) {
        if (!(rows_[static_cast<std::size_t>(i)] == row)) others.push_back(i);
      }
      if (static_cast<i64>(others.size()) < shots_) {
        throw Error(
            {.where = task_.path, .what = "too few rows differ for the examples", .fix = "ask for fewer shots"});
      }
      chosen.clear();
      for (const i64 i : random_.sample(static_cast<i64>(others.size()), shots_))
        chosen.push_back(others[static_cast<std::size_t>(i)]);
    }
    chosen.resize(static_cast<std::size_t>(shots_));
    return chosen;
  }

  const TaskSpec& task_;
  i64 shots_;
  bool own_ = false;
  PythonRandom random_;
  std::vector<Json> rows_;
};

std::string without_space(const std::string& text) { return text.starts_with(' ') ? text.substr(1) : text; }

EvalItem read_item(const Json& row, i64 index, const std::string& where) {
  EvalItem item;
  item.index = index;
  item.where = where;
  item.id = row.contains("id") ? value_text(row.at("id")) : std::to_string(index);
  item.grade = row.contains("grade") ? value_text(row.at("grade")) : "";
  item.prompt = row.at("prompt").as_string();
  if (const Json* choices = row.find("choices")) {
    for (const std::string& choice : texts_of(*choices, where)) item.choices.push_back(without_space(choice));
  }
  item.gold = row.get_int("answer_index", -1);
  if (item.gold < -1 || item.gold >= static_cast<i64>(item.choices.size()) ||
      (item.gold < 0 && !item.choices.empty())) {
    throw Error({.where = where, .what = "answer_index is none of the choices", .got = std::to_string(item.gold)});
  }
  const std::string answer = row.get_string("answer", "");
  if (!answer.empty()) item.answers = {answer};
  if (const Json* answers = row.find("answers")) item.answers = texts_of(*answers, where);
  item.answer_after = row.get_string("answer_after", "");
  item.target = item.gold >= 0         ? item.choices[static_cast<std::size_t>(item.gold)]
                : item.answers.empty() ? ""
                                       : item.answers[0];
  const std::string solution = without_space(row.get_string("solution", ""));
  if (!solution.empty()) item.target = solution + " " + item.target;
  item.tokens_max = row.get_int("tokens_max", 0);
  item.bits_values = row.get_int("bits_values", 0);
  if (item.tokens_max < 0 || item.tokens_max > (1 << 20) || item.bits_values < 0) {
    throw Error({.where = where, .what = "tokens_max or bits_values is out of range"});
  }
  return item;
}

std::vector<EvalItem> read_items(const TaskSpec& task, i64 limit) {
  std::vector<EvalItem> items;
  std::map<std::string, i64> of_grade;
  for (const std::string& file : task.files) {
    const std::vector<Json> rows = read_rows(file);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EvalItem item = read_item(rows[i], static_cast<i64>(items.size()), fmt::format("{}, item {}", file, i + 1));
      if (limit == 0 || ++of_grade[item.grade] <= limit) items.push_back(std::move(item));
    }
  }
  return items;
}

}  // namespace

std::vector<EvalItem> make_items(const TaskSpec& task, const ItemsRequest& request) {
  if (task.item_file) return read_items(task, request.limit);
  std::vector<Json> rows;
  for (const std::string& file : task.files) {
    for (Json& row : read_rows(file)) rows.push_back(std::move(row));
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
    Examples examples(task, shots, rows);
    for (std::size_t r = 0; v.choices_drawn > 0 && r < rows.size(); ++r) {  // all rows: the pool of choices
      const std::string where = fmt::format("{}, row {}", task.files[0], r + 1);
      if (row_fits(v, rows[r])) items.push_back(make_item(v, rows[r], static_cast<i64>(r), where));
    }
    if (v.choices_drawn > 0) draw_choices(items, v.choices_drawn);
    std::map<i64, std::size_t> item_of_row;
    for (std::size_t i = 0; i < items.size(); ++i) item_of_row[items[i].index] = i;
    for (const i64 r : order) {
      const Json& row = rows[static_cast<std::size_t>(r)];
      if (!row_fits(v, row)) continue;
      const std::string where = fmt::format("{}, row {}", task.files[0], r + 1);
      EvalItem item = v.choices_drawn > 0 ? items[item_of_row.at(r)] : make_item(v, row, r, where);
      item.prompt = task.description + examples.text_for(v, row) + item.prompt;
      all.push_back(std::move(item));
    }
  }
  if (all.empty()) throw Error({.where = task.path, .what = "no row of the task's files fits it"});
  return all;
}

}  // namespace moebius::eval
