// Simulated studies as records, and what the tests say about them.
// In, out: coverage.h.
#include "fit/coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/linear_statistics.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "fit/hypothesis.h"

namespace moebius::fit {

namespace {

using records::StudyRuns;

constexpr const char* kNoiseNames[] = {"normal", "bimodal", "heavy-tailed"};
constexpr i64 kSeeds[] = {3, 5};

// Mean 0. Bimodal: a third of the seeds lies 3 standard deviations (of a mode) above the others, as seeds that have left
// a plateau and seeds that have not. Heavy-tailed: Student's t with 3 degrees of freedom.
double draw_noise(NoiseShape shape, Rng& rng) {
  const double normal = rng.next_normal();
  if (shape == NoiseShape::normal) return normal;
  if (shape == NoiseShape::bimodal) return normal + (rng.next_uniform() < 1.0 / 3 ? 2 : -1);
  double squares = 0;
  for (int i = 0; i < 3; ++i) {
    const double one = rng.next_normal();
    squares += one * one;
  }
  return normal / std::sqrt(squares / 3);
}

// A study with the noise of each run in train.a and train.b around a line in log2 parameters_total, a loss train.z that
// falls with the size, train.y = 2 ln z + noise, and train.u, train.v with the ranks 1 3 2 5 4 over the configurations.
StudyRuns simulate(NoiseShape shape, i64 configurations, i64 seeds, double slope, u64 study) {
  Rng rng(17, RngStream::bootstrap, study);
  StudyRuns out;
  out.study = Json::object();
  constexpr double kRanks[] = {0, 2, 1, 4, 3};
  for (i64 g = 0; g < configurations; ++g) {
    const double x = static_cast<double>(g);
    for (i64 seed = 1; seed <= seeds; ++seed) {
      records::RunRecords run;
      run.model = std::to_string(g);
      run.status = records::RunStatus::done;
      run.planned = Json::object({{"seed", seed}});
      run.run = Json::object({{"parameters_total", std::exp2(x)}, {"config", Json::object({{"experts", g}})}});
      const double z = std::exp(1 - 0.05 * x + 0.05 * rng.next_normal());
      run.train_end = Json::object({{"a", slope * x + draw_noise(shape, rng)},
                                    {"b", draw_noise(shape, rng)},
                                    {"c", draw_noise(shape, rng)},
                                    {"z", z},
                                    {"y", 2 * std::log(z) + draw_noise(shape, rng)},
                                    {"u", 2 * x + 0.1 * rng.next_normal()},
                                    {"v", 2 * kRanks[g % 5] + draw_noise(shape, rng)}});
      out.runs.push_back(std::move(run));
    }
  }
  return out;
}

Hypothesis hypothesis_of(HypothesisKind kind, const std::string& y) {
  Hypothesis h{.id = "h", .text = "", .kind = kind, .x = "parameters_total", .y = y};
  h.where = Json::object();
  h.a = Json::object({{"experts", 0}});
  h.b = Json::object({{"experts", 3}});
  return h;
}

// A kind of interval, its test and its true value.
struct Kind {
  const char* name;
  Hypothesis hypothesis;
  double truth;
  i64 configurations;
};

constexpr double kSlope = 0.5;

std::vector<Kind> kinds() {
  std::vector<Kind> out = {
      {"difference", hypothesis_of(HypothesisKind::difference, "train.a"), 3 * kSlope, 4},
      {"slope", hypothesis_of(HypothesisKind::monotone, "train.a"), kSlope, 4},
      {"contrast", hypothesis_of(HypothesisKind::contrast, "train.a"), kSlope, 4},
      {"matched", hypothesis_of(HypothesisKind::matched, "train.y"), 0, 4},
      {"correlation", hypothesis_of(HypothesisKind::correlation, "train.v"), 0.8, 5},
  };
  out[2].hypothesis.minus = "train.b";
  out[3].hypothesis.at = "train.z";
  out[4].hypothesis.x = "train.u";
  return out;
}

bool contains(const Interval& interval, double truth) { return interval.low <= truth && interval.high >= truth; }

// The mean of the first configuration, as error bars show it.
Interval mean_interval(const StudyRuns& study, i64 seeds) {
  std::vector<std::vector<double>> values;
  for (std::size_t r = 0; r < study.runs.size(); ++r) {
    if (r % static_cast<std::size_t>(seeds) == 0) values.emplace_back();
    values.back().push_back(study.runs[r].train_end.at("a").as_double());
  }
  std::vector<double> weights(values.size());
  weights[0] = 1;
  return linear_estimate(weights, values, kUnknown).interval();
}

template <typename Holds>
double share_of(i64 studies, const Holds& holds) {
  std::vector<char> found(static_cast<std::size_t>(studies));
  parallel_for(studies,
               [&](i64 study, int) { found[static_cast<std::size_t>(study)] = holds(static_cast<u64>(study)); });
  return static_cast<double>(std::ranges::count(found, char{1})) / static_cast<double>(studies);
}

template <typename Add>
void each_noise(const Add& add) {
  for (const NoiseShape shape : {NoiseShape::normal, NoiseShape::bimodal, NoiseShape::heavy}) {
    for (const i64 seeds : kSeeds) add(shape, seeds);
  }
}

bool any_verdict(const StudyRuns& study, u64 number) {
  std::vector<HypothesisVerdict> verdicts;
  const auto add = [&](const Hypothesis& h) { verdicts.push_back(hypothesis_test(study, h, number)); };
  add(hypothesis_of(HypothesisKind::monotone, "train.a"));
  add(hypothesis_of(HypothesisKind::difference, "train.b"));
  Hypothesis contrast = hypothesis_of(HypothesisKind::contrast, "train.b"), matched = contrast;
  contrast.minus = "train.c";
  add(contrast);
  matched = hypothesis_of(HypothesisKind::matched, "train.y");
  matched.at = "train.z";
  add(matched);
  correct_for_number(verdicts);
  return std::ranges::any_of(verdicts, [](const auto& one) { return one.outcome != Outcome::unresolved; });
}

}  // namespace

std::vector<CoverageRow> interval_coverage(i64 studies) {
  std::vector<CoverageRow> rows;
  each_noise([&](NoiseShape shape, i64 seeds) {
    const std::string noise = kNoiseNames[static_cast<std::size_t>(shape)];
    const double mean = share_of(studies, [&](u64 study) {
      return contains(mean_interval(simulate(shape, 4, seeds, kSlope, study), seeds), 0);
    });
    rows.push_back({.interval = "mean", .noise = noise, .seeds = seeds, .studies = studies, .share = mean});
    for (const Kind& kind : kinds()) {
      const double share = share_of(studies, [&](u64 study) {
        const StudyRuns runs = simulate(shape, kind.configurations, seeds, kSlope, study);
        return contains(hypothesis_test(runs, kind.hypothesis, study).effect, kind.truth);
      });
      rows.push_back({.interval = kind.name, .noise = noise, .seeds = seeds, .studies = studies, .share = share});
    }
  });
  return rows;
}

std::vector<CoverageRow> false_alarms(i64 studies) {
  std::vector<CoverageRow> rows;
  each_noise([&](NoiseShape shape, i64 seeds) {
    const double share =
        share_of(studies, [&](u64 study) { return any_verdict(simulate(shape, 4, seeds, 0, study), study); });
    rows.push_back({.interval = "page of 4 hypotheses",
                    .noise = kNoiseNames[static_cast<std::size_t>(shape)],
                    .seeds = seeds,
                    .studies = studies,
                    .share = share,
                    .false_alarms = true});
  });
  return rows;
}

void CoverageRow::visit(records::Fields& f) {
  f("interval", interval)("noise", noise)("seeds", seeds)("studies", studies)("share", share);
  f("false_alarms", false_alarms);
}

std::string coverage_text(const std::vector<CoverageRow>& rows) {
  std::string text;
  for (const bool alarms : {false, true}) {
    text += alarms ? "\nfalse alarms: share of pages with any verdict where no effect is true\n"
                   : "coverage of 95 % intervals: share of simulated studies whose interval contains the true value\n";
    std::vector<std::string> names;
    for (const CoverageRow& row : rows) {
      if (row.false_alarms == alarms && std::ranges::find(names, row.interval) == names.end())
        names.push_back(row.interval);
    }
    const auto line = [&](const std::string& name, const auto& cell) {
      text += fmt::format("{:<22}", name);
      for (const CoverageRow& row : rows) {
        if (row.false_alarms == alarms && row.interval == (name.empty() ? names.front() : name)) text += cell(row);
      }
      text += "\n";
    };
    line("", [](const CoverageRow& row) { return fmt::format("{:>15}", row.noise); });
    line("", [](const CoverageRow& row) { return fmt::format("{:>15}", fmt::format("{} seeds", row.seeds)); });
    for (const std::string& name : names)
      line(name, [](const CoverageRow& row) { return fmt::format("{:>15.3f}", row.share); });
  }
  return text;
}

}  // namespace moebius::fit
