// The rules of CONTRIBUTING.md applied to the project's files, and for every rule an example that breaks it.
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

std::string file_text(const std::string& path) {
  std::ifstream in(kRoot + "/" + path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
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
  EXPECT_EQ(check_banned_calls({file_of("src/a/a.cpp", "const char* v = std::getenv(name);\n")}).size(), 1u);
  EXPECT_EQ(check_banned_calls({file_of("src/kernels/a.cpp", "throw 1;\n")}).size(), 1u);
  EXPECT_EQ(check_banned_calls({file_of("src/a/a.cpp", "throw std::runtime_error(what);\n")}).size(), 1u);
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

TEST(Rules, Words) {
  expect_clean(check_words(tree()), "Words");
  const auto findings_in = [](const std::string& text) { return check_words({file_of("docs/a.md", text)}).size(); };
  for (const char* bad : {"rows are asked for far ahead",
                          "it is made anew",
                          "after so many\nsteps",
                          "it goes on from there",
                          "the run is taken up again",
                          "the way of small heads",
                          "The data's way",
                          "it stands in a table",
                          "as it stood",
                          "the hypothesis claims a rise",
                          "the interval holds 0",
                          "the less of it the better",
                          "Nobody trusts a count",
                          "for everybody",
                          "(asked: 15 %)",
                          "asked are 4.5 times",
                          "the turned matrix",
                          "turning and packing",
                          "weights are turned",
                          "a common beginning",
                          "this mends it"}) {
    EXPECT_EQ(findings_in(bad), 1u) << bad;
  }
  for (const char* good :
       {"two blocks ahead", "so many runs fail that it stops", "on and off", "all the way down", "by the way",
        "D stands for the width", "it stands out", "a turning point", "in turn", "it turned out", "turn off tracing",
        "at the beginning of a line", "the task asks for it", "an embodied", "understand", "amended", "holds 01"}) {
    EXPECT_EQ(findings_in(good), 0u) << good;
  }
  EXPECT_EQ(check_words({file_of("src/plan/a.cpp", "// so\n// many\nint anew;\n")}).size(), 1u);
  EXPECT_EQ(check_words({file_of("src/plan/a.cpp", "f(\"it is made \"\n  \"anew\");\n")}).size(), 1u);
  EXPECT_EQ(check_words({file_of("src/plan/a.cpp", "f(\"go\", \"on\");\n")}).size(), 0u);
}

TEST(Rules, ErrorTexts) {
  expect_clean(check_error_texts(tree()), "ErrorTexts");
  EXPECT_EQ(check_error_texts({file_of("a.cpp", "throw Error({.what = \"which law?\"});\n")}).size(), 1u);
  EXPECT_EQ(check_error_texts({file_of("a.cpp", "Error({.what = a ? \"no\" : \"which?\", .fix = b});\n")}).size(), 1u);
  EXPECT_TRUE(check_error_texts({file_of("a.cpp", "Error({.what = \"no law\", .fix = \"why?\"});\n")}).empty());
}

TEST(Rules, Names) {
  expect_clean(check_names(tree()), "Names");
  EXPECT_EQ(check_names({file_of("src/a/Bad.cpp", "")}).size(), 1u);
  EXPECT_EQ(check_names({file_of("src/a/a.h", "struct bad_type {\n};\n")}).size(), 1u);
  EXPECT_EQ(check_names({file_of("src/a/a.h", "inline constexpr int Bad = 1;\n")}).size(), 1u);
  EXPECT_EQ(check_names({file_of("src/a/a.cpp", "int badName(int a) {\n  return a;\n}\n")}).size(), 1u);
  EXPECT_TRUE(check_names({file_of("src/a/a.h",
                                   "enum class Good { a };\nconstexpr int kGood = 1;\nint good_name() { return 1; }\n"
                                   "struct Two {\n  explicit Two(int a) { b = a; }\n};\n")})
                  .empty());
}

TEST(Rules, UnusedDeclarations) {
  expect_clean(check_unused_declarations(tree()), "UnusedDeclarations");
  const SourceFile header =
      file_of("src/a/a.h", "struct S {\n  int size() const { return 1; }\n};\nint twice(int a);\n");
  const SourceFile source = file_of("src/a/a.cpp", "int twice(int a) { return S().size() * a; }\n");
  const SourceFile test = file_of("src/a/a_test.cpp", "int b = twice(2);\n");
  EXPECT_EQ(check_unused_declarations({header, source, test}).size(), 1u);
  EXPECT_EQ(check_unused_declarations({header, file_of("src/a/a.cpp", "int twice(int a) { return a; }\n")}).size(), 2u);
  EXPECT_TRUE(check_unused_declarations({header, source, file_of("src/b/b.cpp", "int b = twice(2);\n")}).empty());
  EXPECT_TRUE(check_unused_declarations({header, source, file_of("src/b/b.h", "#define F twice(2)\n")}).empty());
}

TEST(Rules, OptionCounts) {
  expect_clean(check_option_counts(tree()), "OptionCounts");
  const auto options = [](int count) {
    return file_of("src/a/a.cpp", "void A::describe(L& list) {\n" + repeated("  list.add(1);\n", count) + "}\n");
  };
  EXPECT_TRUE(check_option_counts({options(kOptionsMax)}).empty());
  EXPECT_EQ(check_option_counts({options(kOptionsMax + 1)}).size(), 1u);
}

TEST(Rules, ShapeLetters) {
  expect_clean(check_shape_letters(tree(), file_text("GLOSSARY.md")), "ShapeLetters");
  const Files files = {file_of("src/a/a.h", "float* x_TD; int offset_E1; int kMax_A; int y_t;\n")};
  EXPECT_TRUE(check_shape_letters(files, "| T | tokens |\n| D | width |\n| E | experts |\n").empty());
  EXPECT_EQ(check_shape_letters(files, "| T | tokens |\n| D | width |\n").size(), 1u);
  EXPECT_EQ(check_shape_letters(files, "| T | a |\n| D | b |\n| E | c |\n| T | d |\n").size(), 1u);
  EXPECT_EQ(check_shape_letters(files, "| T | a |\n| D | b |\n| E | c |\n| Q | d |\n").size(), 1u);
}

TEST(Rules, MainTypes) {
  expect_clean(check_main_types(tree(), file_text("ARCHITECTURE.md")), "MainTypes");
  const Files files = {file_of("src/a/a.h", "class Thing final : public Base {\n};\nclass Other;\n")};
  EXPECT_TRUE(check_main_types(files, "## Main types\n| `Thing` | what | a |\n").empty());
  EXPECT_EQ(check_main_types(files, "## Main types\n| `Thing` | what | b |\n").size(), 1u);
  EXPECT_EQ(check_main_types(files, "## Main types\n| `Other` | what | a |\n").size(), 1u);
  EXPECT_EQ(check_main_types(files, "## Other\n| `Thing` | what | a |\n").size(), 1u);
}

// Every rule of CONTRIBUTING.md names a test that exists.
TEST(Rules, RulesHaveTests) {
  const std::string tests = file_text("tests/tidy/tidy_test.cpp") + file_text("tests/CMakeLists.txt");
  expect_clean(check_rules_have_tests(file_text("CONTRIBUTING.md"), tests), "RulesHaveTests");
  EXPECT_TRUE(check_rules_have_tests("## Rules\n| a | `Words`, `isa` |\n", "Words isa").empty());
  EXPECT_EQ(check_rules_have_tests("## Rules\n| a | `Words` |\n", "nothing").size(), 1u);
  EXPECT_EQ(check_rules_have_tests("## Rules\n| a | by good will |\n", "nothing").size(), 1u);
}

TEST(Rules, GoldenCommands) { expect_clean(check_golden_commands(kRoot), "GoldenCommands"); }

TEST(Rules, ExceptionsAreARatchet) {
  const Findings findings = {"src/a.cpp:7: 80 lines in one function: f()"};
  EXPECT_TRUE(without_exceptions(findings, {"FunctionLength src/a.cpp: f()"}, "FunctionLength").empty());
  EXPECT_EQ(without_exceptions(findings, {}, "FunctionLength").size(), 1u);
  EXPECT_EQ(without_exceptions({}, {"FunctionLength src/a.cpp: f()"}, "FunctionLength").size(), 1u);
}

// ARCHITECTURE.md shows the table that is checked.
TEST(Rules, ArchitecturePageHasTheTable) {
  const std::string page = file_text("ARCHITECTURE.md");
  for (const char* folder :
       {"base",  "tensor", "kernels", "data",  "model", "infer", "offload", "parallel", "fit",   "plan",
        "train", "eval",   "rl",      "quant", "chat",  "serve", "convert", "report",   "bench", "study"}) {
    const std::string row = include_table_row(folder);
    EXPECT_NE(page.find(row), std::string::npos) << "ARCHITECTURE.md lacks the row: " << row;
  }
}

}  // namespace
}  // namespace moebius::tidy
