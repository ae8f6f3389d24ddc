// The stage `report`: a study's or a run's folder in, one HTML page and CSVs out. Words: docs/report.md.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/options.h"

namespace moebius::report {

struct ReportOptions {
  std::string out;      // the page; empty: FOLDER/report.html
  std::string figures;  // folder of the CSVs; empty: `figures` beside the page
  void describe(OptionList& list);
};

// Reads `folder`, writes the page and the CSVs, and returns the stage's result (the keys of --json). Other stages
// (study) call this. Throws Error.
Json report_write(const std::string& folder, const ReportOptions& options);

int run_report(const std::vector<std::string>& words);

}  // namespace moebius::report
