// The order in which a study's runs begin, and how many at a time.
#include "study/study_queue.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_folder.h"
#include "study/test_support.h"

namespace moebius::study {
namespace {

StudyPlan queue_plan(const std::string& more, const std::string& top = "") {
  return tiny_plan(test_path("queue.toml"), "name = \"queue\"\ntokens = 4096\nseeds = [1, 2]\n" + top + kTinyModel + R"(
[[models]]
name = "dense"
experts = 1
[[models]]
name = "E8"
experts = 8
)" + tiny_data("1.0", "5") + more);
}

std::vector<std::string> names_of_all(const StudyPlan& plan) {
  RunQueue queue(plan);
  std::vector<std::string> names;
  while (!queue.finished()) {
    const i64 run = queue.next();
    if (run < 0) break;
    names.push_back(plan.runs[static_cast<std::size_t>(run)].name);
    queue.ended(run);
  }
  EXPECT_TRUE(queue.finished());
  EXPECT_EQ(queue.next(), -1);
  return names;
}

TEST(StudyQueue, SeedsOneAfterTheOtherTheDearestFirst) {
  const StudyPlan plan = queue_plan("[learning-rate]\nvalue = 1e-3\nsource = \"test\"\n");
  EXPECT_EQ(names_of_all(plan), (std::vector<std::string>{"E8-s1", "dense-s1", "E8-s2", "dense-s2"}));
}

TEST(StudyQueue, RunsWaitForAllTrials) {
  const StudyPlan plan = queue_plan("[learning-rate]\nsweep = [1e-3, 4e-3]\nsweep-tokens = 512\n");
  RunQueue queue(plan);
  std::vector<i64> trials;
  for (i64 run; (run = queue.next()) >= 0;) trials.push_back(run);
  EXPECT_EQ(trials.size(), 4u);
  for (const i64 run : trials) {
    EXPECT_EQ(plan.runs[static_cast<std::size_t>(run)].role, records::RunRole::sweep);
    EXPECT_EQ(queue.next(), -1);
    EXPECT_FALSE(queue.trials_ended());
    queue.ended(run);
  }
  EXPECT_TRUE(queue.trials_ended());
  EXPECT_GE(queue.next(), 0);
}

TEST(StudyQueue, BranchesWaitForTheirTrunk) {
  const StudyPlan plan = queue_plan(R"([learning-rate]
value = 1e-3
source = "test"
[train]
schedule = "wsd"
batch-tokens = 256
[branches]
at = [0.5, 1.0]
)");
  RunQueue queue(plan);
  std::map<std::string, bool> ended;
  std::vector<i64> begun;
  while (!queue.finished()) {
    for (i64 run; (run = queue.next()) >= 0;) {
      const PlannedRun& next = plan.runs[static_cast<std::size_t>(run)];
      EXPECT_TRUE(next.branch_of.empty() || ended[next.branch_of]) << next.name;
      begun.push_back(run);
    }
    ASSERT_FALSE(begun.empty());
    ended[plan.runs[static_cast<std::size_t>(begun.front())].name] = true;
    queue.ended(begun.front());
    begun.erase(begun.begin());
  }
  EXPECT_EQ(ended.size(), plan.runs.size());
}

TEST(StudyQueue, JobsByTheWorkOfAStepAndTheMemory) {
  const StudyPlan small = queue_plan("[learning-rate]\nvalue = 1e-3\nsource = \"test\"\n[train]\nbatch-tokens = 256\n");
  EXPECT_EQ(choose_jobs(small, 0, 2), 2);
  EXPECT_EQ(choose_jobs(small, 0, 1), 1);
  EXPECT_EQ(choose_jobs(small, 0, 64), 4);  // as many as there are runs
  EXPECT_EQ(choose_jobs(small, 1, 64), 1);
  EXPECT_EQ(choose_jobs(small, 3, 64), 3);
  EXPECT_EQ(choose_jobs(small, 3, 2), 2);
  EXPECT_THROW(choose_jobs(small, 10'000'000, 2), Error);
  // A step of a million tokens keeps all threads busy by itself.
  const StudyPlan large = tiny_plan(
      test_path("large.toml"),
      "name = \"large\"\ntokens = \"8M\"\nseeds = [1, 2]\n" + kTinyModel +
          "[[models]]\nname = \"dense\"\nexperts = 1\n" + tiny_data("1.0", "5") +
          "[learning-rate]\nvalue = 1e-3\nsource = \"test\"\n[train]\nbatch-tokens = 1048576\nmicro-batch-tokens = 4096\n");
  EXPECT_EQ(choose_jobs(large, 0, 2), 1);
  EXPECT_EQ(choose_jobs(large, 2, 2), 2);
}

}  // namespace
}  // namespace moebius::study
