// The evaluator against the laws' plain formulas, its derivatives against differences, the minimiser on planted runs.
#include "fit/objective.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "fit/minimize.h"

namespace moebius::fit {
namespace {

std::vector<LawPoint> random_points(Law law, i64 count, double noise, u64 seed = 1) {
  Rng rng(seed, RngStream::test);
  std::vector<LawPoint> points;
  for (i64 i = 0; i < count; ++i) {
    LawPoint p;
    p.parameters_active = std::exp(std::log(1e7) + 6 * rng.next_uniform());
    p.experts = std::pow(2.0, static_cast<double>(rng.next_below(8)));
    p.parameters_total = p.parameters_active * (1 + 0.4 * (p.experts - 1));
    p.top_k = std::min(p.experts, std::pow(2.0, static_cast<double>(rng.next_below(3))));
    p.tokens = p.parameters_active * std::exp(1 + 4 * rng.next_uniform());
    p.flops = 6 * p.parameters_active * p.tokens;
    p.granularity = std::pow(2.0, static_cast<double>(rng.next_below(5)));
    p.loss = law_value(law, published_default(law).values, p) * std::exp(noise * rng.next_normal());
    points.push_back(p);
  }
  return points;
}

TEST(Objective, PredictsWhatTheFormulaSays) {
  for (const PublishedFit& fit : published_fits()) {
    if (fit.name == "krajewski-dense") continue;  // g = 0 has no logarithm
    const std::vector<LawPoint> points = random_points(fit.law, 1200, 0.02);
    const Objective objective(fit.law, points, 1e-3, 0);
    std::vector<double> predicted(points.size());
    objective.predict(theta_from_coefficients(fit.law, fit.values).data(), predicted.data());
    for (std::size_t i = 0; i < points.size(); ++i) {
      const double value = law_value(fit.law, fit.values, points[i]);
      ASSERT_NEAR(predicted[i] / value, 1, 1e-12) << fit.name << " run " << i;
    }
    const std::vector<double> back = coefficients_from_theta(fit.law, theta_from_coefficients(fit.law, fit.values));
    for (std::size_t i = 0; i < back.size(); ++i) EXPECT_NEAR(back[i] / fit.values[i], 1, 1e-9) << fit.name;
  }
}

// Five-point differences. Huber's second derivative jumps, which differences see when a run crosses over: hence short
// steps.
TEST(Objective, GradientAgreesWithDifferences) {
  for (const Law law : all_laws()) {
    for (const double delta : {1e-2, 1e9}) {
      const Objective objective(law, random_points(law, 700, 0.05), delta, 3e-4);
      std::vector<double> theta = theta_from_coefficients(law, published_default(law).values);
      if (law == Law::leverage) theta[5] = 3;  // the published limit is as good as infinite
      for (double& t : theta) t *= 1.01;
      std::vector<double> gradient(theta.size());
      double cost = 0;
      ASSERT_TRUE(objective.evaluate(theta.data(), &cost, gradient.data()));
      for (std::size_t j = 0; j < theta.size(); ++j) {
        const double step = (delta > 1 ? 1e-4 : 1e-7) * std::max(0.1, std::fabs(theta[j]));
        const auto at = [&](double by) {
          std::vector<double> moved = theta;
          moved[j] += by * step;
          double value = 0;
          EXPECT_TRUE(objective.evaluate(moved.data(), &value, nullptr));
          return value;
        };
        const double difference = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step);
        EXPECT_NEAR(gradient[j], difference, 2e-5 * std::fabs(difference) + 3e-6 * cost) << law_name(law) << " " << j;
      }
    }
  }
}

TEST(Objective, HuberTermsAreSummedNotAveraged) {
  std::vector<LawPoint> points = random_points(Law::chinchilla, 1, 0);
  const std::vector<double> theta = theta_from_coefficients(Law::chinchilla, published_default(Law::chinchilla).values);
  points[0].loss *= std::exp(0.0005);
  double inside = 0, outside = 0, doubled = 0;
  ASSERT_TRUE(Objective(Law::chinchilla, points, 1e-3, 0).evaluate(theta.data(), &inside, nullptr));
  EXPECT_NEAR(inside, 0.5 * 0.0005 * 0.0005, 1e-12);
  points[0].loss *= std::exp(0.0095);
  ASSERT_TRUE(Objective(Law::chinchilla, points, 1e-3, 0).evaluate(theta.data(), &outside, nullptr));
  EXPECT_NEAR(outside, 1e-3 * (0.01 - 0.0005), 1e-12);
  points.push_back(points[0]);
  ASSERT_TRUE(Objective(Law::chinchilla, points, 1e-3, 0).evaluate(theta.data(), &doubled, nullptr));
  EXPECT_NEAR(doubled, 2 * outside, 1e-12);
}

TEST(Objective, ASampleCountsItsRuns) {
  const std::vector<LawPoint> points = random_points(Law::joint, 5, 0.02);
  const std::vector<LawPoint> repeated = {points[1], points[1], points[4]};
  const std::vector<double> theta = theta_from_coefficients(Law::joint, published_default(Law::joint).values);
  double a = 0, b = 0;
  Objective(Law::joint, points, 0.01, 0).resampled({0, 2, 0, 0, 1}).evaluate(theta.data(), &a, nullptr);
  Objective(Law::joint, repeated, 0.01, 0).evaluate(theta.data(), &b, nullptr);
  EXPECT_NEAR(a, b, 1e-14);
}

// Without noise the planted coefficients are the optimum, and the minimiser finds them from elsewhere.
TEST(Minimize, FindsPlantedCoefficients) {
  for (const Law law : all_laws()) {
    const std::vector<double>& planted = published_default(law).values;
    const Objective objective(law, random_points(law, 600, 0), 1e9, 0);
    std::vector<double> start = theta_from_coefficients(law, planted);
    for (std::size_t j = 0; j < start.size(); ++j) start[j] *= j % 2 == 0 ? 1.03 : 0.98;
    const Minimum minimum = minimize(objective, start, {});
    std::vector<double> predicted(600), measured;
    objective.predict(minimum.theta.data(), predicted.data());
    EXPECT_LT(minimum.cost, 1e-6) << law_name(law);
    const std::vector<double> found = coefficients_from_theta(law, minimum.theta);
    for (std::size_t j = 0; j < found.size(); ++j) {
      if (law == Law::leverage && j == 5) continue;  // as good as infinite
      EXPECT_NEAR(found[j] / planted[j], 1, law == Law::abnar ? 0.2 : 0.02)
          << law_name(law) << " " << j << " cost " << minimum.cost;
    }
  }
}

TEST(Minimize, EigenvaluesOfAKnownMatrix) {
  std::vector<double> values, vectors;
  eigen_symmetric({2, 1, 1, 2}, 2, values, vectors);
  EXPECT_NEAR(values[0], 1, 1e-12);
  EXPECT_NEAR(values[1], 3, 1e-12);
  EXPECT_NEAR(std::fabs(vectors[0] + vectors[1]), 0, 1e-12);
}

}  // namespace
}  // namespace moebius::fit
