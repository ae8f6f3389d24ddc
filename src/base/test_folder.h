// Tests only: a folder of its own for every test, so that test runs of several checkouts do not meet on one machine.
// In: nothing (the running test's name); out: a path under the system's temporary folder (googletest's: TEST_TMPDIR,
// else /tmp), removed when the test ends, kept for looking at when it failed. Not for programs: they write where they
// are told.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "base/check.h"

namespace moebius {

// One folder per test that requests one, and per suite that does outside of its tests (SetUpTestSuite).
class TestFolders : public testing::EmptyTestEventListener {
 public:
  static TestFolders& instance() {
    static TestFolders* const folders = [] {
      auto* made = new TestFolders;  // googletest owns its listeners
      testing::UnitTest::GetInstance()->listeners().Append(made);
      return made;
    }();
    return *folders;
  }

  const std::string& current() {
    const testing::UnitTest& unit = *testing::UnitTest::GetInstance();
    const testing::TestSuite* suite = unit.current_test_suite();
    const testing::TestInfo* test = unit.current_test_info();
    CHECK(suite != nullptr, "a test is running");
    std::string name = std::string(suite->name()) + "." + (test == nullptr ? "" : test->name());
    for (char& c : name) c = c == '/' ? '_' : c;  // of tests with parameters
    std::string& path = folders_[name];
    if (path.empty()) path = made(name);
    return path;
  }

  void OnTestEnd(const testing::TestInfo& test) override {
    if (test.result()->Passed() || test.result()->Skipped())
      remove(std::string(test.test_suite_name()) + "." + test.name());
  }
  void OnTestSuiteEnd(const testing::TestSuite& suite) override {
    if (suite.Passed()) remove(std::string(suite.name()) + ".");
  }

 private:
  static std::string made(const std::string& name) {
    std::string path = (std::filesystem::path(testing::TempDir()) / ("moebius-" + name + "-XXXXXX")).string();
    CHECK(::mkdtemp(path.data()) != nullptr, "the temporary folder can be written to");
    return path;
  }
  void remove(std::string name) {
    for (char& c : name) c = c == '/' ? '_' : c;
    const auto found = folders_.find(name);
    if (found == folders_.end()) return;
    std::error_code ignored;  // a folder that stays is no failed test
    std::filesystem::remove_all(found->second, ignored);
    folders_.erase(found);
  }
  std::map<std::string, std::string> folders_;
};

// The running test's folder, created empty when it is first requested.
inline const std::string& test_folder() { return TestFolders::instance().current(); }
// A path in it.
inline std::string test_path(const std::string& name) { return (std::filesystem::path(test_folder()) / name).string(); }

}  // namespace moebius
