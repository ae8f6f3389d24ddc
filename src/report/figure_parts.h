// Pieces that figures are made of: which look a run has, points with intervals, smoothed curves, CSV tables, JSON.
// Only for the files that make figures.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "report/figures.h"

namespace moebius::report {

// A CSV in the making: a header and rows of ready fields.
class CsvTable {
 public:
  explicit CsvTable(const std::vector<std::string>& header) { row(header); }
  void row(const std::vector<std::string>& fields);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// The table of figures whose points are configurations.
CsvTable point_table();

// Gives every (width, top-k, tokens) its look, the same in all figures; dense models have their own; curves have one each run.
struct Styles {
  explicit Styles(const std::vector<const RunRecords*>& runs);
  std::string series_of(const RunRecords& run) const;  // "k = 2", "dense", "d = 64, k = 2"
  i64 of(const RunRecords& run) const;                 // style of the run's series
  i64 of_curve(const RunRecords& run) const;           // style of the run's model, for curves

  bool several_widths = false, several_tokens = false;
  std::map<std::string, i64> series_styles, model_styles;
};

// Means over seeds of y against x, a series for each look; adds a row for each point to `csv`.
View view_of(const Styles& styles, const std::vector<Configuration>& points, const std::string& x, const std::string& y,
             CsvTable& csv);

// The same as one series: the means of `points`, joined in the order of x.
Series series_of(const std::vector<Configuration>& points, const std::string& name, i64 style, const std::string& x,
                 const std::string& y, CsvTable& csv);

std::string skill_title(const std::string& skill);  // "Reasoning"
// The skills of the tasks, in the order in which reports show them.
std::vector<std::string> skills_of(const std::vector<TaskPart>& parts);
// "facts, whole (exact match)": a task's grade and, where it has several, the score, for menus.
std::string part_title(const TaskPart& part, const std::string& score);

// A value of the step records over tokens, averaged over windows of equal numbers of tokens (kCurveWindows over the
// run); empty when there is none.
constexpr i64 kCurveWindows = 120;
Series curve_of(const Styles& styles, const RunRecords& run, const std::function<double(const StepPoint&)>& value);

// A score over tokens for every run that was evaluated more than once during its training.
View score_curve_view(const Styles& styles, const std::vector<const RunRecords*>& runs, const TaskPart& part,
                      const std::string& key, CsvTable& csv);

// The last router record as loads over the mean, sorted in each layer; CSV rows in the order of the experts.
HeatStrip strip_of(const RunRecords& run, CsvTable& csv);

}  // namespace moebius::report
