// The recommendation from a fit: what a determined law would build, and that nothing is recommended without one.
#include "study/study_recommend.h"

#include <gtest/gtest.h>

#include "fit/fit_output.h"
#include "fit/runs.h"

namespace moebius::study {
namespace {

// A plan of two runs, the larger of 6e18 FLOPs; only what the recommendation reads.
StudyPlan small_plan() {
  StudyPlan plan;
  plan.spec.data.sequence = 512;
  for (const double compute : {1e17, 6e18}) {
    PlannedRun run;
    run.config.vocab = 8192;
    run.config.d_model = 512;
    run.config.layers = 8;
    run.tokens = 1000000000;
    run.counts.flops_per_token_megatron = compute / 1e9;
    plan.runs.push_back(run);
  }
  return plan;
}

records::FitFile fit_of(i64 runs, double noise) {
  const fit::Runs data = fit::synthetic_runs(fit::published_default(fit::Law::flame), runs, noise, 1);
  const std::vector<fit::LawFit> fits = {fit::fit_law(data, fit::Law::flame, {.bootstrap = 40, .starts = 8})};
  records::FitFile file;
  file.loss = fit::fitted_laws(fits, {}, fit::compare_laws(fits));
  return file;
}

TEST(StudyRecommend, ADeterminedLawGivesAShape) {
  const records::Recommendation recommended = study_recommend(small_plan(), fit_of(200, 0.002));
  EXPECT_TRUE(recommended.verdict.known()) << recommended.verdict.text;
  EXPECT_EQ(recommended.law, "flame");
  EXPECT_EQ(recommended.compute, 6e18);
  const Json& model = recommended.model;
  EXPECT_NEAR(model.at("flops_training").as_double() / 6e18, 1, 0.02);
  EXPECT_GT(model.at("tokens").as_double(), 0);
  EXPECT_EQ(model.at("config").at("vocab").as_int(), 8192);
  EXPECT_GE(recommended.reasons.size(), 2u);
  EXPECT_EQ(recommended.laws.count(), 1);
  EXPECT_EQ(recommended.laws[0].at("fit").as_string(), "fit.json");  // the folder may be moved
}

TEST(StudyRecommend, NothingWithoutADeterminedLaw) {
  const records::Recommendation recommended = study_recommend(small_plan(), fit_of(5, 0.05));
  EXPECT_EQ(recommended.verdict.knowledge, records::Knowledge::none);
  EXPECT_TRUE(recommended.model.is_null());
  EXPECT_TRUE(recommended.law.empty());
}

}  // namespace
}  // namespace moebius::study
