// Rules about names: how they are spelled, that pages name what exists, and that what a header declares is used.
// They look at words and braces; there is no parser here.
#include <algorithm>
#include <cctype>
#include <map>
#include <regex>

#include "rules.h"

namespace moebius::tidy {

namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Calls visit(word, begin, end) for every identifier of `code`.
template <typename Visit>
void each_word(const std::string& code, const Visit& visit) {
  for (std::size_t i = 0; i < code.size();) {
    if (!is_word(code[i])) {
      ++i;
      continue;
    }
    const std::size_t begin = i;
    while (i < code.size() && is_word(code[i])) ++i;
    if (std::isdigit(static_cast<unsigned char>(code[begin])) == 0) visit(code.substr(begin, i - begin), begin, i);
  }
}

std::size_t next_visible(const std::string& code, std::size_t at) {
  while (at < code.size() && std::isspace(static_cast<unsigned char>(code[at])) != 0) ++at;
  return at;
}

std::size_t line_at(const SourceFile& file, std::size_t at) {
  return 1 + static_cast<std::size_t>(
                 std::count(file.text.begin(), file.text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

// The text of `file` with code and preprocessor lines, without comments and literals: macros name functions, too.
std::string code_and_macros(const SourceFile& file) {
  std::string code = file.code;
  std::size_t begin = 0;
  for (const std::string& line : lines_of(file.text)) {
    if (!line.empty() && line[0] == '#' && line.rfind("#include", 0) != 0) code.replace(begin, line.size(), line);
    begin += line.size() + 1;
  }
  return code;
}

struct Declaration {
  std::string name;
  std::size_t at = 0;
  bool defined = false;  // with its body in the header
};

// Functions that a header declares: a lower-case word before '(' and after a type, outside of function bodies and of
// arguments.
std::vector<Declaration> declarations_of(const SourceFile& header) {
  static const std::set<std::string> kNone = {"if",    "for",   "while",    "switch",  "return",        "sizeof",
                                              "catch", "throw", "decltype", "alignof", "static_assert", "requires"};
  std::vector<std::pair<std::size_t, std::size_t>> bodies;
  for (const FunctionSpan& span : functions_of(header)) {
    bodies.push_back({static_cast<std::size_t>(span.line), static_cast<std::size_t>(span.line + span.lines - 1)});
  }
  std::vector<Declaration> found;
  const std::string& code = header.code;
  std::string before;  // the word before
  std::size_t before_end = 0;
  each_word(code, [&](const std::string& word, std::size_t begin, std::size_t end) {
    const std::size_t open = next_visible(code, end);
    const bool lower = std::islower(static_cast<unsigned char>(word[0])) != 0;
    const std::string between = code.substr(before_end, begin - before_end);
    const bool typed = !before.empty() && kNone.count(before) == 0 && before != "operator" && before != "co_return" &&
                       !between.empty() && between.find_first_not_of(" &*>\n") == std::string::npos;
    before = word;
    before_end = end;
    if (!lower || !typed || kNone.count(word) != 0 || open >= code.size() || code[open] != '(') return;
    const std::size_t line = line_at(header, begin);
    // A body's first line holds the declaration itself.
    for (const auto& [first, last] : bodies) {
      if (line > first + 3 && line <= last) return;
    }
    int depth = 0;
    std::size_t at = open;
    for (; at < code.size(); ++at) {
      if (code[at] == '(') ++depth;
      if (code[at] == ')' && --depth == 0) break;
    }
    const std::size_t stop = std::min(code.find_first_of(";{", at), code.size());
    found.push_back({word, begin, stop < code.size() && code[stop] == '{'});
  });
  return found;
}

}  // namespace

Findings check_unused_declarations(const Files& files) {
  std::map<std::string, std::map<std::string, int>> uses;  // word -> file -> times, outside of tests
  for (const SourceFile& file : files) {
    if (!is_cpp(file.path) || file.path.rfind("src/", 0) != 0 || is_for_tests(file.path)) continue;
    each_word(code_and_macros(file),
              [&](const std::string& word, std::size_t, std::size_t) { ++uses[word][file.path]; });
  }
  Findings findings;
  for (const SourceFile& header : files) {
    if (header.path.rfind("src/", 0) != 0 || !header.path.ends_with(".h") || is_for_tests(header.path)) continue;
    const std::string source = header.path.substr(0, header.path.size() - 2) + ".cpp";
    const std::vector<Declaration> declarations = declarations_of(header);
    std::map<std::string, int> declared, bodies;
    for (const Declaration& d : declarations) {
      ++declared[d.name];
      bodies[d.name] += d.defined ? 1 : 0;
    }
    std::set<std::string> told;
    for (const Declaration& d : declarations) {
      int used = 0;
      for (const auto& [path, times] : uses[d.name]) {
        // One time is the declaration, in the header's own source the definition of what has no body in the header.
        const int own = path == header.path ? declared[d.name] : path == source ? declared[d.name] - bodies[d.name] : 0;
        used += std::max(times - own, 0);
      }
      if (used == 0 && told.insert(d.name).second) {
        findings.push_back(
            at_line(header, line_at(header, d.at), "only tests or nothing use " + d.name + "(): delete it"));
      }
    }
  }
  return findings;
}

Findings check_names(const Files& files) {
  static const std::regex kFile(R"([a-z0-9_]+\.(h|cpp))");
  static const std::regex kType(
      R"(\b(struct|class|enum class|enum)\s+(?:alignas\([^)]*\)\s*)?([A-Za-z_]\w*)\s*(final\s*)?[:{;])");
  static const std::regex kTypeName(R"([A-Z][A-Za-z0-9]*|[a-z]+[0-9]+)");  // the second for number types: bf16
  static const std::regex kConstant(R"(^(?:inline\s+|static\s+)*constexpr\s+[\w:<>, ]*?\b([A-Za-z_]\w*)\s*(=|\[|\{))");
  static const std::regex kConstantName(R"(k[A-Z][A-Za-z0-9]*)");
  Findings findings;
  for (const SourceFile& file : files) {
    if (!is_cpp(file.path)) continue;
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    if (!std::regex_match(name, kFile)) findings.push_back(at_line(file, 1, "file names are snake_case"));
    int number = 0;
    for (const std::string& line : lines_of(file.code)) {
      ++number;
      std::smatch match;
      if (line.find("struct") != std::string::npos || line.find("class") != std::string::npos ||
          line.find("enum") != std::string::npos) {
        if (std::regex_search(line, match, kType) && !std::regex_match(match.str(2), kTypeName))
          findings.push_back(at_line(file, number, "types are PascalCase: " + match.str(2)));
      }
      if (line.find("constexpr") != std::string::npos && std::regex_search(line, match, kConstant) &&
          !std::regex_match(match.str(1), kConstantName)) {
        findings.push_back(at_line(file, number, "constants are kPascalCase: " + match.str(1)));
      }
    }
    for (const FunctionSpan& span : functions_of(file)) {
      const std::string head = span.head.substr(0, span.head.find('('));
      std::size_t begin = head.size();
      while (begin > 0 && is_word(head[begin - 1])) --begin;
      const std::string function = head.substr(begin);
      // Constructors, destructors, operators and macros of test frameworks are left.
      const bool plain = !function.empty() && std::islower(static_cast<unsigned char>(function[0])) != 0;
      const bool capital = std::any_of(function.begin(), function.end(),
                                       [](char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; });
      if (plain && capital) findings.push_back(at_line(file, span.line, "functions are snake_case: " + function));
    }
  }
  return findings;
}

Findings check_shape_letters(const Files& files, const std::string& glossary) {
  std::map<char, int> listed;
  static const std::regex kRow(R"(^\| ([A-Z]) \| .+ \|$)");
  for (const std::string& line : lines_of(glossary)) {
    std::smatch match;
    if (std::regex_match(line, match, kRow)) ++listed[match.str(1)[0]];
  }
  Findings findings;
  for (const auto& [letter, times] : listed) {
    if (times > 1) findings.push_back(std::string("GLOSSARY.md:1: two meanings of the letter ") + letter);
  }
  std::set<char> used;
  static const std::regex kShape(R"([a-z][a-z0-9_]*_([A-Z][A-Z0-9]*))");
  for (const SourceFile& file : files) {
    if (!is_cpp(file.path) || file.path.rfind("src/", 0) != 0) continue;
    std::set<std::string> told;
    each_word(file.code, [&](const std::string& word, std::size_t begin, std::size_t) {
      std::smatch match;
      const bool capital = std::isupper(static_cast<unsigned char>(word.back())) != 0 || word.back() == '1';
      if (!capital || word.find('_') == std::string::npos || !std::regex_match(word, match, kShape)) return;
      for (const char letter : match.str(1)) {
        used.insert(letter);
        if (letter != '1' && listed.count(letter) == 0 && told.insert(word).second)
          findings.push_back(at_line(file, line_at(file, begin), "GLOSSARY.md lacks the letter of " + word));
      }
    });
  }
  for (const auto& [letter, times] : listed) {
    if (used.count(letter) == 0)
      findings.push_back(std::string("GLOSSARY.md:1: nothing is named by the letter ") + letter);
  }
  return findings;
}

Findings check_main_types(const Files& files, const std::string& architecture) {
  Findings findings;
  static const std::regex kRow(R"(^\| `(\w+)` \| .+ \| (\w+) \|$)");
  bool inside = false;
  int rows = 0;
  int number = 0;
  for (const std::string& line : lines_of(architecture)) {
    ++number;
    if (line.rfind("## ", 0) == 0) inside = line == "## Main types";
    std::smatch match;
    if (!inside || !std::regex_match(line, match, kRow)) continue;
    ++rows;
    const std::regex definition(R"(\b(struct|class|enum class)\s+)" + match.str(1) + R"(\b[^;{(]*\{)");
    const bool found = std::any_of(files.begin(), files.end(), [&](const SourceFile& file) {
      return file.path.rfind("src/" + match.str(2) + "/", 0) == 0 && file.path.ends_with(".h") &&
             std::regex_search(file.code, definition);
    });
    if (!found) {
      findings.push_back("ARCHITECTURE.md:" + std::to_string(number) + ": no header of " + match.str(2) + " defines " +
                         match.str(1));
    }
  }
  if (rows == 0) findings.push_back("ARCHITECTURE.md:1: no table under 'Main types'");
  return findings;
}

Findings check_rules_have_tests(const std::string& contributing, const std::string& tests) {
  Findings findings;
  static const std::regex kName(R"(`(\w+)`)");
  bool inside = false;
  int rows = 0;
  int number = 0;
  for (const std::string& line : lines_of(contributing)) {
    ++number;
    if (line.rfind("## ", 0) == 0) inside = line == "## Rules";
    if (!inside || line.rfind("| ", 0) != 0 || line.rfind("| rule ", 0) == 0) continue;
    ++rows;
    const std::string last = line.substr(std::min(line.rfind(" | "), line.size()));
    bool named = false;
    for (std::sregex_iterator it(last.begin(), last.end(), kName), end; it != end; ++it) {
      named = true;
      if (tests.find((*it)[1].str()) == std::string::npos)
        findings.push_back("CONTRIBUTING.md:" + std::to_string(number) + ": there is no test " + (*it)[1].str());
    }
    if (!named) findings.push_back("CONTRIBUTING.md:" + std::to_string(number) + ": the rule names no test");
  }
  if (rows == 0) findings.push_back("CONTRIBUTING.md:1: no table under 'Rules'");
  return findings;
}

}  // namespace moebius::tidy
