// The map of a grid: a cell for each row, in the place that its shape names; damaged and hostile records.
// The shares are 1 over the ratios that are put in. What a grid measures is tested in bench.
#include "report/grid_map.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "report/html.h"

namespace moebius::report {
namespace {

Json row(const char* operation, const char* shape, Json ratio) {
  return Json::object({{"operation", operation},
                       {"shape", shape},
                       {"direction", "forward"},
                       {"seconds", 0.001},
                       {"flops_per_s", 1e9},
                       {"time_over_bound", std::move(ratio)}});
}

std::string map_of(Json rows) {
  return grid_map(Json::object({{"isa", "avx2"}, {"threads", 1}, {"precision", "bf16"}, {"rows", std::move(rows)}}));
}

TEST(GridMap, ACellForEachRow) {
  Json rows = Json::array();
  rows.push_back(row("experts", "experts T=512 d=128 E=8 k=2 F=64", 2));
  rows.push_back(row("experts", "experts T=512 d=128 E=16 k=2 F=64", 4));
  rows.push_back(row("attention", "attention T=8192 of 512, 8 heads of 64", 1.25));
  const std::string map = map_of(rows);
  for (const char* text :
       {">d=128 E=8<", ">d=128 E=16<", ">k=2 F=64<", ">S=512<", ">8 heads of 64<", ">50<", ">25<", ">80<"}) {
    EXPECT_NE(map.find(text), std::string::npos) << text;
  }
  EXPECT_LT(map.find(">d=128 E=8<"), map.find(">d=128 E=16<"));  // by numbers, not by letters
}

TEST(GridMap, FilesAreNotTrusted) {
  Json rows = Json::array();
  rows.push_back(row("attention", "attention", 2));  // no axes in it
  rows.push_back(row("", "", 2));
  rows.push_back(row("linear", "linear d=</svg><script> N=1", 2));
  rows.push_back(row("head", "head d=1 V=1", nullptr));  // no bound: no cell
  const std::string map = map_of(rows);
  EXPECT_EQ(map.find("<script"), std::string::npos);
  EXPECT_NE(map.find("&lt;script&gt;"), std::string::npos);
  EXPECT_EQ(map.find("head"), std::string::npos);
  Json lacks = Json::array();
  lacks.push_back(Json::object({{"operation", "linear"}, {"time_over_bound", 2}}));
  EXPECT_THROW(map_of(lacks), Error);
  EXPECT_THROW(map_of(3), Error);
}

TEST(HtmlText, EscapesWhatABrowserReads) {
  EXPECT_EQ(html_escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
}

}  // namespace
}  // namespace moebius::report
