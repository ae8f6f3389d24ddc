// Percentiles, ranges and the reading of fit.json.
#include "plan/law_fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"

namespace moebius::plan {
namespace {

std::string write(const std::string& name, const std::string& text) {
  const std::string path = test_path(name);
  file_write_atomic(path, text);
  return path;
}

const char* const kFit = R"({"law":"chinchilla","quantity":"loss","objective":0.001,"determined":true,
  "coefficients":{"E":{"value":1.8},"A":{"value":480},"B":{"value":2000},"alpha":{"value":0.35},"beta":{"value":0.36}},
  "samples":[[1.8,470,1990,0.35,0.36],[1.81,480,2010,0.35,0.361]],
  "range":{"parameters_total":[1e8,2e9],"tokens":[1e9,2e10]}})";

TEST(LawFit, EveryLawHasAPublishedFit) {
  const auto fits = published_law_fits();
  ASSERT_EQ(fits.size(), static_cast<std::size_t>(fit::kLaws));
  for (const LawFit& fit : fits) {
    EXPECT_EQ(fit.values.size(), fit::law_coefficients(fit.law).size());
    EXPECT_FALSE(fit.ranges.empty());
    EXPECT_EQ(fit.samples.empty(), fit.interval_source.empty());
  }
}

TEST(LawFit, SamplesHaveThePublishedSpread) {
  const LawFit fit = published_law_fit(fit::published_fit("epoch-2024"));
  double mean = 0, square = 0;
  for (const auto& sample : fit.samples) mean += sample[3];
  mean /= static_cast<double>(fit.samples.size());
  for (const auto& sample : fit.samples) square += (sample[3] - mean) * (sample[3] - mean);
  EXPECT_NEAR(mean, 0.3478, 0.004);
  EXPECT_NEAR(std::sqrt(square / static_cast<double>(fit.samples.size())), 0.02, 0.003);
}

TEST(LawFit, Percentiles) {
  std::vector<double> values;
  for (int i = 200; i >= 0; --i) values.push_back(i);
  const Interval interval = interval_95(values);
  EXPECT_TRUE(interval.known);
  EXPECT_DOUBLE_EQ(interval.low, 5);
  EXPECT_DOUBLE_EQ(interval.high, 195);
  EXPECT_FALSE(interval_95({1, 2, 3}).known);
}

TEST(LawFit, ReadsAFile) {
  auto fits = published_law_fits();
  replace_from_file(fits, write("fit_one.json", kFit));
  EXPECT_EQ(fits.size(), static_cast<std::size_t>(fit::kLaws));
  const LawFit& fit = fits.front();
  EXPECT_EQ(fit.values, (std::vector<double>{1.8, 480, 2000, 0.35, 0.36}));
  EXPECT_EQ(fit.samples.size(), 2u);
  EXPECT_EQ(fit.ranges.at("tokens").second, 2e10);
  replace_from_file(fits, write("fit_all.json", std::string(R"({"laws":[)") + kFit + "],\"skipped\":[]}"));
}

TEST(LawFit, SaysWhatTheWeightDecayDoes) {
  const auto read = [](const std::string& decay) {
    auto fits = published_law_fits();
    replace_from_file(fits, write("fit_decay.json", decay + std::string(kFit).substr(1)));
    return fits.front();
  };
  EXPECT_EQ(read("{").interval_source.find("weight decay"), std::string::npos);
  EXPECT_EQ(read(R"({"weight_decay":0,"penalty":0,)").interval_source.find("weight decay"), std::string::npos);
  const LawFit little = read(R"({"weight_decay":1e-05,"penalty":5e-05,)");  // 5 % of the objective
  EXPECT_NE(little.interval_source.find("fitted with weight decay 1e-05 like its coefficients"), std::string::npos);
  EXPECT_TRUE(little.warnings.empty());
  const LawFit much = read(R"({"weight_decay":0.001,"penalty":0.0005,)");
  ASSERT_EQ(much.warnings.size(), 1u);
  EXPECT_NE(much.warnings.front().find("the weight decay is 50 % of the fit's objective"), std::string::npos);
}

TEST(LawFit, RefusesBadFiles) {
  auto fits = published_law_fits();
  EXPECT_THROW(replace_from_file(fits, test_path("none.json")), Error);
  for (const std::string name : {"runs.csv", "runs.txt"}) {
    try {
      replace_from_file(fits, write(name, "N,D,loss\n1,2,3\n"));
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.parts().what, name == "runs.csv" ? "this is a table of runs, not a fit" : "this is not a fit.json");
      EXPECT_TRUE(e.parts().fix.find("moebius fit ") != std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(replace_from_file(fits, write("fit_other.json", R"({"runs":[]})")), Error);
  EXPECT_THROW(replace_from_file(fits, write("fit_law.json", R"({"law":"chinchila"})")), Error);
  EXPECT_THROW(
      replace_from_file(fits, write("fit_lacks.json", R"({"law":"chinchilla","coefficients":{"E":{"value":1}}})")),
      Error);
  // Coefficients that the data do not hold.
  EXPECT_THROW(
      replace_from_file(fits, write("fit_null.json", R"({"law":"chinchilla","coefficients":{"E":{"value":null}}})")),
      Error);
}

TEST(LawFit, WarnsOutsideItsRanges) {
  auto fits = published_law_fits();
  replace_from_file(fits, write("fit_range.json", kFit));
  fit::LawPoint point;
  point.parameters_total = 1e9;
  point.tokens = 1e10;
  EXPECT_TRUE(extrapolation_warnings(fits.front(), point).empty());
  point.tokens = 3e10;
  const auto warnings = extrapolation_warnings(fits.front(), point);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings.front().find("tokens 3e+10"), std::string::npos);
}

}  // namespace
}  // namespace moebius::plan
