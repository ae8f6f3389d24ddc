// Points, curves, strips and tables for figures.
#include "report/figure_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/linear_statistics.h"
#include "base/units.h"

namespace moebius::records {
template <>
inline constexpr std::array kEnumNames<IntervalKind> = {"seeds", "items", "none"};
}  // namespace moebius::records

namespace moebius::report {

namespace {

// Six digits are more than a pixel; they keep the page small.
double rounded(double value) {
  if (!std::isfinite(value) || value == 0) return value;
  const double scale = std::pow(10.0, 5 - std::floor(std::log10(std::fabs(value))));
  return std::isfinite(scale) && scale > 0 ? std::round(value * scale) / scale : value;
}

std::string point_label(const RunRecords& run) {
  return run.dense() ? "dense" : fmt::format("E{:g}", run.config_number("experts"));
}

i64 style_in(const std::map<std::string, i64>& styles, const std::string& name) {
  const auto found = styles.find(name);
  return found == styles.end() ? 0 : found->second;
}

Json point_json(const FigurePoint& point) {
  Json json = Json::object({{"x", number_or_null(rounded(point.x))}, {"y", number_or_null(rounded(point.y))}});
  for (const auto& [key, value] : {std::pair{"low", point.low}, std::pair{"high", point.high},
                                   std::pair{"x_low", point.x_low}, std::pair{"x_high", point.x_high}}) {
    if (std::isfinite(value)) json.set(key, rounded(value));
  }
  if (!point.label.empty()) json.set("label", point.label);
  return json;
}

// The elements of `all`, each by `json_of`.
template <typename T, typename F>
Json array_of(const std::vector<T>& all, const F& json_of) {
  Json array = Json::array();
  for (const T& one : all) array.push_back(json_of(one));
  return array;
}

Json series_json(const Series& series) {
  Json json = Json::object({{"name", series.name},
                            {"group", series.group.empty() ? series.name : series.group},
                            {"style", series.style},
                            {"line", series.line},
                            {"marker", series.marker},
                            {"points", array_of(series.points, point_json)}});
  if (series.curve) json.set("curve", true);
  if (series.hollow) json.set("hollow", true);
  if (series.strong) json.set("strong", true);
  return json;
}

Json rule_json(const Rule& rule) { return Json::object({{"y", rule.y}, {"label", rule.label}}); }

// Numbers that are not finite are written as null.
Json mark_json(const Mark& mark) {
  return Json::object({{"x", mark.x}, {"low", mark.low}, {"high", mark.high}, {"label", mark.label}});
}

Json view_json(const View& view) {
  Json json = Json::object({{"name", view.name},
                            {"y_label", view.y_label},
                            {"series", array_of(view.series, series_json)},
                            {"rules", array_of(view.rules, rule_json)}});
  if (!view.x_label.empty()) json.set("x_label", view.x_label);
  if (!view.marks.empty()) json.set("marks", array_of(view.marks, mark_json));
  return json;
}

Json panel_json(const Panel& panel) {
  return Json::object({{"title", panel.title},
                       {"x_label", panel.x_label},
                       {"x_kind", panel.x_kind == XKind::tokens ? "tokens" : "number"},
                       {"x_log", panel.x_log},
                       {"bars", panel.bars},
                       {"selector", panel.selector},
                       {"views", array_of(panel.views, view_json)}});
}

Json strip_json(const HeatStrip& strip) {
  return Json::object({{"run", strip.run}, {"layers", Json(Json::Array(strip.layers.begin(), strip.layers.end()))}});
}

}  // namespace

CsvField::CsvField(double number) : text(std::isfinite(number) ? fmt::format("{}", number) : "") {}

void CsvTable::row(const std::vector<CsvField>& fields) {
  for (const CsvField& field : fields) text_ += (&field == fields.data() ? "" : ",") + csv_field(field.text);
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
  // Sorted by (dense first, width, k, tokens), so that styles do not depend on the order of the runs.
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

// Every run of the study has an entry; others look like the first.
i64 Styles::of(const RunRecords& run) const { return style_in(series_styles, series_of(run)); }
i64 Styles::of_curve(const RunRecords& run) const { return style_in(model_styles, run.model); }

namespace {

// The runs of a configuration that have both numbers.
struct SeedValues {
  std::vector<double> xs, ys, errors;
};

// The points of one figure or series. Their error bars share one deviation between seeds, pooled over all of them, so
// that seeds that are equal by luck do not make a bar of length zero.
class SeedPoints {
 public:
  SeedPoints(const std::vector<Configuration>& points, const std::string& x, const std::string& y)
      : points_(points), x_(x), y_(y) {
    for (const Configuration& point : points) {
      SeedValues seeds;
      for (const RunRecords* run : point.runs) {
        const Measured mx = metric_of(*run, x), my = metric_of(*run, y);
        if (!std::isfinite(mx.value) || !std::isfinite(my.value)) continue;
        seeds.xs.push_back(mx.value);
        seeds.ys.push_back(my.value);
        seeds.errors.push_back(my.se);
      }
      all_.push_back(std::move(seeds));
    }
  }

  // Adds the mean over the seeds of points[i] to `series` and to `csv`; nothing where no seed has both numbers.
  void add(std::size_t i, Series& series, CsvTable& csv) const {
    if (all_[i].ys.empty()) return;
    std::vector<double> weights;
    std::vector<std::vector<double>> values;
    for (std::size_t other = 0; other < all_.size(); ++other) {
      if (all_[other].ys.empty()) continue;
      weights.push_back(other == i ? 1 : 0);
      values.push_back(all_[other].ys);
    }
    const LinearEstimate mean = linear_estimate(weights, values, unpaired_item_se({1}, {all_[i].errors}));
    const Interval bar = mean.interval();
    const RunRecords& run = points_[i].first();
    const double at = mean_of(all_[i].xs);
    series.points.push_back({at, bar.estimate, bar.low, bar.high, point_label(run)});
    const double chance = records::chance_of(run, y_.substr(0, y_.rfind('.') + 1)).value;
    csv.row({points_[i].model, series.name, run.config_number("experts"), run.config_number("top_k"),
             run.config_number("d_model"), static_cast<double>(all_[i].ys.size()), x_, at, y_, bar.estimate, bar.low,
             bar.high, records::enum_name(mean.kind()), chance});
  }

 private:
  const std::vector<Configuration>& points_;
  const std::string &x_, &y_;
  std::vector<SeedValues> all_;
};

void sort_by_x(Series& series) { std::ranges::stable_sort(series.points, {}, &FigurePoint::x); }

}  // namespace

View view_of(const FigureInput& in, const std::string& x, const std::string& y, CsvTable& csv) {
  View view{.y_label = metric_label(y.starts_with("eval.") ? y.substr(y.rfind('.') + 1) : y)};
  std::map<i64, Series> by_style;
  const SeedPoints points(in.configurations, x, y);
  for (std::size_t i = 0; i < in.configurations.size(); ++i) {
    const Configuration& point = in.configurations[i];
    const i64 style = in.styles.of(point.first());
    Series& series = by_style[style];
    series.name = in.styles.series_of(point.first());
    series.style = style;
    points.add(i, series, csv);
  }
  for (auto& [style, series] : by_style) {
    sort_by_x(series);
    add_if_any(view, std::move(series));
  }
  return view;
}

Series series_of(const std::vector<Configuration>& points, const std::string& name, i64 style, const std::string& x,
                 const std::string& y, CsvTable& csv) {
  Series series{.name = name, .style = style};
  const SeedPoints seeds(points, x, y);
  for (std::size_t i = 0; i < points.size(); ++i) seeds.add(i, series, csv);
  sort_by_x(series);
  return series;
}

void add_if_any(View& view, Series series) {
  if (!series.points.empty()) view.series.push_back(std::move(series));
}

std::string skill_title(const std::string& skill) {
  if (skill.empty()) return "Other tasks";
  std::string title = skill;
  if (title[0] >= 'a' && title[0] <= 'z') title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

std::vector<std::string> skills_of(const std::vector<TaskPart>& parts) {
  std::vector<std::string> skills;
  for (const std::string skill : records::kEnumNames<records::Skill>) {
    if (std::ranges::any_of(parts, [&](const TaskPart& part) { return part.skill == skill; })) skills.push_back(skill);
  }
  return skills;
}

std::string part_title(const TaskPart& part) {
  return part.name + (part.part == "all" ? ", whole" : ", grade " + part.part);
}

void score_view_finish(const TaskPart& part, const std::string& score, View& view) {
  view.name = part_title(part);
  view.y_label = metric_label(score);
  if (std::isfinite(part.chance)) view.rules.push_back({part.chance, fmt::format("chance {:.3g}", part.chance)});
}

constexpr i64 kCurveWindows = 120;  // over the run

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

View score_curve_view(const FigureInput& in, const TaskPart& part, const std::string& key, CsvTable& csv) {
  View view{.y_label = metric_label(key)};
  for (const RunRecords* run : in.runs) {
    std::map<double, FigurePoint> by_tokens;
    for (const EvalRecord& eval : run->evals) {
      if (eval.name != part.name || eval.part != part.part || eval.kind != "task") continue;
      const double tokens = std::isfinite(eval.tokens) ? eval.tokens : run->number("tokens_total");
      const auto [value, se] = records::measured_in(eval.fields, key);
      if (std::isnan(value) || !std::isfinite(tokens)) continue;
      by_tokens[tokens] = {tokens, value, value - 1.96 * se, value + 1.96 * se};
    }
    if (by_tokens.size() < 2) continue;
    Series series{.name = run->name, .group = run->model, .style = in.styles.of_curve(*run)};
    for (const auto& [tokens, point] : by_tokens) {
      series.points.push_back(point);
      csv.row({run->name, run->model, run->text("seed"), tokens, part.name, part.part, key, point.y, point.low,
               point.high});
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
    std::vector<i64> cells;
    for (const Json& share : load->as_array()) {
      const double over_mean = share.is_number() ? share.as_double() * static_cast<double>(load->count()) : 0;
      csv.row({run.name, run.model, run.text("seed"), tokens, static_cast<double>(number),
               static_cast<double>(cells.size()), "load_over_mean", over_mean});
      cells.push_back(std::lround(100 * over_mean));
    }
    std::ranges::sort(cells, std::greater<>());
    strip.layers.push_back(std::move(cells));
    ++number;
  }
  return strip;
}

Json figure_json(const Figure& figure) {
  return Json::object({{"id", figure.id},
                       {"title", figure.title},
                       {"panels", array_of(figure.panels, panel_json)},
                       {"strips", array_of(figure.strips, strip_json)}});
}

}  // namespace moebius::report
