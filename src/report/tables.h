// The tables of a report: runs, scores, sweep, data, machine. In: StudyRecords; out: Table (rows of cells), which
// html.h prints, and the CSVs of all runs and all scores.
#pragma once

#include <string>
#include <vector>

#include "report/summary.h"

namespace moebius::report {

struct Column {
  std::string title;
  bool number = true;  // aligned right
  std::string hint;    // shown when the pointer rests on the title
};

struct Cell {
  std::string text;
  std::string style;  // class names: "muted", "good", ...
  Cell(std::string t = "", std::string s = "")
      : text(std::move(t)), style(std::move(s)) {}  // NOLINT: implicit on purpose
  Cell(const char* t) : text(t) {}                  // NOLINT
};

struct Table {
  std::string title = {}, note = {};
  std::vector<Column> columns = {};
  std::vector<std::vector<Cell>> rows = {};
};

Table table_models(const StudyRecords& study);
Table table_training(const StudyRecords& study);
Table table_scores(const StudyRecords& study);  // whole tasks, one row a run
Table table_grades(const StudyRecords& study);  // every grade, one row a grade, one column a configuration
Table table_sweep(const StudyRecords& study);
Table table_data(const StudyRecords& study);
Table table_evaluations(const StudyRecords& study);
Table table_spreads(const Summary& summary);
std::vector<std::pair<std::string, std::string>> machine_facts(const StudyRecords& study);

std::string runs_csv(const StudyRecords& study);
std::string scores_csv(const StudyRecords& study);

}  // namespace moebius::report
