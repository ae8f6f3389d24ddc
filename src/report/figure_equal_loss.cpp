// Scores at equal training loss against active FLOPs: is the training loss all that counts?
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/figure_parts.h"

namespace moebius::report {

namespace {

constexpr double kBinShare = 1.0 / 6;  // of the range of losses
constexpr double kFlopsApart = 1.02;   // smaller differences of FLOPs say nothing about their effect

struct LossBin {
  double low = 0, high = 0;
  std::vector<Configuration> points;
};

// Configurations whose FLOPs differ at nearly the same loss, by rising loss.
std::vector<LossBin> bins_of(const std::vector<Configuration>& points) {
  std::vector<std::pair<double, const Configuration*>> by_loss;
  for (const Configuration& point : points) {
    std::vector<double> losses;
    for (const RunRecords* run : point.runs) losses.push_back(metric_of(*run, "train.loss_final").value);
    const double mean = mean_of(losses);
    if (std::isfinite(mean)) by_loss.emplace_back(mean, &point);
  }
  std::ranges::stable_sort(by_loss, {}, [](const auto& one) { return one.first; });
  std::vector<LossBin> bins;
  if (by_loss.empty()) return bins;
  const double width = kBinShare * (by_loss.back().first - by_loss.front().first);
  for (const auto& [loss, point] : by_loss) {
    if (bins.empty() || loss > bins.back().low + width) bins.push_back({.low = loss, .high = loss, .points = {}});
    bins.back().high = loss;
    bins.back().points.push_back(*point);
  }
  std::erase_if(bins, [](const LossBin& bin) {
    Range flops;
    for (const Configuration& point : bin.points) flops.add(metric_of(point.first(), "flops_train").value);
    return !(flops.high > kFlopsApart * flops.low);
  });
  return bins;
}

const records::TaskLaw* law_of(const FitFile& fit, const std::string& task, const std::string& measure) {
  for (const records::TaskLaw& law : fit.tasks.task_laws) {
    if (law.task == task && law.measure == measure && law.verdict.known()) return &law;
  }
  return nullptr;
}

void law_add(const records::TaskLaw& law, View& view, CsvTable& csv) {
  const std::string name = fmt::format("task law at loss {:.3f}", law.curves.at.train_loss);
  Series line{.name = name, .style = 7, .marker = false, .curve = true, .strong = true};
  for (const records::CurvePoint& p : law.curves.over_flops) {
    if (!std::isfinite(p.x) || !std::isfinite(p.y)) continue;
    line.points.push_back({p.x, p.y, p.low, p.high});
    csv.row({"law", name, "", "", "", "", "flops_train", p.x, fmt::format("eval.{}.all.{}", law.task, law.measure), p.y,
             p.low, p.high, "law", ""});
  }
  add_if_any(view, std::move(line));
}

}  // namespace

Figure figure_equal_loss(const FigureInput& in) {
  Figure figure{
      .id = "equal_loss", .title = "Scores at equal training loss against active FLOPs", .csv = point_table()};
  figure.caption =
      "Points of one marker are configurations whose training losses differ by at most a sixth of the whole range. They are "
      "not joined, since they may differ in more than their FLOPs. Labels: number of experts. The thick line is the task law at the runs' mean "
      "loss and TPP (dotted: 95 %), if it is determined. Bars are 95 % intervals: over seeds if a configuration "
      "has at least two, otherwise over test items.";
  const std::vector<LossBin> bins = bins_of(in.configurations);
  const std::vector<TaskPart> parts = task_parts(in.study);
  for (const std::string& skill : skills_of(parts)) {
    Panel panel{.title = skill_title(skill) + ": score",
                .x_label = metric_label("flops_train"),
                .x_log = true,
                .selector = skill};
    for (const TaskPart& part : parts) {
      if (part.skill != skill) continue;
      const std::string key = part.score();
      if (key.empty()) continue;
      View view{.y_label = metric_label(key)};
      score_view_finish(part, key, view);
      i64 style = 0;
      for (const LossBin& bin : bins) {
        Series series = series_of(bin.points, fmt::format("loss {:.3f} to {:.3f}", bin.low, bin.high), style++,
                                  "flops_train", part.path(key), figure.csv);
        series.line = false;  // its configurations may differ in more than their FLOPs
        if (series.points.size() > 1) view.series.push_back(std::move(series));
      }
      if (!view.series.empty() && part.part == "all") {
        if (const records::TaskLaw* law = law_of(in.study.fit, part.name, key)) law_add(*law, view, figure.csv);
      }
      panel.views.push_back(std::move(view));
    }
    figure.panels.push_back(std::move(panel));
  }
  return figure;
}

}  // namespace moebius::report
