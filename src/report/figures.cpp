// Which figures a report has and what stands in them.
#include "report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "report/figure_bench.h"
#include "report/figure_parts.h"
#include "report/figures_fit.h"

namespace moebius::report {

namespace {

constexpr std::size_t kBenchDrawn = 4;  // the latest records

constexpr const char* kBarsNote =
    "Bars are 95 % intervals: over seeds where a configuration has two or more, else over test items.";

// One panel with a single view of metric y against metric x.
Panel panel_simple(const Styles& styles, const std::vector<Point>& points, const std::string& title,
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

Figure figure_loss_parameters(const StudyRecords& study, const Styles& styles, const std::vector<Point>& points) {
  Figure figure{.id = "loss_parameters", .title = "Loss against total parameters"};
  figure.caption = fmt::format(
      "Loss at the end of the training against all parameters, embeddings included; one line for each number of active "
      "experts k{}. {} Training loss is the mean over the last 5 % of the tokens; held-out losses are over the same text "
      "for all. {}",
      styles.several_widths ? " and width d" : "",
      styles.several_tokens ? "Each line holds models that saw equally many tokens."
                            : "All models saw the same tokens in the same order.",
      kBarsNote);
  CsvTable csv = point_table();
  figure.panels.push_back(panel_simple(styles, points, "Training loss", "parameters_total", "train.loss_final", csv));
  for (const TaskPart& part : loss_parts(study)) {
    figure.panels.push_back(panel_simple(styles, points, fmt::format("Held-out text: {}", part.part),
                                         "parameters_total",
                                         fmt::format("eval.{}.{}.bits_per_byte", part.name, part.part), csv));
  }
  figure.csv = csv.text();
  return figure;
}

std::vector<std::string> skills_of(const std::vector<TaskPart>& parts) {
  std::vector<std::string> skills;
  for (const char* skill : {"memorisation", "reasoning", "knowledge", "language"}) {
    if (std::any_of(parts.begin(), parts.end(), [&](const TaskPart& p) { return p.skill == skill; })) {
      skills.emplace_back(skill);
    }
  }
  return skills;
}

// Task loss on the left, accuracy on the right; both change with the selector of the skill.
void skill_panels(Figure& figure, const Styles& styles, const std::vector<Point>& points,
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
    const std::string path = fmt::format("eval.{}.{}.", part.name, part.part);
    std::vector<std::string> scores = part.scores;
    if (scores.empty()) scores.emplace_back();
    for (const std::string& key : scores) {
      if (part.has_loss) {
        // The same loss beside every score, in the CSV only once.
        CsvTable unused = point_table();
        View view = view_of(styles, points, x, path + "task_loss", key == scores.front() ? csv : unused);
        view.name = part_title(part, key);
        loss.views.push_back(std::move(view));
      }
      if (key.empty()) continue;
      View view = view_of(styles, points, x, path + key, csv);
      view.name = part_title(part, key);
      if (std::isfinite(part.chance)) view.rules.push_back({part.chance, fmt::format("chance {:.3g}", part.chance)});
      score.views.push_back(std::move(view));
    }
  }
  figure.panels.push_back(std::move(loss));
  figure.panels.push_back(std::move(score));
}

Figure figure_tasks(const StudyRecords& study, const Styles& styles, const std::vector<Point>& points,
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

Figure figure_knowledge(const StudyRecords& study, const Styles& styles, const std::vector<Point>& points) {
  Figure figure{.id = "knowledge", .title = "Knowledge in bits"};
  figure.caption = fmt::format(
      "Bits of the facts that a model holds: for every attribute of every person log2 of the number of values minus "
      "the "
      "model's cross-entropy of the true one, not below 0, summed. Left against total parameters, right against the "
      "training FLOPs of "
      "its active part. With few passes over the facts this shows how fast a model memorises, not how much it could "
      "hold (about 2 bits a parameter after many passes: Allen-Zhu and Li 2024). {}",
      kBarsNote);
  CsvTable csv = point_table();
  for (const std::string x : {"parameters_total", "flops_train"}) {
    Panel panel;
    panel.title = x == std::string("flops_train") ? "against training FLOPs" : "against total parameters";
    panel.x_label = metric_label(x);
    panel.x_log = true;
    panel.selector = "knowledge";
    for (const TaskPart& part : task_parts(study)) {
      if (!part.has_bits) continue;
      View view = view_of(styles, points, x, fmt::format("eval.{}.{}.knowledge_bits", part.name, part.part), csv);
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
      "Above: assignments of the busiest expert over the mean, in the worst layer, over the training (1 is perfect "
      "balance). Below: "
      "the last measured load of every expert (first seed), one row a layer from the first to the last, experts sorted "
      "by load; white "
      "is an expert without work, mid grey the mean, black three times the mean or more. A model with dead experts is "
      "smaller than "
      "its name says.";
  CsvTable csv({"run", "model", "seed", "tokens", "layer", "expert", "measure", "value"});
  Panel panel;
  panel.title = "Busiest expert over the mean";
  panel.x_label = "tokens seen";
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
      "Training loss against tokens seen, all runs, averaged over windows of equal numbers of tokens. Right: the "
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
  Figure figure{.id = "score_curves", .title = "Scores during the training"};
  figure.caption =
      "Scores of the evaluations made during the training, against tokens seen. The dashed line is chance. Bars are 95 "
      "% "
      "intervals over test items.";
  CsvTable csv({"run", "model", "seed", "tokens", "task", "grade", "measure", "value", "low", "high"});
  const std::vector<TaskPart> parts = task_parts(study);
  for (const std::string& skill : skills_of(parts)) {
    Panel panel;
    panel.title = skill_title(skill);
    panel.x_label = "tokens seen";
    panel.selector = skill;
    for (const TaskPart& part : parts) {
      if (part.skill != skill) continue;
      for (const std::string& key : part.scores) {
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

void figures_of_runs(const StudyRecords& study, std::vector<Figure>& figures) {
  const std::vector<const RunRecords*> with_data = study.main_runs(), done = study.done_runs();
  const Styles styles(with_data);
  const std::vector<Point> points = points_of(done);
  if (study.is_study && !points.empty()) {
    keep(figures, figure_loss_parameters(study, styles, points));
    keep(figures,
         figure_tasks(study, styles, points, "task_train_loss", "train.loss_final", "Tasks against training loss",
                      "Where points of all sparsities fall on one curve, the training loss alone says how "
                      "well the task goes; where they part, sparsity itself matters."));
    keep(figures, figure_tasks(study, styles, points, "task_tpp", "tpp", "Tasks against tokens per parameter",
                               "TPP counts total parameters: at equal tokens it falls as experts are added."));
    keep(figures,
         figure_tasks(study, styles, points, "task_flops", "flops_train", "Tasks against active FLOPs",
                      "FLOPs are those of the whole training by Megatron's formula; models of one k and width that "
                      "differ only in E stand nearly above each other."));
    keep(figures, figure_equal_loss(study, points, study.fit));
    keep(figures, figure_knowledge(study, styles, points));
  }
  keep(figures, figure_curves(styles, with_data));
  keep(figures, figure_score_curves(study, styles, with_data));
  keep(figures, figure_load(styles, with_data));
  if (!done.empty()) keep(figures, figure_cost(styles, done));
}

}  // namespace

std::vector<Figure> figures_build(const StudyRecords& study) {
  std::vector<Figure> figures;
  if (!study.main_runs().empty()) figures_of_runs(study, figures);
  const auto first = [](std::size_t records) { return records - std::min(records, kBenchDrawn); };
  for (std::size_t i = first(study.steps.size()); i < study.steps.size(); ++i)
    keep(figures, figure_step(study.steps[i], i));
  for (std::size_t i = first(study.grids.size()); i < study.grids.size(); ++i)
    keep(figures, figure_grid(study.grids[i], i));
  if (!study.operations.empty()) keep(figures, figure_operations(study.operations));
  for (Figure& figure : figures_fit(study.fit)) keep(figures, std::move(figure));
  return figures;
}

}  // namespace moebius::report
