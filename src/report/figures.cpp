// Which figures a report has (the table at the end), and those of runs.
#include "report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "report/figure_bench.h"
#include "report/figure_parts.h"

namespace moebius::report {

namespace {

constexpr std::size_t kBenchDrawn = 4;  // the latest records

constexpr const char* kBarsNote =
    "Bars are 95 % intervals: over seeds if a configuration has at least two, otherwise over test items.";

// One panel with a single view of metric y against metric x.
void panel_add(const FigureInput& in, const std::string& title, const std::string& x, const std::string& y,
               Figure& figure) {
  figure.panels.push_back(
      {.title = title, .x_label = metric_label(x), .x_log = true, .views = {view_of(in, x, y, figure.csv)}});
}

// Adds the figure without the panels and views that have nothing to show.
void keep(std::vector<Figure>& figures, Figure figure) {
  std::erase_if(figure.panels, [](Panel& panel) {
    std::erase_if(panel.views, [](const View& view) { return view.series.empty(); });
    for (View& view : panel.views) {
      for (Series& series : view.series) series.line &= series.curve || series.points.size() > 2;  // two show no trend
    }
    return panel.views.empty();
  });
  if (!figure.panels.empty() || !figure.strips.empty() || !figure.svg.empty()) figures.push_back(std::move(figure));
}

Figure figure_loss_parameters(const FigureInput& in) {
  Figure figure{.id = "loss_parameters", .title = "Loss against total parameters", .csv = point_table()};
  figure.caption = fmt::format(
      "Loss at the end of training against all parameters, embeddings included; one line for each number of active "
      "experts k{}. {} Training loss is the mean over the last 5 % of the tokens; held-out losses are over the same text for all models. {}",
      in.styles.several_widths ? " and width d" : "",
      in.styles.several_tokens ? "Each line joins models trained on the same number of tokens."
                               : "All models of one seed saw the same tokens in the same order.",
      kBarsNote);
  panel_add(in, "Training loss", "parameters_total", "train.loss_final", figure);
  for (const TaskPart& part : loss_parts(in.study)) {
    panel_add(in, fmt::format("Held-out text: {}", part.part), "parameters_total",
              part.path(part.with_unit(records::Unit::bits_per_byte)), figure);
  }
  return figure;
}

// The figures of tasks differ in what they are drawn against.
struct TaskAxis {
  const char *id, *x, *title, *note;
};
constexpr TaskAxis kTaskAxes[] = {
    {"task_train_loss", "train.loss_final", "Tasks against training loss",
     "Where points of all sparsities fall on one curve, the training loss alone predicts the task; where they separate, "
     "sparsity itself matters."},
    {"task_tpp", "tpp", "Tasks against tokens per parameter",
     "TPP counts total parameters, so at equal tokens it falls as experts are added."},
    {"task_flops", "flops_train", "Tasks against active FLOPs",
     "FLOPs of the whole training run by Megatron's formula; models of one k and width that differ only in E have "
     "nearly the same FLOPs."}};

// Task loss on the left, score on the right; both change with the selector of the skill.
void skill_panels(const FigureInput& in, const std::vector<TaskPart>& parts, const std::string& skill,
                  const TaskAxis& axis, Figure& figure) {
  Panel loss{.title = skill_title(skill) + ": task loss",
             .x_label = metric_label(axis.x),
             .x_log = axis.x != std::string("train.loss_final"),
             .selector = skill};
  Panel score = loss;
  score.title = skill_title(skill) + ": score";
  for (const TaskPart& part : parts) {
    if (part.skill != skill) continue;
    const std::string key = part.score();
    if (!part.loss().empty()) {
      View& view = loss.views.emplace_back(view_of(in, axis.x, part.path(part.loss()), figure.csv));
      view.name = part_title(part);
    }
    if (key.empty()) continue;
    View& view = score.views.emplace_back(view_of(in, axis.x, part.path(key), figure.csv));
    score_view_finish(part, key, view);
  }
  figure.panels.push_back(std::move(loss));
  figure.panels.push_back(std::move(score));
}

std::vector<Figure> figures_of_tasks(const FigureInput& in) {
  std::vector<Figure> figures;
  const std::vector<TaskPart> parts = task_parts(in.study);
  for (const TaskAxis& axis : kTaskAxes) {
    Figure& figure = figures.emplace_back(Figure{.id = axis.id, .title = axis.title, .csv = point_table()});
    figure.caption = fmt::format(
        "Loss on the answer tokens (left) and score (right) against {}. {} The dashed line is chance. The menu changes "
        "the task and its grade of difficulty. {}",
        metric_label(axis.x), axis.note, kBarsNote);
    for (const std::string& skill : skills_of(parts)) skill_panels(in, parts, skill, axis, figure);
  }
  return figures;
}

Figure figure_knowledge(const FigureInput& in) {
  Figure figure{.id = "knowledge", .title = "Knowledge in bits", .csv = point_table()};
  figure.caption = fmt::format(
      "Facts that a model knows, in bits: for every attribute of every person log2 of the number of values minus the "
      "model's cross-entropy of the true one, not below 0, summed. Left against total parameters, right against the "
      "training FLOPs of its active part. With few passes over the facts this shows how fast a model memorises, not its "
      "capacity (about 2 bits per parameter after many passes: Allen-Zhu and Li 2024). {}",
      kBarsNote);
  for (const auto& [x, title] : {std::pair{"parameters_total", "Against total parameters"},
                                 std::pair{"flops_train", "Against training FLOPs"}}) {
    Panel panel{.title = title, .x_label = metric_label(x), .x_log = true, .selector = "knowledge"};
    for (const TaskPart& part : task_parts(in.study)) {
      const std::string bits = part.with_unit(records::Unit::bits);
      if (bits.empty()) continue;
      panel.views.push_back(view_of(in, x, part.path(bits), figure.csv));
      panel.views.back().name = part_title(part);
    }
    figure.panels.push_back(std::move(panel));
  }
  return figure;
}

Panel panel_over_tokens(const std::string& title, const std::string& y_label) {
  return {.title = title, .x_label = "tokens seen", .x_kind = XKind::tokens, .views = {View{.y_label = y_label}}};
}

Figure figure_load(const FigureInput& in) {
  Figure figure{
      .id = "expert_load",
      .title = "Expert load",
      .caption =
          "Above: load of the busiest expert divided by the mean, in the worst layer, during training (1 is perfect "
          "balance). Below: the last measured load of every expert (first seed), one row per layer from first to last, "
          "experts sorted by load; white is an unused expert, mid grey the mean, black three times the mean or more. A "
          "model with dead experts is smaller than its name suggests.",
      .csv = CsvTable({"run", "model", "seed", "tokens", "layer", "expert", "measure", "value"})};
  Panel panel = panel_over_tokens("Busiest expert over the mean", "expert load, max / mean");
  for (const RunRecords* run : in.runs) {
    if (run->dense()) continue;
    Series series = curve_of(in.styles, *run, [](const StepPoint& step) { return step.load_max_over_mean; });
    for (const FigurePoint& point : series.points) {
      figure.csv.row({run->name, run->model, run->text("seed"), point.x, "", "", "max_over_mean", point.y});
    }
    add_if_any(panel.views[0], std::move(series));
  }
  figure.panels.push_back(std::move(panel));
  std::set<std::string> shown;  // one strip a configuration: the first seed
  for (const RunRecords* run : in.runs) {
    if (shown.contains(run->model)) continue;
    HeatStrip strip = strip_of(*run, figure.csv);
    if (strip.layers.empty()) continue;
    shown.insert(run->model);
    figure.strips.push_back(std::move(strip));
  }
  return figure;
}

Figure figure_curves(const FigureInput& in) {
  Figure figure{.id = "learning_curves",
                .title = "Learning curves",
                .caption =
                    "Training loss of all runs against tokens seen, averaged over windows of equal numbers of "
                    "tokens. Right: the second half, enlarged.",
                .csv = CsvTable({"run", "model", "seed", "tokens", "loss"})};
  Panel whole = panel_over_tokens("Training loss", "loss, nats per token");
  Panel tail = panel_over_tokens("Training loss, second half", "loss, nats per token");
  for (const RunRecords* run : in.runs) {
    Series series = curve_of(in.styles, *run, [](const StepPoint& step) { return step.loss; });
    if (series.points.empty()) continue;
    for (const FigurePoint& point : series.points) {
      figure.csv.row({run->name, run->model, run->text("seed"), point.x, point.y});
    }
    whole.views[0].series.push_back(series);
    const double half = 0.5 * series.points.back().x;
    std::erase_if(series.points, [&](const FigurePoint& point) { return point.x < half; });
    tail.views[0].series.push_back(std::move(series));
  }
  figure.panels = {std::move(whole), std::move(tail)};
  return figure;
}

// Scores during the training, where they were measured more than once.
Figure figure_score_curves(const FigureInput& in) {
  Figure figure{
      .id = "score_curves",
      .title = "Scores during training",
      .caption =
          "Scores of the evaluations during training, against tokens seen. The dashed line is chance. "
          "Runs with fewer than three evaluations are shown as points. Bars are 95 % intervals over test items.",
      .csv = CsvTable({"run", "model", "seed", "tokens", "task", "grade", "measure", "value", "low", "high"})};
  const std::vector<TaskPart> parts = task_parts(in.study);
  for (const std::string& skill : skills_of(parts)) {
    Panel panel{.title = skill_title(skill), .x_label = "tokens seen", .x_kind = XKind::tokens, .selector = skill};
    for (const TaskPart& part : parts) {
      if (part.skill != skill) continue;
      const std::string key = part.score();
      if (key.empty()) continue;
      panel.views.push_back(score_curve_view(in, part, key, figure.csv));
      score_view_finish(part, key, panel.views.back());
    }
    figure.panels.push_back(std::move(panel));
  }
  return figure;
}

Figure figure_cost(const FigureInput& in) {
  Figure figure{.id = "cost",
                .title = "Speed and time",
                .caption =
                    "Share of this machine's roof (model FLOPs per second over the measured peak of bf16 products), "
                    "tokens per second and wall time of each run's training.",
                .csv = CsvTable({"run", "model", "seed", "measure", "value"})};
  for (const auto& [measure, label] :
       {std::pair{"roof_share", "share of the roof, %"}, std::pair{"tokens_per_s", "tokens per second"},
        std::pair{"seconds", "training time, s"}}) {
    View view{.y_label = label};
    Series series{.name = label, .style = in.styles.of(*in.done.front()), .line = false};
    for (const RunRecords* run : in.done) {
      const double value = metric_of(*run, std::string("train.") + measure).value;
      if (!std::isfinite(value)) continue;
      series.points.push_back({.x = static_cast<double>(series.points.size()),
                               .y = value * (measure == std::string("roof_share") ? 100 : 1),
                               .label = run->name});
      figure.csv.row({run->name, run->model, run->text("seed"), measure, value});
    }
    add_if_any(view, std::move(series));
    figure.panels.push_back({.title = label, .bars = true, .views = {std::move(view)}});
  }
  return figure;
}

using Figures = std::vector<Figure>;

// A builder of one figure, as a row of the table has it.
template <Figure (*build)(const FigureInput&)>
Figures one(const FigureInput& in) {
  return {build(in)};
}

// The latest records have a figure each.
template <typename Record>
Figures figures_of_latest(const std::vector<Record>& records, Figure (*figure)(const Record&, std::size_t)) {
  Figures figures;
  for (std::size_t i = records.size() - std::min(records.size(), kBenchDrawn); i < records.size(); ++i)
    figures.push_back(figure(records[i], i));
  return figures;
}

// What a figure needs.
bool has_runs(const FigureInput& in) { return !in.runs.empty(); }
bool has_done_runs(const FigureInput& in) { return !in.done.empty(); }
bool has_configurations(const FigureInput& in) { return in.study.is_study && !in.configurations.empty(); }
bool has_steps(const FigureInput& in) { return !in.study.steps.empty(); }
bool has_grids(const FigureInput& in) { return !in.study.grids.empty(); }
bool has_operations(const FigureInput& in) { return !in.study.operations.empty(); }
bool has_fit(const FigureInput& in) { return in.study.has_fit; }

struct FigureRow {
  const char* id;  // of the figure; with several figures their common prefix
  bool (*needs)(const FigureInput& in);
  Figures (*build)(const FigureInput& in);
};

// All figures, in the report's order. A new one is a function, in a file of its own, and a row here.
const FigureRow kFigures[] = {
    {"loss_parameters", has_configurations, one<figure_loss_parameters>},
    {"task_", has_configurations, figures_of_tasks},
    {"equal_loss", has_configurations, one<figure_equal_loss>},
    {"knowledge", has_configurations, one<figure_knowledge>},
    {"learning_curves", has_runs, one<figure_curves>},
    {"score_curves", has_runs, one<figure_score_curves>},
    {"expert_load", has_runs, one<figure_load>},
    {"cost", has_done_runs, one<figure_cost>},
    {"bench", has_steps, [](const FigureInput& in) { return figures_of_latest(in.study.steps, figure_step); }},
    {"grid", has_grids, [](const FigureInput& in) { return figures_of_latest(in.study.grids, figure_grid); }},
    {"operations", has_operations,
     [](const FigureInput& in) { return Figures{figure_operations(in.study.operations)}; }},
    {"law_isoflop", has_fit, one<figure_isoflop>},
    {"law_sparsity", has_fit, one<figure_sparsity>},
    {"law_predicted", has_fit, one<figure_predicted>},
    {"task_laws", has_fit, one<figure_task_laws>},
    {"turning_points", has_fit, one<figure_turning>},
};

}  // namespace

std::vector<Figure> figures_build(const StudyRecords& study) {
  const FigureInput in(study);
  Figures figures;
  for (const FigureRow& row : kFigures) {
    if (!row.needs(in)) continue;
    for (Figure& figure : row.build(in)) {
      CHECK(figure.id.starts_with(row.id), "a figure has the id of its row");
      figure.of_laws = row.needs == has_fit;
      keep(figures, std::move(figure));
    }
  }
  return figures;
}

}  // namespace moebius::report
