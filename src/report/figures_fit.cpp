// Laws and task laws as panels.
#include "report/figures_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/units.h"

namespace moebius::report {

namespace {

constexpr std::size_t kDrawn = 1500;          // points in one panel; the CSV has all
constexpr std::size_t kIntervalsDrawn = 300;  // more bars than this cover the points

std::string view_name(const FitLaw& law, const std::string& family) {
  std::string name = law.law;
  if (!family.empty() && family != "all runs") name += ", " + family;
  return knowledge_of(law.verdict) == Knowledge::none ? name + " (not determined)" : name;
}

std::string size_label(const std::string& column) {
  return column == "parameters_active" ? "active parameters" : "total parameters";
}

Series points_series(const std::vector<FitPoint>& points, const std::string& name, i64 style) {
  Series series{.name = name, .style = style, .line = false};
  for (const FitPoint& point : points) {
    if (point.x > 0 && std::isfinite(point.y)) series.points.push_back({.x = point.x, .y = point.y});
  }
  return series;
}

Series curve_series(const std::vector<FitPoint>& points, const std::string& name, i64 style) {
  Series series{.name = name, .style = style, .marker = false, .curve = true};
  for (const FitPoint& point : points) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
    series.points.push_back({.x = point.x, .y = point.y, .low = point.low, .high = point.high});
  }
  return series;
}

void add_if_any(View& view, Series series) {
  if (!series.points.empty()) view.series.push_back(std::move(series));
}

// ---- IsoFLOP

void isoflop_rows(const FitLaw& law, const FitGroup& group, CsvTable& csv) {
  const auto row = [&](const char* what, const std::string& run, const FitPoint& p, double low, double high) {
    csv.row({law.law, group.family, csv_number(group.compute), what, run, group.size_column, csv_number(p.x),
             csv_number(low), csv_number(high), csv_number(p.tokens), csv_number(p.y), csv_number(p.low),
             csv_number(p.high), what == std::string("optimum") ? group.optimum_verdict : ""});
  };
  for (const FitPoint& p : group.points) row("run", p.name, p, kUnknown, kUnknown);
  for (const FitPoint& p : group.curve) row("law", "", p, kUnknown, kUnknown);
  row("optimum", "", {.x = group.optimum.estimate, .y = group.optimum_loss}, group.optimum.low, group.optimum.high);
}

// A law's groups of one family.
View isoflop_view(const FitLaw& law, const std::string& family, CsvTable& csv) {
  View view{.name = view_name(law, family), .y_label = "loss, nats per token"};
  view.x_label = size_label(law.isoflop.front().size_column);
  Series optima{.name = "least loss of the law", .style = 7, .strong = true};
  i64 style = 0;
  for (const FitGroup& group : law.isoflop) {
    if (group.family != family) continue;
    isoflop_rows(law, group, csv);
    const std::string name = flops_text(group.compute) + " FLOPs";
    add_if_any(view, curve_series(group.curve, name, style));
    add_if_any(view, points_series(group.points, name, style));
    ++style;
    if (!group.has_optimum) continue;
    optima.points.push_back({.x = group.optimum.estimate,
                             .y = group.optimum_loss,
                             .label = format_count(group.optimum.estimate),
                             .x_low = group.optimum.low,
                             .x_high = group.optimum.high});
  }
  if (!optima.points.empty()) view.series.push_back(std::move(optima));
  return view;
}

std::vector<std::string> families_of(const std::vector<FitGroup>& groups) {
  std::vector<std::string> families;
  for (const FitGroup& group : groups) {
    if (std::find(families.begin(), families.end(), group.family) == families.end()) families.push_back(group.family);
  }
  return families;
}

// Why optima are missing; where there are many, how many, and an example.
std::string open_text(const std::vector<std::string>& open) {
  if (open.empty()) return "";
  if (open.size() == 1) return "An optimum that is not determined is not drawn: " + open.front() + ".";
  return fmt::format("{} optima that are not determined are not drawn (the CSV says why of each), like {}.",
                     open.size(), open.front());
}

Figure figure_isoflop(const FitRecords& fit) {
  Figure figure{.id = "law_isoflop", .title = "IsoFLOP curves"};
  CsvTable csv({"law", "family", "compute", "what", "run", "size_name", "size", "size_low", "size_high", "tokens",
                "loss", "loss_low", "loss_high", "verdict"});
  Panel panel{.x_log = true, .selector = "law", .menu = "Law", .tall = true};
  std::vector<std::string> open;
  std::string notes;
  for (const FitLaw& law : fit.laws) {
    for (const std::string& family : families_of(law.isoflop)) panel.views.push_back(isoflop_view(law, family, csv));
    for (const FitGroup& group : law.isoflop) {
      if (group.has_optimum) continue;
      open.push_back(fmt::format("{}, {} FLOPs: {}", view_name(law, group.family), flops_text(group.compute),
                                 group.optimum_verdict));
    }
    if (!law.isoflop_note.empty() && !law.isoflop.empty()) notes += fmt::format(" {}: {}.", law.law, law.isoflop_note);
  }
  panel.title = "Loss against size at equal training compute";
  figure.caption = fmt::format(
      "Runs of equal compute (points; equal within 15 %) and the law at that compute (lines; dotted: 95 % over bootstrap "
      "samples). Diamonds: the size with the law's least loss, with its 95 % interval. Size: what the law calls N. {}{}",
      open_text(open), notes);
  figure.panels.push_back(std::move(panel));
  figure.csv = csv.text();
  return figure;
}

// ---- sparsity

// Groups of one compute may differ in their tokens alone: then the name says these too.
std::string sparsity_name(const FitLaw& law, const FitGroup& group) {
  const auto name_of = [](const FitGroup& g) { return fmt::format("{}, {} FLOPs", g.family, flops_text(g.compute)); };
  const std::string name = name_of(group);
  const auto same =
      std::count_if(law.sparsity.begin(), law.sparsity.end(), [&](const FitGroup& g) { return name_of(g) == name; });
  return same > 1 ? fmt::format("{}, {} tokens", name, format_count(group.tokens)) : name;
}

Figure figure_sparsity(const FitRecords& fit) {
  Figure figure{.id = "law_sparsity", .title = "Sparsity against loss at fixed compute"};
  figure.caption =
      "Runs with equal compute, tokens and k that differ in the number of experts; the dense run of the same compute "
      "stands at 1. Sparsity = 1 - k/E: E/k of 2, 8, 32 is a sparsity of 0.5, 0.875, 0.969. Lines: the law, dotted: 95 % "
      "over bootstrap samples; a law that these runs do not determine has no line.";
  CsvTable csv({"law", "family", "compute", "tokens", "what", "run", "experts", "sparsity", "experts_per_active",
                "loss", "loss_low", "loss_high"});
  Panel panel{.title = "Loss against experts per active expert",
              .x_label = "E/k = 1 / (1 - sparsity)",
              .x_log = true,
              .selector = "law",
              .menu = "Law",
              .tall = true};
  for (const FitLaw& law : fit.laws) {
    View view{.name = view_name(law, ""), .y_label = "loss, nats per token"};
    i64 style = 0;
    for (const FitGroup& group : law.sparsity) {
      const std::string name = sparsity_name(law, group);
      Series runs = points_series(group.points, name, style);
      std::set<std::string> shown;  // one label for the seeds of a configuration
      for (std::size_t i = 0; i < runs.points.size() && runs.points.size() == group.points.size(); ++i) {
        const std::string label = group.points[i].experts > 1 ? fmt::format("E{:g}", group.points[i].experts) : "dense";
        if (shown.insert(label).second) runs.points[i].label = label;
      }
      add_if_any(view, std::move(runs));
      add_if_any(view, curve_series(group.curve, name, style));
      ++style;
      for (const auto& [what, points] : {std::pair{"run", &group.points}, std::pair{"law", &group.curve}}) {
        for (const FitPoint& p : *points) {
          csv.row({law.law, group.family, csv_number(group.compute), csv_number(group.tokens), what, p.name,
                   csv_number(p.experts), csv_number(1 - 1 / p.x), csv_number(p.x), csv_number(p.y), csv_number(p.low),
                   csv_number(p.high)});
        }
      }
    }
    panel.views.push_back(std::move(view));
  }
  figure.panels.push_back(std::move(panel));
  figure.csv = csv.text();
  return figure;
}

// ---- predicted against measured

struct PredictionViews {
  View predicted, residual;
};

void predictions_add(const FitLaw& law, PredictionViews& views, CsvTable& csv) {
  const std::string unit = law.quantity == "leverage" ? "leverage" : "loss, nats per token";
  views.predicted = {.name = view_name(law, ""), .y_label = "predicted " + unit};
  views.residual = {.name = view_name(law, ""), .y_label = "predicted - measured, %"};
  Series fitted{.name = "runs, as fitted", .style = 0, .line = false},
      held{.name = "held out", .style = 2, .line = false, .hollow = true};
  Series fitted_error = fitted, held_error = held;
  double low = INFINITY, high = -INFINITY;
  const std::size_t stride = 1 + (law.residuals.size() - 1) / kDrawn;
  for (std::size_t i = 0; i < law.residuals.size(); ++i) {
    const FitResidual& r = law.residuals[i];
    csv.row({law.law, r.run, csv_number(r.compute), csv_number(r.measured), csv_number(r.predicted), csv_number(r.low),
             csv_number(r.high), csv_number(100 * (r.predicted / r.measured - 1)), csv_number(r.held_out),
             csv_number(100 * (r.held_out / r.measured - 1))});
    if (i % stride != 0 || !std::isfinite(r.measured) || !std::isfinite(r.predicted)) continue;
    const bool bars = law.residuals.size() <= kIntervalsDrawn;
    const auto percent = [&](double value) { return 100 * (value / r.measured - 1); };
    low = std::fmin(low, std::fmin(r.measured, r.predicted));
    high = std::fmax(high, std::fmax(r.measured, r.predicted));
    fitted.points.push_back({r.measured, r.predicted, bars ? r.low : kUnknown, bars ? r.high : kUnknown});
    if (std::isfinite(r.held_out)) held.points.push_back({r.measured, r.held_out});
    if (!(r.compute > 0) || r.measured == 0) continue;
    fitted_error.points.push_back(
        {r.compute, percent(r.predicted), bars ? percent(r.low) : kUnknown, bars ? percent(r.high) : kUnknown});
    if (std::isfinite(r.held_out)) held_error.points.push_back({r.compute, percent(r.held_out)});
  }
  if (fitted.points.empty()) return;
  views.predicted.series.push_back({.name = "equal",
                                    .style = 7,
                                    .marker = false,
                                    .points = {{low, low}, {high, high}},
                                    .curve = true,
                                    .strong = true});
  add_if_any(views.predicted, std::move(fitted));
  add_if_any(views.predicted, std::move(held));
  add_if_any(views.residual, std::move(fitted_error));
  add_if_any(views.residual, std::move(held_error));
  views.residual.rules.push_back({0, ""});
}

Figure figure_predicted(const FitRecords& fit) {
  Figure figure{.id = "law_predicted", .title = "Predicted against measured"};
  figure.caption =
      "Left: every run as the law gives it; bars are 95 % over bootstrap samples (of the law's mean, not of a single run; "
      "left out above 300 runs). Right: the relative errors against training compute; a lean or a bend means that the form "
      "is wrong. Held out (hollow): predicted by a fit that had not seen the run.";
  CsvTable csv({"law", "run", "compute", "measured", "predicted", "predicted_low", "predicted_high", "error_percent",
                "held_out_predicted", "held_out_error_percent"});
  Panel left{.title = "Predicted against measured", .x_label = "measured", .selector = "law", .menu = "Law"};
  Panel right{.title = "Residuals", .x_label = "training FLOPs", .x_log = true, .selector = "law"};
  for (const FitLaw& law : fit.laws) {
    PredictionViews views;
    predictions_add(law, views, csv);
    left.views.push_back(std::move(views.predicted));
    right.views.push_back(std::move(views.residual));
  }
  figure.panels = {std::move(left), std::move(right)};
  figure.csv = csv.text();
  return figure;
}

// ---- task laws

View task_law_view(const FitTaskLaw& law, CsvTable& csv) {
  const char* known = knowledge_name(knowledge_of(law.verdict));
  View view{.name = fmt::format("{}: {} ({})", law.task, metric_label(law.measure), known),
            .y_label = metric_label(law.measure)};
  Series measured{.name = "configurations, measured", .style = 0, .line = false};
  Series predicted{.name = "the law at each one's own FLOPs and TPP", .style = 4, .line = false};
  const bool shown = knowledge_of(law.verdict) != Knowledge::none;
  for (const FitTaskPoint& p : law.points) {
    csv.row({law.task, law.skill, law.measure, "configuration", p.model, csv_number(p.train_loss), csv_number(p.flops),
             csv_number(p.tpp), csv_number(p.measured), csv_number(p.predicted), "", ""});
    if (std::isfinite(p.train_loss) && std::isfinite(p.measured)) measured.points.push_back({p.train_loss, p.measured});
    if (shown && std::isfinite(p.train_loss) && std::isfinite(p.predicted))
      predicted.points.push_back({p.train_loss, p.predicted});
  }
  for (const FitPoint& p : law.over_train_loss) {
    csv.row({law.task, law.skill, law.measure, "law", "", csv_number(p.x), "", "", "", csv_number(p.y),
             csv_number(p.low), csv_number(p.high)});
  }
  add_if_any(view, std::move(measured));
  if (!shown) return view;
  add_if_any(view, std::move(predicted));
  add_if_any(view, curve_series(law.over_train_loss, "the law at mean FLOPs and TPP", 1));
  if (std::isfinite(law.floor)) view.rules.push_back({law.floor, fmt::format("floor {:.3g}", law.floor)});
  return view;
}

Figure figure_task_laws(const FitRecords& fit) {
  Figure figure{.id = "task_laws", .title = "Task laws: training loss to scores"};
  figure.caption =
      "Points: means over the seeds of a configuration. Line: the law at the runs' mean FLOPs and TPP; dotted: its 95 % band "
      "(the law's mean, not a new run). Crosses: the law at each configuration's own FLOPs and TPP. A law that is not "
      "determined has points only; the table says why.";
  CsvTable csv({"task", "skill", "measure", "what", "model", "train_loss", "flops", "tpp", "measured", "predicted",
                "low", "high"});
  std::vector<std::string> skills;
  for (const FitTaskLaw& law : fit.task_laws) {
    if (std::find(skills.begin(), skills.end(), law.skill) == skills.end()) skills.push_back(law.skill);
  }
  for (const std::string& skill : skills) {
    Panel panel{
        .title = skill_title(skill), .x_label = "training loss, nats per token", .selector = skill, .menu = "measure"};
    if (skill.empty()) panel.selector = "other";
    for (const FitTaskLaw& law : fit.task_laws) {
      if (law.skill == skill) panel.views.push_back(task_law_view(law, csv));
    }
    // Scores before losses: they are what a law of tasks is asked for. But first those with a law.
    const auto is_score = [](const View& view) { return view.name.find("loss") == std::string::npos; };
    std::stable_partition(panel.views.begin(), panel.views.end(), is_score);
    std::stable_partition(panel.views.begin(), panel.views.end(),
                          [](const View& view) { return view.series.size() > 1; });
    if (panel.views.size() == 1) panel.title += ": " + panel.views.front().name;
    figure.panels.push_back(std::move(panel));
  }
  figure.csv = csv.text();
  return figure;
}

// ---- turning points

Figure figure_turning(const FitRecords& fit) {
  Figure figure{.id = "turning_points", .title = "Turning points"};
  figure.caption =
      "Means of configurations that differ in the number of experts alone. A turning point is drawn (vertical line, dotted: "
      "95 %) only where the test finds one after correction for the number of tests; the table gives every verdict.";
  CsvTable csv(
      {"task", "skill", "measure", "x_name", "family", "x", "y", "verdict", "p_adjusted", "at", "at_low", "at_high"});
  Panel panel{.x_log = true, .selector = "turning", .menu = "Test"};
  for (const FitTurn& turn : fit.turning_points) {
    const std::string verdict = turn.verdict.substr(0, turn.verdict.find(':'));
    View view{
        .name = fmt::format("{}: {} over {}, {}: {}", turn.task, metric_label(turn.measure),
                            metric_label(turn.x == "train_loss" ? "train.loss_final" : turn.x), turn.family, verdict),
        .y_label = metric_label(turn.measure)};
    view.x_label = metric_label(turn.x == "train_loss" ? "train.loss_final" : turn.x);
    Series series{.name = turn.family, .style = 0};
    for (const FitPoint& p : turn.points) {
      csv.row({turn.task, turn.skill, turn.measure, turn.x, turn.family, csv_number(p.x), csv_number(p.y), verdict,
               csv_number(turn.p_adjusted), csv_number(turn.found ? turn.at.estimate : kUnknown),
               csv_number(turn.found ? turn.at.low : kUnknown), csv_number(turn.found ? turn.at.high : kUnknown)});
      if (std::isfinite(p.x) && std::isfinite(p.y)) series.points.push_back({p.x, p.y});
    }
    add_if_any(view, std::move(series));
    if (turn.found)
      view.marks.push_back(
          {turn.at.estimate, turn.at.low, turn.at.high, fmt::format("turn at {:.3g}", turn.at.estimate)});
    panel.views.push_back(std::move(view));
  }
  // What was found comes first.
  std::stable_partition(panel.views.begin(), panel.views.end(), [](const View& view) { return !view.marks.empty(); });
  panel.title = "Score against what changes as experts are added";
  figure.panels.push_back(std::move(panel));
  figure.csv = csv.text();
  return figure;
}

}  // namespace

std::string flops_text(double flops) {
  if (!(flops > 0)) return "?";
  const double power = std::floor(std::log10(flops) + 1e-9);
  return fmt::format("{:.1f}e{:.0f}", flops / std::pow(10.0, power), power);
}

std::vector<Figure> figures_fit(const FitRecords& fit) {
  std::vector<Figure> figures;
  if (!fit.present) return figures;
  for (Figure& figure : std::vector<Figure>{figure_isoflop(fit), figure_sparsity(fit), figure_predicted(fit),
                                            figure_task_laws(fit), figure_turning(fit)}) {
    figure.of_laws = true;
    figures.push_back(std::move(figure));
  }
  return figures;
}

}  // namespace moebius::report
