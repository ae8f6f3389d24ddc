// The leverage out of losses: planted dense curves and mixtures give theirs back; without a dense curve there is an
// error.
#include "fit/runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "fit/fit.h"

namespace moebius::fit {
namespace {

constexpr double kConstant = 1.7, kScale = 60, kExponent = 0.08;

double dense_loss(double compute) { return kConstant + kScale / std::pow(compute, kExponent); }

void add(Runs& runs, const LawPoint& p) {
  runs.points.push_back(p);
  runs.names.push_back("run " + std::to_string(runs.points.size()));
}

LawPoint dense_run(double compute, double loss) {
  LawPoint p;
  p.flops = compute;
  p.experts = 1;
  p.loss = loss;
  return p;
}

// Dense runs of 1e18 to 1e21 FLOPs, and mixtures whose loss is the dense one at leverage times their compute.
Runs planted(i64 mixtures, double noise, u64 seed = 1) {
  Rng rng(seed, RngStream::test);
  Runs runs;
  runs.sources = {"t.csv"};
  for (int i = 0; i <= 9; ++i) {
    const double compute = 1e18 * std::pow(10, i / 3.0);
    add(runs, dense_run(compute, dense_loss(compute) * std::exp(noise * rng.next_normal())));
    add(runs, dense_run(compute, 1.1 * dense_loss(compute)));  // a dense model of the wrong size: it does not count
  }
  for (i64 i = 0; i < mixtures; ++i) {
    LawPoint p;
    p.flops = std::exp(std::log(3e18) + std::log(1e3) * rng.next_uniform());
    p.experts = std::ldexp(1.0, 3 + static_cast<int>(rng.next_below(6)));
    p.top_k = std::ldexp(1.0, static_cast<int>(rng.next_below(3)));
    p.granularity = std::ldexp(1.0, 1 + static_cast<int>(rng.next_below(4)));
    p.loss = dense_loss(law_value(Law::leverage, published_default(Law::leverage).values, p) * p.flops) *
             std::exp(noise * rng.next_normal());
    add(runs, p);
  }
  return runs;
}

std::string fault(const Runs& runs) {
  try {
    fit_law(runs, Law::leverage, {.bootstrap = 0, .holdout = "none"});
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(LeverageRuns, TheDenseCurveComesBack) {
  const DenseCurve curve = dense_curve(planted(0, 0).points, "t");
  EXPECT_EQ(curve.points, 10);
  EXPECT_NEAR(curve.constant, kConstant, 1e-3);
  EXPECT_NEAR(curve.exponent, kExponent, 1e-4);
  EXPECT_LT(curve.rmse_log, 1e-6);
  for (const double compute : {1e18, 3e19, 1e21}) {
    EXPECT_NEAR(curve.loss(compute), dense_loss(compute), 1e-5);
    EXPECT_NEAR(curve.compute_at(dense_loss(compute)) / compute, 1, 1e-3);
  }
  EXPECT_TRUE(std::isinf(curve.compute_at(1.0)));
  // A pure power law, whose constant is 0.
  std::vector<LawPoint> pure;
  for (int i = 0; i < 6; ++i)
    pure.push_back(dense_run(1e18 * std::pow(4, i), 50 * std::pow(1e18 * std::pow(4, i), -0.07)));
  EXPECT_NEAR(dense_curve(pure, "t").exponent, 0.07, 2e-3);
}

TEST(LeverageRuns, LossesGiveTheLeverageBack) {
  const Runs runs = planted(80, 0);
  const Runs measured = leverage_of_losses(runs);
  EXPECT_TRUE(measured.measures_leverage);
  ASSERT_GT(measured.count(), 40);
  EXPECT_LT(measured.count(), 80);  // some are better than any dense run of twice the compute
  for (const LawPoint& p : measured.points) {
    const double truth = law_value(Law::leverage, published_default(Law::leverage).values, p);
    EXPECT_NEAR(p.loss / truth, 1, 5e-3);
    EXPECT_LE(truth * p.flops, 2.01e21);
  }
  EXPECT_NE(measured.notes.back().find("were left out"), std::string::npos);
}

// From losses to the law's coefficients: its exponents and the starting share are Ling's again.
TEST(LeverageRuns, TheLawComesBackFromLosses) {
  const LawFit fit = fit_law(planted(400, 1e-5), Law::leverage, {.bootstrap = 20, .holdout = "none"});
  const std::vector<double>& truth = published_default(Law::leverage).values;
  for (const std::size_t i : {0, 1, 2, 3, 4}) {
    EXPECT_NEAR(fit.coefficients[i].value / truth[i], 1, 0.1) << fit.coefficients[i].name;
    EXPECT_TRUE(fit.coefficients[i].determined) << fit.coefficients[i].name << ": " << fit.coefficients[i].note;
  }
  EXPECT_NE(fit.notes.front().find("dense curve"), std::string::npos);
}

TEST(LeverageRuns, WithoutADenseCurveThereIsNone) {
  Runs runs = planted(30, 0);
  Runs no_dense = runs, few = runs, flat = runs, no_moe = runs;
  std::erase_if(no_dense.points, [](const LawPoint& p) { return p.experts <= 1; });
  no_dense.names.resize(no_dense.points.size());
  EXPECT_NE(fault(no_dense).find("no dense run"), std::string::npos) << fault(no_dense);
  EXPECT_NE(fault(no_dense).find("--column leverage=NAME"), std::string::npos);
  std::erase_if(few.points, [](const LawPoint& p) { return p.experts <= 1 && p.flops > 5e18; });
  few.names.resize(few.points.size());
  EXPECT_NE(fault(few).find("6 dense runs of 3 different flops"), std::string::npos) << fault(few);
  for (LawPoint& p : flat.points) p.loss = p.experts <= 1 ? 3 + 0.01 * std::sin(p.flops) : p.loss;
  EXPECT_NE(fault(flat).find("does not fall"), std::string::npos) << fault(flat);
  no_moe.points.resize(20);
  no_moe.names.resize(20);
  EXPECT_NE(fault(no_moe).find("no run is a mixture"), std::string::npos) << fault(no_moe);
  for (LawPoint& p : runs.points) p.loss = p.experts > 1 ? 0.5 * p.loss : p.loss;
  EXPECT_NE(fault(runs).find("no mixture of experts has a loss that the dense runs reach"), std::string::npos)
      << fault(runs);
}

// A study's granularity is 4 d/d_expert; a CSV's is what the law says. Both at once have no meaning.
TEST(LeverageRuns, StudiesHaveTwiceTheGranularity) {
  Runs runs = planted(40, 0);
  const double before = runs.points.back().granularity;
  runs.measures_loss = true;
  const Runs measured = leverage_of_losses(runs);
  EXPECT_TRUE(std::any_of(measured.points.begin(), measured.points.end(),
                          [&](const LawPoint& p) { return 2 * p.granularity == before; }));
  EXPECT_TRUE(std::all_of(measured.points.begin(), measured.points.end(),
                          [](const LawPoint& p) { return p.granularity <= 8; }));
  runs.has_csv = true;
  EXPECT_NE(fault(runs).find("two definitions"), std::string::npos);
}

}  // namespace
}  // namespace moebius::fit
