// The house's rules over the project's own files, and for every rule an example that breaks it.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "rules.h"
#include "source_tree.h"

namespace moebius::tidy {
namespace {

const std::string kRoot = MOEBIUS_SOURCE_DIR;

const Files& tree() {
  static const Files kFiles = source_tree_load(kRoot);
  return kFiles;
}

std::vector<std::string> exceptions() {
  std::ifstream in(kRoot + "/tests/tidy/exceptions.ratchet");
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line[0] != '#') lines.push_back(line);
  }
  return lines;
}

void expect_clean(const Findings& findings, const std::string& rule) {
  std::string text;
  for (const std::string& finding : without_exceptions(findings, exceptions(), rule)) text += "\n" + finding;
  EXPECT_TRUE(text.empty()) << text;
}

SourceFile file_of(const std::string& path, const std::string& text) {
  return {path, text, is_cpp(path) ? code_blank(text) : ""};
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(Tree, FindsTheProject) {
  EXPECT_GT(tree().size(), 40u);
  bool main_found = false;
  for (const SourceFile& file : tree()) main_found = main_found || file.path == "src/main.cpp";
  EXPECT_TRUE(main_found);
}

TEST(Tree, BlanksWhatIsNoCode) {
  EXPECT_EQ(code_blank("a; // {\nb"), "a;     \nb");
  EXPECT_EQ(code_blank("f(\"{\\\"\", '{')"), "f(     ,    )");
  EXPECT_EQ(code_blank("R\"x({)\" )x\" b"), "R           b");
  EXPECT_EQ(code_blank("#define A \\\n {\n1'000"), "           \n  \n1'000");
  EXPECT_EQ(code_blank("/* {\n */ c"), "    \n    c");
}

TEST(Rules, FileLength) {
  expect_clean(check_file_length(tree()), "FileLength");
  EXPECT_EQ(check_file_length({file_of("src/a.cpp", repeated("x\n", 801))}).size(), 1u);
  EXPECT_TRUE(check_file_length({file_of("src/a.cpp", repeated("x\n", 800))}).empty());
}

TEST(Rules, FunctionLength) {
  expect_clean(check_function_length(tree()), "FunctionLength");
  const std::string body = repeated("  x;\n", 68);
  EXPECT_TRUE(check_function_length({file_of("a.cpp", "void f() {\n" + body + "}\n")}).empty());
  EXPECT_EQ(check_function_length({file_of("a.cpp", "void f() {\n  x;\n" + body + "}\n")}).size(), 1u);
  const std::string nested =
      "namespace n {\nstruct S {\n  int a = 0;\n  S(int b) : a{b}, c{1} {\n" + body + "  }\n};\n}\n";
  EXPECT_EQ(functions_of(file_of("a.cpp", nested)).size(), 1u);
  EXPECT_EQ(functions_of(file_of("a.cpp", nested))[0].lines, 70);
  const std::string table = "const T k = {\n" + repeated("  {f(1), {}},\n", 90) + "};\nint g() { return 1; }\n";
  ASSERT_EQ(functions_of(file_of("a.cpp", table)).size(), 1u);
  EXPECT_EQ(functions_of(file_of("a.cpp", table))[0].lines, 1);
}

TEST(Rules, Ascii) {
  expect_clean(check_ascii(tree()), "Ascii");
  EXPECT_EQ(check_ascii({file_of("a.cpp", "// caf\xc3\xa9\n")}).size(), 1u);
  EXPECT_EQ(check_ascii({file_of("a.h", "\tint a;\n")}).size(), 1u);
}

TEST(Rules, CommentHeader) {
  expect_clean(check_comment_header(tree()), "CommentHeader");
  EXPECT_EQ(check_comment_header({file_of("a.cpp", "int a;\n")}).size(), 1u);
  EXPECT_EQ(check_comment_header({file_of("a.h", "// What.\nint a;\n")}).size(), 1u);
}

TEST(Rules, UnfinishedMarks) {
  expect_clean(check_unfinished_marks(tree()), "UnfinishedMarks");
  EXPECT_EQ(check_unfinished_marks({file_of("a.md", std::string("TO") + "DO later")}).size(), 1u);
}

TEST(Rules, MachinePaths) {
  expect_clean(check_machine_paths(tree()), "MachinePaths");
  EXPECT_EQ(check_machine_paths({file_of("a.md", std::string("see /ho") + "me/me/x")}).size(), 1u);
  EXPECT_TRUE(check_machine_paths({file_of("a.md", std::string("see docs/wo") + "rk/x")}).empty());
}

TEST(Rules, BannedCalls) {
  expect_clean(check_banned_calls(tree()), "BannedCalls");
  EXPECT_EQ(check_banned_calls({file_of("src/a/a.cpp", "std::mt19937 g;\n")}).size(), 1u);
  EXPECT_EQ(check_banned_calls({file_of("src/a/a.cpp", "std::thread t(f);\n")}).size(), 1u);
  EXPECT_EQ(check_banned_calls({file_of("src/a/a_test.cpp", "x = testing::TempDir() + name;\n")}).size(), 1u);
  EXPECT_EQ(check_banned_calls({file_of("src/a/a.cpp", "fmt::print(\"x\");\n")}).size(), 1u);
  EXPECT_TRUE(check_banned_calls({file_of("src/a/a.cpp", "fmt::print(stderr, \"x\");  // std::thread\n")}).empty());
}

TEST(Rules, IncludeTable) {
  expect_clean(check_include_table(tree()), "IncludeTable");
  EXPECT_EQ(check_include_table({file_of("src/report/a.cpp", "#include \"model/config.h\"\n")}).size(), 1u);
  EXPECT_EQ(check_include_table({file_of("src/plan/a.cpp", "#include \"model/router.h\"\n")}).size(), 1u);
  EXPECT_TRUE(check_include_table({file_of("src/plan/a.cpp", "#include \"model/config.h\"\n")}).empty());
  EXPECT_TRUE(check_include_table({file_of("src/study/a.cpp", "#include \"kernels/norm.h\"\n")}).empty());
  EXPECT_EQ(check_include_table({file_of("src/stranger/a.cpp", "int a;\n")}).size(), 1u);
}

TEST(Rules, CMakeLinks) {
  expect_clean(check_cmake_links(tree()), "CMakeLinks");
  EXPECT_EQ(
      check_cmake_links({file_of("src/data/CMakeLists.txt", "moebius_folder(NAME data LINKS base tensor\n TESTS a)")})
          .size(),
      1u);
}

TEST(Rules, HeavyHeaders) {
  expect_clean(check_heavy_headers(tree()), "HeavyHeaders");
  const SourceFile one = file_of("src/base/a.cpp", "#include <CLI/CLI.hpp>\n");
  EXPECT_TRUE(check_heavy_headers({one}).empty());
  EXPECT_EQ(check_heavy_headers({one, file_of("src/base/b.cpp", "#include <CLI/CLI.hpp>\n")}).size(), 2u);
}

TEST(Rules, OwnHeaderFirst) {
  expect_clean(check_own_header_first(tree()), "OwnHeaderFirst");
  const SourceFile header = file_of("src/base/a.h", "// A.\n");
  EXPECT_EQ(
      check_own_header_first({file_of("src/base/a.cpp", "#include <vector>\n#include \"base/a.h\"\n"), header}).size(),
      1u);
}

TEST(Rules, SourcesListed) {
  expect_clean(check_sources_listed(tree()), "SourcesListed");
  const SourceFile list = file_of("src/x/CMakeLists.txt", "moebius_folder(NAME x SOURCES a.cpp avx2/b.cpp)\n");
  EXPECT_TRUE(check_sources_listed({list, file_of("src/x/a.cpp", ""), file_of("src/x/avx2/b.cpp", "")}).empty());
  EXPECT_EQ(check_sources_listed({list, file_of("src/x/c.cpp", "")}).size(), 1u);
  EXPECT_EQ(check_sources_listed({list, file_of("src/x/d.scenario", "")}).size(), 1u);
}

TEST(Rules, MarkdownLinks) {
  expect_clean(check_markdown_links(tree(), kRoot), "MarkdownLinks");
  EXPECT_EQ(check_markdown_links({file_of("a.md", "[x](no-such-file.md)")}, kRoot).size(), 1u);
  EXPECT_TRUE(check_markdown_links({file_of("a.md", "[x](CMakeLists.txt#top)")}, kRoot).empty());
}

TEST(Rules, PathsInPages) {
  expect_clean(check_paths_in_pages(tree(), kRoot), "PathsInPages");
  EXPECT_EQ(check_paths_in_pages({file_of("a.md", "`src/no_such_file.h`")}, kRoot).size(), 1u);
  EXPECT_TRUE(check_paths_in_pages({file_of("a.md", "`src/STAGE/run_STAGE.h` `src/main.cpp`")}, kRoot).empty());
}

TEST(Rules, GoldenCommands) { expect_clean(check_golden_commands(kRoot), "GoldenCommands"); }

TEST(Rules, ExceptionsAreARatchet) {
  const Findings findings = {"src/a.cpp:7: 80 lines in one function: f()"};
  EXPECT_TRUE(without_exceptions(findings, {"FunctionLength src/a.cpp: f()"}, "FunctionLength").empty());
  EXPECT_EQ(without_exceptions(findings, {}, "FunctionLength").size(), 1u);
  EXPECT_EQ(without_exceptions({}, {"FunctionLength src/a.cpp: f()"}, "FunctionLength").size(), 1u);
}

// The table that people read says what the table that is checked says.
TEST(Rules, ArchitecturePageHasTheTable) {
  std::ifstream in(kRoot + "/ARCHITECTURE.md");
  const std::string page{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  for (const char* folder :
       {"base",  "tensor", "kernels", "data",  "model", "infer", "offload", "parallel", "fit",   "plan",
        "train", "eval",   "rl",      "quant", "chat",  "serve", "convert", "report",   "bench", "study"}) {
    const std::string row = include_table_row(folder);
    EXPECT_NE(page.find(row), std::string::npos) << "ARCHITECTURE.md lacks the row: " << row;
  }
}

}  // namespace
}  // namespace moebius::tidy
