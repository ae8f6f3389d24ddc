// Ranges of a few numbers over the runs of a hypothesis.
// In, out: compared.h.
#include "fit/compared.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace moebius::fit {

namespace {

using records::ComparedQuantity;
using records::Held;
using records::RunRecords;

constexpr double kRoundingError = 1e-9;  // relative: numbers that differ by less are equal

std::vector<const RunRecords*> runs_of(const records::StudyRuns& study, const Hypothesis& h) {
  std::vector<const RunRecords*> runs;
  for (const RunRecords& run : study.runs) {
    if (run.planned.get_bool("left_out", false)) continue;
    const bool in_groups = !h.two_groups() || filter_matches(run, h.a) || filter_matches(run, h.b);
    if (run.role == records::RunRole::main && filter_matches(run, h.where) && in_groups) runs.push_back(&run);
  }
  const auto done = [](const RunRecords* run) { return run->status == records::RunStatus::done; };
  if (std::ranges::any_of(runs, done)) std::erase_if(runs, [&](const RunRecords* run) { return !done(run); });
  return runs;
}

ComparedQuantity compare_number(const std::vector<const RunRecords*>& runs, const char* name, const char* metric) {
  ComparedQuantity quantity{.name = name};
  double low = INFINITY, high = -INFINITY;
  for (const RunRecords* run : runs) {
    const double value = records::metric_of(*run, metric).value;
    if (!std::isfinite(value)) return quantity;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (runs.empty()) return quantity;
  quantity.low = low;
  quantity.high = high;
  quantity.held = high - low <= kRoundingError * std::abs(high) ? Held::equal : Held::varies;
  return quantity;
}

// The shares of the sources; runs of a study without `data` of their own all have those of the study.
ComparedQuantity compare_data(const std::vector<const RunRecords*>& runs) {
  std::set<std::string> mixtures;
  for (const RunRecords* run : runs) {
    const Json* data = run->planned.find("data");
    mixtures.insert(data == nullptr ? "" : data->dump());
  }
  ComparedQuantity quantity{.name = "data"};
  if (!mixtures.empty()) quantity.held = mixtures.size() == 1 ? Held::equal : Held::varies;
  return quantity;
}

}  // namespace

std::vector<ComparedQuantity> compared_quantities(const records::StudyRuns& study, const Hypothesis& hypothesis) {
  const std::vector<const RunRecords*> runs = runs_of(study, hypothesis);
  return {compare_number(runs, "total parameters", "parameters_total"),
          compare_number(runs, "active parameters", "parameters_active"),
          compare_number(runs, "training FLOPs", "flops_train"),
          compare_number(runs, "tokens", "tokens_total"),
          compare_data(runs),
          compare_number(runs, "learning rate", "learning_rate")};
}

}  // namespace moebius::fit
