// Whole fits: the published Chinchilla optimum, planted coefficients, verdicts on data that determine nothing.
#include "fit/fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/test_folder.h"
#include "fit/fit_output.h"
#include "fit/objective.h"
#include "fit/run_fit.h"
#include "fit/runs.h"

namespace moebius::fit {
namespace {

Json json_of(const LawFit& fit) {
  Json json = Json::object();
  records::Fields fields(&json);
  fitted_law(fit).visit(fields);
  return json;
}

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
  EXPECT_NEAR(fit.minima.front().cost, 0.00101827, 5e-9);
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
  EXPECT_TRUE(fit.determined) << fit.verdict.text;
  EXPECT_LT(fit.holdout->error, 0.02);
  EXPECT_EQ(std::ssize(fit.holdout->runs), 48);
}

// The same points' objective at the notebook's printed optimum, and at the paper's rounded digits, which lie a little
// higher in the flat valley.
TEST(Fit, ObjectiveAtThePrintedCoefficients) {
  const Objective objective(Law::chinchilla, chinchilla_runs().points, 1e-3, 0);
  const auto cost_of = [&](const char* set) {
    double cost = 0;
    EXPECT_TRUE(
        objective.evaluate(theta_from_coefficients(Law::chinchilla, published_fit(set).values).data(), &cost, nullptr));
    return cost;
  };
  EXPECT_NEAR(cost_of("epoch-2024-notebook"), 0.001018274, 5e-9);
  EXPECT_NEAR(cost_of("epoch-2024"), 0.00102284, 5e-9);
  EXPECT_GT(cost_of("hoffmann-2022"), 2 * cost_of("epoch-2024"));
}

TEST(Fit, SameForAnyNumberOfThreads) {
  const Runs runs = synthetic_runs(published_fit("ludziejewski-2025"), 300, 0.01, 3);
  std::string first;
  for (const int threads : {1, 2, 3}) {
    parallel_set_threads(threads);
    const LawFit fit = fit_law(runs, Law::joint, {.bootstrap = 18, .holdout = "folds", .starts = 8});
    const std::string text = json_of(fit).dump();
    if (first.empty()) first = text;
    EXPECT_EQ(text, first) << threads << " threads";
  }
  parallel_set_threads(0);
  EXPECT_NE(first.find("\"samples\":[["), std::string::npos);
}

Runs chinchilla_planted(i64 count, double noise) {
  return synthetic_runs(published_default(Law::chinchilla), count, noise, 2);
}

TEST(Verdict, FewerRunsThanCoefficients) {
  for (const i64 count : {1, 4, 5}) {
    const LawFit fit = fit_law(chinchilla_planted(count, 0.01), Law::chinchilla, {});
    EXPECT_FALSE(fit.fitted());
    EXPECT_FALSE(fit.determined);
    EXPECT_EQ(fit.verdict.knowledge, Knowledge::none) << fit.verdict.text;
    for (const Coefficient& c : fit.coefficients) EXPECT_TRUE(std::isnan(c.value) && !c.determined);
  }
  EXPECT_NE(fit_law(chinchilla_planted(4, 0.01), Law::chinchilla, {})
                .verdict.text.find("fewer runs (4) than coefficients (5)"),
            std::string::npos);
}

TEST(Verdict, RunsOfOneSizeDetermineNothingOfTheSize) {
  Runs runs = chinchilla_planted(60, 0.003);
  for (LawPoint& p : runs.points) {
    p.parameters_total = 1e8;
    p.loss = law_value(Law::chinchilla, published_default(Law::chinchilla).values, p);
  }
  const LawFit fit = fit_law(runs, Law::chinchilla, {.bootstrap = 30});
  EXPECT_FALSE(fit.determined);
  EXPECT_EQ(fit.verdict.knowledge, Knowledge::none);
  EXPECT_NE(fit.verdict.text.find("all runs have the same parameters_total"), std::string::npos) << fit.verdict.text;
  for (const Coefficient& c : fit.coefficients) {
    const bool of_tokens = c.name == "B" || c.name == "beta";
    EXPECT_EQ(std::isnan(c.value), !of_tokens) << c.name;
    EXPECT_EQ(c.determined, of_tokens) << c.name;
  }
}

TEST(Verdict, OneNumberOfExpertsIsNoLever) {
  Runs runs = synthetic_runs(published_fit("ludziejewski-2025"), 100, 0.003, 2);
  for (LawPoint& p : runs.points) p.experts = 8;
  const LawFit fit = fit_law(runs, Law::joint, {.bootstrap = 10, .holdout = "none"});
  EXPECT_NE(fit.verdict.text.find("all runs have the same experts (8)"), std::string::npos) << fit.verdict.text;
  EXPECT_TRUE(std::isnan(fit.coefficients[8].value) && std::isnan(fit.coefficients[9].value));
  EXPECT_TRUE(fit.coefficients[10].determined);  // the constant is still known
}

TEST(Verdict, LossesWithoutALawAreNotDetermined) {
  Runs runs = chinchilla_planted(40, 0);
  Rng rng(3, RngStream::test);
  for (LawPoint& p : runs.points) p.loss = 3 + rng.next_uniform();
  const LawFit fit = fit_law(runs, Law::chinchilla, {.bootstrap = 30});
  EXPECT_FALSE(fit.determined);
  for (const Coefficient& c : fit.coefficients) EXPECT_FALSE(c.determined) << c.name;
  EXPECT_EQ(fit.verdict.knowledge, Knowledge::none) << fit.verdict.text;
}

// Few, noisy runs over a narrow range: a fit comes out, and its intervals say that it means little.
TEST(Verdict, NarrowNoisyRunsLeaveWideIntervals) {
  Runs runs = chinchilla_planted(24, 0);
  Rng rng(4, RngStream::test);
  for (LawPoint& p : runs.points) {
    p.parameters_total = 1e8 * (1 + 0.5 * rng.next_uniform());
    p.tokens = 2e9 * (1 + 0.5 * rng.next_uniform());
    p.loss =
        law_value(Law::chinchilla, published_default(Law::chinchilla).values, p) * std::exp(0.01 * rng.next_normal());
  }
  const LawFit fit = fit_law(runs, Law::chinchilla, {.bootstrap = 60});
  EXPECT_FALSE(fit.determined) << fit.verdict.text;
  EXPECT_GE(std::count_if(fit.coefficients.begin(), fit.coefficients.end(),
                          [](const Coefficient& c) { return !c.determined; }),
            3);
}

// Whatever the numbers, a fit ends in a verdict: extreme sizes, repeated runs, constant and wild losses.
TEST(Verdict, WildRunsEndInAVerdict) {
  Rng rng(11, RngStream::test);
  for (int round = 0; round < 42; ++round) {
    const Law law = all_laws()[static_cast<std::size_t>(round % kLaws)];
    const double wild = round < 21 ? 3 : 600;  // spread of the logarithms
    const auto draw = [&] { return std::exp(wild * (rng.next_uniform() - 0.5)); };
    Runs runs;
    runs.measures_leverage = law == Law::leverage;
    const i64 count = 1 + static_cast<i64>(rng.next_below(40));
    for (i64 i = 0; i < count; ++i) {
      LawPoint p = {draw(), draw(), draw(), draw(), 1 + std::floor(draw()), 1, draw(), draw()};
      if (i > 0 && rng.next_below(3) == 0) p = runs.points.back();
      if (round % 4 == 0) p.loss = 3;
      runs.points.push_back(p);
      runs.names.push_back("r");
    }
    const LawFit fit = fit_law(runs, law, {.bootstrap = 4, .starts = 6});
    EXPECT_FALSE(fit.verdict.text.empty());
    EXPECT_FALSE(fit.determined && (wild > 10 || round % 4 == 0))
        << law_name(law) << " " << count << " " << fit.verdict.text;
    const std::string json = json_of(fit).dump();
    const std::size_t nan = json.find("nan");
    EXPECT_EQ(nan, std::string::npos) << json.substr(std::max<std::size_t>(nan, 200) - 200, 400);
    EXPECT_FALSE(fit_to_text(fit).empty());
  }
}

TEST(Holdout, LargestComputeIsHeldOutAndFoldsCoverAll) {
  const Runs runs = chinchilla_planted(50, 0.01);
  const LawFit largest = fit_law(runs, Law::chinchilla, {.bootstrap = 0});
  ASSERT_EQ(std::ssize(largest.held_out), 10);
  double least_held = INFINITY;
  std::set<i64> held(largest.held_out.begin(), largest.held_out.end());
  for (const i64 i : held) least_held = std::fmin(least_held, run_compute(runs.points[static_cast<std::size_t>(i)]));
  for (i64 i = 0; i < 50; ++i) {
    EXPECT_TRUE(held.contains(i) || run_compute(runs.points[static_cast<std::size_t>(i)]) <= least_held);
  }
  EXPECT_GT(largest.holdout->error, 0.003);
  EXPECT_LT(largest.holdout->error, 0.05);
  const LawFit folds = fit_law(runs, Law::chinchilla, {.bootstrap = 0, .holdout = "folds"});
  EXPECT_EQ(std::set<i64>(folds.held_out.begin(), folds.held_out.end()).size(), 50u);
  EXPECT_FALSE(fit_law(runs, Law::chinchilla, {.bootstrap = 0, .holdout = "none"}).holdout.has_value());
}

TEST(Compare, TheLawThatMadeTheRunsWins) {
  const Runs runs = synthetic_runs(published_fit("ludziejewski-2025"), 300, 0.01, 5);
  std::vector<LawFit> fits;
  for (const Law law : {Law::chinchilla, Law::flame, Law::joint}) fits.push_back(fit_law(runs, law, {.bootstrap = 0}));
  const Comparison comparison = compare_laws(fits);
  ASSERT_EQ(comparison.laws.size(), 3u);
  EXPECT_EQ(comparison.laws.front().law, "joint");
  // The best AICc, but not determined: named, not ranked.
  EXPECT_NE(comparison.verdict.find("joint has the lowest AICc, but these runs do not determine it"), std::string::npos)
      << comparison.verdict;
  for (const records::ComparedPair& pair : comparison.pairs) {
    const bool is_named = pair.text.find("joint is not determined") != std::string::npos;
    EXPECT_EQ(is_named, pair.a == "joint") << pair.text;
  }
}

TEST(Compare, AiccPunishesSaturatedFits) {
  EXPECT_NEAR(aicc_of(std::exp(-1), 10, 3), -20 + 8 + 40.0 / 5, 1e-12);  // k = 4
  EXPECT_TRUE(std::isinf(aicc_of(1e-9, 7, 5)));
}

TEST(Compare, OnlyDeterminedLawsAreRanked) {
  Runs runs = chinchilla_planted(80, 0.01);
  for (std::size_t i = 0; i < runs.points.size(); ++i)
    runs.points[i].parameters_active = runs.points[i].parameters_total / (1 + static_cast<double>(i % 7));
  const auto verdict_of = [&](const FitOptions& options) {
    return compare_laws({fit_law(runs, Law::chinchilla, options), fit_law(runs, Law::flame, options)}).verdict;
  };
  EXPECT_EQ(verdict_of({.bootstrap = 0, .holdout = "none"}),
            "no law is ranked: none is determined by these runs and predicted runs that were held out");
}

TEST(Compare, EqualLawsCannotBeToldApart) {
  Runs runs = chinchilla_planted(80, 0.01);
  for (LawPoint& p : runs.points) p.parameters_active = p.parameters_total;
  const std::vector<LawFit> fits = {fit_law(runs, Law::chinchilla, {.bootstrap = 0}),
                                    fit_law(runs, Law::flame, {.bootstrap = 0})};
  const Comparison comparison = compare_laws(fits);
  ASSERT_EQ(comparison.pairs.size(), 1u);
  EXPECT_FALSE(comparison.pairs[0].distinct);
  EXPECT_NE(comparison.verdict.find("cannot tell"), std::string::npos) << comparison.verdict;
}

TEST(Percentile, IsLinearBetweenValues) {
  EXPECT_EQ(percentile({1, 2, 3, 4, 5}, 0.5), 3);
  EXPECT_EQ(percentile({1, 2}, 0.25), 1.25);
  EXPECT_EQ(percentile({7}, 0.975), 7);
  EXPECT_TRUE(std::isnan(percentile({}, 0.5)));
}

// Not after the work: here even before the data are looked for.
TEST(RunFit, AnOutputThatCannotBeWrittenIsNamedFirst) {
  for (const std::string option : {"--out", "--write-runs"}) {
    try {
      run_fit({test_path("absent.csv"), "--law", "chinchilla", option, test_folder()});
      ADD_FAILURE();
    } catch (const Error& e) {
      EXPECT_EQ(e.parts().where, test_folder());
    }
  }
}

}  // namespace
}  // namespace moebius::fit
