// Which figures a report has (the table at the end), and those of runs.
#include "report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/check.h"
#include "report/figure_bench.h"
#include "report/figure_parts.h"
#include "report/figures_fit.h"

namespace moebius::report {

namespace {

constexpr std::size_t kBenchDrawn = 4;  // the latest records

constexpr const char* kBarsNote =
    "Bars are 95 % intervals: over seeds where a configuration has two or more, else over test items.";

// One panel with a single view of metric y against metric x.
Panel panel_simple(const Styles& styles, const std::vector<Configuration>& points, const std::string& title,
                   const std::string& x, const std::string& y, CsvTable& csv) {
  Panel panel;
  panel.title = title;
  panel.x_label = metric_label(x);
  panel.x_log = true;
  panel.views.push_back(view_of(styles, points, x, y, csv));
  return panel;
}

void keep(std::vector<Figure>& figures, Figure figure) {
  std::erase_if(figure.panels, [](Panel& panel) {
    std::erase_if(panel.views, [](const View& view) { return view.series.empty(); });
    return panel.views.empty();
  });
  if (!figure.panels.empty() || !figure.strips.empty() || !figure.svg.empty()) figures.push_back(std::move(figure));
}

Figure figure_loss_parameters(const StudyRecords& study, const Styles& styles,
                              const std::vector<Configuration>& points) {
  Figure figure{.id = "loss_parameters", .title = "Loss against total parameters"};
  figure.caption = fmt::format(
      "Loss at the end of the training against all parameters, embeddings included; one line for each number of active "
      "experts k{}. {} Training loss is the mean over the last 5 % of the tokens; held-out losses are over the same text for all. {}",
      styles.several_widths ? " and width d" : "",
      styles.several_tokens ? "Each line joins models trained on the same number of tokens."
                            : "All models saw the same tokens in the same order.",
      kBarsNote);
  CsvTable csv = point_table();
  figure.panels.push_back(panel_simple(styles, points, "Training loss", "parameters_total", "train.loss_final", csv));
  for (const TaskPart& part : loss_parts(study)) {
    figure.panels.push_back(panel_simple(styles, points, fmt::format("Held-out text: {}", part.part),
                                         "parameters_total", part.path(part.with_unit(records::Unit::bits_per_byte)),
                                         csv));
  }
  figure.csv = csv.text();
  return figure;
}

// Task loss on the left, accuracy on the right; both change with the selector of the skill.
void skill_panels(Figure& figure, const Styles& styles, const std::vector<Configuration>& points,
                  const std::vector<TaskPart>& parts, const std::string& skill, const std::string& x, bool x_log,
                  CsvTable& csv) {
  Panel loss, score;
  for (Panel* panel : {&loss, &score}) {
    panel->x_label = metric_label(x);
    panel->x_log = x_log;
    panel->selector = skill;
  }
  loss.title = fmt::format("{}: task loss", skill_title(skill));
  score.title = fmt::format("{}: score", skill_title(skill));
  for (const TaskPart& part : parts) {
    if (part.skill != skill) continue;
    std::vector<std::string> scores = part.scores();
    if (scores.empty()) scores.emplace_back();
    for (const std::string& key : scores) {
      if (!part.loss().empty()) {
        // The same loss beside every score, in the CSV only once.
        CsvTable unused = point_table();
        View view = view_of(styles, points, x, part.path(part.loss()), key == scores.front() ? csv : unused);
        view.name = part_title(part, key);
        loss.views.push_back(std::move(view));
      }
      if (key.empty()) continue;
      View view = view_of(styles, points, x, part.path(key), csv);
      view.name = part_title(part, key);
      if (std::isfinite(part.chance)) view.rules.push_back({part.chance, fmt::format("chance {:.3g}", part.chance)});
      score.views.push_back(std::move(view));
    }
  }
  figure.panels.push_back(std::move(loss));
  figure.panels.push_back(std::move(score));
}

Figure figure_tasks(const StudyRecords& study, const Styles& styles, const std::vector<Configuration>& points,
                    const std::string& id, const std::string& x, const std::string& title, const std::string& note) {
  Figure figure{.id = id, .title = title};
  figure.caption = fmt::format(
      "Loss on the answer tokens (left) and score (right) against {}. {} The dashed line is chance. The menu changes "
      "the "
      "task and its grade of difficulty. {}",
      metric_label(x), note, kBarsNote);
  CsvTable csv = point_table();
  const std::vector<TaskPart> parts = task_parts(study);
  for (const std::string& skill : skills_of(parts)) {
    skill_panels(figure, styles, points, parts, skill, x, x != "train.loss_final", csv);
  }
  figure.csv = csv.text();
  return figure;
}

Figure figure_knowledge(const StudyRecords& study, const Styles& styles, const std::vector<Configuration>& points) {
  Figure figure{.id = "knowledge", .title = "Knowledge in bits"};
  figure.caption = fmt::format(
      "Facts that a model knows, in bits: for every attribute of every person log2 of the number of values minus "
      "the "
      "model's cross-entropy of the true one, not below 0, summed. Left against total parameters, right against the "
      "training FLOPs of "
      "its active part. With few passes over the facts this shows how fast a model memorises, not its capacity "
      "(about 2 bits per parameter after many passes: Allen-Zhu and Li 2024). {}",
      kBarsNote);
  CsvTable csv = point_table();
  for (const std::string x : {"parameters_total", "flops_train"}) {
    Panel panel;
    panel.title = x == std::string("flops_train") ? "Against training FLOPs" : "Against total parameters";
    panel.x_label = metric_label(x);
    panel.x_log = true;
    panel.selector = "knowledge";
    for (const TaskPart& part : task_parts(study)) {
      if (part.with_unit(records::Unit::bits).empty()) continue;
      View view = view_of(styles, points, x, part.path(part.with_unit(records::Unit::bits)), csv);
      view.name = part_title(part, "");
      panel.views.push_back(std::move(view));
    }
    figure.panels.push_back(std::move(panel));
  }
  figure.csv = csv.text();
  return figure;
}

Figure figure_load(const Styles& styles, const std::vector<const RunRecords*>& runs) {
  Figure figure{.id = "expert_load", .title = "Expert load"};
  figure.caption =
      "Above: load of the busiest expert divided by the mean, in the worst layer, during training (1 is perfect "
      "balance). Below: "
      "the last measured load of every expert (first seed), one row per layer from first to last, experts sorted "
      "by load; white "
      "is an unused expert, mid grey the mean, black three times the mean or more. A model with dead experts is "
      "smaller than "
      "its name suggests.";
  CsvTable csv({"run", "model", "seed", "tokens", "layer", "expert", "measure", "value"});
  Panel panel;
  panel.title = "Busiest expert over the mean";
  panel.x_label = "tokens seen";
  panel.x_kind = XKind::tokens;
  View view;
  view.y_label = "expert load, max / mean";
  for (const RunRecords* run : runs) {
    if (run->dense()) continue;
    Series series = curve_of(styles, *run, [](const StepPoint& step) { return step.load_max_over_mean; });
    for (const FigurePoint& point : series.points) {
      csv.row({run->name, run->model, run->text("seed"), csv_number(point.x), "", "", "max_over_mean",
               csv_number(point.y)});
    }
    if (!series.points.empty()) view.series.push_back(std::move(series));
  }
  panel.views.push_back(std::move(view));
  figure.panels.push_back(std::move(panel));
  std::set<std::string> shown;  // one strip a configuration: the first seed
  for (const RunRecords* run : runs) {
    if (shown.contains(run->model)) continue;
    HeatStrip strip = strip_of(*run, csv);
    if (strip.layers.empty()) continue;
    shown.insert(run->model);
    figure.strips.push_back(std::move(strip));
  }
  figure.csv = csv.text();
  return figure;
}

Figure figure_curves(const Styles& styles, const std::vector<const RunRecords*>& runs) {
  Figure figure{.id = "learning_curves", .title = "Learning curves"};
  figure.caption =
      "Training loss of all runs against tokens seen, averaged over windows of equal numbers of tokens. Right: the "
      "second half, "
      "enlarged.";
  CsvTable csv({"run", "model", "seed", "tokens", "loss"});
  Panel whole, tail;
  whole.title = "Training loss";
  tail.title = "Training loss, second half";
  View all, late;
  for (const RunRecords* run : runs) {
    Series series = curve_of(styles, *run, [](const StepPoint& step) { return step.loss; });
    if (series.points.empty()) continue;
    for (const FigurePoint& point : series.points) {
      csv.row({run->name, run->model, run->text("seed"), csv_number(point.x), csv_number(point.y)});
    }
    Series second = series;
    const double half = 0.5 * series.points.back().x;
    std::erase_if(second.points, [&](const FigurePoint& point) { return point.x < half; });
    all.series.push_back(std::move(series));
    late.series.push_back(std::move(second));
  }
  for (auto [panel, view] : {std::pair{&whole, &all}, std::pair{&tail, &late}}) {
    panel->x_label = "tokens seen";
    panel->x_kind = XKind::tokens;
    view->y_label = "loss, nats per token";
    panel->views.push_back(std::move(*view));
    figure.panels.push_back(std::move(*panel));
  }
  figure.csv = csv.text();
  return figure;
}

// Scores during the training, where they were measured more than once.
Figure figure_score_curves(const StudyRecords& study, const Styles& styles,
                           const std::vector<const RunRecords*>& runs) {
  Figure figure{.id = "score_curves", .title = "Scores during training"};
  figure.caption =
      "Scores of the evaluations during training, against tokens seen. The dashed line is chance. Bars are 95 "
      "% "
      "intervals over test items.";
  CsvTable csv({"run", "model", "seed", "tokens", "task", "grade", "measure", "value", "low", "high"});
  const std::vector<TaskPart> parts = task_parts(study);
  for (const std::string& skill : skills_of(parts)) {
    Panel panel;
    panel.title = skill_title(skill);
    panel.x_label = "tokens seen";
    panel.x_kind = XKind::tokens;
    panel.selector = skill;
    for (const TaskPart& part : parts) {
      if (part.skill != skill) continue;
      for (const std::string& key : part.scores()) {
        View view = score_curve_view(styles, runs, part, key, csv);
        view.name = part_title(part, key);
        if (std::isfinite(part.chance)) view.rules.push_back({part.chance, fmt::format("chance {:.3g}", part.chance)});
        panel.views.push_back(std::move(view));
      }
    }
    figure.panels.push_back(std::move(panel));
  }
  figure.csv = csv.text();
  return figure;
}

Figure figure_cost(const Styles& styles, const std::vector<const RunRecords*>& runs) {
  Figure figure{.id = "cost", .title = "Speed and time"};
  figure.caption =
      "Share of this machine's roof (model FLOPs per second over the measured peak of bf16 products), "
      "tokens per second and wall time of each run's training. Runs of equal FLOPs differ in time, since more "
      "experts mean more memory traffic.";
  CsvTable csv({"run", "model", "seed", "measure", "value"});
  const std::vector<std::pair<std::string, std::string>> measures = {{"train.roof_share", "share of the roof, %"},
                                                                     {"train.tokens_per_s", "tokens per second"},
                                                                     {"train.seconds", "training time, s"}};
  for (const auto& [path, label] : measures) {
    Panel panel;
    panel.title = label;
    panel.bars = true;
    View view;
    view.y_label = label;
    Series series{.name = label, .style = styles.of(*runs.front()), .line = false};
    for (const RunRecords* run : runs) {
      const double value = metric_of(*run, path).value * (path == "train.roof_share" ? 100 : 1);
      if (!std::isfinite(value)) continue;
      series.points.push_back({.x = static_cast<double>(series.points.size()), .y = value, .label = run->name});
      csv.row({run->name, run->model, run->text("seed"), path.substr(6), csv_number(metric_of(*run, path).value)});
    }
    if (!series.points.empty()) view.series.push_back(std::move(series));
    panel.views.push_back(std::move(view));
    figure.panels.push_back(std::move(panel));
  }
  figure.csv = csv.text();
  return figure;
}

// What the builders take.
struct FigureInput {
  explicit FigureInput(const StudyRecords& study)
      : study(study),
        runs(study.main_runs()),
        done(study.done_runs()),
        configurations(configurations_of(done)),
        styles(runs) {}
  const StudyRecords& study;
  const std::vector<const RunRecords*> runs, done;
  const std::vector<Configuration> configurations;  // of the runs that are done
  const Styles styles;
};

// The latest records have a figure each.
template <typename Record>
std::vector<Figure> figures_of_latest(const std::vector<Record>& records,
                                      Figure (*figure)(const Record&, std::size_t)) {
  std::vector<Figure> figures;
  for (std::size_t i = records.size() - std::min(records.size(), kBenchDrawn); i < records.size(); ++i)
    figures.push_back(figure(records[i], i));
  return figures;
}

// What a figure needs.
enum class Needs { runs, done_runs, configurations, bench_train, bench_grid, bench_operation, fit };

bool has(const FigureInput& in, Needs needs) {
  switch (needs) {
    case Needs::runs: return !in.runs.empty();
    case Needs::done_runs: return !in.done.empty();
    case Needs::configurations: return in.study.is_study && !in.configurations.empty();
    case Needs::bench_train: return !in.study.steps.empty();
    case Needs::bench_grid: return !in.study.grids.empty();
    case Needs::bench_operation: return !in.study.operations.empty();
    case Needs::fit: return in.study.has_fit;
  }
  return false;
}

using Figures = std::vector<Figure>;

struct FigureRow {
  const char* id;  // of the figure; with several figures their common prefix
  Needs needs;
  Figures (*build)(const FigureInput& in);
};

// All figures, in the report's order. A new one is a function, in a file of its own, and a row here.
const FigureRow kFigures[] = {
    {"loss_parameters", Needs::configurations,
     [](const FigureInput& in) { return Figures{figure_loss_parameters(in.study, in.styles, in.configurations)}; }},
    {"task_train_loss", Needs::configurations,
     [](const FigureInput& in) {
       return Figures{figure_tasks(in.study, in.styles, in.configurations, "task_train_loss", "train.loss_final",
                                   "Tasks against training loss",
                                   "Where points of all sparsities fall on one curve, the training loss alone predicts "
                                   "the task; where they separate, sparsity itself matters.")};
     }},
    {"task_tpp", Needs::configurations,
     [](const FigureInput& in) {
       return Figures{figure_tasks(in.study, in.styles, in.configurations, "task_tpp", "tpp",
                                   "Tasks against tokens per parameter",
                                   "TPP counts total parameters: at equal tokens it falls as experts are added.")};
     }},
    {"task_flops", Needs::configurations,
     [](const FigureInput& in) {
       return Figures{figure_tasks(in.study, in.styles, in.configurations, "task_flops", "flops_train",
                                   "Tasks against active FLOPs",
                                   "FLOPs are those of the whole training by Megatron's formula; models of one k and "
                                   "width that differ only in E have nearly the same FLOPs.")};
     }},
    {"equal_loss", Needs::configurations,
     [](const FigureInput& in) { return Figures{figure_equal_loss(in.study, in.configurations, in.study.fit)}; }},
    {"knowledge", Needs::configurations,
     [](const FigureInput& in) { return Figures{figure_knowledge(in.study, in.styles, in.configurations)}; }},
    {"learning_curves", Needs::runs, [](const FigureInput& in) { return Figures{figure_curves(in.styles, in.runs)}; }},
    {"score_curves", Needs::runs,
     [](const FigureInput& in) { return Figures{figure_score_curves(in.study, in.styles, in.runs)}; }},
    {"expert_load", Needs::runs, [](const FigureInput& in) { return Figures{figure_load(in.styles, in.runs)}; }},
    {"cost", Needs::done_runs, [](const FigureInput& in) { return Figures{figure_cost(in.styles, in.done)}; }},
    {"bench", Needs::bench_train, [](const FigureInput& in) { return figures_of_latest(in.study.steps, figure_step); }},
    {"grid", Needs::bench_grid, [](const FigureInput& in) { return figures_of_latest(in.study.grids, figure_grid); }},
    {"operations", Needs::bench_operation,
     [](const FigureInput& in) { return Figures{figure_operations(in.study.operations)}; }},
    {"law_isoflop", Needs::fit, [](const FigureInput& in) { return Figures{figure_isoflop(in.study.fit)}; }},
    {"law_sparsity", Needs::fit, [](const FigureInput& in) { return Figures{figure_sparsity(in.study.fit)}; }},
    {"law_predicted", Needs::fit, [](const FigureInput& in) { return Figures{figure_predicted(in.study.fit)}; }},
    {"task_laws", Needs::fit, [](const FigureInput& in) { return Figures{figure_task_laws(in.study.fit)}; }},
    {"turning_points", Needs::fit, [](const FigureInput& in) { return Figures{figure_turning(in.study.fit)}; }},
};

}  // namespace

std::vector<Figure> figures_build(const StudyRecords& study) {
  const FigureInput in(study);
  Figures figures;
  for (const FigureRow& row : kFigures) {
    if (!has(in, row.needs)) continue;
    for (Figure& figure : row.build(in)) {
      CHECK(figure.id.starts_with(row.id), "a figure has the id of its row");
      figure.of_laws = row.needs == Needs::fit;
      keep(figures, std::move(figure));
    }
  }
  return figures;
}

}  // namespace moebius::report
