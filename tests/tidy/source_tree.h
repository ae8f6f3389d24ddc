// The files of the project as text, for the rules of tests/tidy: read once, with the parts of C++ that most rules must
// not see (comments, strings, preprocessor lines) blanked out in a second copy of equal length.
// In: the project's folder. Out: files sorted by path. Not a parser: rules work on lines and braces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moebius::tidy {

struct SourceFile {
  std::string path;  // relative to the project's folder, with slashes
  std::string text;
  std::string code;  // C++ only: text with comments, literals and preprocessor lines as spaces; else empty
};

// Every file of src/, tests/, cmake/, setup/, docs/, studies/, .ci/ and of the top folder that people write. Corpora and
// golden files are data and are not read, but for their Markdown pages.
std::vector<SourceFile> source_tree_load(const std::string& root);

// Comments, string and character literals (raw strings too) and preprocessor lines become spaces; line ends stay.
std::string code_blank(std::string_view text);

std::vector<std::string> lines_of(std::string_view text);
// A finding: "path:line: what".
std::string at_line(const SourceFile& file, std::size_t line, const std::string& what);
bool ends_with_any(std::string_view path, const std::vector<std::string>& endings);
bool is_cpp(std::string_view path);  // .h, .cpp
// Tests, and what only tests include: fakes, test support, and the reference kernels that tests compare with.
bool is_for_tests(std::string_view path);
bool is_script(std::string_view path);  // shell, CMake, Python, TOML

}  // namespace moebius::tidy
