// Curves for drawing: optima against the closed form, groups of equal compute, and what they say when nothing is known.
#include "fit/fit_output.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "fit/task_law.h"

namespace moebius::fit {
namespace {

// A fit without a search: the given coefficients, and samples around them (relative `spread`).
LawFit fit_of(Law law, const std::vector<double>& coefficients, const std::vector<LawPoint>& points, i64 samples,
              double spread = 0.001) {
  LawFit fit;
  fit.kind = law;
  fit.points = points;
  for (std::size_t i = 0; i < points.size(); ++i) {
    fit.points[i].loss = law_value(law, coefficients, points[i]);
    fit.names.push_back("run " + std::to_string(i));
    fit.predicted.push_back(fit.points[i].loss);
  }
  fit.minima.push_back({.cost = 0, .theta = theta_from_coefficients(law, coefficients)});
  for (const std::string& name : law_coefficients(law)) fit.coefficients.push_back({.name = name});
  Rng rng(1, RngStream::test);
  for (i64 i = 0; i < samples; ++i) {
    std::vector<double> sample = coefficients;
    for (double& c : sample) c *= 1 + spread * rng.next_normal();
    fit.samples.push_back(sample);
  }
  fit.verdict = Verdict(Knowledge::determined, "for the test");
  return fit;
}

LawPoint dense_point(double parameters, double compute) {
  LawPoint p;
  p.parameters_total = parameters;
  p.tokens = compute / (6 * parameters);
  p.flops = compute;
  return p;
}

std::vector<LawPoint> isoflop_points() {
  std::vector<LawPoint> points;
  for (const double compute : {1e18, 1e19, 1e20}) {
    for (const double size : {1e7, 3e7, 1e8, 3e8, 1e9, 3e9}) points.push_back(dense_point(size, compute));
  }
  return points;
}

// Hoffmann et al. 2022, equation 4: N* = G (C/6)^(beta/(alpha+beta)), G = (alpha A/(beta B))^(1/(alpha+beta)).
TEST(FitCurves, OptimumIsTheClosedForm) {
  const std::vector<double> c = {1.8172, 482.01, 2085.43, 0.3478, 0.3658};
  const records::LawCurves curves = fit_curves(fit_of(Law::chinchilla, c, isoflop_points(), 40));
  ASSERT_EQ(curves.isoflop.size(), 3u);
  EXPECT_EQ(curves.isoflop_note, "");
  for (const records::IsoflopGroup& group : curves.isoflop) {
    const double compute = group.compute, sum = c[3] + c[4];
    const double wanted = std::pow(c[3] * c[1] / (c[4] * c[2]), 1 / sum) * std::pow(compute / 6, c[4] / sum);
    const records::Optimum& optimum = group.optimum;
    EXPECT_TRUE(optimum.determined) << optimum.verdict;
    EXPECT_NEAR(optimum.size.estimate / wanted, 1, 1e-4);
    EXPECT_LT(optimum.size.low, wanted);
    EXPECT_GT(optimum.size.high, wanted);
    EXPECT_NEAR(optimum.tokens * wanted * 6 / compute, 1, 1e-4);
    EXPECT_EQ(group.runs, 6);
    EXPECT_EQ(group.points.size(), 6u);
    for (const records::CurvePoint& point : group.curve) {
      EXPECT_NEAR(point.tokens * point.x * 6 / compute, 1, 1e-9);
      EXPECT_LE(point.low, point.y * 1.001);
      EXPECT_LT(point.low, point.high);
    }
  }
  EXPECT_EQ(curves.predicted.size(), 18u);
}

TEST(FitCurves, NoConfidentOptimum) {
  const std::vector<double> c = {1.8172, 482.01, 2085.43, 0.3478, 0.3658};
  const auto verdict = [](const LawFit& fit) {
    const records::Optimum optimum = fit_curves(fit).isoflop.at(0).optimum;
    EXPECT_FALSE(optimum.determined);
    EXPECT_TRUE(std::isnan(optimum.size.estimate));
    EXPECT_TRUE(std::isnan(optimum.loss));
    return optimum.verdict;
  };
  EXPECT_NE(verdict(fit_of(Law::chinchilla, c, isoflop_points(), 0)).find("without bootstrap"), std::string::npos);
  EXPECT_NE(verdict(fit_of(Law::chinchilla, c, isoflop_points(), 60, 0.2)).find("factor"), std::string::npos);
  std::vector<LawPoint> small;
  for (const double size : {1e7, 2e7, 4e7}) small.push_back(dense_point(size, 1e20));
  EXPECT_NE(verdict(fit_of(Law::chinchilla, c, small, 40)).find("are outside the range of the runs, 10.0M to 40.0M"),
            std::string::npos);
  // The best size at 1e20 was run, but at 1e18: with the tokens that it needs no run was.
  std::vector<LawPoint> gap;
  for (const double size : {1e8, 2e8, 4e8}) gap.push_back(dense_point(size, 1e18));
  for (const double size : {4e9, 8e9, 1.6e10}) gap.push_back(dense_point(size, 1e20));
  const records::Optimum far = fit_curves(fit_of(Law::chinchilla, c, gap, 40)).isoflop.at(1).optimum;
  EXPECT_NE(far.verdict.find("tokens are outside"), std::string::npos) << far.verdict;
  LawFit open = fit_of(Law::chinchilla, c, isoflop_points(), 40);
  open.verdict = Verdict(Knowledge::none, "all runs have the same tokens");
  EXPECT_NE(verdict(open).find("the law itself"), std::string::npos);
  EXPECT_TRUE(fit_curves(open).isoflop.at(0).curve.empty());
}

// Without three sizes at one compute the law's curves are drawn alone; with one size there are none.
TEST(FitCurves, SaysWhyThereAreNoPoints) {
  const std::vector<double> c = {1.8172, 482.01, 2085.43, 0.3478, 0.3658};
  std::vector<LawPoint> spread;
  for (int i = 0; i < 6; ++i) spread.push_back(dense_point(1e7 * std::pow(2, i), 1e18 * std::pow(3, i)));
  const records::LawCurves curves = fit_curves(fit_of(Law::chinchilla, c, spread, 40));
  ASSERT_EQ(curves.isoflop.size(), 3u);
  EXPECT_TRUE(curves.isoflop[0].points.empty());
  EXPECT_NEAR(curves.isoflop[1].compute, 1e18 * std::pow(3, 2.5), 1e12);
  EXPECT_NE(curves.isoflop_note.find("fewer than 3 sizes"), std::string::npos);
  const std::vector<LawPoint> one(4, dense_point(1e8, 1e19));
  const records::LawCurves none = fit_curves(fit_of(Law::chinchilla, c, one, 40));
  EXPECT_TRUE(none.isoflop.empty());
  EXPECT_NE(none.isoflop_note.find("one size"), std::string::npos);
  EXPECT_NE(none.sparsity_note.find("has no sparsity term"), std::string::npos);
  LawFit unfitted;
  unfitted.verdict = Verdict(Knowledge::none, "2 runs for 5 coefficients");
  EXPECT_TRUE(fit_curves(unfitted).isoflop.empty());
  EXPECT_EQ(fit_curves(unfitted).isoflop_note, "not determined: 2 runs for 5 coefficients");
}

TEST(FitCurves, SparsityAtFixedCompute) {
  const PublishedFit& abnar = published_default(Law::abnar);
  std::vector<LawPoint> points;
  for (const double experts : {1.0, 8.0, 16.0, 64.0}) {
    LawPoint p = dense_point(2e8, 1.2e19);
    p.experts = experts;
    p.top_k = experts > 1 ? 2 : 1;
    p.parameters_active = 2e8;
    p.parameters_total = experts > 1 ? 1e8 + 5e7 * experts : 2e8;
    p.tokens = 1e10;
    points.push_back(p);
  }
  const records::LawCurves curves = fit_curves(fit_of(Law::abnar, abnar.values, points, 40));
  ASSERT_EQ(curves.sparsity.size(), 1u);
  const records::SparsityGroup& group = curves.sparsity[0];
  EXPECT_EQ(group.family, "k = 2");
  EXPECT_EQ(group.runs, 4);
  ASSERT_EQ(group.points.size(), 4u);
  EXPECT_EQ(group.points[0].x, 0);  // the dense run
  EXPECT_EQ(group.points[3].x, 1 - 2.0 / 64);
  const auto& curve = group.curve;
  EXPECT_NEAR(curve.front().x, 1 - 2.0 / 8, 1e-12);
  EXPECT_NEAR(curve.front().y, law_value(Law::abnar, abnar.values, points[1]), 1e-12);
  EXPECT_NEAR(curve.back().y, law_value(Law::abnar, abnar.values, points[3]), 1e-12);
}

TEST(FitCurves, Windows) {
  const auto windows = value_windows({10, 1, 1.1, 100, 1.2, 11}, {0, 1, 2, 3, 4, 5}, 1.3);
  ASSERT_EQ(windows.size(), 3u);
  EXPECT_EQ(windows[0], (std::vector<std::size_t>{1, 2, 4}));
  EXPECT_EQ(windows[1], (std::vector<std::size_t>{0, 5}));
  EXPECT_EQ(windows[2], (std::vector<std::size_t>{3}));
  EXPECT_TRUE(value_windows({}, {}, 2).empty());
}

// Planted: score = sigmoid(1 - 4 (L - 2.5)) above chance 0.25, no noise; the line must give it back within its band.
TEST(TaskCurves, GiveThePlantedSigmoid) {
  std::vector<TaskRun> runs;
  Rng rng(3, RngStream::test);
  for (int i = 0; i < 12; ++i) {
    TaskRun run;
    run.model = "m" + std::to_string(i);
    run.train_loss = 2 + 0.08 * i;
    run.flops = 1e15 * std::pow(1.5, i % 4);
    run.tpp = 20 / (1.0 + i % 3);
    const double eta = 1 - 4 * (run.train_loss - 2.5);
    TaskScore score;
    score.task = "facts";
    score.skill = "memorisation";
    score.measure = "acc";
    score.can_be_guessed = true;
    score.value = 0.25 + 0.75 / (1 + std::exp(-eta)) + 0.004 * rng.next_normal();
    score.se = 0.004;
    score.chance = score.chance_best = 0.25;
    run.scores.push_back(score);
    runs.push_back(run);
  }
  const TaskLaw law = fit_task_law(runs, runs.front().scores.front());
  ASSERT_TRUE(law.fitted());
  const records::TaskCurves curves = task_curves(law);
  const auto& line = curves.over_train_loss;
  ASSERT_EQ(line.size(), 49u);
  EXPECT_EQ(line.front().x, 2);
  for (const records::CurvePoint& point : line) {
    const double x = point.x, wanted = 0.25 + 0.75 / (1 + std::exp(-(1 - 4 * (x - 2.5))));
    EXPECT_NEAR(point.y, wanted, 0.02);
    EXPECT_LE(point.low, point.y);
    EXPECT_GE(point.high, point.y);
    EXPECT_GE(point.low, 0.25);
    EXPECT_LE(point.high - point.low, 0.05);
    EXPECT_NEAR(point.y, task_law_value(law, x, curves.at.flops, curves.at.tpp), 1e-9);
  }
  EXPECT_EQ(curves.over_flops.size(), 49u);
}

}  // namespace
}  // namespace moebius::fit
