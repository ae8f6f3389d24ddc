// The evaluations of a study: which tasks and held-out texts its runs were scored on, and by what.
// In: the runs' records; out: one TaskPart for each task and grade. The values themselves: records/metric.h.
#pragma once

#include <string>
#include <vector>

#include "report/records_load.h"

namespace moebius::report {

// The evaluations of a study that have records: in the order of study.json, then of appearance.
struct TaskPart {
  std::string name, part, skill;
  std::vector<records::Measure> measures;  // all that were measured
  double chance = kUnknown;                // of its scores
  i64 items = 0;
  std::vector<std::string> scores() const;          // shares of items
  std::string loss() const;                         // the loss that the task is judged by; empty: none
  std::string with_unit(records::Unit unit) const;  // the first measure in this unit; empty: none
  std::string path(const std::string& key) const { return "eval." + name + "." + part + "." + key; }
};
std::vector<TaskPart> task_parts(const StudyRecords& study);
// Names and sources of held-out losses.
std::vector<TaskPart> loss_parts(const StudyRecords& study);

}  // namespace moebius::report
