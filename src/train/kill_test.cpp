// kill -9 at random instants, then the same command again, until the run is done: the same bits as a run that was
// never killed. The victim is this test program itself, started again for the one test named DISABLED_Victim.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/error.h"
#include "base/interrupt.h"
#include "train/test_support.h"

namespace moebius::train {
namespace {

constexpr const char* kFolder = "MOEBIUS_TEST_KILL_FOLDER";
constexpr const char* kLong = "MOEBIUS_TEST_LONG_RUN";  // a run that would take hours and saves nothing by itself
constexpr i64 kSteps = 40;

TrainOptions victim_options(const std::string& out) {
  TrainOptions options = testing::tiny_options(out, kSteps);
  options.checkpoint_steps = 1;  // most of the time is spent in saving: that is where a kill hurts
  return options;
}

TEST(TrainKill, DISABLED_Victim) {
  const char* folder = std::getenv(kFolder);
  ASSERT_NE(folder, nullptr);
  if (std::getenv(kLong) != nullptr) {
    interrupt_install();
    testing::tiny_run(testing::tiny_options(folder, 10'000'000), testing::fixed_roof());
  }
  testing::tiny_run(victim_options(folder), testing::fixed_roof());
}

pid_t start_victim(const std::string& folder) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::setenv(kFolder, folder.c_str(), 1);
  ::execl("/proc/self/exe", "train_test", "--gtest_also_run_disabled_tests", "--gtest_filter=TrainKill.DISABLED_Victim",
          "--gtest_brief=1", nullptr);
  ::_exit(127);
}

// Another process may exchange the folder while this one looks.
i64 saved_step(const std::string& out) {
  try {
    return Json::parse_file(path_join(out, "checkpoint/state.json")).at("step").as_int();
  } catch (const Error&) {
    return 0;
  }
}

TEST(TrainKill, KilledAtAnyInstantEqualsUninterrupted) {
  const std::string whole = testing::fresh_folder("kill_whole"), cut = testing::fresh_folder("kill_cut");
  testing::tiny_run(victim_options(whole), testing::fixed_roof());
  Rng rng(5, RngStream::test);
  i64 kills = 0, resumed = 0;
  bool done = false;
  for (int round = 0; round < 60 && !done; ++round) {
    resumed += saved_step(cut) > 0 ? 1 : 0;
    const pid_t child = start_victim(cut);
    ASSERT_GT(child, 0);
    // Waits for the next steps, then strikes somewhere in the next step or its saving; the last rounds run undisturbed.
    const i64 begin = saved_step(cut);
    int status = 0;
    pid_t gone = 0;
    for (int i = 0; i < 5000 && gone == 0 && saved_step(cut) < begin + 3; ++i) {
      ::usleep(1000);
      gone = ::waitpid(child, &status, WNOHANG);
    }
    if (gone == 0) {
      ::usleep(static_cast<useconds_t>(rng.next_below(40'000)));
      if (round < 8) ::kill(child, SIGKILL);
      gone = ::waitpid(child, &status, 0);
    }
    ASSERT_EQ(gone, child);
    if (WIFSIGNALED(status)) {
      ++kills;
      continue;
    }
    ASSERT_EQ(WEXITSTATUS(status), 0) << "a resumed run failed";
    done =
        saved_step(cut) == kSteps && Json::parse_file(path_join(cut, "checkpoint/state.json")).at("finished").as_bool();
  }
  ASSERT_TRUE(done);
  EXPECT_GE(kills, 3);
  EXPECT_GE(resumed, 3);
  EXPECT_EQ(testing::losses_of(whole), testing::losses_of(cut));
  EXPECT_EQ(testing::model_bytes(whole), testing::model_bytes(cut));
}

// Ctrl-C: the state of the last step is saved, and the run ends with the advice.
TEST(TrainKill, InterruptSaves) {
  const std::string out = testing::fresh_folder("kill_interrupt");
  ::setenv(kLong, "1", 1);
  const pid_t child = start_victim(out);
  ::unsetenv(kLong);
  ASSERT_GT(child, 0);
  const std::string records = path_join(out, "records.jsonl");
  for (int i = 0; i < 20'000 && (!file_exists(records) || records::read(records, "step").size() < 5); ++i)
    ::usleep(1000);
  ::kill(child, SIGINT);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  const Json state = Json::parse_file(path_join(out, "checkpoint/state.json"));
  EXPECT_GE(state.at("step").as_int(), 5);
  EXPECT_FALSE(state.at("finished").as_bool());
  const auto steps = records::read(records, "step");
  EXPECT_EQ(steps.back().at("step").as_int(), state.at("step").as_int());
}

}  // namespace
}  // namespace moebius::train
