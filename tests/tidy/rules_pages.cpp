// Rules about pages and data: links that lead somewhere, paths that exist, golden files with the command that makes them;
// and the ratchet of exceptions.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "rules.h"

namespace moebius::tidy {

namespace {

namespace fs = std::filesystem;

// The page's lines with fenced code emptied: examples in it may name files that are still to be written.
std::vector<std::string> prose_of(const SourceFile& page) {
  std::vector<std::string> lines = lines_of(page.text);
  bool fenced = false;
  for (std::string& line : lines) {
    const bool fence = line.find("```") != std::string::npos;
    if (fence) fenced = !fenced;
    if (fence || fenced) line.clear();
  }
  return lines;
}

// `src/STAGE/run_STAGE.cpp` is a pattern for the reader, not a path.
bool has_placeholder(const std::string& path) {
  static const std::regex kPlaceholder(R"([*<>{}$]|(^|[/_.])[A-Z]{2,}([/_.]|$))");
  static const std::regex kKnownCapitals(R"(README|LICENCES|LICENSE|CMakeLists)");
  return std::regex_search(std::regex_replace(path, kKnownCapitals, "x"), kPlaceholder);
}

// Every match of `pattern` in the pages' prose; `finding` says what is wrong with its first group, or nothing.
template <typename Finding>
Findings check_matches(const Files& files, const std::regex& pattern, const Finding& finding) {
  Findings findings;
  for (const SourceFile& page : files) {
    if (!page.path.ends_with(".md")) continue;
    std::size_t number = 0;
    for (const std::string& line : prose_of(page)) {
      ++number;
      for (std::sregex_iterator it(line.begin(), line.end(), pattern), end; it != end; ++it) {
        const std::string what = finding(page, (*it)[1]);
        if (!what.empty()) findings.push_back(at_line(page, number, what));
      }
    }
  }
  return findings;
}

}  // namespace

Findings check_markdown_links(const Files& files, const std::string& root) {
  static const std::regex kLink(R"(\]\(([^)\s]+)\))");
  return check_matches(files, kLink, [&](const SourceFile& page, std::string target) -> std::string {
    if (target.find("://") != std::string::npos || target[0] == '#' || target.rfind("mailto:", 0) == 0) return "";
    target = target.substr(0, target.find('#'));
    return fs::exists((fs::path(root) / page.path).parent_path() / target) ? "" : "the link leads nowhere: " + target;
  });
}

Findings check_paths_in_pages(const Files& files, const std::string& root) {
  static const std::regex kPath(R"(`((src|tests|docs|cmake|setup|corpora|studies|\.ci)/[^`\s]*)`)");
  return check_matches(files, kPath, [&](const SourceFile&, const std::string& path) -> std::string {
    return has_placeholder(path) || fs::exists(fs::path(root) / path) ? "" : "there is no " + path;
  });
}

namespace {

// Does a line speak of the file? By `folder/name`, a whole `folder/`, or the beginning of either: `folder/part*`, `part*`.
bool golden_named(const std::string& line, const std::string& path) {
  static const std::regex kQuoted("`([^`]+)`");
  const std::string name = path.substr(path.rfind('/') + 1);
  for (std::sregex_iterator it(line.begin(), line.end(), kQuoted), end; it != end; ++it) {
    std::string quoted = (*it)[1];
    if (quoted == path || quoted == name) return true;
    const bool open = quoted.back() == '*';
    if (open) quoted.pop_back();
    if ((open || quoted.ends_with("/")) && (path.rfind(quoted, 0) == 0 || name.rfind(quoted, 0) == 0)) return true;
  }
  return false;
}

}  // namespace

Findings check_golden_commands(const std::string& root) {
  const fs::path folder = fs::path(root) / "tests/golden";
  Findings findings;
  if (!fs::is_directory(folder)) return findings;
  std::ifstream in(folder / "README.md");
  const std::string readme{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  static const std::regex kCommand(R"(`[^`]*(python|moebius|tests/peers|cp )[^`]*`)");
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().filename() == "README.md") continue;
    const std::string path = fs::relative(entry.path(), folder).generic_string();
    bool found = false;
    for (const std::string& line : lines_of(readme)) {
      found = found || (golden_named(line, path) && std::regex_search(line, kCommand));
    }
    if (!found) {
      findings.push_back("tests/golden/" + path +
                         ":1: tests/golden/README.md has no line with this file and its command");
    }
  }
  std::sort(findings.begin(), findings.end());
  return findings;
}

Findings without_exceptions(const Findings& findings, const std::vector<std::string>& exceptions,
                            const std::string& rule) {
  Findings left;
  std::vector<bool> used(exceptions.size(), false);
  for (const std::string& finding : findings) {
    bool excused = false;
    for (std::size_t i = 0; i < exceptions.size(); ++i) {
      const std::string start = exceptions[i].rfind(rule + " ", 0) == 0 ? exceptions[i].substr(rule.size() + 1) : "";
      // "src/x.cpp" or "src/x.cpp: some of the finding's text"; line numbers move, so they are not compared.
      const std::size_t colon = start.find(": ");
      const std::string path = start.substr(0, colon);
      const bool hit = !start.empty() && finding.rfind(path + ":", 0) == 0 &&
                       (colon == std::string::npos || finding.find(start.substr(colon + 2)) != std::string::npos);
      if (hit) used[i] = excused = true;
    }
    if (!excused) left.push_back(finding);
  }
  for (std::size_t i = 0; i < exceptions.size(); ++i) {
    if (exceptions[i].rfind(rule + " ", 0) == 0 && !used[i]) {
      left.push_back("tests/tidy/exceptions.ratchet: no longer needed, take it out: " + exceptions[i]);
    }
  }
  return left;
}

}  // namespace moebius::tidy
