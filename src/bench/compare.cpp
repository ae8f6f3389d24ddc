// Reading, matching rows, the thresholds. In, out: compare.h.
#include "bench/compare.h"

#include <fmt/format.h>

#include <map>
#include <vector>

#include "base/error.h"

namespace moebius::bench {

namespace {

constexpr double kSlower = 1.10;
constexpr double kFloorShare = 0.01;     // train: of the step; smaller losses of an operation are not listed
constexpr double kFloorSeconds = 20e-6;  // operation, grid: the noise of a clock around a call

struct Row {
  double seconds = 0, bound_seconds = 0;  // of a roof's figure: seconds for a FLOP or byte; no bound: 0
};
struct Rows {
  std::vector<std::pair<std::string, Row>> rows;  // in the order of the table
  double floor_seconds = 0;
  double roofline_seconds = 0;  // of the step, for rows without a bound
};

Row row_of(const Json& json) { return {json.at("seconds").as_double(), json.get_double("bound_seconds", 0)}; }

Rows rows_of(const Json& result) {
  Rows found;
  const std::string& what = result.at("what").as_string();
  if (what == "roof") {
    for (const char* key :
         {"bf16_flops_per_s", "f32_flops_per_s", "dram_bytes_per_s", "l2_bytes_per_s", "l3_bytes_per_s"}) {
      const double figure = result.get_double(key, 0);
      if (figure > 0) found.rows.push_back({key, {1 / figure, 0}});
    }
  } else if (what == "train") {
    const double step = result.at("step_seconds").as_double();
    found.floor_seconds = kFloorShare * step;
    found.roofline_seconds = result.at("roofline_seconds").as_double();
    found.rows.push_back({"step", {step, found.roofline_seconds}});
    for (const Json& row : result.at("operations").as_array()) {
      const std::string direction = row.get_string("direction", "");
      found.rows.push_back(
          {row.at("name").as_string() + (direction == "backward" ? ", " + direction : ""), row_of(row)});
    }
  } else {
    found.floor_seconds = kFloorSeconds;
    for (const Json& row : result.at("rows").as_array())
      found.rows.push_back({row.at("shape").as_string() + ", " + row.at("direction").as_string(), row_of(row)});
  }
  return found;
}

// What the row would take now at its share of the bound then.
double expected_seconds(const Row& before, const Row& now, double scale) {
  return before.bound_seconds > 0 && now.bound_seconds > 0 ? before.seconds * now.bound_seconds / before.bound_seconds
                                                           : before.seconds * scale;
}

}  // namespace

Json baseline_load(const std::string& path, const Json& identity) {
  Json saved = Json::parse_file(path);
  const Json nothing;
  for (const auto& [key, value] : identity.as_object()) {
    const Json* before = saved.is_object() ? saved.find(key) : nullptr;
    if (before == nullptr) {
      throw Error(
          {.where = path,
           .what = fmt::format("not a result of bench that can be compared: '{}' is missing", key),
           .wanted = "what roof, train, operation or grid printed with --json",
           .fix = fmt::format("save one with moebius bench {} --json > FILE", identity.at("what").as_string())});
    }
    if (before->dump() == value.dump()) continue;
    throw Error({.where = path,
                 .what = fmt::format("the saved result has another '{}' and cannot be compared", key),
                 .wanted = before->dump() + " (saved)",
                 .got = value.dump(),
                 .fix = "compare results of one machine, instruction set and shape; save a new one with --json"});
  }
  return saved;
}

Json compare(const Json& before, const Json& now) {
  const Rows old = rows_of(before), found = rows_of(now);
  const std::map<std::string, Row> old_rows(old.rows.begin(), old.rows.end());
  const double scale = old.roofline_seconds > 0 ? found.roofline_seconds / old.roofline_seconds : 1;
  Json slower = Json::array();
  i64 compared = 0;
  for (const auto& [name, row] : found.rows) {
    const auto at = old_rows.find(name);
    if (at == old_rows.end()) continue;
    ++compared;
    const double expected = expected_seconds(at->second, row, scale);
    if (row.seconds <= kSlower * expected || row.seconds - expected <= found.floor_seconds) continue;
    slower.push_back(Json::object(
        {{"name", name}, {"ratio", row.seconds / expected}, {"seconds", row.seconds}, {"seconds_expected", expected}}));
  }
  if (compared == 0) {
    throw Error({.where = "compare",
                 .what = "the saved result has no shape in common with this one",
                 .fix = "give the options of the saved result"});
  }
  return Json::object({{"compared", compared},
                       {"not_compared", static_cast<i64>(found.rows.size()) - compared},
                       {"slower", std::move(slower)}});
}

std::string compare_text(const Json& comparison, const std::string& path) {
  const Json& slower = comparison.at("slower");
  std::string text = fmt::format("{} of {} rows are over 10 % slower than in {}\n", slower.count(),
                                 comparison.at("compared").as_int(), path);
  for (const Json& row : slower.as_array()) {
    const double seconds = row.at("seconds").as_double();
    text +=
        fmt::format("  {:<60} {:.2f} times the expected time", row.at("name").as_string(), row.at("ratio").as_double());
    // A figure of the roof has no time of its own.
    text += seconds > 1e-7
                ? fmt::format(": {:.3f} ms, not {:.3f}\n", seconds * 1e3, row.at("seconds_expected").as_double() * 1e3)
                : "\n";
  }
  return text;
}

}  // namespace moebius::bench
