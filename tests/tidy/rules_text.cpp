// Rules that look at one file at a time: lengths, letters, headers, words and calls that are not wanted.
#include <algorithm>
#include <cctype>
#include <regex>
#include <unordered_map>

#include "rules.h"

namespace moebius::tidy {

namespace {

std::string squeezed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

enum class Scope { open, function, other };  // open: namespace or class, which contains functions

Scope scope_of(const std::string& head) {
  static const std::regex kOpen(R"((^|[ ;>])(namespace|class|struct|union|extern)\b)");
  static const std::regex kEnum(R"(\benum\b)");
  const bool call = head.find('(') != std::string::npos;
  if (std::regex_search(head, kEnum)) return Scope::other;
  if (std::regex_search(head, kOpen) && (!call || head.find("alignas") != std::string::npos)) return Scope::open;
  if (head == "extern") return Scope::open;
  if (!call || head.find("= {") != std::string::npos || head.ends_with("=")) return Scope::other;
  return Scope::function;
}

char next_letter(const std::string& code, std::size_t at) {
  while (at < code.size() && std::isspace(static_cast<unsigned char>(code[at])) != 0) ++at;
  return at < code.size() ? code[at] : '\0';
}

}  // namespace

namespace {

std::vector<FunctionSpan> find_functions(const SourceFile& file) {
  std::vector<FunctionSpan> spans;
  std::vector<Scope> scopes;
  std::string head;
  int line = 1;
  int head_line = 1;
  std::size_t closed = 0;  // depth at which the open function began
  bool inside = false;
  for (std::size_t i = 0; i < file.code.size(); ++i) {
    const char c = file.code[i];
    if (c == '\n') ++line;
    if (c == '{') {
      const bool here = scopes.empty() || scopes.back() == Scope::open;
      const Scope scope = here ? scope_of(squeezed(head)) : Scope::other;
      if (scope == Scope::function) {
        inside = true;
        closed = scopes.size();
        spans.push_back({squeezed(head), head_line, 0});
      }
      scopes.push_back(scope);
      if (scope == Scope::open) head.clear();
      continue;
    }
    if (c == '}') {
      if (scopes.empty()) return {{"more } than {", line, kFunctionLinesMax + 1}};
      scopes.pop_back();
      if (inside && scopes.size() == closed) {
        inside = false;
        const char next = next_letter(file.code, i + 1);
        // `: a_{1}, b_{2} {`: this was an initialiser, the function's body is still to come.
        if (next == ',' || (next == '{')) {
          spans.pop_back();
          head += "()";
          continue;
        }
        spans.back().lines = line - spans.back().line + 1;
      }
      if (!inside && next_letter(file.code, i + 1) != ',') head.clear();
      continue;
    }
    if (inside) continue;
    if (c == ';') {
      head.clear();
    } else {
      if (head.find_first_not_of(" \t\n") == std::string::npos) head_line = line;
      head += c;
    }
  }
  if (!scopes.empty()) return {{"more { than }", line, kFunctionLinesMax + 1}};
  return spans;
}

}  // namespace

const std::vector<FunctionSpan>& functions_of(const SourceFile& file) {
  // Several rules ask for the same files.
  static std::unordered_map<std::string, std::vector<FunctionSpan>> found;
  const auto at = found.find(file.code);
  return at != found.end() ? at->second : found.emplace(file.code, find_functions(file)).first->second;
}

Findings check_file_length(const Files& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    if (!is_cpp(file.path) && !is_script(file.path)) continue;
    const int lines = static_cast<int>(std::count(file.text.begin(), file.text.end(), '\n'));
    if (lines > kFileLinesMax) {
      findings.push_back(at_line(file, lines, "more than " + std::to_string(kFileLinesMax) + " lines: split it"));
    }
  }
  return findings;
}

Findings check_function_length(const Files& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    for (const FunctionSpan& span : functions_of(file)) {
      if (span.lines <= kFunctionLinesMax) continue;
      findings.push_back(at_line(file, span.line,
                                 std::to_string(span.lines) + " lines in one function (" +
                                     std::to_string(kFunctionLinesMax) + " at most): " + span.head));
    }
  }
  return findings;
}

Findings check_ascii(const Files& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    // The scripts under tests/peers hold texts of many languages, which are data.
    if (file.path.rfind("tests/peers/", 0) == 0 || (!is_cpp(file.path) && !is_script(file.path))) continue;
    int line = 1;
    int last = 0;
    for (const char c : file.text) {
      if (c == '\n') ++line;
      const bool wrong = static_cast<unsigned char>(c) >= 0x80 || c == '\t' || c == '\r';
      if (wrong && line != last) {
        findings.push_back(at_line(file, line, "a tab, a carriage return or a letter beyond ASCII"));
        last = line;
      }
    }
    if (!file.text.empty() && file.text.back() != '\n')
      findings.push_back(at_line(file, line, "no line end at the end"));
  }
  return findings;
}

namespace {

// src/STAGE/CMakeLists.txt is one call of moebius_folder and needs no words.
bool is_folder_list(const std::string& path) {
  return path.rfind("src/", 0) == 0 && path.ends_with("/CMakeLists.txt") && path != "src/CMakeLists.txt";
}

}  // namespace

Findings check_comment_header(const Files& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    const std::string begin = file.text.substr(0, 40);
    if (is_cpp(file.path)) {
      if (begin.rfind("// ", 0) != 0) findings.push_back(at_line(file, 1, "begin with what the file is for (// ...)"));
      const bool header = file.path.ends_with(".h");
      if (header && file.text.find("#pragma once") == std::string::npos) {
        findings.push_back(at_line(file, 1, "a header needs #pragma once"));
      }
    } else if (is_script(file.path) && !is_folder_list(file.path) && begin.rfind("#", 0) != 0 &&
               begin.rfind("\"\"\"", 0) != 0) {
      findings.push_back(at_line(file, 1, "begin with what the file is for (# ...)"));
    }
  }
  return findings;
}

namespace {

// `keys`: every match contains one of them, and a search for them is much faster; empty: unknown.
Findings check_pattern(const Files& files, const std::regex& pattern, const std::string& what, bool code_only,
                       const std::vector<std::string>& excused, const std::vector<std::string>& keys = {}) {
  Findings findings;
  for (const SourceFile& file : files) {
    if (code_only && !is_cpp(file.path)) continue;
    const bool skip = std::any_of(excused.begin(), excused.end(),
                                  [&](const std::string& start) { return file.path.rfind(start, 0) == 0; });
    if (skip) continue;
    std::size_t line = 0;
    for (const std::string& text : lines_of(code_only ? file.code : file.text)) {
      ++line;
      const bool possible = keys.empty() || std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
                              return text.find(key) != std::string::npos;
                            });
      if (!possible) continue;
      std::smatch match;
      if (std::regex_search(text, match, pattern))
        findings.push_back(at_line(file, line, "'" + match.str() + "': " + what));
    }
  }
  return findings;
}

Findings check_includes(const Files& files, const std::regex& pattern, const std::string& what,
                        const std::vector<std::string>& excused) {
  Files cpp;
  std::copy_if(files.begin(), files.end(), std::back_inserter(cpp),
               [](const SourceFile& file) { return is_cpp(file.path); });
  return check_pattern(cpp, pattern, what, false, excused, {"#include"});
}

}  // namespace

Findings check_unfinished_marks(const Files& files) {
  // The words are put together here, so that this file passes its own rule.
  const std::regex pattern(std::string("\\b(TO") + "DO|FIX" + "ME|XX" + "X|HA" + "CK)\\b");
  return check_pattern(
      files, pattern, "finish it, or say in CHANGELOG.md what is left", false, {},
      {std::string("TO") + "DO", std::string("FIX") + "ME", std::string("XX") + "X", std::string("HA") + "CK"});
}

Findings check_machine_paths(const Files& files) {
  const std::regex pattern(std::string("(^|[^A-Za-z0-9_.])/(wo") + "rk|ho" + "me|ro" + "ot|tmp/ve" + "nv)/");
  return check_pattern(files, pattern, "a path of one machine", false, {},
                       {std::string("wo") + "rk/", std::string("ho") + "me/", std::string("ro") + "ot/", "/venv/"});
}

Findings check_banned_calls(const Files& files) {
  Findings findings;
  const auto add = [&](const Findings& more) { findings.insert(findings.end(), more.begin(), more.end()); };
  const std::regex random(
      R"(\bstd::(mt19937|random_device|default_random_engine|minstd_rand|[a-z]+_distribution|random_shuffle|shuffle)\b|\b[sd]?rand(48)?\()");
  add(check_pattern(files, random, "random numbers come from base/rng.h alone", true, {"src/base/rng."},
                    {"std::", "rand"}));
  const std::regex threads(R"(\bstd::(thread|jthread|async)\b|\bpthread_create\b)");
  add(check_pattern(files, threads, "only base/parallel knows threads", true, {"src/base/parallel."},
                    {"thread", "async"}));
  const std::regex print(R"(\bstd::cout\b|\bfmt::print\((?!stderr)|(^|[^a-z_:.])printf\(|\bputs\(|\bstdout\b)");
  add(check_pattern(files, print, "standard output belongs to stage_print (base/stage.h)", true,
                    {"src/base/stage.cpp", "src/base/log.cpp", "tests/"}, {"cout", "print", "puts", "stdout"}));
  const std::regex temporary(R"(\bTempDir\(\)|\btemp_directory_path\b)");
  add(check_pattern(files, temporary, "test runs would meet there: use base/test_folder.h", true,
                    {"src/base/test_folder.", "src/model/oracle_test."},
                    {"TempDir", "temp_directory"}));  // the second writes what a script of tests/peers reads
  const std::regex environment(R"(\b(secure_)?getenv\b)");
  Files program;
  std::copy_if(files.begin(), files.end(), std::back_inserter(program),
               [](const SourceFile& file) { return !is_for_tests(file.path); });
  add(check_pattern(program, environment, "options come from flags and TOML files", true, {"tests/"}, {"getenv"}));
  Files kernels;
  std::copy_if(program.begin(), program.end(), std::back_inserter(kernels),
               [](const SourceFile& file) { return file.path.rfind("src/kernels/", 0) == 0; });
  add(check_pattern(kernels, std::regex(R"(\bthrow\b|\bmalloc\()"), "kernels do not throw or allocate", true,
                    {"src/kernels/isa.cpp"}, {"throw", "malloc"}));  // it checks the options of --isa
  const std::regex standard(R"(\bthrow std::|\bassert\(|\babort\(\))");
  add(check_pattern(program, standard, "throw Error (base/error.h) or CHECK (base/check.h)", true,
                    {"src/base/check.", "tests/"}, {"throw std::", "assert(", "abort("}));
  const std::regex headers(R"(#include <(random|thread|future)>)");
  add(check_includes(files, headers, "use base/rng.h and base/parallel.h", {"src/base/parallel."}));
  return findings;
}

Findings check_option_counts(const Files& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    if (file.path.rfind("src/", 0) != 0 || file.code.find("::describe(") == std::string::npos) continue;
    const std::vector<std::string> lines = lines_of(file.code);
    for (const FunctionSpan& span : functions_of(file)) {
      if (span.head.find("::describe(") == std::string::npos) continue;
      int options = 0;
      for (int line = span.line; line < span.line + span.lines; ++line) {
        const std::string& text = lines[static_cast<std::size_t>(line - 1)];
        for (std::size_t at = text.find(".add("); at != std::string::npos; at = text.find(".add(", at + 1)) ++options;
      }
      if (options > kOptionsMax) {
        findings.push_back(at_line(file, static_cast<std::size_t>(span.line),
                                   std::to_string(options) + " options in one struct (" + std::to_string(kOptionsMax) +
                                       " at most): " + span.head));
      }
    }
  }
  return findings;
}

}  // namespace moebius::tidy
