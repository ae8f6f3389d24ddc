// The laws against numbers that their papers print, or that were computed from the printed coefficients.
#include "fit/law.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "fit/law_terms.h"

namespace moebius::fit {
namespace {

double value(std::string_view set, const LawPoint& point) {
  const PublishedFit& fit = published_fit(set);
  return law_value(fit.law, fit.values, point);
}

// The optimum of E + A/N^a + B/D^b on C = 6 N D in closed form: the paper's own check of its coefficients.
double chinchilla_optimal_parameters(const std::vector<double>& c, double flops) {
  const double ratio = std::pow(c[3] * c[1] / (c[4] * c[2]), 1 / (c[3] + c[4]));
  return ratio * std::pow(flops / 6, c[4] / (c[3] + c[4]));
}

struct ChinchillaGolden {
  const char* set;
  double flops, parameters, tokens_per_parameter, loss;
};

TEST(Law, ChinchillaOptimaOfThePublishedSets) {
  const ChinchillaGolden rows[] = {{"epoch-2024", 1e21, 2.778e9, 21.59, 2.3055},
                                   {"epoch-2024", 5.76e23, 7.225e10, 18.39, 1.9744},
                                   {"hoffmann-2022", 1e21, 1.824e9, 50.08, 2.3289},
                                   {"hoffmann-2022", 5.76e23, std::sqrt(5.76e23 / 6 / 92.65), 92.65, 1.9307}};
  for (const ChinchillaGolden& row : rows) {
    const double parameters = chinchilla_optimal_parameters(published_fit(row.set).values, row.flops);
    const double tokens = row.flops / 6 / parameters;
    EXPECT_NEAR(parameters / row.parameters, 1, 5e-4) << row.set;
    EXPECT_NEAR(tokens / parameters, row.tokens_per_parameter, 0.006) << row.set;
    EXPECT_NEAR(value(row.set, {.parameters_total = parameters, .tokens = tokens}), row.loss, 6e-5) << row.set;
  }
}

TEST(Law, HoffmannUnroundedAgreesWithThePrintedDigits) {
  const std::vector<double>& c = published_fit("hoffmann-2022-unrounded").values;
  const std::vector<double>& rounded = published_fit("hoffmann-2022").values;
  for (std::size_t i = 0; i < c.size(); ++i) EXPECT_NEAR(c[i] / rounded[i], 1, 0.02);
  EXPECT_NEAR(c[0], 1.6934, 5e-5);
}

TEST(Law, RoutedGoldens) {
  const std::vector<double>& c = published_fit("clark-s-base").values;
  EXPECT_NEAR(saturating(127.0, c[4], c[5]), 91.40, 0.01);
  EXPECT_NEAR(saturating(0.0, c[4], c[5]), c[4], 1e-12);
  EXPECT_NEAR(value("clark-s-base", {.parameters_active = 1e9, .experts = 1}), 2.2846, 6e-5);
  EXPECT_NEAR(value("clark-s-base", {.parameters_active = 1e9, .experts = 0}), 2.2846, 6e-5);
  EXPECT_NEAR(value("clark-s-base", {.parameters_active = 1e9, .experts = 128}), 2.0561, 6e-5);
  // The dense model of equal loss: 5M with 128 experts is worth 51.8M (the paper: about 55M).
  EXPECT_NEAR(value("clark-s-base", {.parameters_active = 51.8e6, .experts = 1}),
              value("clark-s-base", {.parameters_active = 5e6, .experts = 128}), 1e-3);
}

struct KrajewskiRow {
  double active, tokens, granularity, flops, loss_table, loss_computed;
};

// Table 2 of the paper; its losses lie 0.011 to 0.023 above what the rounded coefficients give.
TEST(Law, FineGrainedTableTwo) {
  const KrajewskiRow rows[] = {{100e6, 4.37e9, 8, 2.95e18, 3.133, 3.110},   {1e9, 28.94e9, 16, 1.93e20, 2.491, 2.471},
                               {3e9, 72.90e9, 16, 1.41e21, 2.245, 2.226},   {7e9, 137.60e9, 32, 6.46e21, 2.076, 2.060},
                               {70e9, 941.07e9, 32, 4.16e23, 1.694, 1.680}, {300e9, 2.96e12, 64, 5.69e24, 1.503, 1.490},
                               {1e12, 7.94e12, 64, 4.97e25, 1.367, 1.356}};
  for (const KrajewskiRow& row : rows) {
    const LawPoint point = {.parameters_total = 43 * row.active, .tokens = row.tokens, .granularity = row.granularity};
    EXPECT_NEAR(value("krajewski-moe-e64", point), row.loss_computed, 6e-4);
    EXPECT_NEAR(value("krajewski-moe-e64", point), row.loss_table, 0.025);
    // Their cost: (72 d^2 + 14 d E G) n_blocks D with active = 12 d^2 n_blocks and d = 64 n_blocks.
    const double blocks = std::cbrt(row.active / (12 * 64 * 64)), d = 64 * blocks;
    const double flops = (72 * d * d + 14 * d * 64 * row.granularity) * blocks * row.tokens;
    EXPECT_NEAR(flops / row.flops, 1, 0.005);
  }
}

TEST(Law, FineGrainedDenseHasNoGranularity) {
  const LawPoint one = {.parameters_total = 1e9, .tokens = 2e10, .granularity = 1};
  LawPoint sixteen = one;
  sixteen.granularity = 16;
  EXPECT_EQ(value("krajewski-dense", one), value("krajewski-dense", sixteen));
  EXPECT_NEAR(value("krajewski-dense", one), 0.47 + 16.3 / std::pow(1e9, 0.126) + 26.7 / std::pow(2e10, 0.127), 1e-12);
}

TEST(Law, AbnarGoldens) {
  const auto at = [](double parameters, double tokens, double sparsity) {
    return value("abnar-2025",
                 {.parameters_total = parameters, .tokens = tokens, .experts = 100, .top_k = 100 * (1 - sparsity)});
  };
  EXPECT_NEAR(at(1e9, 2e10, 0.9), 2.7019, 6e-5);
  EXPECT_NEAR(at(5e9, 1e11, 0.5), 2.1685, 6e-5);
  EXPECT_NEAR(at(1.88e10, 1.1e11, 0.98), 2.1693, 3e-4);  // N and D are rounded
  EXPECT_NEAR(at(1e9, 2e10, 0), 2.5657, 6e-5);
  EXPECT_NEAR(value("abnar-2025", {.parameters_total = 1e9, .tokens = 2e10, .experts = 1}), 2.5657, 6e-5);
}

struct JointRow {
  double experts, m, mu, n, nu;
};

// The paper's reduced form m N^mu + n D^nu + c for each number of experts.
TEST(Law, JointReducedCoefficients) {
  const JointRow rows[] = {{1, 30.3640, -0.1817, 53.9838, -0.1965},   {2, 27.7982, -0.1780, 66.8401, -0.2065},
                           {4, 24.8462, -0.1731, 87.7022, -0.2192},   {8, 21.8330, -0.1676, 119.9126, -0.2338},
                           {16, 19.0159, -0.1617, 167.5073, -0.2494}, {32, 16.5424, -0.1557, 234.6726, -0.2652}};
  const std::vector<double>& c = published_fit("ludziejewski-2025").values;
  for (const JointRow& row : rows) {
    const double ln_experts = std::log(saturating(row.experts - 1, c[8], c[9]));
    EXPECT_NEAR(c[0] * std::exp(c[2] * ln_experts) / row.m, 1, 3e-3);
    EXPECT_NEAR(c[1] + c[3] * ln_experts, row.mu, 2e-4);
    EXPECT_NEAR(c[4] * std::exp(c[6] * ln_experts) / row.n, 1, 3e-3);
    EXPECT_NEAR(c[5] + c[7] * ln_experts, row.nu, 2e-4);
  }
}

TEST(Law, JointLossAtTheOptimaOfTableOne) {
  EXPECT_NEAR(value("ludziejewski-2025", {.parameters_active = 674e6, .tokens = 24.7e9, .experts = 32}), 2.4724, 3e-4);
  EXPECT_NEAR(value("ludziejewski-2025", {.parameters_active = 18.9e9, .tokens = 88.3e9, .experts = 1}), 2.1575, 3e-4);
}

TEST(Law, LeverageGoldens) {
  const auto at = [](double activation, double granularity, double flops) {
    return value("ling-2025",
                 {.flops = flops, .experts = 1000, .top_k = 1000 * activation, .granularity = granularity});
  };
  EXPECT_NEAR(at(0.031, 12, 1e22), 7.245, 1e-3);
  EXPECT_NEAR(at(0.034, 12, 1e22), 6.961, 1e-3);
  EXPECT_NEAR(at(1, 2, 1e22), 0.991, 1e-3);
  const std::vector<double>& c = published_fit("ling-2025").values;
  EXPECT_NEAR(-c[3] / (2 * c[2]), 3.503, 1e-3);  // log2 of the best granularity: 11.3
}

TEST(Law, FlameIsChinchillaOnActiveParameters) {
  const std::vector<double>& c = published_fit("flame-2025").values;
  const LawPoint point = {.parameters_total = 7e9, .parameters_active = 1.4e9, .tokens = 3e10};
  EXPECT_NEAR(law_value(Law::flame, c, point),
              2.241716 + 148.413257 / std::pow(1.4e9, 0.279702) + 3269017.372472 / std::pow(3e10, 0.7155), 1e-12);
}

TEST(Law, MissingNumbersGiveNoValue) {
  for (const Law law : all_laws()) {
    LawPoint full = {1e9, 1e8, 1e10, 6e18, 8, 2, 4, 3};
    EXPECT_TRUE(std::isfinite(law_value(law, published_default(law).values, full))) << law_name(law);
    for (const std::string& need : law_needs(law)) {
      LawPoint lacking = full;
      if (need == "parameters_total") lacking.parameters_total = kMissing;
      if (need == "parameters_active") lacking.parameters_active = kMissing;
      if (need == "tokens") lacking.tokens = kMissing;
      if (need == "flops") lacking.flops = kMissing;
      if (need == "experts") lacking.experts = kMissing;
      if (need == "top_k") lacking.top_k = kMissing;
      if (need == "granularity") lacking.granularity = kMissing;
      EXPECT_TRUE(std::isnan(law_value(law, published_default(law).values, lacking))) << law_name(law) << " " << need;
      EXPECT_TRUE(std::isnan(point_number(lacking, need)));
    }
  }
}

TEST(Law, EverySetHasItsLawsNumberOfCoefficients) {
  std::set<std::string> names;
  for (const PublishedFit& fit : published_fits()) {
    EXPECT_EQ(fit.values.size(), law_coefficients(fit.law).size()) << fit.name;
    EXPECT_TRUE(names.insert(fit.name).second) << fit.name;
    EXPECT_FALSE(fit.source.empty() || fit.validity.empty());
  }
  for (const Law law : all_laws()) EXPECT_EQ(published_default(law).law, law);
}

TEST(Law, WrongNamesNameTheNearest) {
  EXPECT_EQ(law_from_name("fine-grained"), Law::fine_grained);
  try {
    law_from_name("chinchila");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean 'chinchilla'"), std::string::npos);
  }
  EXPECT_THROW(published_fit("hoffman-2022"), Error);
}

}  // namespace
}  // namespace moebius::fit
