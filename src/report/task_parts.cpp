// Collecting the parts in the order of study.json.
#include "report/records_load.h"

#include <algorithm>
#include <map>

namespace moebius::report {

namespace {

// Puts the parts that study.json names first, in its order.
void order_by_study(const StudyRecords& study, std::vector<TaskPart>& parts) {
  std::map<std::string, i64> rank;
  const Json* evaluations = study.study.find("evaluations");
  if (evaluations != nullptr && evaluations->is_array()) {
    for (const Json& entry : evaluations->as_array()) rank.emplace(entry.get_string("name", ""), rank.size());
  }
  const auto rank_of = [&](const TaskPart& part) {
    const auto found = rank.find(part.name);
    return found == rank.end() ? static_cast<i64>(rank.size()) : found->second;
  };
  std::stable_sort(parts.begin(), parts.end(), [&](const TaskPart& a, const TaskPart& b) {
    if (rank_of(a) != rank_of(b)) return rank_of(a) < rank_of(b);
    return a.name == b.name && a.part == "all" && b.part != "all";  // the whole before its grades
  });
}

TaskPart& part_for(std::vector<TaskPart>& parts, const EvalRecord& eval) {
  for (TaskPart& part : parts) {
    if (part.name == eval.name && part.part == eval.part) return part;
  }
  // All parts of one name are together.
  auto at = parts.end();
  for (auto it = parts.begin(); it != parts.end(); ++it) {
    if (it->name == eval.name) at = it + 1;
  }
  TaskPart part;
  part.name = eval.name;
  part.part = eval.part;
  part.skill = eval.skill;
  return *parts.insert(at, std::move(part));
}

}  // namespace

std::vector<std::string> TaskPart::scores() const {
  std::vector<std::string> names;
  for (const records::Measure& one : measures) {
    if (one.unit == records::Unit::share_of_items) names.push_back(one.name);
  }
  return names;
}

std::string TaskPart::loss() const {
  const auto at = std::find_if(measures.begin(), measures.end(),
                               [](const records::Measure& one) { return one.main && !one.higher_is_better; });
  return at == measures.end() ? "" : at->name;
}

std::string TaskPart::with_unit(records::Unit unit) const {
  const auto at =
      std::find_if(measures.begin(), measures.end(), [&](const records::Measure& one) { return one.unit == unit; });
  return at == measures.end() ? "" : at->name;
}

namespace {

std::vector<TaskPart> parts_of_kind(const StudyRecords& study, const std::string& kind) {
  std::vector<TaskPart> parts;
  for (const RunRecords* run : study.main_runs()) {
    for (const EvalRecord& eval : run->evals) {
      if (eval.kind != kind) continue;
      TaskPart& part = part_for(parts, eval);
      for (const records::Measure& one : eval.measures) {
        const bool listed = std::any_of(part.measures.begin(), part.measures.end(),
                                        [&](const records::Measure& known) { return known.name == one.name; });
        if (!listed) part.measures.push_back(one);
      }
      if (part.chance != part.chance) part.chance = records::chance_in(eval.fields).value;
      part.items = std::max(part.items, eval.fields.get_int("items", 0));
    }
  }
  order_by_study(study, parts);
  return parts;
}

}  // namespace

std::vector<TaskPart> task_parts(const StudyRecords& study) { return parts_of_kind(study, "task"); }
std::vector<TaskPart> loss_parts(const StudyRecords& study) { return parts_of_kind(study, "loss"); }

}  // namespace moebius::report
