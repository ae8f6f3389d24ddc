// The recommendation from a fit.json: what a determined law would build, and that nothing is recommended without one.
#include "study/study_recommend.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_folder.h"
#include "fit/fit_json.h"
#include "fit/synthetic.h"

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

std::string fit_file(const std::string& name, i64 runs, double noise) {
  const std::string path = test_path(name + ".json");
  const fit::Runs data = fit::synthetic_runs(fit::published_default(fit::Law::flame), runs, noise, 1);
  std::vector<fit::LawFit> fits = {fit::fit_law(data, fit::Law::flame, {.bootstrap = 40, .starts = 8})};
  file_write_atomic(path, fit::fits_to_json(fits, {}, fit::compare_laws(fits)).dump());
  return path;
}

TEST(StudyRecommend, ADeterminedLawGivesAShape) {
  const std::string path = fit_file("good", 200, 0.002);
  const Json recommended = study_recommend(small_plan(), path);
  EXPECT_NE(recommended.at("verdict").as_string().find("determined"), std::string::npos);
  EXPECT_NE(recommended.at("verdict").as_string().substr(0, 3), "not") << recommended.dump(1);
  EXPECT_EQ(recommended.at("law").as_string(), "flame");
  EXPECT_EQ(recommended.at("compute").as_double(), 6e18);
  const Json& model = recommended.at("model");
  EXPECT_NEAR(model.at("flops_training").as_double() / 6e18, 1, 0.02);
  EXPECT_GT(model.at("tokens").as_double(), 0);
  EXPECT_EQ(model.at("config").at("vocab").as_int(), 8192);
  EXPECT_GE(recommended.at("reasons").count(), 2);
  EXPECT_EQ(recommended.at("laws").count(), 1);
  EXPECT_EQ(recommended.dump().find(path), std::string::npos);  // the folder may be moved
}

TEST(StudyRecommend, NothingWithoutADeterminedLaw) {
  const Json recommended = study_recommend(small_plan(), fit_file("few", 5, 0.05));
  EXPECT_EQ(recommended.at("verdict").as_string().rfind("not determined", 0), 0u) << recommended.dump(1);
  EXPECT_TRUE(recommended.at("model").is_null());
  EXPECT_TRUE(recommended.at("law").is_null());
}

}  // namespace
}  // namespace moebius::study
