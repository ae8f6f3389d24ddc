// The coverage and the false alarms that docs/statistics.md states, with fewer simulations.
#include "fit/coverage.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moebius::fit {
namespace {

constexpr i64 kSimulated = 1000;

TEST(Coverage, IntervalsContainTheTruth) {
  // 93 % or more; minus 1.5 standard deviations of the simulation.
  const double least = 0.93 - 1.5 * std::sqrt(0.93 * 0.07 / kSimulated);
  const std::vector<CoverageRow> rows = interval_coverage(kSimulated);
  ASSERT_EQ(rows.size(), 36u);
  for (const CoverageRow& row : rows) {
    EXPECT_GE(row.share, least) << row.interval << ", " << row.noise << ", " << row.seeds << " seeds";
    // Not by being useless. Rank correlations of five points can hardly be located better.
    EXPECT_TRUE(row.share < 1 || row.interval == "correlation") << row.interval << ", " << row.noise;
  }
}

TEST(Coverage, PagesRarelyReportWhatIsNotThere) {
  for (const CoverageRow& row : false_alarms(kSimulated)) {
    EXPECT_LE(row.share, 0.05 + 1.5 * std::sqrt(0.05 * 0.95 / kSimulated)) << row.noise << ", " << row.seeds;
    EXPECT_GT(row.share, 0) << row.noise << ", " << row.seeds;
  }
}

}  // namespace
}  // namespace moebius::fit
