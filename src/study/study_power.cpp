// Hypotheses of the plan as designs, noise from records, and the sentences.
#include "study/study_power.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/linear_statistics.h"
#include "base/units.h"
#include "eval/task_spec.h"
#include "fit/compared.h"
#include "fit/hypothesis.h"

namespace moebius::study {

namespace {

// The plan as a study's folder is read, without any measured number.
records::StudyRuns records_of(const StudyPlan& plan) {
  records::StudyRuns study;
  study.study = plan_to_json(plan);
  for (const Json& entry : study.study.at("runs").as_array()) {
    records::RunRecords run;
    run.name = entry.at("name").as_string();
    run.model = entry.at("model").as_string();
    if (records::enum_parse<records::RunRole>(entry.at("role").as_string(), "role", "") != records::RunRole::main)
      run.role = records::RunRole::sweep;
    run.planned = entry;
    run.run = Json::object();
    study.runs.push_back(std::move(run));
  }
  return study;
}

struct Noise {
  double squares = 0, df = 0;  // of residuals (base/linear_statistics.h)
  i64 runs = 0, configurations = 0;
  double item_squares = 0;  // sum of squared standard errors over runs
};

// Adds the noise between the seeds of one finished study in the outcome of a hypothesis. Tests of turning points and
// rank correlations do not pair seeds.
void add_noise(const records::StudyRuns& study, const fit::Hypothesis& h, Noise& noise) {
  const bool pairs = h.kind != fit::HypothesisKind::peak && h.kind != fit::HypothesisKind::correlation;
  std::vector<std::vector<double>> values, seeds;
  for (const records::Configuration& point : records::configurations_of(study.done_runs())) {
    std::vector<double> of_point, point_seeds;
    double item_squares = 0;
    for (const records::RunRecords* run : point.runs) {
      const records::Measured measure = fit::outcome_of(*run, h);
      if (!measure.known()) continue;
      of_point.push_back(measure.value);
      point_seeds.push_back(run->number("seed"));
      item_squares += std::isfinite(measure.se) ? measure.se * measure.se : 0;
    }
    if (of_point.size() < 2) continue;
    noise.runs += std::ssize(of_point);
    noise.configurations += 1;
    noise.item_squares += item_squares;
    values.push_back(std::move(of_point));
    seeds.push_back(std::move(point_seeds));
  }
  if (!pairs) seeds.clear();
  const SeedNoise one = seed_noise(values, seeds);
  noise.squares += one.squares;
  noise.df += one.df;
}

struct Design {
  fit::PowerDesign power;
  std::vector<std::string> models;
  bool x_is_result = false;
};

Design design_of(const records::StudyRuns& study, const fit::Hypothesis& h) {
  Design design;
  design.power.kind = h.kind;
  design.power.margin = h.has_margin();
  design.power.tests = std::ssize(study.study.get_array("hypotheses"));
  const bool groups = h.two_groups();
  std::vector<double> x;
  for (const records::RunRecords& run : study.runs) {
    if (run.role != records::RunRole::main || !fit::filter_matches(run, h.where)) continue;
    const bool in_b = groups && fit::filter_matches(run, h.b);
    if (groups && in_b == fit::filter_matches(run, h.a)) continue;
    if (std::find(design.models.begin(), design.models.end(), run.model) != design.models.end()) continue;
    design.models.push_back(run.model);
    if (groups) {
      design.power.in_b.push_back(in_b);
    } else {
      x.push_back(records::metric_of(run, h.x).value);
    }
  }
  // An x that only the runs will show: the configurations are taken as evenly spaced.
  design.x_is_result = std::any_of(x.begin(), x.end(), [](double value) { return !(value > 0); });
  for (std::size_t i = 0; i < x.size(); ++i) {
    design.power.x.push_back(design.x_is_result ? static_cast<double>(i) : std::log2(x[i]));
  }
  return design;
}

std::string effect_name_of(const fit::Hypothesis& h, bool x_is_result) {
  const std::string y = records::metric_label(h.y), x = h.x.empty() ? "" : records::metric_label(h.x);
  switch (h.kind) {
    case fit::HypothesisKind::monotone:
      return x_is_result ? fmt::format("{}: change per step from one configuration to the next in {}", y, x)
                         : fmt::format("{}: change per doubling of {}", y, x);
    case fit::HypothesisKind::peak:
      return fmt::format("{}: the turning point relative to both ends of the range of {}", y, x);
    case fit::HypothesisKind::correlation: return fmt::format("{}: total change along {}", y, x);
    case fit::HypothesisKind::difference: return fmt::format("{}: difference of the two groups", y);
    case fit::HypothesisKind::equal:
      return fmt::format("{}: margin within which the two groups can be shown to agree", y);
    case fit::HypothesisKind::contrast:
      return fmt::format("{} minus {}: {} per doubling of {}", y, records::metric_label(h.minus),
                         h.has_margin() ? "margin within which the change can be shown to lie" : "change", x);
    case fit::HypothesisKind::flat:
      return fmt::format("{}: margin within which the change per doubling of {} can be shown to lie", y, x);
    case fit::HypothesisKind::matched:
      return fmt::format("{}: change per doubling of {} at equal {}", y, x, records::metric_label(h.at));
  }
  return y;
}

// Seconds of one seed of the hypothesis's runs; a trunk counts with its branches.
double seconds_of_seed(const StudyPlan& plan, const std::vector<std::string>& models) {
  double seconds = 0;
  std::vector<std::string> trunks;
  for (const PlannedRun& run : plan.runs) {
    const bool used =
        run.role == records::RunRole::main && std::find(models.begin(), models.end(), run.model) != models.end();
    if (!used) continue;
    seconds += run.seconds_estimated;
    if (!run.branch_of.empty() && std::find(trunks.begin(), trunks.end(), run.branch_of) == trunks.end()) {
      trunks.push_back(run.branch_of);
    }
  }
  for (const PlannedRun& run : plan.runs) {
    if (std::find(trunks.begin(), trunks.end(), run.name) != trunks.end()) seconds += run.seconds_estimated;
  }
  return seconds / static_cast<double>(plan.jobs) /
         static_cast<double>(std::max<std::size_t>(1, plan.spec.seeds.size()));
}

void set_noise(const std::vector<records::StudyRuns>& studies, const fit::Hypothesis& h, double assumed,
               PowerRow& row) {
  Noise noise;
  for (const records::StudyRuns& study : studies) add_noise(study, h, noise);
  if (noise.df > 0 && noise.squares > 0) {
    row.noise = {std::sqrt(noise.squares / noise.df), std::sqrt(noise.item_squares / static_cast<double>(noise.runs))};
    row.noise_df = static_cast<i64>(std::lround(noise.df));
    row.noise_source = fmt::format("measured: {} runs of {} configurations, {} degrees of freedom", noise.runs,
                                   noise.configurations, row.noise_df);
  } else if (assumed > 0) {
    row.noise = {assumed, 0};
    row.noise_source = "assumed (--noise)";
  }
}

PowerRow row_of(const StudyPlan& plan, const records::StudyRuns& planned, const fit::Hypothesis& h,
                const std::vector<records::StudyRuns>& studies, double assumed) {
  PowerRow row;
  row.id = h.id;
  row.kind = records::enum_name(h.kind);
  row.y = h.y;
  Design design = design_of(planned, h);
  row.effect_name = effect_name_of(h, design.x_is_result);
  row.seeds = static_cast<i64>(plan.spec.seeds.size());
  row.seeds_tested = std::max(row.seeds, records::kSeedsForVerdict);
  design.power.seeds = row.seeds_tested;
  set_noise(studies, h, assumed, row);
  row.problem = design.models.empty() ? "no run of the study matches" : fit::power_problem(design.power);
  if (row.problem.empty() && !(row.noise.seed > 0)) row.problem = "the noise between seeds is unknown";
  if (row.problem.empty() && h.kind == fit::HypothesisKind::matched)
    row.problem = fmt::format("the power depends on the runs' values of {}", records::metric_label(h.at));
  if (!row.problem.empty()) return row;
  row.effect = fit::smallest_effect(design.power, row.noise);
  if (!std::isfinite(row.effect)) {
    row.problem = "no effect is large enough for this test with this number of runs";
    return row;
  }
  const double seed_seconds = seconds_of_seed(plan, design.models);
  row.seconds = seed_seconds * static_cast<double>(row.seeds_tested);
  row.seeds_half = fit::seeds_needed(design.power, row.noise, row.effect / 2);
  row.seconds_half = seed_seconds * static_cast<double>(row.seeds_half);
  row.margin = h.margin;
  if (row.margin_too_small()) row.seeds_margin = fit::seeds_needed(design.power, row.noise, row.margin);
  return row;
}

// A share of items says something only beside what guessing reaches: 1 / choices, the task's `chance`, or the best
// shortcut of generated items. Throws Error when `path` is one without it.
void check_baseline(const StudyPlan& plan, const std::string& path, const std::string& where) {
  const auto pieces = records::eval_path(records::metric_plain(path));
  if (!pieces || !pieces->key.starts_with("exact_match")) return;
  const std::string name = pieces->test.substr(0, pieces->test.rfind('.'));
  const std::vector<std::string>& tasks = plan.spec.evaluate.tasks;
  if (std::find(tasks.begin(), tasks.end(), name) == tasks.end()) return;
  const eval::TaskSpec task = eval::find_task(name, {study_task_folder()});
  if (!task.has("generate") || std::isfinite(task.chance) || task.meta.is_object()) return;
  throw Error({.where = where,
               .what = fmt::format("the score '{}' has no baseline: nothing says what guessing reaches", path),
               .wanted = "a task with 'chance', with choices, or with generated items",
               .fix = fmt::format("add 'chance = ...' to {}, or test the task's task_loss", task.path)});
}

std::string margin_advice(const PowerRow& row) {
  const std::string needed = row.seeds_margin > 0
                                 ? fmt::format("it needs {} seeds", row.seeds_margin)
                                 : fmt::format(
                                       "even {} seeds would not suffice; the noise of the items does not shrink with "
                                       "them: use a wider margin or more items",
                                       fit::kSeedsMax);
  return fmt::format("the margin of {:g} cannot be shown with {} seeds: {}", row.margin, row.seeds_tested, needed);
}

}  // namespace

void check_hypotheses(const StudyPlan& plan) {
  const records::StudyRuns planned = records_of(plan);
  for (const fit::Hypothesis& h : fit::hypotheses_parse(planned, plan.spec.path)) {
    const std::string where = fmt::format("{}, hypothesis {}", plan.spec.path, h.id);
    for (const std::string& score : h.scores()) check_baseline(plan, score, where);
    const Design design = design_of(planned, h);
    const std::string problem =
        design.models.empty() ? "no run of the study matches" : fit::power_problem(design.power);
    if (problem.empty()) continue;
    throw Error({.where = where,
                 .what = "the study cannot test this hypothesis: " + problem,
                 .got = fmt::format("{} matching {}", design.models.size(),
                                    design.models.size() == 1 ? "configuration" : "configurations"),
                 .fix = "change its 'where', 'a', 'b' or 'x', or add configurations to the study"});
  }
}

std::vector<PowerRow> study_power(const StudyPlan& plan, const std::vector<std::string>& folders,
                                  double noise_assumed) {
  const records::StudyRuns planned = records_of(plan);
  std::vector<records::StudyRuns> studies;
  for (const std::string& folder : folders) studies.push_back(records::study_read(folder));
  std::vector<PowerRow> rows;
  for (const fit::Hypothesis& h : fit::hypotheses_parse(planned, plan.spec.path)) {
    rows.push_back(row_of(plan, planned, h, studies, noise_assumed));
    rows.back().compared = fit::compared_quantities(planned, h);
  }
  return rows;
}

std::string power_table(const std::vector<PowerRow>& rows) {
  if (rows.empty()) return "";
  std::string text =
      fmt::format("statistical power: smallest effects detected in 80 % of such studies (two-sided, 5 %{})\n",
                  rows.size() > 1 ? fmt::format(" over the {} hypotheses together", rows.size()) : "");
  bool unknown = false;
  for (const PowerRow& row : rows) {
    text +=
        fmt::format("{} ({})\n  {}\n  {}\n", row.id, row.kind, row.effect_name, records::compared_text(row.compared));
    if (!row.problem.empty()) {
      text += fmt::format("  {}\n", row.problem);
      unknown |= !(row.noise.seed > 0);
      continue;
    }
    text += fmt::format("  {:.3g} with {} seeds{}; {}\n", row.effect, row.seeds_tested,
                        row.seeds < row.seeds_tested ? fmt::format(" (the plan has {}; verdicts require {})", row.seeds,
                                                                   records::kSeedsForVerdict)
                                                     : "",
                        row.seconds > 0 ? format_seconds(row.seconds) + " for its runs" : "");
    text += row.seeds_half > 0
                ? fmt::format("  half of it requires {} seeds, {}\n", row.seeds_half, format_seconds(row.seconds_half))
                : fmt::format("  half of it requires more than {} seeds\n", fit::kSeedsMax);
    if (row.margin_too_small()) text += "  " + margin_advice(row) + "\n";
    text +=
        fmt::format("  noise of a run {:.3g}{}; {}\n", row.noise.seed,
                    row.noise.item > 0 ? fmt::format(", of its items {:.3g}", row.noise.item) : "", row.noise_source);
  }
  if (unknown) {
    text +=
        "the noise between seeds can be measured (--pilot FOLDER, a study with two or more seeds) or assumed (--noise X; a\n"
        "published small-scale replication of arXiv 2508.18672 with 8.4M active parameters had 0.02 to 0.10 nats)\n";
  }
  return text;
}

void PowerRow::visit(records::Fields& f) {
  f("id", id)("kind", kind)("effect_name", effect_name)("smallest_effect", effect)("problem", problem);
  f("noise", noise.seed)("noise_items", noise.item)("noise_source", noise_source);
  f("noise_degrees_of_freedom", noise_df)("seeds", seeds)("seeds_tested", seeds_tested)("seconds", seconds);
  f("seeds_half", seeds_half)("seconds_half", seconds_half)("margin", margin)("seeds_margin", seeds_margin);
  f("compared", compared);
}

}  // namespace moebius::study
