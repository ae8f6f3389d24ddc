// Plans for a budget against the papers' tables, and what is refused.
#include "plan/budget.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "plan/law_fit.h"

namespace moebius::plan {
namespace {

Budget budget_with(double compute, i64 vocab = 50257) {
  Budget budget;
  budget.compute = compute;
  budget.geometry.base.vocab = vocab;
  return budget;
}

std::vector<LawFit> fits_with(fit::Law law) { return {published_law_fit(fit::published_default(law))}; }

TEST(Budget, Placeholder) { EXPECT_FALSE(plan_budget(budget_with(1e21), fits_with(fit::Law::joint)).empty()); }

}  // namespace
}  // namespace moebius::plan
