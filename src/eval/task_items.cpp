// From files to items: order, limits, drawn choices, few-shot examples.
#include "eval/task_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "data/reader.h"
#include "eval/few_shot.h"
#include "eval/item_file.h"
#include "eval/row_item.h"
#include "eval/template.h"

namespace moebius::eval {

namespace {

void check_answer(const TaskSpec& task, const Variant& v, const EvalItem& item) {
  if ((task.has("generate") || v.choices_drawn > 0) && item.answers.empty()) {
    throw MissingValue({.where = item.where, .what = "the list of accepted answers is empty"});
  }
  const bool continued = task.has("loss") || task.has("loglikelihood") || !item.contexts.empty();
  if (continued && item.target.empty()) {
    throw MissingValue({.where = item.where,
                        .what = "the answer is empty, so it has no loss",
                        .fix = "require = [\"FIELD\"] in the task skips such rows"});
  }
  if (task.has("rolling") && item.text.empty()) {
    throw MissingValue({.where = item.where, .what = "the text is empty, so it has no perplexity"});
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

// Description and examples, before the prompt.
void add_context(const std::string& context, EvalItem& item) {
  item.prompt = context + item.prompt;
  for (std::string& one : item.contexts) one = context + one;
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
  i64 variant = -1;
  for (const Variant& v : task.variants) {
    ++variant;
    std::vector<EvalItem> items;
    FewShotExamples examples(task, v, v.has_prompt() ? shots : 0, rows);
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
      item.variant = variant;
      if (item.skipped.empty()) add_context(task.description + examples.text_for(item, row), item);
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
