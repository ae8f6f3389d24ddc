// Whole fits: the published Chinchilla optimum, planted coefficients, verdicts on data that determine nothing.
#include "fit/fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"

namespace moebius::fit {
namespace {

Runs chinchilla_runs() {
  Runs runs;
  runs_add(runs, std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/laws/chinchilla_svg_extracted.csv", {});
  return runs_subset(runs, runs_without_highest_loss(runs, 5));
}

// Besiroglu et al. 2024: the optimum of their notebook and the standard errors of their paper.
TEST(Fit, ReachesThePublishedChinchillaOptimum) {
  const Runs runs = chinchilla_runs();
  ASSERT_EQ(runs.count(), 240);
  const LawFit fit = fit_law(runs, Law::chinchilla, {.bootstrap = 40});
  EXPECT_NEAR(fit.optima.front().cost, 0.00101827, 5e-9);
  const double goldens[] = {1.8172, 477.83, 2143.42, 0.3473, 0.3672};
  const double errors[] = {0.03, 124.6, 1293, 0.02, 0.02};
  const double printed[] = {1.8172, 482.01, 2085.43, 0.3478, 0.3658};
  const double tolerance[] = {1e-4, 0.5, 3, 1e-4, 1e-4};
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(fit.coefficients[i].value, goldens[i], tolerance[i]) << fit.coefficients[i].name;
    EXPECT_NEAR(fit.coefficients[i].value, printed[i], errors[i]);
    EXPECT_LT(fit.coefficients[i].low, fit.coefficients[i].value);
    EXPECT_GT(fit.coefficients[i].high, fit.coefficients[i].value);
    EXPECT_TRUE(fit.coefficients[i].determined) << fit.coefficients[i].note;
  }
  EXPECT_TRUE(fit.determined) << fit.verdict;
  EXPECT_LT(fit.holdout.error, 0.02);
  EXPECT_EQ(std::ssize(fit.holdout.runs), 48);
}

}  // namespace
}  // namespace moebius::fit
