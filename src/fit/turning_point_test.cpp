// Turning points in runs with planted scores, and the whole way from a study's folder to text and JSON.
#include "fit/turning_point.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "records/record.h"
#include "base/rng.h"
#include "base/test_folder.h"
#include "fit/study_fit.h"

namespace moebius::fit {
namespace {

// Seven numbers of experts at one width, tokens fixed; accuracy `y` of log2(TPP / 20), planted.
template <typename Y>
std::vector<TaskRun> planted(const Y& y, double noise, i64 seeds = 3, u64 number = 1) {
  Rng rng(51, RngStream::test, number);
  std::vector<TaskRun> runs;
  for (int i = 0; i < 8; ++i) {
    for (i64 seed = 0; seed < seeds; ++seed) {
      TaskRun run;
      run.model = "E" + std::to_string(2 << i);
      run.name = run.model + "-s" + std::to_string(seed);
      run.family = "d64 k2";
      run.flops = 1e15;
      run.tokens = 3e6;
      run.tpp = 160 / std::exp2(i);
      run.parameters_total = run.tokens / run.tpp;
      run.train_loss = 3 - 0.1 * i + 1e-3 * rng.next_normal();
      run.scores = {{"sums", "reasoning", "acc", y(std::log2(run.tpp / 20)) + noise * rng.next_normal(), 0.01, 0.1, 0.1,
                     1, false, true}};
      runs.push_back(run);
    }
  }
  return runs;
}

const auto kPeak = [](double u) { return 0.6 - 0.03 * u * u; };

TEST(TurningPoint, PlantedPeakComesBackWithItsInterval) {
  const auto turns = find_turning_points(planted(kPeak, 0.02));
  ASSERT_EQ(turns.size(), 3u);
  for (const TurningPoint& turn : turns) {
    EXPECT_TRUE(turn.found()) << turn.verdict;
    EXPECT_EQ(turn.tests, 1) << "three x in one order are one test";
    EXPECT_EQ(turn.direction, records::Extremum::maximum);
  }
  const Interval tpp = turns[0].at.value();
  EXPECT_NEAR(tpp.estimate, 20, 4);
  EXPECT_LE(tpp.low, 20);
  EXPECT_GE(tpp.high, 20);
  EXPECT_NEAR(turns[1].at.value().estimate, 3e6 / 20, 4e4);
  EXPECT_NEAR(turns[2].at.value().estimate, 2.7, 0.05);
}

TEST(TurningPoint, OthersAreNotClaimed) {
  const auto first = [](const std::vector<TaskRun>& runs) { return find_turning_points(runs).at(0); };
  const TurningPoint rising = first(planted([](double u) { return 0.4 - 0.08 * u; }, 0.02));
  EXPECT_FALSE(rising.found());
  EXPECT_EQ(rising.verdict, "none: the maximum is at the low end of the range");
  EXPECT_FALSE(rising.at);
  const TurningPoint saturating = first(planted([](double u) { return 0.6 - 0.2 * std::exp(1.2 * u - 2); }, 0.02));
  EXPECT_FALSE(saturating.found()) << saturating.verdict;
  const TurningPoint noise = first(planted([](double) { return 0.5; }, 0.05));
  EXPECT_EQ(noise.outcome, records::TurnOutcome::not_determined) << noise.verdict;
  const TurningPoint one_seed = first(planted(kPeak, 0.01, 1));
  EXPECT_EQ(one_seed.verdict, "not determined: one seed, so the noise is not known");
  EXPECT_TRUE(std::isnan(one_seed.p_adjusted));
}

// With twenty tasks of noise one in twenty would pass at 5 %: the correction must hold that down.
TEST(TurningPoint, ManyTestsAreCorrected) {
  int studies_with_claims = 0;
  for (u64 study = 0; study < 30; ++study) {
    std::vector<TaskRun> runs = planted([](double) { return 0.5; }, 0.05, 3, 100 + study);
    Rng rng(52, RngStream::test, study);
    for (TaskRun& run : runs) {
      const TaskScore score = run.scores[0];
      for (int task = 0; task < 10; ++task) {
        run.scores.push_back(score);
        run.scores.back().task = "sums" + std::to_string(task);
        run.scores.back().value = 0.5 + 0.05 * rng.next_normal();
      }
    }
    bool claim = false;
    for (const TurningPoint& turn : find_turning_points(runs)) {
      EXPECT_EQ(turn.tests, 11);
      EXPECT_GE(turn.p_adjusted, turn.p);
      claim |= turn.found();
    }
    studies_with_claims += claim;
  }
  EXPECT_LE(studies_with_claims, 4);  // at most 1.5 expected
}

void write_study(const std::string& folder, i64 finished) {
  folder_remove_all(folder);
  Json runs = Json::array();
  i64 number = 0;
  for (const TaskRun& run : planted(kPeak, 0.02)) {
    const Json entry = Json::object(
        {{"name", run.name},
         {"model", run.model},
         {"tokens_total", run.tokens},
         {"parameters_total", run.parameters_total},
         {"parameters_active", 1e5},
         {"tpp", run.tpp},
         {"flops_per_token_megatron", 1e9},
         {"config",
          Json::object({{"d_model", 64}, {"layers", 4}, {"top_k", 2}, {"expert_width", 64}, {"experts", 8}})}});
    runs.push_back(entry);
    folder_make(path_join(folder, "runs/" + run.name));
    records::RecordWriter out(path_join(folder, "runs/" + run.name + "/records.jsonl"));
    out.write("run", entry);
    for (const double share : {0.5, 1.0}) {  // the earlier evaluation must not count
      out.write("eval", Json::object({{"tokens", share * run.tokens},
                                      {"name", "sums"},
                                      {"kind", "task"},
                                      {"skill", "reasoning"},
                                      {"grade", "all"},
                                      {"chance", 0.1},
                                      {"acc", share * run.scores[0].value},
                                      {"acc_se", 0.01}}));
    }
    if (++number > finished) continue;
    out.write("train_end", Json::object({{"tokens", run.tokens}, {"loss_final", run.train_loss}}));
  }
  runs.push_back(Json::object({{"name", "trial"}, {"role", "sweep"}}));
  AppendFile(path_join(folder, "study.json")).append(Json::object({{"name", "fake"}, {"runs", runs}}).dump());
}

TEST(TaskLaws, FromFolderToTextAndStructs) {
  const std::string folder = test_path("study");
  write_study(folder, 24);
  const TaskLawsResult all = run_task_laws({folder});
  ASSERT_EQ(all.laws.task_laws.size(), 1u);
  EXPECT_EQ(all.laws.task_laws[0].runs, 24);
  EXPECT_NEAR(all.laws.task_laws[0].points.at(3).measured, 0.6, 0.03);
  ASSERT_EQ(all.laws.turning_points.size(), 3u);
  EXPECT_TRUE(all.laws.turning_points[0].found());
  EXPECT_NE(all.text.find("found: a maximum inside the range"), std::string::npos) << all.text;
  EXPECT_NE(all.text.find("d64 L4 k2 F64, 3,000,000 tokens"), std::string::npos) << all.text;
  write_study(folder, 20);
  const TaskLawsResult fewer = run_task_laws({folder});
  EXPECT_EQ(fewer.laws.left_out.size(), 4u);
  EXPECT_NE(fewer.text.find("unfinished"), std::string::npos);
  write_study(folder, 0);
  EXPECT_THROW(run_task_laws({folder}), Error);
  EXPECT_THROW(run_task_laws({test_path("no-such-study")}), Error);
}

}  // namespace
}  // namespace moebius::fit
