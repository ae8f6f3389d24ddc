// Setting, checking and printing options.
#include "base/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/units.h"

namespace moebius {

namespace {

std::string with_hyphens(std::string_view key) {
  std::string text(key);
  std::ranges::replace(text, '_', '-');
  return text;
}

void check_range(const Option& option, double value, const std::string& where) {
  const double min = option.notes.min, max = option.notes.max;
  if (value >= min && value <= max) return;
  const std::string range = max >= OptionNotes{}.max   ? fmt::format("{} or more", min)
                            : min <= OptionNotes{}.min ? fmt::format("at most {}", max)
                                                       : fmt::format("{} to {}", min, max);
  const bool is_unit = !option.notes.unit.empty() && option.notes.unit[0] >= 'a';  // "tokens"; not "N"
  throw Error({.where = where,
               .what = fmt::format("'{}' is out of range", option.key),
               .wanted = is_unit ? range + " " + option.notes.unit : range,
               .got = fmt::format("{}", value)});
}

void check_choice(const Option& option, const std::string& value, const std::string& where) {
  const auto& choices = option.notes.choices;
  if (choices.empty() || std::ranges::find(choices, value) != choices.end()) return;
  throw Error({.where = where,
               .what = fmt::format("'{1}' is not a value of '{0}'", option.key, value),
               .wanted = fmt::format("one of: {}", fmt::join(choices, ", ")),
               .fix = nearest_advice(value, choices)});
}

i64 parse_int(const Option& option, const std::string& text, const std::string& where) {
  const auto value = parse_count(text);
  if (!value) {
    throw Error({.where = where,
                 .what = fmt::format("'{}' requires a whole number", option.key),
                 .wanted = "4096, 2M, 1e6, ...",
                 .got = text});
  }
  return *value;
}

double parse_real(const Option& option, const std::string& text, const std::string& where) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    throw Error({.where = where, .what = fmt::format("'{}' requires a number", option.key), .got = text});
  }
  return value;
}

bool parse_bool(const Option& option, const std::string& text, const std::string& where) {
  if (text == "true" || text == "yes" || text == "on" || text == "1" || text.empty()) return true;
  if (text == "false" || text == "no" || text == "off" || text == "0") return false;
  throw Error({.where = where, .what = fmt::format("'{}' requires true or false", option.key), .got = text});
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size() && !text.empty()) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

// Sets a field from the text of a flag.
struct SetText {
  const Option& option;
  const std::string& text;
  const std::string& where;

  void set(bool& field) const { field = parse_bool(option, text, where); }
  void set(i64& field) const {
    const i64 value = parse_int(option, text, where);
    check_range(option, static_cast<double>(value), where);
    field = value;
  }
  void set(double& field) const {
    const double value = parse_real(option, text, where);
    check_range(option, value, where);
    field = value;
  }
  void set(std::string& field) const {
    check_choice(option, text, where);
    field = text;
  }
  void operator()(const EnumField& field) const {
    check_choice(option, text, where);
    const auto& choices = option.notes.choices;
    field.set(field.field, static_cast<std::size_t>(std::ranges::find(choices, text) - choices.begin()));
  }

  template <typename T>
  void operator()(T* field) const {
    set(*field);
  }
  template <typename T>
  void operator()(std::vector<T>* field) const {
    std::vector<T> values;
    for (const std::string& part : split_commas(text)) {
      values.emplace_back();
      SetText{option, part, where}.set(values.back());
    }
    *field = std::move(values);
  }
};

// Sets a field from a value of a file. Text is read as that of a flag is ("2M", "a,b"); items of a list may hold
// commas.
struct SetJson {
  const Option& option;
  const Json& value;
  const std::string& where;

  std::string single_text() const {
    if (value.is_array() || value.is_object() || value.is_null()) {
      throw Error({.where = where,
                   .what = fmt::format("'{}' requires one value", option.key),
                   .got = value.is_null()    ? "null"
                          : value.is_array() ? "a list"
                                             : "a table"});
    }
    return value.is_string() ? value.as_string() : value.dump();
  }
  template <typename T>
  void operator()(T* field) const {
    const std::string text = single_text();
    SetText{option, text, where}.set(*field);
  }
  void operator()(const EnumField& field) const {
    const std::string text = single_text();
    SetText{option, text, where}(field);
  }
  template <typename T>
  void operator()(std::vector<T>* field) const {
    if (value.is_string()) return SetText{option, value.as_string(), where}(field);
    std::vector<T> values;
    for (const Json& item : value.is_array() ? value.as_array() : Json::Array{value})
      SetJson{option, item, where}(&values.emplace_back());
    *field = std::move(values);
  }
};

struct ToJson {
  const Option& option;

  template <typename T>
  Json operator()(const T* field) const {
    return Json(*field);
  }
  Json operator()(const EnumField& field) const { return Json(option.notes.choices.at(field.get(field.field))); }
  Json operator()(const std::vector<i64>* field) const { return Json(Json::Array(field->begin(), field->end())); }
};

// The candidate closest to `word` by edit distance; empty if none is close.
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t substitution = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace

void OptionList::add(std::string key, Option::Target target, std::string help, OptionNotes notes) {
  for (const Option& option : options_) CHECK(option.key != key, "an option key is used twice");
  options_.push_back({std::move(key), target, std::move(help), std::move(notes)});
}

Option& OptionList::find_or_throw(std::string_view key, const std::string& where) {
  const std::string wanted = with_hyphens(key);
  std::vector<std::string> keys;
  for (Option& option : options_) {
    if (option.key == wanted) return option;
    keys.push_back(option.key);
  }
  throw Error({.where = where,
               .what = fmt::format("unknown option '{}'", key),
               .fix = nearest_advice(wanted, keys, "--help lists all options")});
}

void OptionList::set_from_json(const Json& object, const std::string& where) {
  if (!object.is_object()) throw Error({.where = where, .what = "not a table of options"});
  std::set<const Option*> given;
  for (const auto& [key, value] : object.as_object()) {
    const Option& option = find_or_throw(key, where);
    if (!given.insert(&option).second) {
      throw Error({.where = where,
                   .what = fmt::format("'{}' is given twice, with hyphens and with underscores", option.key),
                   .fix = "keep one of the two"});
    }
    std::visit(SetJson{option, value, where}, option.target);
  }
}

void OptionList::set_from_text(std::string_view key, const std::string& text, const std::string& where) {
  const Option& option = find_or_throw(key, where);
  std::visit(SetText{option, text, where}, option.target);
}

Json OptionList::to_json() const {
  Json object = Json::object();
  for (const Option& option : options_) {
    std::string key = option.key;
    std::ranges::replace(key, '-', '_');
    object.set(key, std::visit(ToJson{option}, option.target));
  }
  return object;
}

std::string nearest_advice(std::string_view word, const std::vector<std::string>& candidates,
                           const std::string& otherwise) {
  const std::string near = nearest_word(word, candidates);
  return near.empty() ? otherwise : fmt::format("did you mean '{}'?", near);
}

std::size_t index_of_word(std::string_view word, const std::vector<std::string>& known, std::string_view what,
                          const std::string& where) {
  const auto at = std::ranges::find(known, word);
  if (at != known.end()) return static_cast<std::size_t>(at - known.begin());
  throw Error({.where = where,
               .what = fmt::format("unknown {} '{}'", what, word),
               .wanted = fmt::format("one of: {}", fmt::join(known, ", ")),
               .fix = nearest_advice(word, known)});
}

}  // namespace moebius
