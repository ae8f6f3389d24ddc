// Laws and task laws as panels.
#include "report/figure_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "base/units.h"

namespace moebius::report {

namespace {

using records::CurvePoint;
using records::FittedLaw;
using records::TaskLaw;
using records::TurningPoint;

constexpr std::size_t kDrawn = 1500;          // points in one panel; the CSV has all
constexpr std::size_t kIntervalsDrawn = 300;  // more bars than this cover the points

// The different texts of one member, in their order.
template <typename T>
std::vector<std::string> distinct(const std::vector<T>& all, std::string T::*text) {
  std::vector<std::string> texts;
  for (const T& one : all) {
    if (std::ranges::find(texts, one.*text) == texts.end()) texts.push_back(one.*text);
  }
  return texts;
}

std::string view_name(const FittedLaw& law, const std::string& family) {
  std::string name = law.law;
  if (!family.empty() && family != "all runs") name += ", " + family;
  return law.verdict.known() ? name : name + " (not determined)";
}

std::string size_label(const std::string& column) {
  return column == "parameters_active" ? "active parameters" : "total parameters";
}

Series points_series(const std::vector<CurvePoint>& points, const std::string& name, i64 style) {
  Series series{.name = name, .style = style, .line = false};
  for (const CurvePoint& point : points) {
    if (point.x > 0 && std::isfinite(point.y)) series.points.push_back({.x = point.x, .y = point.y});
  }
  return series;
}

Series curve_series(const std::vector<CurvePoint>& points, const std::string& name, i64 style) {
  Series series{.name = name, .style = style, .marker = false, .curve = true};
  for (const CurvePoint& point : points) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
    series.points.push_back({.x = point.x, .y = point.y, .low = point.low, .high = point.high});
  }
  return series;
}

// ---- IsoFLOP

void isoflop_rows(const FittedLaw& law, const records::IsoflopGroup& group, CsvTable& csv) {
  const auto row = [&](const char* what, const std::string& run, const CurvePoint& p, double low, double high) {
    csv.row({law.law, group.family, group.compute, what, run, group.size_column, p.x, low, high, p.tokens, p.y, p.low,
             p.high, what == std::string("optimum") ? group.optimum.verdict : ""});
  };
  for (const CurvePoint& p : group.points) row("run", p.run, p, kUnknown, kUnknown);
  for (const CurvePoint& p : group.curve) row("law", "", p, kUnknown, kUnknown);
  row("optimum", "", {.x = group.optimum.size.estimate, .y = group.optimum.loss}, group.optimum.size.low,
      group.optimum.size.high);
}

// A law's groups of one family.
View isoflop_view(const FittedLaw& law, const std::string& family, CsvTable& csv) {
  View view{.name = view_name(law, family), .y_label = "loss, nats per token"};
  view.x_label = size_label(law.curves.isoflop.front().size_column);
  Series optima{.name = "minimum of the law", .style = 7, .strong = true};
  i64 style = 0;
  for (const records::IsoflopGroup& group : law.curves.isoflop) {
    if (group.family != family) continue;
    isoflop_rows(law, group, csv);
    const std::string name = flops_text(group.compute) + " FLOPs";
    add_if_any(view, curve_series(group.curve, name, style));
    add_if_any(view, points_series(group.points, name, style));
    ++style;
    if (!group.optimum.determined) continue;
    optima.points.push_back({.x = group.optimum.size.estimate,
                             .y = group.optimum.loss,
                             .label = format_count(group.optimum.size.estimate),
                             .x_low = group.optimum.size.low,
                             .x_high = group.optimum.size.high});
  }
  add_if_any(view, std::move(optima));
  return view;
}

// Why optima are missing; where there are many, how many, and an example.
std::string open_text(const std::vector<std::string>& open) {
  if (open.empty()) return "";
  if (open.size() == 1) return "One optimum is not determined and not drawn: " + open.front() + ".";
  return fmt::format("{} optima are not determined and not drawn, for example {}. The CSV gives the reason for each.",
                     open.size(), open.front());
}

}  // namespace

Figure figure_isoflop(const FigureInput& in) {
  Figure figure{.id = "law_isoflop",
                .title = "IsoFLOP curves",
                .csv = CsvTable({"law", "family", "compute", "what", "run", "size_name", "size", "size_low",
                                 "size_high", "tokens", "loss", "loss_low", "loss_high", "verdict"})};
  Panel panel{.title = "Loss against size at equal training compute",
              .x_log = true,
              .selector = "law",
              .menu = "Law",
              .tall = true};
  std::vector<std::string> open;
  std::string notes;
  for (const FittedLaw& law : in.study.fit.loss.laws) {
    for (const std::string& family : distinct(law.curves.isoflop, &records::IsoflopGroup::family))
      panel.views.push_back(isoflop_view(law, family, figure.csv));
    for (const records::IsoflopGroup& group : law.curves.isoflop) {
      if (group.optimum.determined) continue;
      open.push_back(fmt::format("{}, {} FLOPs: {}", view_name(law, group.family), flops_text(group.compute),
                                 group.optimum.verdict));
    }
    if (!law.curves.isoflop_note.empty() && !law.curves.isoflop.empty())
      notes += fmt::format(" {}: {}.", law.law, law.curves.isoflop_note);
  }
  figure.caption = fmt::format(
      "Runs of equal compute (points; equal within 15 %) and the law at that compute (lines; dotted: 95 % over bootstrap "
      "samples). Diamonds: the size with the lowest loss by the law, with its 95 % interval. Size is the law's N. {}{}",
      open_text(open), notes);
  figure.panels.push_back(std::move(panel));
  return figure;
}

namespace {

// ---- sparsity

// x as E / k, in the place of the sparsity 1 - k / E.
std::vector<CurvePoint> over_active(std::vector<CurvePoint> points) {
  for (CurvePoint& point : points) {
    if (point.x < 1) point.x = 1 / (1 - point.x);
  }
  return points;
}

// Groups of one compute may differ in their tokens alone: then the name says these too.
std::string sparsity_name(const FittedLaw& law, const records::SparsityGroup& group) {
  const auto name_of = [](const records::SparsityGroup& g) {
    return fmt::format("{}, {} FLOPs", g.family, flops_text(g.compute));
  };
  const std::string name = name_of(group);
  const auto same =
      std::ranges::count_if(law.curves.sparsity, [&](const records::SparsityGroup& g) { return name_of(g) == name; });
  return same > 1 ? fmt::format("{}, {} tokens", name, format_count(group.tokens)) : name;
}

}  // namespace

Figure figure_sparsity(const FigureInput& in) {
  Figure figure{
      .id = "law_sparsity",
      .title = "Sparsity against loss at fixed compute",
      .caption =
          "Runs with equal compute, tokens and k that differ in the number of experts; the dense run of the same "
          "compute is at 1. Sparsity = 1 - k/E: E/k of 2, 8, 32 is a sparsity of 0.5, 0.875, 0.969. Lines: the law, "
          "dotted: 95 % over bootstrap samples; a law that is not determined has no line.",
      .csv = CsvTable({"law", "family", "compute", "tokens", "what", "run", "experts", "sparsity", "experts_per_active",
                       "loss", "loss_low", "loss_high"})};
  Panel panel{.title = "Loss against experts per active expert",
              .x_label = "E/k = 1 / (1 - sparsity)",
              .x_log = true,
              .selector = "law",
              .menu = "Law",
              .tall = true};
  for (const FittedLaw& law : in.study.fit.loss.laws) {
    View view{.name = view_name(law, ""), .y_label = "loss, nats per token"};
    i64 style = 0;
    for (const records::SparsityGroup& group : law.curves.sparsity) {
      const std::string name = sparsity_name(law, group);
      const std::vector<CurvePoint> points = over_active(group.points), curve = over_active(group.curve);
      Series runs = points_series(points, name, style);
      std::set<std::string> shown;  // one label for the seeds of a configuration
      for (std::size_t i = 0; i < runs.points.size() && runs.points.size() == points.size(); ++i) {
        const std::string label = points[i].experts > 1 ? fmt::format("E{:g}", points[i].experts) : "dense";
        if (shown.insert(label).second) runs.points[i].label = label;
      }
      add_if_any(view, std::move(runs));
      add_if_any(view, curve_series(curve, name, style));
      ++style;
      for (const auto& [what, rows] : {std::pair{"run", &points}, std::pair{"law", &curve}}) {
        for (const CurvePoint& p : *rows) {
          figure.csv.row({law.law, group.family, group.compute, group.tokens, what, p.run, p.experts, 1 - 1 / p.x, p.x,
                          p.y, p.low, p.high});
        }
      }
    }
    panel.views.push_back(std::move(view));
  }
  figure.panels.push_back(std::move(panel));
  return figure;
}

namespace {

// ---- predicted against measured

// A run against the law, with what a fit predicted that had not seen it.
struct Prediction : records::Residual {
  double low = kUnknown, high = kUnknown, held_out = kUnknown;
};

std::vector<Prediction> predictions_of(const FittedLaw& law) {
  std::map<std::string, double> errors;
  for (std::size_t i = 0; law.holdout && i < std::min(law.holdout->runs.size(), law.holdout->errors.size()); ++i)
    errors[law.holdout->runs[i]] = law.holdout->errors[i];
  std::vector<Prediction> all;
  for (const records::Residual& r : law.residuals) {
    Prediction one{r};
    if (all.size() < law.curves.predicted.size()) {
      one.low = law.curves.predicted[all.size()][0];
      one.high = law.curves.predicted[all.size()][1];
    }
    if (const auto error = errors.find(r.run); error != errors.end()) one.held_out = r.measured * (1 + error->second);
    all.push_back(std::move(one));
  }
  return all;
}

// A view of the predictions on the left, one of their errors on the right.
void predictions_add(const FittedLaw& law, Panel& left, Panel& right, CsvTable& csv) {
  const std::string unit = law.quantity == "leverage" ? "leverage" : "loss, nats per token";
  View predicted{.name = view_name(law, ""), .y_label = "predicted " + unit};
  View residual{.name = view_name(law, ""), .y_label = "predicted - measured, %"};
  Series fitted{.name = "runs, as fitted", .style = 0, .line = false},
      held{.name = "held out", .style = 2, .line = false, .hollow = true};
  Series fitted_error = fitted, held_error = held;
  Range range;
  const std::vector<Prediction> runs = predictions_of(law);
  const std::size_t stride = 1 + (runs.size() - 1) / kDrawn;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Prediction& r = runs[i];
    csv.row({law.law, r.run, r.compute, r.measured, r.predicted, r.low, r.high, 100 * (r.predicted / r.measured - 1),
             r.held_out, 100 * (r.held_out / r.measured - 1)});
    if (i % stride != 0 || !std::isfinite(r.measured) || !std::isfinite(r.predicted)) continue;
    const bool bars = runs.size() <= kIntervalsDrawn;
    const auto percent = [&](double value) { return 100 * (value / r.measured - 1); };
    range.add(r.measured);
    range.add(r.predicted);
    fitted.points.push_back({r.measured, r.predicted, bars ? r.low : kUnknown, bars ? r.high : kUnknown});
    if (std::isfinite(r.held_out)) held.points.push_back({r.measured, r.held_out});
    if (!(r.compute > 0) || r.measured == 0) continue;
    fitted_error.points.push_back(
        {r.compute, percent(r.predicted), bars ? percent(r.low) : kUnknown, bars ? percent(r.high) : kUnknown});
    if (std::isfinite(r.held_out)) held_error.points.push_back({r.compute, percent(r.held_out)});
  }
  if (fitted.points.empty()) return;
  predicted.series.push_back({.name = "equal",
                              .style = 7,
                              .marker = false,
                              .points = {{range.low, range.low}, {range.high, range.high}},
                              .curve = true,
                              .strong = true});
  for (Series* series : {&fitted, &held}) add_if_any(predicted, std::move(*series));
  for (Series* series : {&fitted_error, &held_error}) add_if_any(residual, std::move(*series));
  residual.rules.push_back({0, ""});
  left.views.push_back(std::move(predicted));
  right.views.push_back(std::move(residual));
}

}  // namespace

Figure figure_predicted(const FigureInput& in) {
  Figure figure{
      .id = "law_predicted",
      .title = "Predicted against measured",
      .caption =
          "Left: every run as predicted by the law; bars are 95 % over bootstrap samples (of the law's mean, not of a single "
          "run; left out above 300 runs). Right: the relative errors against training compute; a slope or a bend means that "
          "the form is wrong. Held out (hollow): predicted by a fit without the run.",
      .csv = CsvTable({"law", "run", "compute", "measured", "predicted", "predicted_low", "predicted_high",
                       "error_percent", "held_out_predicted", "held_out_error_percent"})};
  Panel left{.title = "Predicted against measured", .x_label = "measured", .selector = "law", .menu = "Law"};
  Panel right{.title = "Residuals", .x_label = "training FLOPs", .x_log = true, .selector = "law"};
  for (const FittedLaw& law : in.study.fit.loss.laws) predictions_add(law, left, right, figure.csv);
  figure.panels = {std::move(left), std::move(right)};
  return figure;
}

namespace {

// ---- task laws

View task_law_view(const TaskLaw& law, CsvTable& csv) {
  const char* known = records::enum_name(law.verdict.knowledge);
  View view{.name = fmt::format("{}: {} ({})", law.task, metric_label(law.measure), known),
            .y_label = metric_label(law.measure)};
  Series measured{.name = "configurations, measured", .style = 0, .line = false};
  Series predicted{.name = "the law at their own FLOPs and TPP", .style = 4, .line = false};
  const bool shown = law.verdict.known();
  for (const records::TaskLawPoint& p : law.points) {
    csv.row({law.task, law.skill, law.measure, "configuration", p.model, p.train_loss, p.flops, p.tpp, p.measured,
             p.predicted, "", ""});
    if (std::isfinite(p.train_loss) && std::isfinite(p.measured)) measured.points.push_back({p.train_loss, p.measured});
    if (shown && std::isfinite(p.train_loss) && std::isfinite(p.predicted))
      predicted.points.push_back({p.train_loss, p.predicted});
  }
  for (const CurvePoint& p : law.curves.over_train_loss) {
    csv.row({law.task, law.skill, law.measure, "law", "", p.x, "", "", "", p.y, p.low, p.high});
  }
  add_if_any(view, std::move(measured));
  if (!shown) return view;
  add_if_any(view, std::move(predicted));
  add_if_any(view, curve_series(law.curves.over_train_loss, "the law at mean FLOPs and TPP", 1));
  if (std::isfinite(law.floor)) view.rules.push_back({law.floor, fmt::format("floor {:.3g}", law.floor)});
  return view;
}

}  // namespace

Figure figure_task_laws(const FigureInput& in) {
  Figure figure{
      .id = "task_laws",
      .title = "Task laws: training loss to scores",
      .caption =
          "Points: means over the seeds of a configuration. Line: the law at the runs' mean FLOPs and TPP; dotted: its 95 % "
          "band (the law's mean, not a new run). Crosses: the law at each configuration's own FLOPs and TPP. A law that is "
          "not determined has points only; the table says why.",
      .csv = CsvTable({"task", "skill", "measure", "what", "model", "train_loss", "flops", "tpp", "measured",
                       "predicted", "low", "high"})};
  const std::vector<TaskLaw>& laws = in.study.fit.tasks.task_laws;
  for (const std::string& skill : distinct(laws, &TaskLaw::skill)) {
    Panel panel{
        .title = skill_title(skill), .x_label = "training loss, nats per token", .selector = skill, .menu = "measure"};
    if (skill.empty()) panel.selector = "other";
    // Scores before losses, which have no floor; but first those with a law.
    for (const bool score : {true, false}) {
      for (const TaskLaw& law : laws) {
        if (law.skill == skill && std::isfinite(law.floor) == score)
          panel.views.push_back(task_law_view(law, figure.csv));
      }
    }
    std::ranges::stable_partition(panel.views, [](const View& view) { return view.series.size() > 1; });
    if (panel.views.size() == 1) panel.title += ": " + panel.views.front().name;
    figure.panels.push_back(std::move(panel));
  }
  return figure;
}

// ---- turning points

Figure figure_turning(const FigureInput& in) {
  Figure figure{
      .id = "turning_points",
      .title = "Turning points",
      .caption =
          "Means of configurations that differ only in the number of experts. A turning point is drawn (vertical line, "
          "dotted: 95 %) only where the test finds one after correction for the number of tests; the table gives every "
          "verdict.",
      .csv = CsvTable({"task", "skill", "measure", "x_name", "family", "x", "y", "verdict", "p_adjusted", "at",
                       "at_low", "at_high"})};
  Panel panel{
      .title = "Score against what changes as experts are added", .x_log = true, .selector = "turning", .menu = "Test"};
  for (const TurningPoint& turn : in.study.fit.tasks.turning_points) {
    const std::string verdict = records::enum_name(turn.outcome), x = records::enum_name(turn.x);
    const std::string x_label = metric_label(turn.x == records::TurnAxis::train_loss ? "train.loss_final" : x);
    const Interval at = turn.at.value_or(Interval{});
    View view{.name = fmt::format("{}: {} over {}, {}: {}", turn.task, metric_label(turn.measure), x_label, turn.family,
                                  verdict),
              .y_label = metric_label(turn.measure),
              .x_label = x_label};
    Series series{.name = turn.family, .style = 0};
    for (const TurningPoint::Point& p : turn.points) {
      figure.csv.row({turn.task, turn.skill, turn.measure, x, turn.family, p.x, p.y, verdict, turn.p_adjusted,
                      at.estimate, at.low, at.high});
      if (std::isfinite(p.x) && std::isfinite(p.y)) series.points.push_back({p.x, p.y});
    }
    add_if_any(view, std::move(series));
    if (turn.at)
      view.marks.push_back({at.estimate, at.low, at.high, fmt::format("turning point at {:.3g}", at.estimate)});
    panel.views.push_back(std::move(view));
  }
  // What was found comes first.
  std::ranges::stable_partition(panel.views, [](const View& view) { return !view.marks.empty(); });
  figure.panels.push_back(std::move(panel));
  return figure;
}

std::string flops_text(double flops) {
  if (!(flops > 0)) return "?";
  const double power = std::floor(std::log10(flops) + 1e-9);
  return fmt::format("{:.1f}e{:.0f}", flops / std::pow(10.0, power), power);
}

}  // namespace moebius::report
