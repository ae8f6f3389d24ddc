// Points, curves, strips and tables for figures.
#include "report/figure_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/units.h"

namespace moebius::report {

namespace {

// Six digits are more than a pixel; they keep the page small.
double rounded(double value) {
  if (!std::isfinite(value) || value == 0) return value;
  const double scale = std::pow(10.0, 5 - std::floor(std::log10(std::fabs(value))));
  return std::isfinite(scale) && scale > 0 ? std::round(value * scale) / scale : value;
}

const char* interval_kind_name(IntervalKind kind) {
  switch (kind) {
    case IntervalKind::seeds: return "seeds";
    case IntervalKind::items: return "items";
    case IntervalKind::none: return "none";
  }
  return "";
}

std::string point_label(const RunRecords& run) {
  return run.dense() ? "dense" : fmt::format("E{:g}", run.config_number("experts"));
}

Json point_json(const FigurePoint& point) {
  Json json = Json::object({{"x", number_or_null(rounded(point.x))}, {"y", number_or_null(rounded(point.y))}});
  if (std::isfinite(point.low)) json.set("low", rounded(point.low));
  if (std::isfinite(point.high)) json.set("high", rounded(point.high));
  if (std::isfinite(point.x_low)) json.set("x_low", rounded(point.x_low));
  if (std::isfinite(point.x_high)) json.set("x_high", rounded(point.x_high));
  if (!point.label.empty()) json.set("label", point.label);
  return json;
}

Json view_json(const View& view) {
  Json series = Json::array(), rules = Json::array();
  for (const Series& one : view.series) {
    Json points = Json::array();
    for (const FigurePoint& point : one.points) points.push_back(point_json(point));
    Json entry = Json::object({{"name", one.name},
                               {"group", one.group.empty() ? one.name : one.group},
                               {"style", one.style},
                               {"line", one.line},
                               {"marker", one.marker},
                               {"points", std::move(points)}});
    if (one.curve) entry.set("curve", true);
    if (one.hollow) entry.set("hollow", true);
    if (one.strong) entry.set("strong", true);
    series.push_back(std::move(entry));
  }
  for (const Rule& rule : view.rules) rules.push_back(Json::object({{"y", rule.y}, {"label", rule.label}}));
  Json json = Json::object(
      {{"name", view.name}, {"y_label", view.y_label}, {"series", std::move(series)}, {"rules", std::move(rules)}});
  if (!view.x_label.empty()) json.set("x_label", view.x_label);
  if (view.marks.empty()) return json;
  Json marks = Json::array();
  for (const Mark& mark : view.marks) {
    marks.push_back(Json::object({{"x", number_or_null(mark.x)},
                                  {"low", number_or_null(mark.low)},
                                  {"high", number_or_null(mark.high)},
                                  {"label", mark.label}}));
  }
  json.set("marks", std::move(marks));
  return json;
}

}  // namespace

void CsvTable::row(const std::vector<std::string>& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) text_ += ',';
    text_ += csv_field(fields[i]);
  }
  text_ += '\n';
}

CsvTable point_table() {
  return CsvTable({"model", "series", "experts", "top_k", "d_model", "seeds", "x_name", "x", "y_name", "y", "y_low",
                   "y_high", "interval_over", "chance"});
}

Styles::Styles(const std::vector<const RunRecords*>& runs) {
  std::set<double> widths, tokens;
  for (const RunRecords* run : runs) {
    const double width = run->config_number("d_model"), seen = run->number("tokens_total");
    if (std::isfinite(width)) widths.insert(width);
    if (seen > 0) tokens.insert(seen);
  }
  several_widths = widths.size() > 1;
  several_tokens = tokens.size() > 1 && *tokens.rbegin() > 1.02 * *tokens.begin();
  // Sorted by (dense first, width, k, tokens), so that the looks do not depend on the order of the runs.
  std::map<std::tuple<bool, double, double, double>, std::string> order;
  for (const RunRecords* run : runs) {
    const double width = several_widths ? run->config_number("d_model") : 0;
    const double top_k = run->dense() ? 0 : run->config_number("top_k");
    order.emplace(std::tuple{!run->dense(), width, top_k, several_tokens ? run->number("tokens_total") : 0},
                  series_of(*run));
    model_styles.emplace(run->model, 0);
  }
  for (const auto& [key, name] : order) series_styles.emplace(name, static_cast<i64>(series_styles.size()));
  i64 next = 0;
  std::set<std::string> seen;
  for (const RunRecords* run : runs) {
    if (seen.insert(run->model).second) model_styles[run->model] = next++;
  }
}

std::string Styles::series_of(const RunRecords& run) const {
  const std::string width = several_widths ? fmt::format("d = {:g}, ", run.config_number("d_model")) : "";
  const std::string tokens = several_tokens ? fmt::format(", {} tokens", format_count(run.number("tokens_total"))) : "";
  return width + (run.dense() ? "dense" : fmt::format("k = {:g}", run.config_number("top_k"))) + tokens;
}

i64 Styles::of(const RunRecords& run) const {
  const auto found = series_styles.find(series_of(run));
  return found == series_styles.end() ? 0 : found->second;
}

i64 Styles::of_curve(const RunRecords& run) const {
  const auto found = model_styles.find(run.model);
  return found == model_styles.end() ? 0 : found->second;
}

namespace {

// Adds the mean over the seeds of `point` to `series` and to `csv`; nothing where no seed has both numbers.
void point_add(const Configuration& point, const std::string& x, const std::string& y, Series& series, CsvTable& csv) {
  std::vector<double> xs, ys, errors;
  for (const RunRecords* run : point.runs) {
    const Measured mx = metric_of(*run, x), my = metric_of(*run, y);
    if (!std::isfinite(mx.value) || !std::isfinite(my.value)) continue;
    xs.push_back(mx.value);
    ys.push_back(my.value);
    errors.push_back(my.se);
  }
  if (xs.empty()) return;
  const SeedMean mean = seed_mean(ys, errors);
  const RunRecords& run = point.first();
  const double at = mean_of(xs);
  series.points.push_back({at, mean.interval.estimate, mean.interval.low, mean.interval.high, point_label(run)});
  const double chance = records::chance_of(run, y.substr(0, y.rfind('.') + 1)).value;
  csv.row({point.model, series.name, csv_number(run.config_number("experts")), csv_number(run.config_number("top_k")),
           csv_number(run.config_number("d_model")), csv_number(static_cast<double>(ys.size())), x, csv_number(at), y,
           csv_number(mean.interval.estimate), csv_number(mean.interval.low), csv_number(mean.interval.high),
           interval_kind_name(mean.kind), csv_number(chance)});
}

void sort_by_x(Series& series) {
  std::stable_sort(series.points.begin(), series.points.end(),
                   [](const FigurePoint& a, const FigurePoint& b) { return a.x < b.x; });
}

}  // namespace

View view_of(const Styles& styles, const std::vector<Configuration>& points, const std::string& x, const std::string& y,
             CsvTable& csv) {
  View view;
  view.y_label = metric_label(y.substr(0, 5) == "eval." ? y.substr(y.rfind('.') + 1) : y);
  std::map<i64, Series> by_style;
  for (const Configuration& point : points) {
    const i64 style = styles.of(point.first());
    Series& series = by_style[style];
    series.name = styles.series_of(point.first());
    series.style = style;
    point_add(point, x, y, series, csv);
  }
  for (auto& [style, series] : by_style) {
    if (series.points.empty()) continue;
    sort_by_x(series);
    view.series.push_back(std::move(series));
  }
  return view;
}

Series series_of(const std::vector<Configuration>& points, const std::string& name, i64 style, const std::string& x,
                 const std::string& y, CsvTable& csv) {
  Series series{.name = name, .style = style};
  for (const Configuration& point : points) point_add(point, x, y, series, csv);
  sort_by_x(series);
  return series;
}

std::string skill_title(const std::string& skill) {
  if (skill.empty()) return "Other tasks";
  std::string title = skill;
  if (title[0] >= 'a' && title[0] <= 'z') title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

std::vector<std::string> skills_of(const std::vector<TaskPart>& parts) {
  std::vector<std::string> skills;
  for (const std::string& skill : records::skill_names()) {
    if (std::any_of(parts.begin(), parts.end(), [&](const TaskPart& part) { return part.skill == skill; }))
      skills.push_back(skill);
  }
  return skills;
}

std::string part_title(const TaskPart& part, const std::string& score) {
  std::string title = part.name + (part.part == "all" ? ", whole" : ", " + part.part);
  if (part.scores().size() > 1 && !score.empty()) title += fmt::format(" ({})", metric_label(score));
  return title;
}

Series curve_of(const Styles& styles, const RunRecords& run, const std::function<double(const StepPoint&)>& value) {
  Series series{.name = run.name, .group = run.model, .style = styles.of_curve(run), .line = true, .marker = false};
  double tokens_max = run.number("tokens_total");
  for (const StepPoint& step : run.steps) {
    if (!(step.tokens <= tokens_max)) tokens_max = step.tokens;
  }
  if (!(tokens_max > 0)) return series;
  struct Window {
    double tokens = 0, sum = 0, count = 0;
  };
  std::vector<Window> windows(static_cast<std::size_t>(kCurveWindows));
  for (const StepPoint& step : run.steps) {
    const double y = value(step);
    if (!std::isfinite(y) || !(step.tokens >= 0)) continue;
    const i64 at = std::min(kCurveWindows - 1, static_cast<i64>(step.tokens / tokens_max * kCurveWindows));
    Window& window = windows[static_cast<std::size_t>(at)];
    window.tokens += step.tokens;
    window.sum += y;
    window.count += 1;
  }
  for (const Window& window : windows) {
    if (window.count > 0) series.points.push_back({.x = window.tokens / window.count, .y = window.sum / window.count});
  }
  return series;
}

View score_curve_view(const Styles& styles, const std::vector<const RunRecords*>& runs, const TaskPart& part,
                      const std::string& key, CsvTable& csv) {
  View view;
  view.y_label = metric_label(key);
  for (const RunRecords* run : runs) {
    std::map<double, FigurePoint> by_tokens;
    for (const EvalRecord& eval : run->evals) {
      if (eval.name != part.name || eval.part != part.part || eval.kind != "task") continue;
      const double tokens = std::isfinite(eval.tokens) ? eval.tokens : run->number("tokens_total");
      const Json* value = eval.fields.find(key);
      if (value == nullptr || !value->is_number() || !std::isfinite(tokens)) continue;
      const Json* se = eval.fields.find(key + "_se");
      const double half = se != nullptr && se->is_number() ? 1.96 * se->as_double() : kUnknown;
      by_tokens[tokens] = {tokens, value->as_double(), value->as_double() - half, value->as_double() + half, ""};
    }
    if (by_tokens.size() < 2) continue;
    Series series{.name = run->name, .group = run->model, .style = styles.of_curve(*run)};
    for (const auto& [tokens, point] : by_tokens) {
      series.points.push_back(point);
      csv.row({run->name, run->model, run->text("seed"), csv_number(tokens), part.name, part.part, key,
               csv_number(point.y), csv_number(point.low), csv_number(point.high)});
    }
    view.series.push_back(std::move(series));
  }
  return view;
}

HeatStrip strip_of(const RunRecords& run, CsvTable& csv) {
  HeatStrip strip{.run = run.name};
  const Json* layers = run.router.find("layers");
  if (layers == nullptr || !layers->is_array()) return strip;
  const double tokens = run.router.find("tokens") == nullptr ? kUnknown : run.router.get_double("tokens", kUnknown);
  i64 number = 0;
  for (const Json& layer : layers->as_array()) {
    const Json* load = layer.find("load");
    if (load == nullptr || !load->is_array() || load->count() == 0) continue;
    std::vector<double> cells;
    for (const Json& share : load->as_array()) {
      const double over_mean = share.is_number() ? share.as_double() * static_cast<double>(load->count()) : 0;
      csv.row({run.name, run.model, run.text("seed"), csv_number(tokens), csv_number(static_cast<double>(number)),
               csv_number(static_cast<double>(cells.size())), "load_over_mean", csv_number(over_mean)});
      cells.push_back(over_mean);
    }
    std::sort(cells.begin(), cells.end(), std::greater<>());
    strip.layers.push_back(std::move(cells));
    ++number;
  }
  return strip;
}

Json figure_json(const Figure& figure) {
  Json panels = Json::array(), strips = Json::array();
  for (const Panel& panel : figure.panels) {
    Json views = Json::array();
    for (const View& view : panel.views) views.push_back(view_json(view));
    panels.push_back(Json::object({{"title", panel.title},
                                   {"x_label", panel.x_label},
                                   {"x_kind", panel.x_kind == XKind::tokens ? "tokens" : "number"},
                                   {"x_log", panel.x_log},
                                   {"y_log", panel.y_log},
                                   {"bars", panel.bars},
                                   {"selector", panel.selector},
                                   {"views", std::move(views)}}));
  }
  for (const HeatStrip& strip : figure.strips) {
    Json layers = Json::array();
    for (const auto& cells : strip.layers) {
      Json row = Json::array();
      for (const double cell : cells) row.push_back(static_cast<i64>(std::lround(100 * cell)));
      layers.push_back(std::move(row));
    }
    strips.push_back(Json::object({{"run", strip.run}, {"layers", std::move(layers)}}));
  }
  return Json::object(
      {{"id", figure.id}, {"title", figure.title}, {"panels", std::move(panels)}, {"strips", std::move(strips)}});
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string csv_number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }

}  // namespace moebius::report
