// The tables of a report: runs, scores, sweep, data, machine, laws (tables_fit.cpp). In: StudyRecords, FitFile; out:
// Table (rows of cells), which html.h prints, and the CSVs of all runs and all scores. What is not determined is
// written so, in place of a number.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "report/summary.h"

namespace moebius::report {

struct Column {
  std::string title;
  bool number = true;     // aligned right
  std::string hint = {};  // shown when the pointer rests on the title
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

  // Columns that each show something of a `Row`, and a row for each of `all`.
  template <typename Row>
  using Field = std::pair<Column, std::function<Cell(const Row&)>>;
  template <typename Row>
  void fill(const std::vector<Row>& all, const std::vector<Field<Row>>& fields) {
    for (const Field<Row>& field : fields) columns.push_back(field.first);
    for (const Row& one : all) {
      std::vector<Cell>& row = rows.emplace_back();
      for (const Field<Row>& field : fields) row.push_back(field.second(one));
    }
  }
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

Table table_laws(const FitFile& fit);                    // fitted and skipped, one row each
std::vector<std::string> law_notes(const FitFile& fit);  // of all laws, each once
Table table_coefficients(const FitFile& fit);
Table table_task_laws(const FitFile& fit);
Table table_turning_points(const FitFile& fit);
Table table_choices(const FitFile& fit);  // what each law would build for the recommendation's compute

// The sentences under "Recommended model": the model or why there is none, first; then the reasons.
std::vector<std::string> recommended_sentences(const FitFile& fit);
// One line for the summary; empty without fit.json.
std::string fit_summary(const FitFile& fit);

}  // namespace moebius::report
