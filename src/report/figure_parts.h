// Pieces that figures are made of (what builders take, which style a run has, points with intervals, smoothed curves),
// and the builders that have files of their own. Only for the files that make figures. Figures of laws show no number
// and no line for what a verdict calls "not determined", only the runs' own points.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "report/figures.h"

namespace moebius::report {

// Gives every (width, top-k, tokens) a style that is the same in all figures; dense models have their own; curves have
// one per run.
struct Styles {
  explicit Styles(const std::vector<const RunRecords*>& runs);
  std::string series_of(const RunRecords& run) const;  // "k = 2", "dense", "d = 64, k = 2"
  i64 of(const RunRecords& run) const;                 // style of the run's series
  i64 of_curve(const RunRecords& run) const;           // style of the run's model, for curves

  bool several_widths = false, several_tokens = false;
  std::map<std::string, i64> series_styles, model_styles;
};

// What the builders take.
struct FigureInput {
  explicit FigureInput(const StudyRecords& study)
      : study(study),
        runs(study.main_runs()),
        done(study.done_runs()),
        configurations(configurations_of(done)),
        styles(runs) {}
  const StudyRecords& study;
  const std::vector<const RunRecords*> runs, done;
  const std::vector<Configuration> configurations;  // of the runs that are done
  const Styles styles;
};

// The table of figures whose points are configurations.
CsvTable point_table();

// Means over seeds of y against x, one series per style; adds a row for each point to `csv`.
View view_of(const FigureInput& in, const std::string& x, const std::string& y, CsvTable& csv);

// The same as one series: the means of `points`, joined in the order of x.
Series series_of(const std::vector<Configuration>& points, const std::string& name, i64 style, const std::string& x,
                 const std::string& y, CsvTable& csv);
void add_if_any(View& view, Series series);

std::string skill_title(const std::string& skill);  // "Reasoning"
// The skills of the tasks, in the order in which reports show them.
std::vector<std::string> skills_of(const std::vector<TaskPart>& parts);
// "facts, whole (exact match)": a task's grade and, where it has several, the score, for menus.
std::string part_title(const TaskPart& part);
// The view of a score: its name for the menu, and the line at chance.
void score_view_finish(const TaskPart& part, const std::string& score, View& view);

// A value of the step records over tokens, averaged over windows of equal numbers of tokens; empty when there is none.
Series curve_of(const Styles& styles, const RunRecords& run, const std::function<double(const StepPoint&)>& value);

// A score over tokens for every run that was evaluated more than once during its training.
View score_curve_view(const FigureInput& in, const TaskPart& part, const std::string& key, CsvTable& csv);

// The last router record as loads over the mean, sorted in each layer; CSV rows in the order of the experts.
HeatStrip strip_of(const RunRecords& run, CsvTable& csv);

// "6.0e18"; "2.5e13".
std::string flops_text(double flops);

Figure figure_isoflop(const FigureInput& in);
Figure figure_sparsity(const FigureInput& in);
Figure figure_predicted(const FigureInput& in);
Figure figure_task_laws(const FigureInput& in);
Figure figure_turning(const FigureInput& in);
// Scores against active FLOPs for configurations whose training losses are equal (within a sixth of their range), with
// the task law at the runs' mean loss where it is determined. Empty panels when no two configurations are.
Figure figure_equal_loss(const FigureInput& in);

}  // namespace moebius::report
