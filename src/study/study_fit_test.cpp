// What fits a study's minutes, with made-up times; and the estimate of times that were not measured.
#include "study/study_fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/test_folder.h"
#include "study/study_time.h"
#include "study/test_support.h"

namespace moebius::study {
namespace {

StudySpec spec_of(double minutes, const std::string& top = "") {
  StudySpec spec = tiny_plan(test_path("fit.toml"),
                             "name = \"fit\"\ntokens = 256000\nseeds = [1, 2, 3, 4, 5]\n" + top + kTinyModel + R"(
[[models]]
name = "dense"
experts = 1
[[models]]
name = "E8"
experts = 8
[[models]]
name = "E16"
experts = 16
essential = false
[[models]]
name = "E32"
experts = 32
essential = false
)" + tiny_data("1.0", "5") + "[learning-rate]\nvalue = 1e-3\nsource = \"test\"\n[train]\nbatch-tokens = 256\n")
                       .spec;
  spec.minutes = minutes;
  return spec;
}

// A run takes a second for each 2560 tokens and expert, 8 more to be evaluated; `slow` times as long.
StudyFit fit_of(const StudySpec& spec, double slow = 1, std::optional<i64> kept = std::nullopt) {
  const auto seconds_of = [slow](const StudyPlan& plan) {
    StudyPlan timed = plan;
    for (PlannedRun& run : timed.runs) {
      const double experts = static_cast<double>(std::max<i64>(1, run.config.experts.experts));
      run.seconds_estimated = slow * (static_cast<double>(run.tokens) / 2560 * experts + 8);
    }
    return seconds_of_runs(timed);
  };
  return fit_to_minutes(spec, seconds_of, kept);
}

TEST(StudyFit, SeedsGoFirstThenTokensThenModelsThenTokens) {
  // A seed of all models takes 100 * (1 + 8 + 16 + 32) + 4 * 8 = 5732 s.
  StudyFit fit = fit_of(spec_of(1000));
  EXPECT_TRUE(fit.whole(spec_of(1000)));
  EXPECT_NEAR(fit.seconds, 5 * 5732, 1);
  EXPECT_EQ(fit_text(spec_of(1000), fit), "");

  fit = fit_of(spec_of(400));
  EXPECT_EQ(fit.seeds, 3);
  EXPECT_EQ(fit.tokens, 256000);
  EXPECT_TRUE(fit.models_left_out.empty());

  fit = fit_of(spec_of(200));  // three seeds take 287 minutes
  EXPECT_EQ(fit.seeds, 3);
  EXPECT_TRUE(fit.models_left_out.empty());
  EXPECT_LT(fit.tokens, 256000);
  EXPECT_GT(fit.tokens, 128000);
  EXPECT_EQ(fit.tokens % 256, 0);
  EXPECT_LE(fit.seconds, 200 * 60);
  EXPECT_GE(fit.seconds, 0.9 * 200 * 60);

  fit = fit_of(spec_of(120));  // half of the tokens still take 145 minutes
  EXPECT_EQ(fit.seeds, 3);
  EXPECT_EQ(fit.models_left_out, (std::vector<std::string>{"E32"}));
  EXPECT_GE(fit.tokens, 128000);
  EXPECT_NE(fit_text(spec_of(120), fit).find("left out: E32; 3 of 5 seeds"), std::string::npos);

  fit = fit_of(spec_of(10));
  EXPECT_EQ(fit.seeds, 3);
  EXPECT_EQ(fit.models_left_out, (std::vector<std::string>{"E32", "E16"}));
  EXPECT_LT(fit.tokens, 128000);
  EXPECT_TRUE(fit.fits);
  EXPECT_LE(fit.seconds, 600);

  fit = fit_of(spec_of(0.5));  // evaluations alone take 48 s
  EXPECT_EQ(fit.seeds, 3);
  EXPECT_EQ(fit.tokens, 15 * 256);
  EXPECT_FALSE(fit.fits);
  EXPECT_NE(fit_text(spec_of(0.5), fit).find("expected to take longer"), std::string::npos);
}

TEST(StudyFit, AMachineThreeTimesSlowerHasThreeSeedsToo) {
  const StudySpec spec = spec_of(300);
  for (const double slow : {1.0, 2.0, 3.0}) {
    const StudyFit fit = fit_of(spec, slow);
    EXPECT_EQ(fit.seeds, 3) << slow;
    EXPECT_TRUE(fit.fits) << slow;
    EXPECT_LE(fit.seconds, 300 * 60) << slow;
    const StudyPlan plan = plan_fitted(spec, fit);
    i64 essential = 0;
    for (const PlannedRun& run : plan.runs) essential += !run.left_out && run.config.experts.experts <= 8;
    EXPECT_EQ(essential, 2 * 3) << slow;
  }
}

TEST(StudyFit, AStudyThatHasBegunKeepsItsTokens) {
  StudyFit fit = fit_of(spec_of(200), 1, 64000);  // a fifth seed fits: 5 * 1457 s
  EXPECT_EQ(fit.tokens, 64000);
  EXPECT_EQ(fit.seeds, 5);
  fit = fit_of(spec_of(20), 1, 64000);
  EXPECT_EQ(fit.tokens, 64000);
  EXPECT_EQ(fit.models_left_out.size(), 2u);
  fit = fit_of(spec_of(1), 1, 64000);
  EXPECT_EQ(fit.tokens, 64000);
  EXPECT_FALSE(fit.fits);
  const Json json = records::fields_to_json(fit);
  EXPECT_EQ(records::fields_to_json(records::fields_from_json<StudyFit>(json, "test")).dump(), json.dump());
}

TEST(StudyTime, ShapesBetweenTimedOnesAreInterpolated) {
  StudyPlan plan = plan_study(spec_of(0));
  plan.roof.bf16_flops_per_s = 1e11;
  plan.roof.f32_flops_per_s = 1e11;
  plan.roof.dram_bytes_per_s = 1e10;
  std::map<std::string, double> roofline;
  for (const PlannedRun& run : plan.runs) roofline[run.model] = roofline_seconds_per_token(plan, run);
  ASSERT_LT(roofline["dense"], roofline["E8"]);
  ASSERT_LT(roofline["E16"], roofline["E32"]);
  // The cheapest takes twice its roofline's time, the dearest four times.
  estimate_seconds(plan, {{"dense", {2 * roofline["dense"], 0, 0}}, {"E32", {4 * roofline["E32"], 0, 0}}});
  std::map<std::string, double> ratio;
  for (const PlannedRun& run : plan.runs) {
    ratio[run.model] = (run.seconds_estimated - 0.3) / static_cast<double>(run.tokens) / roofline[run.model];
  }
  EXPECT_NEAR(ratio["dense"], 2, 1e-6);
  EXPECT_NEAR(ratio["E32"], 4, 1e-6);
  EXPECT_GT(ratio["E8"], 2);
  EXPECT_GT(ratio["E16"], ratio["E8"]);
  EXPECT_LT(ratio["E16"], 4);
  EXPECT_EQ(shapes_to_time(plan), (std::vector<std::string>{"dense", "E8", "E16", "E32"}));
  // More work is not estimated to be faster, however different the shares of the roofline at the ends are.
  estimate_seconds(plan, {{"dense", {10 * roofline["dense"], 0, 0}}, {"E32", {10.4 * roofline["dense"], 0, 0}}});
  std::map<std::string, double> seconds;
  for (const PlannedRun& run : plan.runs) seconds[run.model] = run.seconds_estimated;
  EXPECT_LT(seconds["dense"], seconds["E8"]);
  EXPECT_LT(seconds["E8"], seconds["E16"]);
  EXPECT_LT(seconds["E16"], seconds["E32"]);
}

TEST(StudyTime, SideBySideTheLastRunsEndAlone) {
  StudyPlan plan = plan_study(spec_of(0));
  for (PlannedRun& run : plan.runs) run.seconds_estimated = 10;
  plan.jobs = 1;
  EXPECT_EQ(seconds_of_runs(plan), 200);
  plan.jobs = 3;
  EXPECT_EQ(seconds_of_runs(plan), 70);  // twenty runs, three at a time
  EXPECT_EQ(seconds_of_runs(plan, {"dense-s1", "E8-s1"}), 60);
  for (PlannedRun& run : plan.runs) run.left_out = run.seed > 1;
  EXPECT_EQ(seconds_of_runs(plan), 20);
}

}  // namespace
}  // namespace moebius::study
