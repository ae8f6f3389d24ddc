// TOML files as Json values; the only file that includes toml++.
#include <fmt/format.h>

#include <toml++/toml.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/json.h"

namespace moebius {

namespace {

std::string place(const std::string& where, const toml::source_region& source) {
  return fmt::format("{}, line {}, column {}", where, static_cast<i64>(source.begin.line),
                     static_cast<i64>(source.begin.column));
}

[[noreturn]] void refuse(const toml::node& node, const std::string& where, const char* what, const char* fix) {
  throw Error({.where = place(where, node.source()), .what = what, .fix = fix});
}

Json convert(const toml::node& node, const std::string& where) {
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) object.set(std::string(key.str()), convert(value, where));
    return object;
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const auto& value : *array) list.push_back(convert(value, where));
    return list;
  }
  if (const auto* v = node.as_string()) return Json(v->get());
  if (const auto* v = node.as_integer()) return Json(static_cast<i64>(v->get()));
  if (const auto* v = node.as_floating_point()) {
    if (std::isnan(v->get())) refuse(node, where, "nan is not a usable value", "leave the key out, or give a number");
    return Json(v->get());
  }
  if (const auto* v = node.as_boolean()) return Json(v->get());
  refuse(node, where, "dates and times are not supported", "write it as a string in quotes");
}

}  // namespace

Json toml_parse(std::string_view text, const std::string& where) {
  try {
    const toml::table table = toml::parse(text, where);
    return convert(table, where);
  } catch (const toml::parse_error& e) {
    throw Error({.where = place(where, e.source()),
                 .what = fmt::format("not valid TOML: {}", e.description()),
                 .fix = "correct the file at this place"});
  }
}

Json toml_parse_file(const std::string& path) {
  const std::string text = file_read(path);
  refuse_file_kind(path, text, "TOML");
  return toml_parse(text, path);
}

}  // namespace moebius
