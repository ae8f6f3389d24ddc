// The optima against the papers' tables and against brute force.
#include "fit/optimum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fit/law_terms.h"

namespace moebius::fit {
namespace {

// L = floor + a/N^alpha + b/D^beta: what remains of an additive law when all but size and tokens is held fixed.
struct PowerLaw {
  double floor = 0, a = 0, alpha = 0, b = 0, beta = 0;
  double loss(double parameters, double tokens) const {
    return floor + a * std::pow(parameters, -alpha) + b * std::pow(tokens, -beta);
  }
};

PowerLaw chinchilla_power_law(const std::vector<double>& c) {
  return {.floor = c[0], .a = c[1], .alpha = c[3], .b = c[2], .beta = c[4]};
}

// The paper's m, mu, n, nu are a, -alpha, b, -beta (2502.05172, table of reduced coefficients).
PowerLaw joint_power_law(const std::vector<double>& c, double experts) {
  const double ln_experts = std::log(saturating(experts - 1, c[8], c[9]));
  return {.floor = c[10],
          .a = c[0] * std::exp(c[2] * ln_experts),
          .alpha = -(c[1] + c[3] * ln_experts),
          .b = c[4] * std::exp(c[6] * ln_experts),
          .beta = -(c[5] + c[7] * ln_experts)};
}

struct Split {
  double parameters = 0, tokens = 0, loss = 0;
};

// The least loss with 6 N D = compute (Hoffmann et al. 2022, 2203.15556, equation 4):
// N* = G (C/6)^(beta/(alpha+beta)), G = (alpha a / (beta b))^(1/(alpha+beta)).
Split power_law_split(const PowerLaw& law, double compute) {
  const double sum = law.alpha + law.beta;
  const double ratio = std::pow(law.alpha * law.a / (law.beta * law.b), 1 / sum);
  Split split;
  split.parameters = ratio * std::pow(compute / 6, law.beta / sum);
  split.tokens = compute / 6 / split.parameters;
  split.loss = law.loss(split.parameters, split.tokens);
  return split;
}

TEST(Optimum, ChinchillaSplits) {
  const PowerLaw epoch = chinchilla_power_law(published_fit("epoch-2024").values);
  const Split small = power_law_split(epoch, 1e21), large = power_law_split(epoch, 5.76e23);
  EXPECT_NEAR(small.parameters, 2.778e9, 0.0005e9);
  EXPECT_NEAR(small.tokens, 5.999e10, 0.0005e10);
  EXPECT_NEAR(small.loss, 2.3055, 5e-5);
  EXPECT_NEAR(large.parameters, 7.225e10, 0.0005e10);
  EXPECT_NEAR(large.tokens / large.parameters, 18.39, 0.005);
  EXPECT_NEAR(large.loss, 1.9744, 5e-5);
  const PowerLaw hoffmann = chinchilla_power_law(published_fit("hoffmann-2022").values);
  const Split split = power_law_split(hoffmann, 1e21);
  EXPECT_NEAR(split.parameters, 1.824e9, 0.0005e9);
  EXPECT_NEAR(split.tokens / split.parameters, 50.08, 0.005);
  EXPECT_NEAR(split.loss, 2.3289, 5e-5);
  EXPECT_NEAR(power_law_split(hoffmann, 5.76e23).loss, 1.9307, 5e-5);
}

TEST(Optimum, JointReducedCoefficients) {
  struct Row {
    double experts, m, mu, n, nu;
  };
  const std::vector<double>& c = published_fit("ludziejewski-2025").values;
  for (const Row& row : {Row{1, 30.3640, -0.1817, 53.9838, -0.1965}, Row{2, 27.7982, -0.1780, 66.8401, -0.2065},
                         Row{4, 24.8462, -0.1731, 87.7022, -0.2192}, Row{8, 21.8330, -0.1676, 119.9126, -0.2338},
                         Row{16, 19.0159, -0.1617, 167.5073, -0.2494}, Row{32, 16.5424, -0.1557, 234.6726, -0.2652}}) {
    const PowerLaw law = joint_power_law(c, row.experts);
    EXPECT_NEAR(law.a / row.m, 1, 0.005) << row.experts;
    EXPECT_NEAR(law.alpha, -row.mu, 2e-4) << row.experts;
    EXPECT_NEAR(law.b / row.n, 1, 0.005) << row.experts;
    EXPECT_NEAR(law.beta, -row.nu, 2e-4) << row.experts;
  }
  // What the printed coefficients give at one expert, to the last digit; the paper's own came from unrounded ones.
  const PowerLaw one = joint_power_law(c, 1);
  EXPECT_NEAR(one.a, 30.3993, 6e-5);
  EXPECT_NEAR(one.alpha, 0.1818, 6e-5);
  EXPECT_NEAR(one.b, 53.8434, 6e-5);
  EXPECT_NEAR(one.beta, 0.1964, 6e-5);
}

// 2502.05172, table 1. Its numbers have two or three digits: half a unit of the last one is allowed beside the 1 %.
TEST(Optimum, JointTable1) {
  struct Row {
    double compute;
    std::vector<double> active, tokens;  // 1, 2, 4, 8, 16, 32 experts; in billions
  };
  const std::vector<Row> table = {
      {1e20, {1.7, 1.5, 1.2, 0.990, 0.810, 0.669}, {9.7, 11.4, 13.9, 17, 20.7, 24.9}},
      {1e21, {5.7, 5, 4.4, 3.8, 3.3, 2.85}, {29.3, 33, 38, 44.3, 51.2, 58.4}},
      {1e22, {18.8, 17.4, 15.8, 14.4, 13.2, 12.2}, {88.6, 96, 105.4, 115.8, 126.5, 136.9}},
  };
  const std::vector<double>& c = published_fit("ludziejewski-2025").values;
  for (const Row& row : table) {
    for (std::size_t i = 0; i < 6; ++i) {
      const Split split = power_law_split(joint_power_law(c, std::exp2(static_cast<double>(i))), row.compute);
      const double last = row.active[i] < 1 ? 0.0005 : 0.05;
      EXPECT_NEAR(split.parameters / 1e9, row.active[i], 0.01 * row.active[i] + last)
          << row.compute << " E " << (1 << i);
      EXPECT_NEAR(split.tokens / 1e9, row.tokens[i], 0.01 * row.tokens[i] + 0.05) << row.compute << " E " << (1 << i);
    }
  }
  const Split sparse = power_law_split(joint_power_law(c, 32), 1e20),
              dense = power_law_split(joint_power_law(c, 1), 1e22);
  EXPECT_NEAR(sparse.parameters, 674e6, 0.5e6);
  EXPECT_NEAR(sparse.tokens, 24.7e9, 0.05e9);
  EXPECT_NEAR(sparse.loss, 2.4724, 5e-5);
  EXPECT_NEAR(dense.parameters, 18.9e9, 0.05e9);
  EXPECT_NEAR(dense.tokens, 88.3e9, 0.05e9);
  EXPECT_NEAR(dense.loss, 2.1575, 5e-5);
}

Frontier fine_grained(double granularity) {
  Frontier frontier;
  const double experts = 64 * granularity;
  frontier.flops_per_token = [experts](double d) {
    return fine_grained_flops_per_token(12 * d * d * d / 64, d, d / 64, experts);
  };
  frontier.loss = [granularity](double d, double tokens) {
    LawPoint point;
    point.parameters_total = d * d * (8 * 64 + 4) * d / 64;
    point.tokens = tokens;
    point.granularity = granularity;
    return law_value(Law::fine_grained, published_fit("krajewski-moe-e64").values, point);
  };
  frontier.size_low = 64;
  frontier.size_high = 1e6;
  return frontier;
}

// 2402.07871, table 2: the compute-optimal models. The coefficients are printed with two digits, so size and tokens
// move by some per cent and the loss by up to 0.025; the granularity is exact.
TEST(Optimum, KrajewskiTable2) {
  struct Row {
    double active, tokens, granularity, flops, loss, flops_formula;
  };
  for (const Row& row :
       {Row{1e8, 4.37e9, 8, 2.95e18, 3.133, 2.944e18}, Row{1e9, 28.94e9, 16, 1.93e20, 2.491, 1.934e20},
        Row{3e9, 72.90e9, 16, 1.41e21, 2.245, 1.416e21}, Row{7e9, 137.60e9, 32, 6.46e21, 2.076, 6.468e21},
        Row{7e10, 941.07e9, 32, 4.16e23, 1.694, 4.171e23}, Row{3e11, 2.96e12, 64, 5.69e24, 1.503, 5.691e24},
        Row{1e12, 7.94e12, 64, 4.97e25, 1.367, 4.981e25}}) {
    Optimum best;
    double granularity = 0;
    best.loss = std::numeric_limits<double>::infinity();
    for (double g = 1; g <= 256; g *= 2) {
      const Optimum optimum = optimum_at_compute(fine_grained(g), row.flops);
      if (optimum.loss < best.loss) best = optimum, granularity = g;
    }
    EXPECT_EQ(granularity, row.granularity) << row.active;
    EXPECT_NEAR(12 * std::pow(best.size, 3) / 64 / row.active, 1, 0.035) << row.active;
    EXPECT_NEAR(best.tokens / row.tokens, 1, 0.03) << row.active;
    EXPECT_NEAR(best.loss, row.loss, 0.025) << row.active;
    EXPECT_FALSE(best.edge);
    // The table's own model costs what the table says.
    const double d = std::cbrt(row.active * 64 / 12);
    const double flops = fine_grained_flops_per_token(row.active, d, d / 64, 64 * granularity) * row.tokens;
    EXPECT_NEAR(flops / row.flops, 1, 0.005);
    EXPECT_NEAR(flops / row.flops_formula, 1, 2e-4);
  }
}

TEST(Optimum, SearchFindsTheClosedForm) {
  const PowerLaw law = chinchilla_power_law(published_fit("epoch-2024").values);
  Frontier frontier;
  frontier.flops_per_token = [](double n) { return 6 * n; };
  frontier.loss = [&](double n, double tokens) { return law.loss(n, tokens); };
  frontier.size_low = 1e6;
  frontier.size_high = 1e13;
  for (const double compute : {1e18, 1e21, 5.76e23}) {
    const Split split = power_law_split(law, compute);
    const Optimum optimum = optimum_at_compute(frontier, compute);
    EXPECT_NEAR(optimum.size / split.parameters, 1, 1e-5);
    EXPECT_NEAR(optimum.tokens / split.tokens, 1, 1e-5);
    EXPECT_FALSE(optimum.edge);
    frontier.size_high = split.parameters / 2;  // a wall below the optimum is where the best size then lies
    const Optimum walled = optimum_at_compute(frontier, compute);
    EXPECT_NEAR(walled.size / frontier.size_high, 1, 1e-9);
    EXPECT_TRUE(walled.edge);
    frontier.size_high = 1e13;
  }
}

// Brute force over a fine grid of sizes and, within a size, of tokens: no formula of optimum.cpp is used.
TEST(Optimum, InferenceAgainstBruteForce) {
  const PowerLaw law = chinchilla_power_law(published_fit("hoffmann-2022").values);
  Frontier frontier;
  frontier.flops_per_token = [](double n) { return 6 * n; };
  frontier.loss = [&](double n, double tokens) { return law.loss(n, tokens); };
  frontier.size_low = 1e7;
  frontier.size_high = 1e12;
  const Split split = power_law_split(law, 1e21);
  for (const double inference : {1e10, 1e11, 1e12, 1e13}) {
    const auto optimum = optimum_with_inference(frontier, split.loss, inference);
    ASSERT_TRUE(optimum.has_value());
    double best = std::numeric_limits<double>::infinity(), best_size = 0, best_tokens = 0;
    for (int i = 0; i < 4000; ++i) {
      const double n = split.parameters * std::pow(10.0, -1.5 + 2.0 * i / 4000);
      const double rest = split.loss - law.floor - law.a / std::pow(n, law.alpha);
      if (rest <= 0) continue;
      const double tokens = std::pow(law.b / rest, 1 / law.beta);
      const double flops = 6 * n * tokens + 2 * n * inference;
      if (flops < best) best = flops, best_size = n, best_tokens = tokens;
    }
    EXPECT_NEAR(optimum->size / best_size, 1, 0.005) << inference;
    EXPECT_NEAR(optimum->tokens / best_tokens, 1, 0.01) << inference;
    EXPECT_NEAR((optimum->flops_training + optimum->flops_inference) / best, 1, 1e-4) << inference;
    EXPECT_LT(optimum->size, split.parameters);
    EXPECT_GT(optimum->flops_training, 1e21);
  }
  // Without inference the compute-optimal model is the answer; a loss below the floor has none.
  const auto none = optimum_with_inference(frontier, split.loss, 0);
  EXPECT_NEAR(none->size / split.parameters, 1, 0.001);
  EXPECT_NEAR(none->flops_training / 1e21, 1, 1e-6);
  EXPECT_FALSE(optimum_with_inference(frontier, law.floor, 1e10).has_value());
}

TEST(Optimum, SolveRising) {
  const auto square = [](double x) { return x * x; };
  EXPECT_NEAR(*solve_rising_log(square, 49, 1, 1e6), 7, 1e-9);
  EXPECT_FALSE(solve_rising_log(square, 0.5, 1, 1e6).has_value());
  EXPECT_FALSE(solve_rising_log(square, 1e13, 1, 1e6).has_value());
}

// 2507.17702: the allocations' products give C back; the best granularity is the text's "about 12".
TEST(Optimum, Ling) {
  for (const double compute : {1e18, 1e20, 1e22}) {
    for (const bool moe : {true, false}) {
      const LingAllocation split = ling_allocation(compute, moe);
      EXPECT_NEAR(split.flops_per_token * split.tokens / compute, 1, 0.001);
    }
  }
  const std::vector<double>& c = published_fit("ling-2025").values;
  const double best = std::exp2(-c[3] / (2 * c[2]));  // the greatest leverage
  EXPECT_NEAR(best, 11.3, 0.05);
  const auto leverage = [&](double activation, double granularity, double compute) {
    LawPoint point;
    point.experts = 1000;
    point.top_k = 1000 * activation;
    point.granularity = granularity;
    point.flops = compute;
    return law_value(Law::leverage, c, point);
  };
  EXPECT_NEAR(leverage(0.031, 12, 1e22), 7.245, 0.001);
  EXPECT_NEAR(leverage(0.034, 12, 1e22), 6.961, 0.001);
  EXPECT_NEAR(leverage(1, 2, 1e22), 0.991, 0.001);
  // Ling-mini-beta: 12 of 384 experts and a shared one, experts of 384 at d 2048. With 0.85B active and 1T tokens it
  // equals a dense model of 6.1B: at about 6 N D FLOPs the law says so within 10 %.
  EXPECT_NEAR(leverage(13.0 / 385, 2 * 2048 / 384.0, 6 * 0.85e9 * 1e12), 6.1 / 0.85, 0.1 * 6.1 / 0.85);
  EXPECT_GT(leverage(0.031, best, 1e22), leverage(0.031, best * 1.05, 1e22));
  EXPECT_GT(leverage(0.031, best, 1e22), leverage(0.031, best / 1.05, 1e22));
}

}  // namespace
}  // namespace moebius::fit
