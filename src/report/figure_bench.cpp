// Reading and drawing of bench records.
#include "report/figure_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "report/grid_map.h"
#include "base/units.h"
#include "report/figure_parts.h"

namespace moebius::report {

namespace {

constexpr i64 kOperationsMax = 1000;
constexpr std::size_t kOperationRecordsDrawn = 24;  // of operations alone, up to three bars each

std::string share_text(double share) { return std::isfinite(share) ? fmt::format("{:.1f} %", 100 * share) : "unknown"; }

std::string caption_of(const StepRecord& record) {
  return fmt::format(
      "One training step of {} tokens, {} parameters ({} active), {}, {}, {} threads: {:.1f} ms, {} tokens per second, MFU {}. "
      "Filled: measured time of an operation, all layers together; hatched: its roofline bound, max(FLOPs / peak, "
      "compulsory bytes / bandwidth), on the machine's roof measured around each repeat. In brackets: time over bound. The "
      "bound of the whole step is {:.1f} ms: {} of it is reached.",
      format_count(record.tokens_per_step), format_count(record.parameters_total),
      format_count(record.parameters_active), record.precision, record.isa, record.threads, 1e3 * record.step_seconds,
      format_count(record.tokens_per_s), share_text(record.mfu), 1e3 * record.roofline_seconds,
      share_text(record.roofline_ratio));
}

// The fields of every record; `rows` is the key of its operations, `name` that of their names.
template <typename Record>
Record bench_parse(const Json& record, const char* rows, const char* name, i64 rows_max) {
  Record bench = records::fields_from_json<Record>(record, "");
  const Json::Array& operations = record.at(rows).as_array();
  if (std::ssize(operations) > rows_max) {
    throw Error({.what = fmt::format("'{}' has {} entries", rows, operations.size()),
                 .wanted = fmt::format("at most {}", rows_max)});
  }
  for (const Json& row : operations) {
    BenchOperation& one = bench.operations.emplace_back(records::fields_from_json<BenchOperation>(row, ""));
    one.name = row.at(name).as_string();
    one.seconds = row.at("seconds").as_double();
  }
  return bench;
}

// "reach 50.0 % of their roofline bound in the median, ..."; empty when no operation has a bound.
std::string shares_text(const std::vector<BenchRecord>& records) {
  std::vector<double> shares;
  for (const BenchRecord& record : records) {
    for (const BenchOperation& row : record.operations) {
      if (row.time_over_bound > 0) shares.push_back(1 / row.time_over_bound);
    }
  }
  if (shares.empty()) return "";
  std::ranges::sort(shares);
  return fmt::format("reach {} of their roofline bound in the median, {} at the least and {} at the most",
                     share_text(shares[shares.size() / 2]), share_text(shares.front()), share_text(shares.back()));
}

// Two bars for each operation: its time and its bound.
struct TimeBars {
  Series time{.name = "measured", .style = 0, .line = false},
      bound{.name = "roofline bound", .style = 1, .line = false};

  void add(const BenchOperation& one, std::string label) {
    if (!std::isfinite(one.seconds)) return;
    if (one.direction != "forward" && one.direction != "both" && !one.direction.empty()) label += ", " + one.direction;
    if (std::isfinite(one.time_over_bound)) label += fmt::format(" ({:.1f}x)", one.time_over_bound);
    const double x = static_cast<double>(time.points.size());
    time.points.push_back({.x = x, .y = 1e3 * one.seconds, .label = label});
    bound.points.push_back({.x = x, .y = 1e3 * one.bound_seconds, .label = label});
  }
  Panel panel(const std::string& title) {
    View view{.y_label = "milliseconds"};
    if (!time.points.empty()) view.series = {std::move(time), std::move(bound)};
    return {.title = title, .bars = true, .views = {std::move(view)}};
  }
};

// The columns that every table of operations ends with.
std::vector<CsvField> with_time_columns(std::vector<CsvField> columns) {
  for (const char* name : {"seconds", "bound_seconds", "time_over_bound", "flops", "bytes"}) columns.emplace_back(name);
  return columns;
}
std::vector<CsvField> with_times(std::vector<CsvField> fields, const BenchOperation& one) {
  for (const double value : {one.seconds, one.bound_seconds, one.time_over_bound, one.flops, one.bytes})
    fields.push_back(value);
  return fields;
}

}  // namespace

void BenchOperation::visit(records::Fields& f) {
  f("shape", shape)("direction", direction)("bound_seconds", bound_seconds)("flops", flops)("bytes", bytes);
  f("time_over_bound", time_over_bound);
}

void BenchRecord::visit(records::Fields& f) { f("isa", isa)("precision", precision)("threads", threads)("time", time); }

void StepRecord::visit(records::Fields& f) {
  BenchRecord::visit(f);
  f("parameters_total", parameters_total)("parameters_active", parameters_active)("tokens_per_step", tokens_per_step);
  f("tokens_per_s", tokens_per_s)("step_seconds", step_seconds)("roofline_seconds", roofline_seconds);
  f("roofline_ratio", roofline_ratio)("mfu", mfu);
}

void GridRecord::visit(records::Fields& f) {
  BenchRecord::visit(f);
  f("shapes", shapes)("shapes_measured", shapes_measured);
}

StepRecord step_parse(const Json& record) {
  return bench_parse<StepRecord>(record, "operations", "name", kOperationsMax);
}

GridRecord grid_parse(const Json& record) {
  GridRecord grid = bench_parse<GridRecord>(record, "rows", "operation", kGridRowsMax);
  grid.map = grid_map(record);
  return grid;
}

BenchRecord operation_parse(const Json& record) {
  return bench_parse<BenchRecord>(record, "rows", "operation", kOperationsMax);
}

std::string step_summary(const StepRecord& record) {
  return fmt::format(
      "A training step of {} tokens takes {:.1f} ms ({} tokens per second): MFU {}, {} of its roofline bound.",
      format_count(record.tokens_per_step), 1e3 * record.step_seconds, format_count(record.tokens_per_s),
      share_text(record.mfu), share_text(record.roofline_ratio));
}

std::string grid_summary(const GridRecord& record) {
  const std::string shares = shares_text({record});
  if (shares.empty()) return "A grid of operations was started; none of its shapes was measured.";
  return fmt::format("Operations alone ({} of {} shapes) {}.", record.shapes_measured, record.shapes, shares);
}

std::string operations_summary(const std::vector<BenchRecord>& records) {
  const std::string shares = shares_text(records);
  return shares.empty() ? "Operations were measured alone, none of them with a bound."
                        : fmt::format("Operations measured alone {}.", shares);
}

Figure figure_grid(const GridRecord& record, std::size_t number) {
  Figure figure{.id = fmt::format("grid_{}", number + 1),
                .title = "Operations alone: share of the roofline bound by shape"};
  figure.caption = fmt::format(
      "{} of {} shapes, {}, {}, {} threads. A cell is a shape; its number is the share of the roofline bound that was reached, in per "
      "cent: max(FLOPs / peak, compulsory bytes / bandwidth) over the measured time, on the machine's roof measured around each repeat. "
      "Red is 0, yellow half, green the bound; above 100 the operands stayed in a cache that the bound ignores. "
      "Hover for time, FLOPs per second, time over bound.",
      record.shapes_measured, record.shapes, record.precision, record.isa, record.threads);
  figure.csv = CsvTable(with_time_columns({"operation", "shape", "direction"}));
  for (const BenchOperation& row : record.operations) {
    figure.csv.row(with_times({row.name, row.shape, row.direction}, row));
    if (row.time_over_bound > 0) figure.svg = record.map;
  }
  return figure;
}

Figure figure_step(const StepRecord& record, std::size_t number) {
  Figure figure{.id = fmt::format("bench_{}", number + 1), .title = "Time of a training step by operation"};
  figure.caption = caption_of(record);
  figure.csv = CsvTable(with_time_columns({"operation", "direction"}));
  TimeBars bars;
  for (const BenchOperation& one : record.operations) {
    figure.csv.row(with_times({one.name, one.direction}, one));
    bars.add(one, one.name);
  }
  figure.panels.push_back(bars.panel("milliseconds of a step"));
  return figure;
}

Figure figure_operations(const std::vector<BenchRecord>& records) {
  Figure figure{.id = "operations", .title = "Operations alone: time beside the roofline bound"};
  const auto setting = [](const BenchRecord& record) {
    return fmt::format("{}, {}, {} threads", record.precision, record.isa, record.threads);
  };
  const std::size_t first = records.size() - std::min(records.size(), kOperationRecordsDrawn);
  const bool same = std::all_of(records.begin() + static_cast<std::ptrdiff_t>(first), records.end(),
                                [&](const BenchRecord& one) { return setting(one) == setting(records.back()); });
  figure.csv = CsvTable(with_time_columns({"time", "isa", "precision", "threads", "operation", "shape", "direction"}));
  TimeBars bars;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const BenchRecord& record = records[i];
    for (const BenchOperation& one : record.operations) {
      figure.csv.row(with_times({record.time, record.isa, record.precision, std::to_string(record.threads), one.name,
                                 one.shape, one.direction},
                                one));
      if (i >= first) bars.add(one, same ? one.shape : fmt::format("{}, {}", one.shape, setting(record)));
    }
  }
  figure.caption = fmt::format(
      "{}The records in order{}. Filled: measured time of one call; hatched: its roofline bound, max(FLOPs / peak, operands and "
      "results moved once / bandwidth), on the machine's roof measured around each repeat. In brackets: time over bound; below 1 the "
      "operands stayed in a cache that the bound ignores.",
      same ? setting(records.back()) + ". " : "",
      first > 0 ? fmt::format(", the last {} of {}", kOperationRecordsDrawn, records.size()) : "");
  figure.panels.push_back(bars.panel("milliseconds of a call"));
  return figure;
}

}  // namespace moebius::report
