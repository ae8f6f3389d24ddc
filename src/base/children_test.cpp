// Children that answer, fail, are killed and are interrupted.
#include "base/children.h"

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "base/interrupt.h"

namespace moebius {
namespace {

const char* const kWork = "MOEBIUS_TEST_CHILD";  // what this program does when it is started as a child

// Until it is told to stop; longer than any test takes otherwise.
Json wait_to_be_stopped() {
  for (int i = 0; i < 6000; ++i) {
    interrupt_check("all is saved");
    ::usleep(10'000);
  }
  return Json("was not stopped");
}

Json work_of_child(const std::string& work) {
  if (work == "answer") return Json::object({{"text", std::string(300'000, 'x')}});  // more than a pipe holds
  if (work == "fail") throw Error({.where = "file", .what = "broken", .wanted = "a", .got = "b", .fix = "c"});
  if (work == "wait") return wait_to_be_stopped();
  if (work == "die") ::kill(::getpid(), SIGKILL);
  if (work == "pid") {
    std::fprintf(stderr, "%d\n", ::getpid());
    return wait_to_be_stopped();
  }
  ::raise(SIGINT);
  const bool by_interrupt = interrupt_requested();
  ::raise(SIGTERM);
  ::raise(SIGTERM);
  return Json::object({{"int", by_interrupt}, {"term", interrupt_requested()}});
}

// Before main(), so that nothing but the answer is printed.
const bool is_parent = [] {
  const char* work = std::getenv(kWork);
  if (work != nullptr) ::_exit(child_main("child", [work] { return work_of_child(work); }));
  return true;
}();

class ChildrenTest : public ::testing::Test {
 protected:
  void TearDown() override { ::unsetenv(kWork); }
  void start(Children& children, i64 id, const std::string& name, const char* work) {
    ASSERT_TRUE(is_parent);
    ::setenv(kWork, work, 1);
    children.start(id, name, {});
  }
  Children children_{"/proc/self/exe"};
};

TEST_F(ChildrenTest, AnswersComeBackWithTheirIds) {
  for (i64 id : {7, 8, 9}) start(children_, id, "child", "answer");
  i64 ids = 0;
  for (int i = 0; i < 3; ++i) {
    const Children::Ended ended = children_.wait();
    EXPECT_EQ(ended.value.at("text").as_string().size(), 300'000u);
    ids += ended.id;
  }
  EXPECT_EQ(ids, 24);
  EXPECT_EQ(children_.running(), 0);
}

TEST_F(ChildrenTest, AnErrorStopsTheOthersAndArrivesWhole) {
  start(children_, 1, "patient", "wait");
  start(children_, 2, "faulty", "fail");
  try {
    children_.wait();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.parts().where, "file");
    EXPECT_EQ(e.parts().what, "broken");
    EXPECT_EQ(e.parts().wanted, "a");
    EXPECT_EQ(e.parts().got, "b");
    EXPECT_EQ(e.parts().fix, "c");
  }
  EXPECT_EQ(children_.running(), 0);
}

TEST_F(ChildrenTest, AKilledChildIsNamed) {
  start(children_, 1, "E8-k2", "die");
  try {
    children_.wait();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.parts().where, "E8-k2");
    EXPECT_NE(e.parts().what.find("signal 9"), std::string::npos) << e.parts().what;
    EXPECT_NE(e.parts().fix.find("--jobs"), std::string::npos);
  }
}

TEST_F(ChildrenTest, InterruptsOfAChildOnlySetItsFlag) {
  start(children_, 1, "child", "signals");
  const Json value = children_.wait().value;
  EXPECT_FALSE(value.at("int").as_bool());
  EXPECT_TRUE(value.at("term").as_bool());
}

TEST_F(ChildrenTest, AProgramThatIsMissingIsNamed) {
  Children children("/no/such/program");
  children.start(1, "child", {"a"});
  try {
    children.wait();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.parts().where, "/no/such/program");
  }
}

TEST_F(ChildrenTest, NoneIsLeftBehind) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const int error_output = ::dup(2);
  ::dup2(ends[1], 2);
  pid_t pid = 0;
  {
    Children children("/proc/self/exe");
    start(children, 1, "child", "pid");
    ::dup2(error_output, 2);
    char text[32] = {};
    ASSERT_GT(::read(ends[0], text, sizeof(text) - 1), 0);
    pid = std::atoi(text);
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_NE(::kill(pid, 0), 0);
  for (const int fd : {ends[0], ends[1], error_output}) ::close(fd);
}

}  // namespace
}  // namespace moebius
