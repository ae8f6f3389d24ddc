// Options of a mixture and the two ways to name its sources.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "data/mixture.h"

namespace moebius::data {

void describe(MixtureOptions& options, OptionList& list) {
  list.add("seed-data", &options.seed_data, "seed of the order of documents", {.min = 0});
  list.add("attend-across-documents", &options.attend_across_documents,
           "let attention cross the borders of documents packed into one sequence");
  list.add("positions-restart", &options.positions_restart, "positions restart at each document of a sequence");
  list.add("whole-documents", &options.whole_documents,
           "do not cut documents that fit a sequence; what stays free is padded");
  list.add("lookahead", &options.lookahead, "documents among which one that fits is looked for",
           {.min = 1, .max = 65536});
}

namespace {

double number(const std::string& text, const std::string& what, const std::string& where, const std::string& whole) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size() || !(value >= 0)) {
    throw Error({.where = where,
                 .what = fmt::format("the {} in source '{}' is not a number", what, whole),
                 .wanted = "name=path:weight or name=path:weight:epochs",
                 .got = text});
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
      throw Error(
          {.where = where, .what = "a source has no name or no path", .wanted = "name=path:weight", .got = text});
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
                   .got = text});
    }
    source.path = parts[0];
    if (parts.size() > 1) source.weight = number(parts[1], "weight", where, text);
    if (parts.size() > 2) source.epochs_max = number(parts[2], "limit of passes", where, text);
    sources.push_back(std::move(source));
  }
  return sources;
}

std::vector<MixtureSource> mixture_sources_from_json(const Json& json, const std::string& where) {
  std::vector<MixtureSource> sources;
  if (!json.is_array())
    throw Error({.where = where, .what = "sources are not a list", .wanted = "[{name, path, weight}]"});
  for (const Json& item : json.as_array()) {
    for (const auto& [key, value] : item.as_object()) {
      const std::vector<std::string> known = {"name", "path", "weight", "epochs_max"};
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      const std::string near = nearest_word(key, known);
      throw Error({.where = where,
                   .what = fmt::format("unknown key '{}' of a source", key),
                   .wanted = "name, path, weight, epochs_max",
                   .fix = near.empty() ? "" : fmt::format("did you mean '{}'?", near)});
    }
    MixtureSource source;
    source.name = item.at("name").as_string();
    source.path = item.at("path").as_string();
    source.weight = item.get_double("weight", 1);
    source.epochs_max = item.get_double("epochs_max", -1);
    sources.push_back(std::move(source));
  }
  return sources;
}

}  // namespace moebius::data
