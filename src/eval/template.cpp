// Fields, filters and the text around them.
#include "eval/template.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "base/options.h"
#include "eval/text_rules.h"

namespace moebius::eval {

std::string value_text(const Json& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_number() && !value.is_int()) {
    const double x = value.as_double();
    if (std::floor(x) == x && std::fabs(x) < 1e15) return std::to_string(static_cast<i64>(x));
  }
  return value.is_null() ? "" : value.dump();
}

namespace {

struct Filter {
  std::string name, argument;
};

const std::vector<std::string> kFilters = {"join", "before", "after", "strip"};

// What is between the braces: a field and its filters.
struct Placeholder {
  std::string field;
  std::vector<Filter> filters;
};

// An element of a list by its number from 0, or from -1 for the last; null: there is none.
const Json* element_of(const Json& list, const std::string& key) {
  const std::string digits = key.substr(key.starts_with('-') ? 1 : 0);
  if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos)
    return nullptr;
  const i64 index = key[0] == '-' ? list.count() - std::stoll(digits) : std::stoll(digits);
  return index >= 0 && index < list.count() ? &list[index] : nullptr;
}

[[noreturn]] void missing(const Json& at, const std::string& key, const std::string& path, const std::string& where) {
  if (at.is_array()) {
    throw MissingValue({.where = where,
                        .what = fmt::format("there is no element '{}' in a list of {}", path, at.count()),
                        .fix = "elements are numbered from 0, or from -1 for the last"});
  }
  std::vector<std::string> keys;
  for (const auto& member : at.as_object()) keys.push_back(member.first);
  throw MissingValue({.where = where,
                      .what = fmt::format("there is no field '{}'", path),
                      .fix = nearest_advice(key, keys, fmt::format("the fields are: {}", fmt::join(keys, ", ")))});
}

const Json& field_of(const Json& row, const std::string& path, const std::string& where) {
  const Json* at = &row;
  std::size_t begin = 0;
  while (true) {
    const std::size_t dot = path.find('.', begin);
    const std::string key = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
    if (!at->is_object() && !at->is_array()) {
      throw Error({.where = where,
                   .what = fmt::format("there is no field '{}'", path),
                   .fix = fmt::format("'{}' is not an object", path.substr(0, begin - 1))});
    }
    const Json* next = at->is_array() ? element_of(*at, key) : at->find(key);
    if (next == nullptr) missing(*at, key, path, where);
    if (next->is_null()) {
      throw MissingValue({.where = where,
                          .what = fmt::format("the field '{}' is null", path),
                          .fix = fmt::format("require = [\"{}\"] in the task skips such rows", path)});
    }
    at = next;
    if (dot == std::string::npos) return *at;
    begin = dot + 1;
  }
}

// The text of a value in a template.
std::string field_text(const Json& value, const std::string& field, const std::string& pattern,
                       const std::string& where) {
  if (!value.is_array() && !value.is_object()) return value_text(value);
  const bool list = value.is_array();
  throw Error(
      {.where = where,
       .what = fmt::format("the field '{}' is {}, which a template cannot write as text", field,
                           list ? "a list" : "an object"),
       .wanted =
           list ? fmt::format("{{{0}.0}} for one element, {{{0}.-1}} for the last, or {{{0} | join \", \"}}", field)
                : fmt::format("{{{}.KEY}} for one of its values", field),
       .got = fmt::format("the template '{}', and in the row {}", pattern, value.dump().substr(0, 100))});
}

[[noreturn]] void syntax_error(const std::string& what, const std::string& pattern, const std::string& fix,
                               const std::string& where) {
  throw Error({.where = where, .what = what, .got = pattern, .fix = fix});
}

// The end of a quoted text, after the closing quote; npos: there is none.
std::size_t quote_end(const std::string& text, std::size_t begin) {
  for (std::size_t i = begin + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == text[begin]) {
      return i + 1;
    }
  }
  return std::string::npos;
}

// A quoted text without its quotes; \n, \t and an escaped quote or backslash are what they are in TOML.
std::string unquoted(const std::string& text) {
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 2 < text.size();
    const char c = escape ? text[++i] : text[i];
    out += escape && c == 'n' ? '\n' : escape && c == 't' ? '\t' : c;
  }
  return out;
}

Filter parse_filter(const std::string& text, const std::string& pattern, const std::string& where) {
  Filter filter;
  const std::string whole = stripped(text);
  const std::size_t space = whole.find_first_of(" \"'");
  filter.name = whole.substr(0, space);
  const std::string argument = space == std::string::npos ? "" : stripped(whole.substr(space));
  index_of_word(filter.name, kFilters, "filter", fmt::format("{}, template '{}'", where, pattern));
  const bool quoted =
      argument.size() >= 2 && (argument[0] == '"' || argument[0] == '\'') && quote_end(argument, 0) == argument.size();
  if (filter.name == "strip" ? !argument.empty() : !quoted) {
    syntax_error(fmt::format("the filter '{}' is incomplete", filter.name), pattern,
                 filter.name == "strip" ? "strip has no argument: {FIELD | strip}"
                                        : fmt::format("write {{FIELD | {} \"TEXT\"}}", filter.name),
                 where);
  }
  if (quoted) filter.argument = unquoted(argument);
  return filter;
}

// Parses what follows the '{' at `begin`; `end` is set to the position of the closing brace.
Placeholder parse_placeholder(const std::string& pattern, std::size_t begin, std::size_t& end,
                              const std::string& where) {
  Placeholder out;
  std::size_t part = begin + 1;
  bool first = true;
  for (std::size_t i = part; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (!first && (c == '"' || c == '\'')) {
      i = quote_end(pattern, i);
      if (i == std::string::npos) break;
      --i;
    } else if (c == '|' || c == '}') {
      const std::string text = pattern.substr(part, i - part);
      if (first) {
        out.field = c == '|' || text.find(' ') == std::string::npos ? stripped(text) : text;
      } else {
        out.filters.push_back(parse_filter(text, pattern, where));
      }
      first = false;
      part = i + 1;
      end = i;
      if (c == '}') return out;
    }
  }
  syntax_error("a template has '{' without '}'", pattern, "write {{ for a brace", where);
}

std::string joined(const Json& list, const Filter& filter, const Placeholder& place, const std::string& pattern,
                   const std::string& where) {
  if (!list.is_array()) {
    throw Error({.where = where,
                 .what = fmt::format("the field '{}' is not a list, so it cannot be joined", place.field),
                 .got = fmt::format("the template '{}', and in the row {}", pattern, list.dump().substr(0, 100))});
  }
  if (list.count() == 0) {
    throw MissingValue({.where = where, .what = fmt::format("the list '{}' is empty", place.field)});
  }
  std::string out;
  for (i64 i = 0; i < list.count(); ++i) {
    const std::string element = fmt::format("{}.{}", place.field, i);
    if (list[i].is_null()) {
      throw MissingValue({.where = where, .what = fmt::format("the field '{}' is null", element)});
    }
    out += (i > 0 ? filter.argument : "") + field_text(list[i], element, pattern, where);
  }
  return out;
}

Json filtered(const Json& value, const Placeholder& place, const std::string& pattern, const std::string& where) {
  Json at = value;
  for (const Filter& filter : place.filters) {
    if (filter.name == "join") {
      at = joined(at, filter, place, pattern, where);
      continue;
    }
    const std::string text = field_text(at, place.field, pattern, where);
    if (filter.name == "strip") {
      at = stripped(text);
      continue;
    }
    const std::size_t mark = text.find(filter.argument);
    if (mark == std::string::npos) {
      throw MissingValue({.where = where,
                          .what = fmt::format("the field '{}' does not contain '{}'", place.field, filter.argument),
                          .got = text.substr(0, 100)});
    }
    at = filter.name == "before" ? text.substr(0, mark) : text.substr(mark + filter.argument.size());
  }
  return at;
}

}  // namespace

const Json* find_field(const Json& row, const std::string& path) {
  if (const Json* value = row.find(path)) return value->is_null() ? nullptr : value;
  try {
    return &field_of(row, path, "");
  } catch (const Error&) {
    return nullptr;
  }
}

Json render(const std::string& pattern, const Json& row, const std::string& where) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if ((c == '{' || c == '}') && i + 1 < pattern.size() && pattern[i + 1] == c) {
      out += c;
      ++i;
    } else if (c == '{') {
      std::size_t end = 0;
      const Placeholder place = parse_placeholder(pattern, i, end, where);
      const Json& value = field_of(row, place.field, where);
      if (i == 0 && end + 1 == pattern.size()) return filtered(value, place, pattern, where);
      out += field_text(filtered(value, place, pattern, where), place.field, pattern, where);
      i = end;
    } else if (c == '}') {
      syntax_error("a template has '}' without '{'", pattern, "write }} for a brace", where);
    } else {
      out += c;
    }
  }
  return out;
}

std::string render_text(const std::string& pattern, const Json& row, const std::string& where) {
  const Json value = render(pattern, row, where);
  return value.is_string() ? value.as_string()
                           : field_text(value, pattern.substr(1, pattern.size() - 2), pattern, where);
}

}  // namespace moebius::eval
