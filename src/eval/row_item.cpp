// Labels, choices and templates of one row.
#include "eval/row_item.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "eval/template.h"

namespace moebius::eval {

namespace {

[[noreturn]] void label_error(const std::string& what, const Json& label, std::size_t choices, i64 base,
                              const std::string& where) {
  throw Error({.where = where,
               .what = what,
               .wanted = fmt::format("a number from {} to {}, a letter from A, or the text of a choice", base,
                                     static_cast<i64>(choices) - 1 + base),
               .got = label.dump().substr(0, 100),
               .fix = base == 0 ? "labels that count from 1 need index_base = 1 in the task" : ""});
}

}  // namespace

i64 choice_of_text(const std::string& text, const std::vector<std::string>& choices) {
  for (std::size_t c = 0; c < choices.size(); ++c) {
    if (stripped(choices[c]) == text) return static_cast<i64>(c);
  }
  return -1;
}

namespace {

// The index that a label's text means: the text of a choice, a letter, or digits; -1: none of these.
i64 index_of_text(const Json& label, const std::vector<std::string>& choices, i64 base, const std::string& where) {
  const std::string text = stripped(label.as_string());
  const i64 by_text = choice_of_text(text, choices);
  i64 by_sign = -1;
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
  if (!text.empty() && text.size() < 6 && digits) by_sign = std::stoll(text) - base;
  if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z') by_sign = text[0] - 'A';
  if (text.size() == 1 && text[0] >= 'a' && text[0] <= 'z') by_sign = text[0] - 'a';
  if (by_sign < 0 || by_sign >= static_cast<i64>(choices.size())) by_sign = -1;
  if (by_text >= 0 && by_sign >= 0 && by_text != by_sign) {
    label_error(fmt::format("the label is the text of choice {} and the {} of choice {}", by_text,
                            digits ? "number" : "letter", by_sign),
                label, choices.size(), base, where);
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

}  // namespace

i64 label_index(const Json& label, const std::vector<std::string>& choices, i64 base, const std::string& where) {
  const auto count = static_cast<i64>(choices.size());
  i64 index = -1;
  if (label.is_bool()) index = index_of_bool(label.as_bool(), choices);
  if (label.is_number() && label.as_double() == std::floor(label.as_double())) {
    // Compared as a double first: a number beyond 2^63 must not wrap.
    const double from_zero = label.as_double() - static_cast<double>(base);
    if (from_zero >= 0 && from_zero < static_cast<double>(count)) index = label.as_int() - base;
  }
  if (label.is_string()) index = index_of_text(label, choices, base, where);
  if (index < 0 || index >= count) label_error("the label is none of the choices", label, choices.size(), base, where);
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
    const Json* value = find_field(row, field);
    if (value == nullptr || (value->is_string() && value->as_string().empty())) return false;
    if ((value->is_array() || value->is_object()) && value->count() == 0) return false;
  }
  return true;
}

namespace {

// The texts of a template of a list, or of a list of templates.
std::vector<std::string> render_list(const Json& patterns, const Json& row, const std::string& where) {
  if (patterns.is_string()) return texts_of(render(patterns.as_string(), row, where), where);
  std::vector<std::string> texts;
  for (const Json& pattern : patterns.as_array()) texts.push_back(render_text(pattern.as_string(), row, where));
  return texts;
}

std::vector<std::string> choices_of(const Variant& v, const Json& row, const std::string& where) {
  std::vector<std::string> texts;
  if (v.choice_rules.find) {
    const std::string all = render_text(v.choices.as_string(), row, where);
    texts = matches_of(*v.choice_rules.find, all);
    if (texts.empty()) {
      throw Error({.where = where,
                   .what = "the choices are not found: 'find' of [choice_text] matches nothing",
                   .got = all.substr(0, 200)});
    }
  } else {
    texts = render_list(v.choices, row, where);
  }
  for (std::string& text : texts) text = choice_text(v.choice_rules, text, where);
  return texts;
}

}  // namespace

EvalItem make_item(const Variant& v, const Json& row, i64 index, const std::string& where) {
  EvalItem item;
  item.index = index;
  item.where = where;
  if (const Json* id = row.find("id")) item.id = value_text(*id);
  item.grade = render_text(v.grade, row, where);
  item.prompt = render_text(v.prompt, row, where);
  item.text = render_text(v.text, row, where);
  for (const std::string& pattern : v.answers) {
    const Json value = render(pattern, row, where);
    if (value.is_array()) {
      for (std::string& one : texts_of(value, where)) item.answers.push_back(std::move(one));
    } else {
      item.answers.push_back(render_text(pattern, row, where));
    }
  }
  if (!v.choices.is_null()) item.choices = choices_of(v, row, where);
  if (!v.contexts.is_null()) item.choices = item.contexts = render_list(v.contexts, row, where);
  if ((!v.choices.is_null() || !v.contexts.is_null()) && item.choices.empty())
    throw MissingValue({.where = where, .what = "the list of choices is empty"});
  if (!item.choices.empty()) {
    item.gold = label_index(render(v.answer_index, row, where), item.choices, v.index_base, where);
  }
  if (!item.contexts.empty()) item.prompt = item.contexts[static_cast<std::size_t>(item.gold)];
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

}  // namespace moebius::eval
