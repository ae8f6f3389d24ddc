// Drawing the grid's map: the shape's text gives row and column.
#include "report/grid_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "report/html.h"
#include "base/statistics.h"

namespace moebius::report {

namespace {

constexpr i64 kCellWidth = 66, kCellHeight = 18, kLabelWidth = 150, kTitleHeight = 50;

// "experts T=512 d=128 E=8 k=2 F=64" -> row "d=128 E=8", column "k=2 F=64"; tokens are no axis.
std::pair<std::string, std::string> axes(const Json& row) {
  const std::string shape = row.at("shape").as_string(), name = row.at("operation").as_string();
  std::map<std::string, std::string> value;
  for (std::size_t at = 0; at < shape.size();) {
    const std::size_t end = std::min(shape.find(' ', at), shape.size()), equals = shape.find('=', at);
    if (equals < end) value[shape.substr(at, equals - at)] = shape.substr(equals + 1, end - equals - 1);
    at = end + 1;
  }
  if (name == "experts")
    return {fmt::format("d={} E={}", value["d"], value["E"]), fmt::format("k={} F={}", value["k"], value["F"])};
  if (name == "linear") return {"d=" + value["d"], "N=" + value["N"]};
  if (name == "head") return {"d=" + value["d"], "V=" + value["V"]};
  // attention T=8192 of 512, 8 heads of 64
  const std::size_t of = shape.find(" of "), comma = shape.find(", ");
  if (of == std::string::npos || comma == std::string::npos || comma < of) return {shape, ""};
  return {shape.substr(comma + 2), "S=" + shape.substr(of + 4, comma - of - 4)};
}

// Red at nothing, yellow at half, green at the bound.
std::string colour(double share) {
  const double s = std::clamp(share, 0.0, 1.0);
  return fmt::format("hsl({:.0f},65%,{:.0f}%)", 120 * s, 72 - 14 * s);
}

struct GridPanel {
  std::vector<std::string> rows, columns;
  std::map<std::pair<std::string, std::string>, const Json*> cells;

  static void remember(std::vector<std::string>& labels, const std::string& label) {
    if (std::ranges::find(labels, label) == labels.end()) labels.push_back(label);
  }
  void put(const std::pair<std::string, std::string>& place, const Json* row) {
    remember(rows, place.first);
    remember(columns, place.second);
    cells[place] = row;
  }
  // The last number of the label first counts least: sort by the numbers in it.
  static std::vector<double> numbers(const std::string& label) {
    std::vector<double> found;
    double now = -1;
    for (const char ch : label + " ") {
      if (ch >= '0' && ch <= '9') {
        now = std::max(now, 0.0) * 10 + (ch - '0');
      } else if (now >= 0) {
        found.push_back(now);
        now = -1;
      }
    }
    return found;
  }
  void sort() {
    const auto less = [](const std::string& a, const std::string& b) { return numbers(a) < numbers(b); };
    std::ranges::sort(rows, less);
    std::ranges::sort(columns, less);
  }
  i64 height() const { return kTitleHeight + static_cast<i64>(rows.size()) * kCellHeight + 16; }
  i64 width() const { return kLabelWidth + static_cast<i64>(columns.size()) * kCellWidth + 16; }

  std::string draw(const std::string& title, i64 top) const {
    std::string text = fmt::format("<text x=\"8\" y=\"{}\" class=\"t\">{}</text>\n", top + 16, html_escape(title));
    for (std::size_t c = 0; c < columns.size(); ++c) {
      text += fmt::format("<text x=\"{}\" y=\"{}\" class=\"c\">{}</text>\n",
                          kLabelWidth + static_cast<i64>(c) * kCellWidth + kCellWidth / 2, top + kTitleHeight - 6,
                          html_escape(columns[c]));
    }
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const i64 y = top + kTitleHeight + static_cast<i64>(r) * kCellHeight;
      text +=
          fmt::format("<text x=\"{}\" y=\"{}\" class=\"r\">{}</text>\n", kLabelWidth - 6, y + 13, html_escape(rows[r]));
      for (std::size_t c = 0; c < columns.size(); ++c) {
        const auto cell = cells.find({rows[r], columns[c]});
        if (cell == cells.end()) continue;
        const Json& row = *cell->second;
        const double share = 1 / row.at("time_over_bound").as_double();
        const i64 x = kLabelWidth + static_cast<i64>(c) * kCellWidth;
        text += fmt::format(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>{}: {:.3f} ms, {:.1f} GFLOP/s, "
            "{:.2f} times its bound</title></rect><text x=\"{}\" y=\"{}\" class=\"c\">{:.0f}</text>\n",
            x, y, kCellWidth - 1, kCellHeight - 1, colour(share), html_escape(row.at("shape").as_string()),
            row.at("seconds").as_double() * 1e3, row.at("flops_per_s").as_double() * 1e-9,
            row.at("time_over_bound").as_double(), x + kCellWidth / 2, y + 13, 100 * share);
      }
    }
    return text;
  }
};

}  // namespace

std::string grid_map(const Json& record) {
  const Json::Array& rows = record.at("rows").as_array();
  if (static_cast<i64>(rows.size()) > kGridRowsMax) {
    throw Error(
        {.what = fmt::format("'rows' has {} entries", rows.size()), .wanted = fmt::format("at most {}", kGridRowsMax)});
  }
  std::vector<std::pair<std::string, GridPanel>> panels;
  for (const Json& row : rows) {
    if (!(row.get_double("time_over_bound", kUnknown) > 0)) continue;
    const std::string title = row.at("operation").as_string() + ", " + row.at("direction").as_string();
    auto panel = std::ranges::find_if(panels, [&](const auto& one) { return one.first == title; });
    if (panel == panels.end()) panel = panels.insert(panels.end(), {title, GridPanel{}});
    panel->second.put(axes(row), &row);
  }
  i64 height = 40, width = 480;
  std::string body;
  for (auto& [title, panel] : panels) {
    panel.sort();
    body += panel.draw(title, height);
    height += panel.height();
    width = std::max(width, panel.width());
  }
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"gridmap\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
             "font-family=\"sans-serif\">\n<style>.gridmap .t{{font-size:14px;font-weight:bold}}.gridmap .c{{font-size:10px;"
             "text-anchor:middle}}.gridmap .r{{font-size:11px;text-anchor:end}}</style>"
             "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
             "<text x=\"8\" y=\"24\" class=\"t\">Share of the bound reached, % ({2}, {3} threads, {4})</text>\n",
             width, height, html_escape(record.at("isa").as_string()), record.at("threads").as_int(),
             html_escape(record.at("precision").as_string())) +
         body + "</svg>\n";
}

}  // namespace moebius::report
