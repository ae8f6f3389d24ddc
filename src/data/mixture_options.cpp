// The two notations for the sources of a mixture: a flag's text, and tables.
// In, out: mixture.h.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "data/mixture.h"

namespace moebius::data {

namespace {

constexpr const char* kMixtureFile = "a path that contains a colon or a comma can be given in a --mixture file";

double number(const std::string& text, const std::string& what, const std::string& where, const std::string& whole) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size() || !(value >= 0)) {
    throw Error({.where = where,
                 .what = fmt::format("the {} in source '{}' is not a number of 0 or more", what, whole),
                 .wanted = "name=path:weight or name=path:weight:epochs",
                 .got = text,
                 .fix = kMixtureFile});
  }
  return value;
}

}  // namespace

std::vector<MixtureSource> mixture_sources_parse(const std::vector<std::string>& texts, const std::string& where) {
  std::vector<MixtureSource> sources;
  for (const std::string& text : texts) {
    MixtureSource source;
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      throw Error({.where = where,
                   .what = "a source has no name or no path",
                   .wanted = "name=path:weight",
                   .got = text,
                   .fix = kMixtureFile});
    }
    source.name = text.substr(0, equals);
    std::vector<std::string> parts = {""};
    for (const char c : text.substr(equals + 1)) {
      if (c == ':')
        parts.emplace_back();
      else
        parts.back() += c;
    }
    if (parts.size() > 3 || parts[0].empty()) {
      throw Error({.where = where,
                   .what = "a source has too many parts or no path",
                   .wanted = "name=path:weight or name=path:weight:epochs",
                   .got = text,
                   .fix = kMixtureFile});
    }
    source.path = parts[0];
    if (parts.size() > 1) source.weight = number(parts[1], "weight", where, text);
    if (parts.size() > 2) source.epochs_max = number(parts[2], "limit of passes", where, text);
    sources.push_back(std::move(source));
  }
  return sources;
}

namespace {

MixtureSource source_from_json(const Json& item, const std::string& where) {
  for (const auto& [key, value] : item.as_object()) {
    const std::vector<std::string> known = {"name", "path", "weight", "epochs_max"};
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw Error({.where = where,
                 .what = fmt::format("unknown key '{}' of a source", key),
                 .wanted = "name, path, weight, epochs_max",
                 .fix = nearest_advice(key, known)});
  }
  MixtureSource source;
  source.name = item.at("name").as_string();
  source.path = item.at("path").as_string();
  source.weight = item.get_double("weight", 1);
  source.epochs_max = item.get_double("epochs_max", -1);
  return source;
}

}  // namespace

std::vector<MixtureSource> mixture_sources_from_json(const Json& json, const std::string& where) {
  std::vector<MixtureSource> sources;
  if (!json.is_array()) {
    throw Error({.where = where,
                 .what = "the sources are not a list of tables",
                 .wanted = "a [[source]] table with name, path and weight for each source"});
  }
  for (const Json& item : json.as_array()) {
    const std::string place = fmt::format("{}, source {}", where, sources.size() + 1);
    sources.push_back(error_within(place, [&] { return source_from_json(item, place); }));
  }
  return sources;
}

Json mixture_sources_to_json(const std::vector<MixtureSource>& sources) {
  Json list = Json::array();
  for (const MixtureSource& source : sources) {
    list.push_back(Json::object(
        {{"name", source.name}, {"path", source.path}, {"weight", source.weight}, {"epochs_max", source.epochs_max}}));
  }
  return list;
}

}  // namespace moebius::data
