// The thresholds of --compare on made-up results, and what is refused.
#include "bench/compare.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"

namespace moebius::bench {
namespace {

Json train_result(double step, double roofline, double experts, double experts_bound, double rope) {
  Json operations = Json::array();
  operations.push_back(Json::object(
      {{"name", "experts"}, {"direction", "backward"}, {"seconds", experts}, {"bound_seconds", experts_bound}}));
  operations.push_back(Json::object({{"name", "rope"}, {"direction", "forward"}, {"seconds", rope}}));
  return Json::object({{"what", "train"},
                       {"isa", "avx2"},
                       {"step_seconds", step},
                       {"roofline_seconds", roofline},
                       {"operations", operations}});
}

std::string names(const Json& comparison) {
  std::string list;
  for (const Json& row : comparison.at("slower").as_array()) list += row.at("name").as_string() + ";";
  return list;
}

TEST(BenchCompare, ListsWhatIsOverTenPercentSlower) {
  const Json before = train_result(1.0, 0.5, 0.6, 0.3, 0.004);
  EXPECT_EQ(names(compare(before, before)), "");
  EXPECT_EQ(names(compare(before, train_result(1.09, 0.5, 0.65, 0.3, 0.004))), "");
  EXPECT_EQ(names(compare(before, train_result(1.05, 0.5, 0.67, 0.3, 0.004))), "experts, backward;");
  EXPECT_EQ(names(compare(before, train_result(1.12, 0.5, 0.72, 0.3, 0.02))), "step;experts, backward;rope;");
  // 1 % of the step is the floor.
  EXPECT_EQ(names(compare(before, train_result(1.0, 0.5, 0.6, 0.3, 0.008))), "");
}

TEST(BenchCompare, AMachineThatIsSlowerTodayDoesNotCount) {
  const Json before = train_result(1.0, 0.5, 0.6, 0.3, 0.1);
  EXPECT_EQ(names(compare(before, train_result(2.0, 1.0, 1.2, 0.6, 0.2))), "");
  EXPECT_EQ(names(compare(before, train_result(2.0, 1.0, 1.2, 0.5, 0.2))), "experts, backward;");
  EXPECT_EQ(names(compare(before, train_result(2.0, 1.0, 1.2, 0.6, 0.25))), "rope;");
}

TEST(BenchCompare, RoofAndRows) {
  const Json roof = Json::object({{"what", "roof"}, {"f32_flops_per_s", 1e11}, {"dram_bytes_per_s", 2e10}});
  const Json low = Json::object({{"what", "roof"}, {"f32_flops_per_s", 0.95e11}, {"dram_bytes_per_s", 1.5e10}});
  EXPECT_EQ(names(compare(roof, low)), "dram_bytes_per_s;");
  EXPECT_EQ(names(compare(low, roof)), "");
  const auto rows = [](const char* shape, double seconds) {
    Json list = Json::array();
    list.push_back(
        Json::object({{"shape", shape}, {"direction", "forward"}, {"seconds", seconds}, {"bound_seconds", 1e-5}}));
    return Json::object({{"what", "operation"}, {"rows", list}});
  };
  EXPECT_EQ(names(compare(rows("a", 1e-5), rows("a", 2e-5))), "");  // 10 microseconds are below the floor
  EXPECT_EQ(names(compare(rows("a", 1e-4), rows("a", 1.3e-4))), "a, forward;");
  EXPECT_THROW(compare(rows("a", 1e-4), rows("b", 1e-4)), Error);
}

TEST(BenchCompare, RefusesAnotherMachine) {
  const std::string path = test_folder() + "/saved.json";
  file_write_atomic(path, train_result(1, 1, 1, 1, 1).dump() + "\n");
  EXPECT_NO_THROW(baseline_load(path, Json::object({{"what", "train"}, {"isa", "avx2"}})));
  try {
    baseline_load(path, Json::object({{"what", "train"}, {"isa", "amx"}}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("another 'isa'"), std::string::npos) << e.what();
  }
  EXPECT_THROW(baseline_load(path, Json::object({{"what", "train"}, {"machine", "x"}})), Error);
}

}  // namespace
}  // namespace moebius::bench
