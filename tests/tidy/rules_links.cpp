// Rules about who includes and links whom. The table is ARCHITECTURE.md's; a test holds the two together.
#include <filesystem>
#include <map>
#include <regex>
#include <sstream>

#include "rules.h"

namespace moebius::tidy {

namespace {

namespace fs = std::filesystem;

// Folder -> what it may include in addition to itself; what those may use is included.
const std::map<std::string, std::vector<std::string>>& include_table() {
  static const std::map<std::string, std::vector<std::string>> kTable = {
      {"base", {}},
      {"records", {"base"}},
      {"tensor", {"base"}},
      {"kernels", {"tensor"}},
      {"data", {"base"}},
      {"model", {"kernels"}},
      {"infer", {"model"}},
      {"offload", {"model"}},
      {"parallel", {"model"}},
      {"fit", {"records"}},
      {"plan", {"model", "fit"}},
      {"train", {"data", "model", "parallel", "records"}},
      {"eval", {"data", "infer", "records"}},
      {"rl", {"train", "eval"}},
      {"quant", {"eval"}},
      {"chat", {"infer", "offload", "data"}},
      {"serve", {"infer", "offload", "data"}},
      {"convert", {"model", "quant"}},
      {"report", {"records"}},
      {"bench", {"train", "infer", "offload"}},
      {"study", {"plan", "train", "eval", "rl", "fit", "report"}},
  };
  return kTable;
}

// Of these folders only some headers are open to the folder named first.
const std::map<std::pair<std::string, std::string>, std::regex>& narrow_table() {
  static const std::map<std::pair<std::string, std::string>, std::regex> kTable = {
      {{"plan", "model"}, std::regex(R"(model/config\w*\.h|model/presets?\w*\.h)")},
      {{"offload", "model"}, std::regex(R"(model/(expert_store|config)\w*\.h)")},
  };
  return kTable;
}

struct Include {
  int line;
  std::string path;  // "base/error.h"
  bool quoted;
};

std::vector<Include> includes_of(const SourceFile& file) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> includes;
  int line = 0;
  for (const std::string& text : lines_of(file.text)) {
    ++line;
    std::smatch match;
    if (std::regex_search(text, match, kInclude)) includes.push_back({line, match[2], match[1] == "\""});
  }
  return includes;
}

// "base" for src/base/x.cpp; empty for files outside and for main.cpp.
std::string folder_of(const std::string& path) {
  if (path.rfind("src/", 0) != 0) return "";
  const std::size_t slash = path.find('/', 4);
  return slash == std::string::npos ? "" : path.substr(4, slash - 4);
}

void add_allowed(const std::string& folder, std::set<std::string>& allowed) {
  if (!allowed.insert(folder).second) return;
  for (const std::string& next : include_table().at(folder)) add_allowed(next, allowed);
}

// The words that follow `key` in a moebius_folder(...) call, up to the next key or the end.
std::vector<std::string> words_after(const std::string& text, const std::string& key) {
  std::vector<std::string> found;
  std::istringstream in(std::regex_replace(text, std::regex("[()]"), " "));
  static const std::regex kKey("[A-Z_]+");
  bool taking = false;
  for (std::string word; in >> word;) {
    if (std::regex_match(word, kKey))
      taking = word == key;
    else if (taking)
      found.push_back(word);
  }
  return found;
}

}  // namespace

std::set<std::string> folders_allowed(const std::string& folder) {
  std::set<std::string> allowed;
  if (include_table().count(folder) != 0) add_allowed(folder, allowed);
  return allowed;
}

std::string include_table_row(const std::string& folder) {
  std::string row;
  for (const std::string& next : include_table().at(folder)) row += (row.empty() ? "" : ", ") + next;
  return "| " + folder + " | " + (row.empty() ? "-" : row) + " |";
}

Findings check_include_table(const Files& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    const std::string folder = folder_of(file.path);
    if (folder.empty() || !is_cpp(file.path)) continue;
    const std::set<std::string> allowed = folders_allowed(folder);
    if (allowed.empty()) {
      findings.push_back(at_line(file, 1, "folder '" + folder + "' is not in the include table"));
      continue;
    }
    for (const Include& include : includes_of(file)) {
      if (!include.quoted) continue;
      const std::string to = include.path.substr(0, include.path.find('/'));
      if (include.path.find('/') == std::string::npos || include.path.find("..") != std::string::npos) {
        findings.push_back(at_line(file, include.line, "include as \"folder/file.h\": " + include.path));
      } else if (allowed.count(to) == 0) {
        findings.push_back(at_line(file, include.line, folder + " may not include " + include.path));
      } else if (const auto narrow = narrow_table().find({folder, to});
                 narrow != narrow_table().end() && !std::regex_match(include.path, narrow->second)) {
        findings.push_back(
            at_line(file, include.line, folder + " may not include this part of " + to + ": " + include.path));
      }
    }
  }
  return findings;
}

Findings check_cmake_links(const Files& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    const std::string folder = folder_of(file.path);
    if (folder.empty() || file.path != "src/" + folder + "/CMakeLists.txt") continue;
    const std::set<std::string> allowed = folders_allowed(folder);
    for (const std::string& link : words_after(file.text, "LINKS")) {
      if (allowed.count(link) == 0) findings.push_back(at_line(file, 1, folder + " may not link " + link));
    }
  }
  return findings;
}

Findings check_heavy_headers(const Files& files) {
  static const std::vector<std::pair<std::string, std::string>> kHeavy = {
      {"CLI11", "CLI/"},     {"spdlog", "spdlog/"}, {"nlohmann-json", "nlohmann/"},
      {"toml++", "toml++/"}, {"Ceres", "ceres/"},   {"Eigen", "Eigen/"}};
  Findings findings;
  for (const auto& [name, start] : kHeavy) {
    std::set<std::string> users;
    for (const SourceFile& file : files) {
      if (!is_cpp(file.path)) continue;
      for (const Include& include : includes_of(file)) {
        if (include.quoted || include.path.rfind(start, 0) != 0) continue;
        users.insert(file.path);
        if (file.path.ends_with(".h"))
          findings.push_back(at_line(file, include.line, name + " is too heavy for a header"));
      }
    }
    if (users.size() > 1) {
      for (const std::string& user : users)
        findings.push_back(user + ":1: " + name + " is included in more than one .cpp");
    }
  }
  return findings;
}

Findings check_own_header_first(const Files& files) {
  std::set<std::string> paths;
  for (const SourceFile& file : files) paths.insert(file.path);
  Findings findings;
  for (const SourceFile& file : files) {
    if (file.path.rfind("src/", 0) != 0 || !file.path.ends_with(".cpp")) continue;
    const std::string header = file.path.substr(0, file.path.size() - 4) + ".h";
    if (paths.count(header) == 0) continue;
    const std::vector<Include> includes = includes_of(file);
    if (includes.empty() || includes.front().path != header.substr(4)) {
      findings.push_back(
          at_line(file, 1, "include its own header first, which shows that the header compiles on its own"));
    }
  }
  return findings;
}

Findings check_sources_listed(const Files& files) {
  Findings findings;
  std::map<std::string, std::string> lists;  // folder -> its CMakeLists.txt with all between separators as words
  for (const SourceFile& file : files) {
    if (!file.path.ends_with("CMakeLists.txt")) continue;
    const std::size_t slash = file.path.rfind('/');
    lists[slash == std::string::npos ? "" : file.path.substr(0, slash)] = file.text;
  }
  for (const SourceFile& file : files) {
    const bool scenario = file.path.ends_with(".scenario");
    if (!scenario && !file.path.ends_with(".cpp")) continue;
    bool listed = false;
    // The list may be in the file's folder or in one above it.
    for (std::size_t slash = file.path.rfind('/'); slash != std::string::npos && !listed;
         slash = slash == 0 ? std::string::npos : file.path.rfind('/', slash - 1)) {
      const auto list = lists.find(file.path.substr(0, slash));
      if (list == lists.end()) continue;
      std::istringstream in(std::regex_replace(list->second, std::regex("[()\"]"), " "));
      for (std::string word; in >> word;) {
        // Scenarios are listed by their bare names.
        const std::string name = file.path.substr(slash + 1);
        listed = listed || word == (scenario ? fs::path(name).stem().string() : name);
      }
    }
    if (!listed) findings.push_back(at_line(file, 1, "no CMakeLists.txt lists this file"));
  }
  return findings;
}

}  // namespace moebius::tidy
