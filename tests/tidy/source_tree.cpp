// Walking the project's folders, and blanking out what is no code.
#include "source_tree.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace moebius::tidy {

namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kFolders = {"src", "tests", "cmake", "setup", "docs", "studies", "corpora", ".ci"};

bool is_text_of_ours(const std::string& path) {
  const bool data = path.rfind("corpora/", 0) == 0 || path.rfind("tests/golden/", 0) == 0;
  if (data) return ends_with_any(path, {".md"});
  if (ends_with_any(path, {".ratchet"})) return false;
  return is_cpp(path) || is_script(path) || ends_with_any(path, {".md", ".scenario", ".json", ".js", ".css"});
}

std::string file_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool is_identifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// One step of blanking: finds where the thing that begins at `at` ends. Returns `at` when nothing begins there.
class Blanker {
 public:
  explicit Blanker(std::string_view text) : text_(text) {}

  std::size_t end_of_hidden(std::size_t at) const {
    if (text_.substr(at, 2) == "//") return line_end(at);
    if (text_.substr(at, 2) == "/*") return after("*/", at + 2);
    if (text_[at] == '"') return at > 0 && text_[at - 1] == 'R' ? raw_end(at) : quote_end(at, '"');
    // An apostrophe inside a number (1'000) is no character literal.
    if (text_[at] == '\'' && (at == 0 || !is_identifier(text_[at - 1]))) return quote_end(at, '\'');
    if (text_[at] == '#' && first_on_line(at)) return directive_end(at);
    return at;
  }

 private:
  std::size_t after(std::string_view mark, std::size_t from) const {
    const std::size_t found = text_.find(mark, from);
    return found == std::string_view::npos ? text_.size() : found + mark.size();
  }
  std::size_t line_end(std::size_t at) const { return std::min(text_.find('\n', at), text_.size()); }
  std::size_t quote_end(std::size_t at, char quote) const {
    for (std::size_t i = at + 1; i < text_.size() && text_[i] != '\n'; ++i) {
      if (text_[i] == '\\')
        ++i;
      else if (text_[i] == quote)
        return i + 1;
    }
    return line_end(at);
  }
  std::size_t raw_end(std::size_t at) const {
    const std::size_t open = text_.find('(', at);
    if (open == std::string_view::npos) return line_end(at);
    return after(")" + std::string(text_.substr(at + 1, open - at - 1)) + "\"", open);
  }
  bool first_on_line(std::size_t at) const {
    while (at > 0 && (text_[at - 1] == ' ' || text_[at - 1] == '\t')) --at;
    return at == 0 || text_[at - 1] == '\n';
  }
  std::size_t directive_end(std::size_t at) const {
    std::size_t end = line_end(at);
    while (end < text_.size() && end > 0 && text_[end - 1] == '\\') end = line_end(end + 1);
    return end;
  }

  std::string_view text_;
};

}  // namespace

std::string code_blank(std::string_view text) {
  std::string code(text);
  const Blanker blanker(text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = blanker.end_of_hidden(at);
    if (end == at) {
      ++at;
      continue;
    }
    for (std::size_t i = at; i < end; ++i) {
      if (code[i] != '\n') code[i] = ' ';
    }
    at = end;
  }
  return code;
}

std::vector<SourceFile> source_tree_load(const std::string& root) {
  std::vector<SourceFile> files;
  const auto take = [&](const fs::path& path) {
    SourceFile file;
    file.path = fs::relative(path, root).generic_string();
    const bool command = file.path == "moebius" || file.path == "check" || file.path == ".ci/run";
    if (!command && !is_text_of_ours(file.path)) return;
    file.text = file_text(path);
    if (is_cpp(file.path)) file.code = code_blank(file.text);
    files.push_back(std::move(file));
  };
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_regular_file()) take(entry.path());
  }
  for (const std::string& folder : kFolders) {
    if (!fs::is_directory(fs::path(root) / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(root) / folder)) {
      if (entry.is_regular_file()) take(entry.path());
    }
  }
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

std::string at_line(const SourceFile& file, std::size_t line, const std::string& what) {
  return file.path + ":" + std::to_string(line) + ": " + what;
}

bool ends_with_any(std::string_view path, const std::vector<std::string>& endings) {
  return std::any_of(endings.begin(), endings.end(), [&](const std::string& ending) { return path.ends_with(ending); });
}

bool is_cpp(std::string_view path) { return ends_with_any(path, {".h", ".cpp"}); }

bool is_for_tests(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return ends_with_any(name, {"_test.cpp", "_fake.h", "_fake.cpp"}) || name.starts_with("test_") ||
         name.starts_with("fake_") || path.find("/reference/") != std::string_view::npos;
}

bool is_script(std::string_view path) {
  return ends_with_any(path, {".sh", ".py", ".toml", ".cmake", "CMakeLists.txt"}) || path == "moebius" ||
         path == "check" || path == ".ci/run";
}

}  // namespace moebius::tidy
