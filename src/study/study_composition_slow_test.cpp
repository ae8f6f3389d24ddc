// Does a small model learn the reasoning axis of the quick study, and are its grades an order of difficulty for it?
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/log.h"
#include "base/test_folder.h"
#include "records/metric.h"
#include "records/record.h"
#include "study/study_runs.h"
#include "study/test_support.h"

namespace moebius::study {
namespace {

TEST(StudySlow, ATrainedModelComposesAndHarderGradesAreHarder) {
  log_set_level(LogLevel::warning);
  const std::string folder = test_path("composition");
  StudyPlan plan = tiny_plan(folder + ".toml", R"(
name = "composition"
tokens = "1.2M"
[model]
d-model = 64
layers = 4
heads = 4
expert-width = 64
[[models]]
name = "dense"
experts = 1
[data]
vocab = 400
sequence = 128
[data.expressions]
share = 1.0
items = 200
[train]
batch-tokens = 1024
tensorboard = false
warmup-fraction = 0.02
[learning-rate]
value = 4e-3
source = "a sweep"
)");
  run_study_plan(plan, folder, MOEBIUS_PROGRAM);
  double score_before = 1, loss_before = 0;
  i64 grades = 0;
  for (const Json& eval : records::read(path_join(folder, "runs/dense/records.jsonl"), "eval")) {
    if (eval.get_string("name", "") != "expressions" || eval.get_string("grade", "") == "all") continue;
    const i64 grade = std::stoll(eval.get_string("grade", ""));
    const double score = eval.at("exact_match").as_double(), se = eval.at("exact_match_se").as_double();
    const double loss = eval.at("task_loss").as_double(), loss_se = eval.at("task_loss_se").as_double();
    EXPECT_LT(eval.at("step_loss").as_double(), 0.5) << grade;  // ln 7 if the table of operations were unknown
    EXPECT_LE(score, score_before + 2 * se) << grade;
    EXPECT_GE(loss, loss_before - 2 * loss_se) << grade;
    // Beyond two operations no shortcut explains the score.
    if (grade >= 2 && grade <= 4) {
      EXPECT_TRUE(records::above_chance(score, se, eval.at("chance_best").as_double())) << grade << " " << score;
    }
    score_before = score;
    loss_before = loss;
    ++grades;
  }
  EXPECT_EQ(grades, 6);
}

}  // namespace
}  // namespace moebius::study
