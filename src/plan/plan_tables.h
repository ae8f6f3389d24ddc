// The text and the JSON of a plan for a budget.
// In: LawPlans. Out: tables of at most 120 columns, one Json object. Not for deciding anything.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "plan/budget.h"

namespace moebius::plan {

std::string budget_text(const Budget& budget);
std::string laws_text(const Budget& budget, const std::vector<LawPlan>& plans);
// `each`: shapes a law.
std::string shapes_text(const Budget& budget, const std::vector<LawPlan>& plans, i64 each);

Json budget_json(const Budget& budget);
Json laws_json(const Budget& budget, const std::vector<LawPlan>& plans);
Json choice_json(const Budget& budget, const Choice& choice);
Json interval_json(const Interval& interval);

}  // namespace moebius::plan
