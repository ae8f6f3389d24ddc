// The rules of CONTRIBUTING.md as functions: files in, findings out, one line each ("path:line: what is wrong").
// Each rule is a pure function, so that a test can show it both a good and a bad file. exceptions.ratchet lists
// exceptions and may only become shorter.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "source_tree.h"

namespace moebius::tidy {

using Files = std::vector<SourceFile>;
using Findings = std::vector<std::string>;

inline constexpr int kFileLinesMax = 800;
inline constexpr int kFunctionLinesMax = 70;
inline constexpr int kOptionsMax = 25;  // of one struct

// A function's place and length, found by counting braces from namespace or class scope.
struct FunctionSpan {
  std::string head;  // its text up to the brace, on one line
  int line = 0;      // where it begins, from 1
  int lines = 0;
};
const std::vector<FunctionSpan>& functions_of(const SourceFile& file);

// Rules over the text of each file.
Findings check_file_length(const Files& files);
Findings check_function_length(const Files& files);
Findings check_ascii(const Files& files);
Findings check_comment_header(const Files& files);
Findings check_unfinished_marks(const Files& files);
Findings check_machine_paths(const Files& files);
Findings check_banned_calls(const Files& files);
Findings check_option_counts(const Files& files);

// Rules about what includes and links what.
std::set<std::string> folders_allowed(const std::string& folder);  // with all that they may use; empty: unknown folder
std::string include_table_row(const std::string& folder);          // as ARCHITECTURE.md shows it: "| data | base |"
Findings check_include_table(const Files& files);
Findings check_cmake_links(const Files& files);
Findings check_heavy_headers(const Files& files);
Findings check_own_header_first(const Files& files);
Findings check_sources_listed(const Files& files);

// Rules about pages and data; `root` is where linked files are looked for.
Findings check_markdown_links(const Files& files, const std::string& root);
Findings check_paths_in_pages(const Files& files, const std::string& root);
Findings check_golden_commands(const std::string& root);

// Rules about wording (words of older texts that stand for a term of the field; errors that are questions).
Findings check_words(const Files& files);
Findings check_error_texts(const Files& files);

// Rules about names. The pages are given as text.
Findings check_names(const Files& files);
Findings check_unused_declarations(const Files& files);
Findings check_shape_letters(const Files& files, const std::string& glossary);
Findings check_main_types(const Files& files, const std::string& architecture);
Findings check_rules_have_tests(const std::string& contributing, const std::string& tests);

// Findings without those that begin with a line of the ratchet file; a line that excuses nothing is itself a finding.
Findings without_exceptions(const Findings& findings, const std::vector<std::string>& exceptions,
                            const std::string& rule);

}  // namespace moebius::tidy
