// TOML files as Json values; the only file that includes toml++.
#include <fmt/format.h>

#include <toml++/toml.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace moebius {

namespace {

Json convert(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) object.set(std::string(key.str()), convert(value));
    return object;
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const auto& value : *array) list.push_back(convert(value));
    return list;
  }
  if (const auto* v = node.as_string()) return Json(v->get());
  if (const auto* v = node.as_integer()) return Json(static_cast<i64>(v->get()));
  if (const auto* v = node.as_floating_point()) return Json(v->get());
  if (const auto* v = node.as_boolean()) return Json(v->get());
  throw Error({.what = "dates and times have no meaning here", .fix = "write it as a string"});
}

}  // namespace

Json toml_parse(std::string_view text, const std::string& where) {
  try {
    const toml::table table = toml::parse(text, where);
    return convert(table);
  } catch (const toml::parse_error& e) {
    throw Error({.where = fmt::format("{}, line {}, column {}", where, static_cast<i64>(e.source().begin.line),
                                      static_cast<i64>(e.source().begin.column)),
                 .what = std::string(e.description())});
  }
}

Json toml_parse_file(const std::string& path) { return toml_parse(file_read(path), path); }

}  // namespace moebius
