// Reading and drawing of bench records.
#include "report/figure_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/grid_map.h"
#include "base/units.h"
#include "report/figure_parts.h"

namespace moebius::report {

namespace {

constexpr i64 kOperationsMax = 1000;

std::string share_text(double share) { return std::isfinite(share) ? fmt::format("{:.1f} %", 100 * share) : "unknown"; }

std::string caption_of(const BenchRecord& record) {
  return fmt::format(
      "One training step of {} tokens, {} parameters ({} active), {}, {}, {} threads: {:.1f} ms, {} tokens per second, MFU {}. "
      "Filled: measured time of an operation, all layers together; hatched: its roofline bound, max(FLOPs / peak, "
      "compulsory bytes / bandwidth), on the machine's roof measured around each repeat. In brackets: time over bound. The "
      "bound of the whole step is {:.1f} ms: {} of it is reached.",
      format_count(record.tokens_per_step), format_count(record.parameters_total), format_count(record.parameters_active),
      record.precision, record.isa, record.threads, 1e3 * record.step_seconds, format_count(record.tokens_per_s),
      share_text(record.mfu), 1e3 * record.roofline_seconds, share_text(record.roofline_ratio));
}

BenchOperation operation_of(const Json& row, const char* name_key) {
  return {.name = row.at(name_key).as_string(),
          .shape = row.get_string("shape", ""),
          .direction = row.get_string("direction", ""),
          .seconds = row.at("seconds").as_double(),
          .bound_seconds = row.get_double("bound_seconds", kUnknown),
          .flops = row.get_double("flops", kUnknown),
          .bytes = row.get_double("bytes", kUnknown),
          .time_over_bound = row.get_double("time_over_bound", kUnknown)};
}

}  // namespace

BenchRecord bench_parse(const Json& record) {
  BenchRecord bench;
  bench.isa = record.get_string("isa", "?");
  bench.precision = record.get_string("precision", "?");
  bench.threads = record.get_int("threads", 0);
  bench.time = record.get_string("time", "");
  bench.parameters_total = record.get_double("parameters_total", kUnknown);
  bench.parameters_active = record.get_double("parameters_active", kUnknown);
  bench.tokens_per_step = record.get_double("tokens_per_step", kUnknown);
  bench.tokens_per_s = record.get_double("tokens_per_s", kUnknown);
  bench.step_seconds = record.get_double("step_seconds", kUnknown);
  bench.roofline_seconds = record.get_double("roofline_seconds", kUnknown);
  bench.roofline_ratio = record.get_double("roofline_ratio", kUnknown);
  bench.mfu = record.get_double("mfu", kUnknown);
  const Json::Array& rows = record.at("operations").as_array();
  if (static_cast<i64>(rows.size()) > kOperationsMax) {
    throw Error({.what = fmt::format("'operations' has {} entries", rows.size()), .wanted = fmt::format("at most {}", kOperationsMax)});
  }
  for (const Json& row : rows) bench.operations.push_back(operation_of(row, "name"));
  return bench;
}

GridRecord grid_parse(const Json& record) {
  GridRecord grid;
  grid.map = grid_map(record);
  grid.isa = record.get_string("isa", "?");
  grid.precision = record.get_string("precision", "?");
  grid.threads = record.get_int("threads", 0);
  grid.time = record.get_string("time", "");
  grid.shapes = record.get_double("shapes", kUnknown);
  grid.shapes_measured = record.get_double("shapes_measured", kUnknown);
  for (const Json& row : record.at("rows").as_array()) grid.operations.push_back(operation_of(row, "operation"));
  return grid;
}

std::string bench_summary(const BenchRecord& record) {
  return fmt::format("A training step of {} tokens takes {:.1f} ms ({} tokens per second): MFU {}, {} of its roofline bound is reached.",
                     format_count(record.tokens_per_step), 1e3 * record.step_seconds, format_count(record.tokens_per_s),
                     share_text(record.mfu), share_text(record.roofline_ratio));
}

std::string grid_summary(const GridRecord& record) {
  std::vector<double> shares;
  for (const BenchOperation& row : record.operations) {
    if (row.time_over_bound > 0) shares.push_back(1 / row.time_over_bound);
  }
  if (shares.empty()) return "A grid of operations was begun; no shape of it was measured.";
  std::sort(shares.begin(), shares.end());
  return fmt::format("Operations alone, {} of {} shapes: they reach {} of their roofline bound in the middle (median), {} at the least, {} at the most.",
                     record.shapes_measured, record.shapes, share_text(shares[shares.size() / 2]), share_text(shares.front()),
                     share_text(shares.back()));
}

Figure figure_grid(const GridRecord& record, std::size_t number) {
  Figure figure{.id = fmt::format("grid_{}", number + 1), .title = "Operations alone: share of the roofline bound by shape"};
  figure.caption = fmt::format(
      "{} of {} shapes, {}, {}, {} threads. A cell is a shape; its number is the share of the roofline bound that was reached, in per "
      "cent: max(FLOPs / peak, compulsory bytes / bandwidth) over the measured time, on the machine's roof measured around each repeat. "
      "Red is nothing, yellow half, green the bound; above 100 the operands stayed in a cache that the bound does not count. "
      "Under the pointer: time, FLOPs per second, time over bound.",
      record.shapes_measured, record.shapes, record.precision, record.isa, record.threads);
  CsvTable csv({"operation", "shape", "direction", "seconds", "bound_seconds", "time_over_bound", "flops", "bytes"});
  bool drawn = false;
  for (const BenchOperation& row : record.operations) {
    csv.row({row.name, row.shape, row.direction, csv_number(row.seconds), csv_number(row.bound_seconds),
             csv_number(row.time_over_bound), csv_number(row.flops), csv_number(row.bytes)});
    drawn = drawn || row.time_over_bound > 0;
  }
  if (drawn) figure.svg = record.map;
  figure.csv = csv.text();
  return figure;
}

Figure figure_bench(const BenchRecord& record, std::size_t number) {
  Figure figure{.id = fmt::format("bench_{}", number + 1), .title = "Time of a training step by operation"};
  figure.caption = caption_of(record);
  CsvTable csv({"operation", "direction", "seconds", "bound_seconds", "time_over_bound", "flops", "bytes"});
  Panel panel{.title = "milliseconds of a step", .bars = true};
  View view{.y_label = "milliseconds"};
  Series time{.name = "measured", .style = 0, .line = false}, bound{.name = "roofline bound", .style = 1, .line = false};
  for (const BenchOperation& one : record.operations) {
    csv.row({one.name, one.direction, csv_number(one.seconds), csv_number(one.bound_seconds), csv_number(one.time_over_bound),
             csv_number(one.flops), csv_number(one.bytes)});
    if (!std::isfinite(one.seconds)) continue;
    std::string label = one.name + (one.direction == "backward" ? ", backward" : "");
    if (std::isfinite(one.time_over_bound)) label += fmt::format(" ({:.1f}x)", one.time_over_bound);
    const double x = static_cast<double>(time.points.size());
    time.points.push_back({.x = x, .y = 1e3 * one.seconds, .label = label});
    bound.points.push_back({.x = x, .y = 1e3 * one.bound_seconds, .label = label});
  }
  if (!time.points.empty()) view.series = {std::move(time), std::move(bound)};
  panel.views.push_back(std::move(view));
  figure.panels.push_back(std::move(panel));
  figure.csv = csv.text();
  return figure;
}

}  // namespace moebius::report
