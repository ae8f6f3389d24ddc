// Collecting the runs of a hypothesis, their errors over items, and the gates before a verdict.
// In, out: hypothesis_runs.h.
#include "fit/hypothesis_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/units.h"

namespace moebius::fit {

namespace {

using records::Measured;
using records::metric_of;
using records::RunRecords;

bool x_is_logarithmic(const Hypothesis& h) { return !h.two_groups() && h.kind != HypothesisKind::correlation; }

// Skills whose tasks have shortcuts, so that only the best shortcut is a baseline.
bool has_shortcuts(const std::string& skill) {
  using records::Skill;
  for (const Skill one : {Skill::composition, Skill::look_up, Skill::addition, Skill::reasoning}) {
    if (skill == records::enum_name(one)) return true;
  }
  return false;
}

// The score of the record that a loss is judged by: its main share of items, else the first.
const records::Measure* score_of(const records::EvalRecord& eval) {
  const records::Measure* first = nullptr;
  for (const records::Measure& one : eval.measures) {
    if (one.unit != records::Unit::share_of_items) continue;
    if (one.main) return &one;
    if (first == nullptr) first = &one;
  }
  return first;
}

// The mean score of a configuration and the error of one run, which does not shrink with the seeds: they answer the
// same items.
Measured mean_score(const std::vector<const RunRecords*>& runs, const std::string& path) {
  double sum = 0, squares = 0;
  for (const RunRecords* run : runs) {
    const Measured one = metric_of(*run, path);
    sum += one.value;
    squares += one.se * one.se;
  }
  const double n = static_cast<double>(runs.size());
  return {sum / n, std::sqrt(squares / n)};
}

}  // namespace

std::string chance_problem(const std::vector<std::vector<const RunRecords*>>& configurations, const std::string& path) {
  const auto pieces = records::eval_path(records::metric_plain(path));
  if (!pieces) return "";
  bool gated = false;
  std::string score;
  for (const auto& runs : configurations) {
    const records::EvalRecord* eval = runs.empty() ? nullptr : runs.front()->eval_final(pieces->test);
    if (eval == nullptr) continue;
    const records::Measure* measure = eval->measure(pieces->key);
    if (measure == nullptr || measure->unit != records::Unit::share_of_items) {
      measure = has_shortcuts(eval->skill) ? score_of(*eval) : nullptr;
      if (measure == nullptr && !has_shortcuts(eval->skill)) continue;
    }
    gated = true;
    if (measure == nullptr) continue;
    score = measure->name;
    const std::string part = "eval." + pieces->test + ".";
    const Measured mean = mean_score(runs, part + measure->name), chance = records::chance_of(*runs.front(), part);
    if (chance.known() && std::isfinite(mean.se) && records::above_chance(mean.value, mean.se, chance.value)) return "";
  }
  if (!gated) return "";
  const std::string label = records::metric_label("eval." + pieces->test + "." + score);
  if (score.empty()) return fmt::format("{} has no score with a baseline beside its loss", pieces->test);
  return fmt::format("{}: no configuration is three standard errors above chance, so {} cannot tell them apart", label,
                     score == pieces->key ? "this score" : "its other numbers");
}

TestedRuns::TestedRuns(const records::StudyRuns& study, const Hypothesis& h) : hypothesis_(h) {
  const bool two_groups = h.two_groups();
  for (const RunRecords& run : study.runs) {
    if (run.role == records::RunRole::sweep || !filter_matches(run, h.where)) continue;
    const bool in_a = two_groups && filter_matches(run, h.a), is_in_b = two_groups && filter_matches(run, h.b);
    if (two_groups && in_a == is_in_b) continue;
    ++runs_wanted;
    if (run.status != records::RunStatus::done) continue;
    const Measured y = outcome_of(run, h), mx = two_groups ? Measured{0, kUnknown} : metric_of(run, h.x);
    const double z = h.at.empty() ? 0 : std::log(metric_of(run, h.at).value);
    const bool logarithmic = x_is_logarithmic(h);
    if (!std::isfinite(y.value) || !std::isfinite(mx.value) || !std::isfinite(z) || (logarithmic && mx.value <= 0))
      continue;
    ++runs_used;
    const double ln2 = std::log(2.0);
    add(run, is_in_b,
        {logarithmic ? std::log2(mx.value) : mx.value, y.value, logarithmic ? mx.se / (mx.value * ln2) : mx.se, y.se},
        z);
  }
  std::vector<const RunRecords*> all;
  std::vector<std::size_t> configuration;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    double sum = 0;
    for (const Value& value : groups[g]) sum += value.x;
    x.push_back(sum / static_cast<double>(groups[g].size()));
    all.insert(all.end(), runs_[g].begin(), runs_[g].end());
    configuration.insert(configuration.end(), runs_[g].size(), g);
  }
  items_.emplace(all, configuration, h.scores());
  const auto fewest = std::ranges::min_element(groups, {}, [](const Group& group) { return group.size(); });
  seeds = fewest == groups.end() ? 0 : std::ssize(*fewest);
}

void TestedRuns::add(const RunRecords& run, bool is_in_b, const Value& value, double at_value) {
  const auto place = std::ranges::find(models, run.model) - models.begin();
  const std::size_t g = static_cast<std::size_t>(place);
  if (g == models.size()) {
    models.push_back(run.model);
    in_b.push_back(is_in_b);
    groups.emplace_back();
    runs_.emplace_back();
    at.emplace_back();
  }
  groups[g].push_back(value);
  runs_[g].push_back(&run);
  at[g].push_back(at_value);
}

double TestedRuns::item_se(const std::vector<std::vector<double>>& weights) const {
  std::vector<double> flat, totals;
  std::vector<std::vector<double>> errors(groups.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    flat.insert(flat.end(), weights[g].begin(), weights[g].end());
    totals.push_back(0);
    for (const double weight : weights[g]) totals[g] += weight;
    for (const Value& value : groups[g]) errors[g].push_back(value.y_se);
  }
  const double paired = items_->standard_error(flat);
  return std::isfinite(paired) ? paired : unpaired_item_se(totals, errors);
}

LinearEstimate TestedRuns::linear(const std::vector<double>& weights) const {
  std::vector<std::vector<double>> values(groups.size()), run_weights(groups.size()), of_seeds(groups.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const Value& value : groups[g]) values[g].push_back(value.y);
    for (const RunRecords* run : runs_[g]) of_seeds[g].push_back(run->number("seed"));
    run_weights[g].assign(groups[g].size(), weights[g] / static_cast<double>(groups[g].size()));
  }
  return linear_estimate(weights, values, item_se(run_weights), of_seeds);
}

std::optional<LinearEstimate::SeedError> TestedRuns::error_by_seed(const std::vector<double>& weights) const {
  std::map<double, std::vector<double>> by_seed;
  std::size_t weighted = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (weights[g] == 0) continue;
    ++weighted;
    for (std::size_t r = 0; r < groups[g].size(); ++r) {
      by_seed[runs_[g][r]->number("seed")].push_back(weights[g] * groups[g][r].y);
    }
  }
  std::vector<double> sums;
  for (const auto& [seed, terms] : by_seed) {
    if (terms.size() != weighted || !std::isfinite(seed)) return std::nullopt;
    double sum = 0;
    for (const double term : terms) sum += term;
    sums.push_back(sum);
  }
  if (sums.size() < 2) return std::nullopt;
  const double n = static_cast<double>(sums.size());
  return LinearEstimate::SeedError{deviation_of(sums) / std::sqrt(n), n - 1};
}

std::string TestedRuns::verdict_forbidden() const {
  if (runs_wanted == 0) return "no run of the study matches";
  if (runs_used == 0) return "none of its runs has the metrics yet";
  if (runs_used < runs_wanted) {
    const i64 lacking = runs_wanted - runs_used;
    return fmt::format("{} of its {} {} the metrics", lacking, format_plural(runs_wanted, "run"),
                       lacking == 1 ? "lacks" : "lack");
  }
  if (seeds == 1) return "one seed: another seed could reverse the effect, so no trend is reported";
  if (seeds < kSeedsForVerdict) return fmt::format("{} seeds: a verdict needs {}", seeds, kSeedsForVerdict);
  for (const std::string& score : hypothesis_.scores()) {
    if (std::string problem = chance_problem(runs_, score); !problem.empty()) return problem;
  }
  return "";
}

}  // namespace moebius::fit
