// Collecting the parts in the order of study.json.
#include "report/records_load.h"

#include <algorithm>
#include <map>

namespace moebius::report {

namespace {

// The parts of all records of a kind: tasks in the order of study.json, then of appearance, each before its grades.
std::vector<TaskPart> parts_of_kind(const StudyRecords& study, const std::string& kind) {
  std::map<std::string, std::size_t> rank;
  for (const Json& entry : study.study.get_array("evaluations"))
    rank.emplace(entry.get_string("name", ""), rank.size());
  std::vector<TaskPart> parts;
  for (const RunRecords* run : study.main_runs()) {
    for (const EvalRecord& eval : run->evals) {
      if (eval.kind != kind) continue;
      rank.emplace(eval.name, rank.size());
      auto part = std::ranges::find_if(
          parts, [&](const TaskPart& known) { return known.name == eval.name && known.part == eval.part; });
      if (part == parts.end()) {
        part = parts.insert(part, TaskPart{.name = eval.name, .part = eval.part, .skill = eval.skill, .measures = {}});
      }
      for (const records::Measure& one : eval.measures) {
        if (std::ranges::find(part->measures, one.name, &records::Measure::name) == part->measures.end())
          part->measures.push_back(one);
      }
      if (part->chance != part->chance) part->chance = records::chance_in(eval.fields).value;
      part->items = std::max(part->items, eval.fields.get_int("items", 0));
    }
  }
  std::ranges::stable_sort(parts, {},
                           [&](const TaskPart& part) { return std::pair(rank[part.name], part.part != "all"); });
  return parts;
}

}  // namespace

std::string TaskPart::score() const {
  const auto is_score = [](const records::Measure& one) { return one.unit == records::Unit::share_of_items; };
  auto at = std::ranges::find_if(measures, [&](const auto& one) { return one.main && is_score(one); });
  if (at == measures.end()) at = std::ranges::find_if(measures, is_score);
  return at == measures.end() ? "" : at->name;
}

std::string TaskPart::loss() const {
  const auto at = std::ranges::find_if(measures, [](const auto& one) { return one.main && !one.higher_is_better; });
  return at == measures.end() ? "" : at->name;
}

std::string TaskPart::with_unit(records::Unit unit) const {
  const auto at = std::ranges::find(measures, unit, &records::Measure::unit);
  return at == measures.end() ? "" : at->name;
}

std::vector<TaskPart> task_parts(const StudyRecords& study) { return parts_of_kind(study, "task"); }
std::vector<TaskPart> loss_parts(const StudyRecords& study) { return parts_of_kind(study, "loss"); }

}  // namespace moebius::report
