// The figures of a report as data: panels of series of points with intervals, and the same as CSV.
// In: StudyRecords; out: Figures, which html.h turns into JSON for the page and run_report writes to figures/NAME.csv.
// How they are drawn is page/page.js; what they show is decided here.
#pragma once

#include <string>
#include <vector>

#include "base/statistics.h"
#include "report/records_load.h"

namespace moebius::report {

// A field of a CSV: text or a number; a number that is not finite is an empty field.
struct CsvField {
  std::string text;
  CsvField(std::string t) : text(std::move(t)) {}  // NOLINT: implicit on purpose, like the next two
  CsvField(const char* t) : text(t) {}             // NOLINT
  CsvField(double number);                         // NOLINT
};

// A CSV in the making: a header and rows of fields.
class CsvTable {
 public:
  explicit CsvTable(const std::vector<CsvField>& header = {}) {
    if (!header.empty()) row(header);
  }
  void row(const std::vector<CsvField>& fields);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

struct FigurePoint {
  double x = 0, y = 0;
  double low = kUnknown, high = kUnknown;      // 95 % interval of y
  std::string label = {};                      // short, drawn beside the point
  double x_low = kUnknown, x_high = kUnknown;  // 95 % interval of x
};

struct Series {
  std::string name = {};
  std::string group = {};  // series of one group share one entry in the legend (the seeds of a configuration)
  i64 style = 0;           // marker, dash and colour: equal style, equal look in all figures
  bool line = true;        // joined by a line
  bool marker = true;
  std::vector<FigurePoint> points = {};
  bool curve = false;   // a law's line: no markers, the intervals as a band
  bool hollow = false;  // markers with an empty middle, seen on top of others
  bool strong = false;  // in the text's own colour, with large markers: optima, the line of equality
};

// A horizontal line, such as chance.
struct Rule {
  double y = 0;
  std::string label = {};
};

// A vertical line with the interval around it, such as a turning point.
struct Mark {
  double x = 0, low = kUnknown, high = kUnknown;
  std::string label = {};
};

// What a panel shows for one choice of its selector.
struct View {
  std::string name = {};
  std::string y_label = {};
  std::vector<Series> series = {};
  std::vector<Rule> rules = {};
  std::vector<Mark> marks = {};
  std::string x_label = {};  // where it differs from the panel's
};

// Values of x that the page prints in its own way.
enum class XKind { number, tokens };

struct Panel {
  std::string title = {};
  std::string x_label = {};
  XKind x_kind = XKind::number;
  bool x_log = false, bars = false;
  std::string selector = {};  // panels of one figure with the same selector change their view together; empty: one view
  std::vector<View> views = {};
  std::string menu = {};  // words beside the selector; empty: "SELECTOR task and grade"
  bool tall = false;      // alone in its row, and higher than others
};

// Expert load of one run: one row a layer, one cell an expert, in per cent of the mean.
struct HeatStrip {
  std::string run = {};
  std::vector<std::vector<i64>> layers = {};
};

struct Figure {
  std::string id = {};  // figures/ID.csv
  std::string title = {};
  std::string caption = {};
  std::vector<Panel> panels = {};
  std::vector<HeatStrip> strips = {};
  std::string svg = {};  // a ready drawing
  CsvTable csv = CsvTable();
  bool of_laws = false;  // is in the page's part on laws
};

// The figures for which there are numbers, in the order of the table in figures.cpp.
std::vector<Figure> figures_build(const StudyRecords& study);
Json figure_json(const Figure& figure);

}  // namespace moebius::report
