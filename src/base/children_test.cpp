// Children that answer, fail, are killed and are interrupted.
#include "base/children.h"

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/parallel.h"

namespace moebius {
namespace {

// Until it is asked to stop; longer than any test takes otherwise.
Json wait_to_be_asked() {
  for (int i = 0; i < 6000; ++i) {
    interrupt_check("all is saved");
    ::usleep(10'000);
  }
  return Json("never asked");
}

class ChildrenTest : public ::testing::Test {
 protected:
  void SetUp() override { parallel_set_threads(1); }
  void TearDown() override { parallel_set_threads(0); }
};

TEST_F(ChildrenTest, AnswersComeBackWithTheirIds) {
  Children children;
  const std::string long_text(300'000, 'x');  // more than a pipe holds
  for (i64 id : {7, 8, 9}) {
    children.start(id, "child", [&] { return Json::object({{"square", id * id}, {"text", long_text}}); });
  }
  i64 ids = 0;
  for (int i = 0; i < 3; ++i) {
    const Children::Ended ended = children.wait();
    EXPECT_EQ(ended.value.at("square").as_int(), ended.id * ended.id);
    EXPECT_EQ(ended.value.at("text").as_string(), long_text);
    ids += ended.id;
  }
  EXPECT_EQ(ids, 24);
  EXPECT_EQ(children.running(), 0);
}

TEST_F(ChildrenTest, AChildHasItsOwnThreads) {
  Children children;
  children.start(1, "child", [] {
    parallel_set_threads(3);
    std::atomic<i64> sum{0};
    parallel_for(100, [&](i64 task, int) { sum += task; });
    return Json::object({{"threads", parallel_threads()}, {"sum", sum.load()}});
  });
  const Json value = children.wait().value;
  EXPECT_EQ(value.at("threads").as_int(), 3);
  EXPECT_EQ(value.at("sum").as_int(), 4950);
  EXPECT_EQ(parallel_threads(), 1);
}

TEST_F(ChildrenTest, AnErrorStopsTheOthersAndArrivesWhole) {
  Children children;
  children.start(1, "patient", wait_to_be_asked);
  children.start(2, "faulty", []() -> Json {
    throw Error({.where = "file", .what = "broken", .wanted = "a", .got = "b", .fix = "c"});
  });
  try {
    children.wait();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.parts().where, "file");
    EXPECT_EQ(e.parts().what, "broken");
    EXPECT_EQ(e.parts().fix, "c");
  }
  EXPECT_EQ(children.running(), 0);
}

TEST_F(ChildrenTest, AKilledChildIsNamed) {
  Children children;
  children.start(1, "E8-k2", []() -> Json {
    ::kill(::getpid(), SIGKILL);
    return {};
  });
  try {
    children.wait();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.parts().where, "E8-k2");
    EXPECT_NE(e.parts().what.find("signal 9"), std::string::npos) << e.parts().what;
    EXPECT_NE(e.parts().fix.find("--jobs"), std::string::npos);
  }
}

TEST_F(ChildrenTest, InterruptsOfAChildOnlySetItsFlag) {
  Children children;
  children.start(1, "child", []() -> Json {
    ::raise(SIGINT);
    const bool by_interrupt = interrupt_requested();
    ::raise(SIGTERM);
    ::raise(SIGTERM);
    return Json::object({{"int", by_interrupt}, {"term", interrupt_requested()}});
  });
  const Json value = children.wait().value;
  EXPECT_FALSE(value.at("int").as_bool());
  EXPECT_TRUE(value.at("term").as_bool());
}

TEST_F(ChildrenTest, NoneIsLeftBehind) {
  int pid_pipe[2];
  ASSERT_EQ(::pipe(pid_pipe), 0);
  {
    Children children;
    children.start(1, "child", [&] {
      const pid_t own = ::getpid();
      EXPECT_EQ(::write(pid_pipe[1], &own, sizeof(own)), static_cast<ssize_t>(sizeof(own)));
      return wait_to_be_asked();
    });
    pid_t child = 0;
    ASSERT_EQ(::read(pid_pipe[0], &child, sizeof(child)), static_cast<ssize_t>(sizeof(child)));
    EXPECT_EQ(::kill(child, 0), 0);
    ::close(pid_pipe[0]);
    ::close(pid_pipe[1]);
    pid_pipe[0] = child;
  }
  EXPECT_NE(::kill(pid_pipe[0], 0), 0);
}

}  // namespace
}  // namespace moebius
