// Reading fit.json key by key, with the way to each value for messages.
#include "report/fit_load.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "base/error.h"

namespace moebius::report {

namespace {

// A value of the file and where it stands; the value is missing where the file has none (or null).
class Node {
 public:
  Node(const Json* json, std::string file, std::string path)
      : json_(json != nullptr && json->is_null() ? nullptr : json), file_(std::move(file)), path_(std::move(path)) {}

  bool there() const { return json_ != nullptr; }

  Node operator[](const std::string& key) const {
    if (json_ != nullptr && !json_->is_object()) wrong("an object");
    return {json_ == nullptr ? nullptr : json_->find(key), file_, path_.empty() ? key : path_ + "." + key};
  }

  double number() const {
    if (json_ == nullptr) return kUnknown;
    if (!json_->is_number() || !std::isfinite(json_->as_double())) wrong("a finite number, or null");
    return json_->as_double();
  }

  std::string text() const {
    if (json_ == nullptr) return "";
    if (!json_->is_string()) wrong("a text");
    return json_->as_string();
  }

  bool flag() const {
    if (json_ == nullptr) return false;
    if (!json_->is_bool()) wrong("true or false");
    return json_->as_bool();
  }

  std::vector<Node> items() const {
    std::vector<Node> nodes;
    if (json_ == nullptr) return nodes;
    if (!json_->is_array()) wrong("an array");
    if (json_->count() > kFitEntriesMax) wrong(fmt::format("at most {} entries", kFitEntriesMax));
    for (const Json& one : json_->as_array())
      nodes.emplace_back(&one, file_, fmt::format("{}[{}]", path_, nodes.size()));
    return nodes;
  }

  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (const Node& node : items()) all.push_back(node.text());
    return all;
  }

  std::vector<std::pair<std::string, Node>> members() const {
    std::vector<std::pair<std::string, Node>> all;
    if (json_ == nullptr) return all;
    if (!json_->is_object()) wrong("an object");
    for (const auto& [key, value] : json_->as_object()) all.emplace_back(key, Node(&value, file_, path_ + "." + key));
    return all;
  }

  // {value, low, high}
  Interval interval() const { return {(*this)["value"].number(), (*this)["low"].number(), (*this)["high"].number()}; }

  // [low, high]
  Interval ends(double estimate) const {
    const std::vector<Node> both = items();
    if (both.empty()) return {estimate, kUnknown, kUnknown};
    if (both.size() != 2) wrong("two numbers");
    return {estimate, both[0].number(), both[1].number()};
  }

 private:
  [[noreturn]] void wrong(const std::string& wanted) const {
    std::string got = json_->is_array() ? fmt::format("an array of {}", json_->count()) : json_->dump().substr(0, 60);
    throw Error({.where = file_,
                 .what = fmt::format("'{}' has a wrong form", path_),
                 .wanted = wanted,
                 .got = std::move(got),
                 .fix = "docs/formats.md says what fit.json holds; 'moebius fit --out' and 'moebius study' write it"});
  }

  const Json* json_;
  std::string file_, path_;
};

std::vector<FitCoefficient> coefficients_of(const Node& node) {
  std::vector<FitCoefficient> all;
  for (const auto& [name, one] : node.members()) {
    all.push_back({name, one.interval(), one["determined"].flag(), one["note"].text()});
  }
  return all;
}

FitPoint curve_point(const Node& node, const char* x, const char* y) {
  return {.x = node[x].number(),
          .y = node[y].number(),
          .low = node["low"].number(),
          .high = node["high"].number(),
          .tokens = node["tokens"].number(),
          .experts = node["experts"].number()};
}

FitGroup isoflop_of(const Node& node) {
  FitGroup group;
  group.family = node["family"].text();
  group.size_column = node["size_column"].text();
  group.compute = node["compute"].number();
  for (const Node& point : node["points"].items()) {
    group.points.push_back(curve_point(point, "size", "loss"));
    group.points.back().name = point["run"].text();
  }
  for (const Node& point : node["curve"].items()) group.curve.push_back(curve_point(point, "size", "loss"));
  const Node optimum = node["optimum"];
  group.has_optimum = optimum["determined"].flag();
  group.optimum = optimum["size"].interval();
  group.optimum_loss = optimum["loss"].number();
  group.optimum_verdict = optimum["verdict"].text();
  return group;
}

FitPoint sparsity_point(const Node& node) {
  FitPoint point = curve_point(node, "sparsity", "loss");
  if (point.x < 1) point.x = 1 / (1 - point.x);
  point.name = node["run"].text();
  return point;
}

FitGroup sparsity_of(const Node& node) {
  FitGroup group;
  group.family = node["family"].text();
  group.compute = node["compute"].number();
  group.tokens = node["tokens"].number();
  for (const Node& point : node["points"].items()) group.points.push_back(sparsity_point(point));
  for (const Node& point : node["curve"].items()) group.curve.push_back(sparsity_point(point));
  return group;
}

std::vector<FitResidual> residuals_of(const Node& law) {
  std::vector<FitResidual> all;
  std::map<std::string, double> errors;
  const std::vector<std::string> names = law["holdout"]["runs"].texts();
  const std::vector<Node> values = law["holdout"]["errors"].items();
  for (std::size_t i = 0; i < names.size() && i < values.size(); ++i) errors[names[i]] = values[i].number();
  const std::vector<Node> intervals = law["curves"]["predicted_95"].items();
  for (const Node& node : law["residuals"].items()) {
    FitResidual one;
    one.run = node["run"].text();
    one.measured = node["measured"].number();
    one.predicted = node["predicted"].number();
    one.compute = node["compute"].number();
    if (all.size() < intervals.size()) {
      const Interval interval = intervals[all.size()].ends(one.predicted);
      one.low = interval.low;
      one.high = interval.high;
    }
    const auto error = errors.find(one.run);
    if (error != errors.end()) one.held_out = one.measured * (1 + error->second);
    all.push_back(one);
  }
  return all;
}

FitLaw law_of(const Node& node) {
  FitLaw law;
  law.law = node["law"].text();
  law.formula = node["formula"].text();
  law.source = node["source"].text();
  law.meaning = node["meaning"].text();
  law.quantity = node["quantity"].text();
  law.verdict = node["verdict"].text();
  law.notes = node["notes"].texts();
  law.coefficients = coefficients_of(node["coefficients"]);
  law.objective = node["objective"].number();
  law.holdout_error = node["holdout_error"].number();
  law.holdout_kind = node["holdout"]["kind"].text();
  law.aic = node["aic"].number();
  law.runs = node["runs"].number();
  law.residuals = residuals_of(node);
  const Node curves = node["curves"];
  law.isoflop_note = curves["isoflop_note"].text();
  law.sparsity_note = curves["sparsity_note"].text();
  for (const Node& group : curves["isoflop"].items()) law.isoflop.push_back(isoflop_of(group));
  for (const Node& group : curves["sparsity"].items()) law.sparsity.push_back(sparsity_of(group));
  return law;
}

FitTaskLaw task_law_of(const Node& node) {
  FitTaskLaw law;
  law.task = node["task"].text();
  law.skill = node["skill"].text();
  law.measure = node["measure"].text();
  law.link = node["link"].text();
  law.verdict = node["verdict"].text();
  law.notes = node["notes"].texts();
  law.coefficients = coefficients_of(node["coefficients"]);
  law.floor = node["floor"].number();
  law.ceiling = node["ceiling"].number();
  law.holdout_error = node["holdout_error"].number();
  law.holdout_error_constant = node["holdout_error_constant"].number();
  for (const Node& point : node["points"].items()) {
    law.points.push_back({point["model"].text(), point["train_loss"].number(), point["flops"].number(),
                          point["tpp"].number(), point["measured"].number(), point["predicted"].number()});
  }
  const Node curves = node["curves"];
  for (const Node& p : curves["over_train_loss"].items()) law.over_train_loss.push_back(curve_point(p, "x", "value"));
  for (const Node& p : curves["over_flops"].items()) law.over_flops.push_back(curve_point(p, "x", "value"));
  law.train_loss_at = curves["at"]["train_loss"].number();
  return law;
}

FitTurn turn_of(const Node& node) {
  FitTurn turn;
  turn.task = node["task"].text();
  turn.skill = node["skill"].text();
  turn.measure = node["measure"].text();
  turn.direction = node["direction"].text();
  turn.x = node["x"].text();
  turn.family = node["family"].text();
  turn.shape = node["shape"].text();
  turn.verdict = node["verdict"].text();
  turn.found = node["found"].flag();
  turn.p_adjusted = node["p_adjusted"].number();
  turn.tests = node["tests"].number();
  turn.at = node["at"].interval();
  for (const Node& point : node["points"].items()) {
    turn.points.push_back(
        {.name = fmt::format("{:g} runs", point["runs"].number()), .x = point["x"].number(), .y = point["y"].number()});
  }
  return turn;
}

FitChoice choice_of(const Node& node) {
  FitChoice choice;
  choice.loss = node["loss"].number();
  choice.parameters_total = node["parameters_total"].number();
  choice.parameters_active.estimate = node["parameters_active"].number();
  choice.tokens = node["tokens"].number();
  choice.experts = node["experts"].number();
  choice.top_k = node["top_k"].number();
  choice.d_model = node["d_model"].number();
  choice.layers = node["layers"].number();
  return choice;
}

FitRecommended recommended_of(const Node& node) {
  FitRecommended recommended;
  recommended.present = node.there();
  recommended.verdict = node["verdict"].text();
  recommended.law = node["law"].text();
  recommended.compute = node["compute"].number();
  recommended.reasons = node["reasons"].texts();
  recommended.has_model = node["model"].there();
  recommended.model = choice_of(node["model"]);
  for (const Node& law : node["laws"].items()) {
    FitChoice choice = choice_of(law["optimum"]);
    choice.law = law["law"].text();
    choice.reason = law["reason"].text();
    choice.parameters_active = law["parameters_active_95"].ends(choice.parameters_active.estimate);
    recommended.choices.push_back(std::move(choice));
  }
  return recommended;
}

}  // namespace

Knowledge knowledge_of(const std::string& verdict) {
  if (verdict.rfind("determined", 0) == 0) return Knowledge::determined;
  return verdict.rfind("partly determined", 0) == 0 ? Knowledge::partly : Knowledge::none;
}

const char* knowledge_name(Knowledge knowledge) {
  switch (knowledge) {
    case Knowledge::determined: return "determined";
    case Knowledge::partly: return "partly determined";
    case Knowledge::none: return "not determined";
  }
  return "?";
}

FitRecords fit_parse(const Json& json, const std::string& where) {
  const Node top(&json, where, "");
  FitRecords fit;
  fit.present = true;
  fit.data = top["data"].texts();
  for (const Node& law : top["laws"].items()) fit.laws.push_back(law_of(law));
  // `moebius fit --law NAME` writes one law's object as the top.
  if (!top["laws"].there() && top["formula"].there()) fit.laws.push_back(law_of(top));
  for (const Node& one : top["skipped"].items()) fit.skipped.emplace_back(one["law"].text(), one["reason"].text());
  fit.comparison_verdict = top["comparison"]["verdict"].text();
  for (const Node& law : top["task_laws"].items()) fit.task_laws.push_back(task_law_of(law));
  for (const Node& turn : top["turning_points"].items()) fit.turning_points.push_back(turn_of(turn));
  fit.left_out = top["left_out"].texts();
  fit.recommended = recommended_of(top["recommended"]);
  return fit;
}

FitRecords fit_load(const std::string& path) { return fit_parse(Json::parse_file(path), path); }

}  // namespace moebius::report
