// Looking up metric paths in the records of a run.
#include "report/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"

namespace moebius::report {

namespace {

// "eval.NAME.PART.KEY" cut at its first and last dot: names and parts may hold dots themselves.
struct EvalPath {
  std::string test;  // "NAME.PART"
  std::string key;
};

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

// False when a piece is missing.
bool eval_path_split(const std::string& path, EvalPath& out) {
  const std::size_t key_begin = path.rfind('.');
  if (key_begin < 5) return false;
  out.test = path.substr(5, key_begin - 5);
  out.key = path.substr(key_begin + 1);
  const std::size_t dot = out.test.find('.');
  return dot != std::string::npos && dot > 0 && dot + 1 < out.test.size() && !out.key.empty();
}

Measure measure_in(const Json& fields, const std::string& key) {
  const auto number = [&](const std::string& wanted) {
    const Json* value = fields.find(wanted);
    return value != nullptr && value->is_number() ? value->as_double() : kUnknown;
  };
  return {number(key), number(key + "_se")};
}

const std::map<std::string, std::string>& labels() {
  static const std::map<std::string, std::string> table = {
      {"parameters_total", "total parameters"},
      {"parameters_active", "active parameters"},
      {"flops_per_token_megatron", "FLOPs per token (Megatron's formula)"},
      {"flops_per_token_6n", "FLOPs per token (6N)"},
      {"flops_train", "active training FLOPs"},
      {"tpp", "tokens per total parameter (TPP)"},
      {"sparsity", "sparsity, 1 - k/E"},
      {"tokens_total", "training tokens"},
      {"learning_rate", "peak learning rate"},
      {"train.loss_final", "training loss, nats per token"},
      {"train.tokens_per_s", "tokens per second"},
      {"train.seconds", "training time, s"},
      {"load.max_over_mean", "expert load, max / mean"},
      {"load.dead_experts", "dead experts"},
      {"config.experts", "experts E"},
      {"config.top_k", "experts per token k"},
      {"config.d_model", "width d"},
      {"acc", "accuracy"},
      {"acc_norm", "accuracy (length-normalised)"},
      {"exact_match", "exact match"},
      {"task_loss", "task loss, nats per answer token"},
      {"task_bits_per_byte", "task loss, bits per answer byte"},
      {"knowledge_bits", "knowledge, bits"},
      {"knowledge_share", "knowledge, share of all bits"},
      {"loss", "loss, nats per token"},
      {"bits_per_byte", "bits per byte"},
  };
  return table;
}

std::string label_of(const std::string& key) {
  const auto found = labels().find(key);
  if (found != labels().end()) return found->second;
  std::string text = key;
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

Measure load_measure(const RunRecords& run, const std::string& key) {
  if (run.dense()) return {};
  for (auto step = run.steps.rbegin(); step != run.steps.rend(); ++step) {
    const double value = key == "max_over_mean" ? step->load_max_over_mean : step->dead_experts;
    if (value == value) return {value, kUnknown};
  }
  return {};
}

// Puts the parts that study.json names first, in its order.
void order_by_study(const StudyRecords& study, std::vector<TaskPart>& parts) {
  std::map<std::string, i64> rank;
  const Json* evaluations = study.study.find("evaluations");
  if (evaluations != nullptr && evaluations->is_array()) {
    for (const Json& entry : evaluations->as_array()) rank.emplace(entry.get_string("name", ""), rank.size());
  }
  const auto rank_of = [&](const TaskPart& part) {
    const auto found = rank.find(part.name);
    return found == rank.end() ? static_cast<i64>(rank.size()) : found->second;
  };
  std::stable_sort(parts.begin(), parts.end(), [&](const TaskPart& a, const TaskPart& b) {
    if (rank_of(a) != rank_of(b)) return rank_of(a) < rank_of(b);
    return a.name == b.name && a.part == "all" && b.part != "all";  // the whole before its grades
  });
}

TaskPart& part_for(std::vector<TaskPart>& parts, const EvalRecord& eval) {
  for (TaskPart& part : parts) {
    if (part.name == eval.name && part.part == eval.part) return part;
  }
  // All parts of one name stand together.
  auto at = parts.end();
  for (auto it = parts.begin(); it != parts.end(); ++it) {
    if (it->name == eval.name) at = it + 1;
  }
  TaskPart part;
  part.name = eval.name;
  part.part = eval.part;
  part.skill = eval.skill;
  return *parts.insert(at, std::move(part));
}

}  // namespace

void metric_check(const std::string& path, const std::string& where) {
  EvalPath pieces;
  const bool is_eval = starts_with(path, "eval.");
  if (!path.empty() && (!is_eval || eval_path_split(path, pieces))) return;
  throw Error({.where = where,
               .what = fmt::format("'{}' names no metric", path),
               .wanted = "like eval.facts.all.acc, train.loss_final, config.experts or parameters_total",
               .fix = "docs/report.md lists the metric paths"});
}

Measure chance_in(const Json& fields) {
  const Measure best = measure_in(fields, "chance_best");
  return best.known() ? best : measure_in(fields, "chance");
}

Measure chance_of(const RunRecords& run, const std::string& part_path) {
  const Measure best = metric_of(run, part_path + "chance_best");
  return best.known() ? best : metric_of(run, part_path + "chance");
}

Measure metric_of(const RunRecords& run, const std::string& path) {
  if (starts_with(path, "eval.")) {
    EvalPath pieces;
    if (!eval_path_split(path, pieces)) return {};
    const EvalRecord* eval = run.eval_final(pieces.test);
    return eval == nullptr ? Measure{} : measure_in(eval->fields, pieces.key);
  }
  if (starts_with(path, "train.")) return measure_in(run.train_end, path.substr(6));
  if (starts_with(path, "load.")) return load_measure(run, path.substr(5));
  if (starts_with(path, "config.")) return {run.config_number(path.substr(7)), kUnknown};
  if (path == "flops_train") return {run.number("flops_per_token_megatron") * run.number("tokens_total"), kUnknown};
  return {run.number(path), kUnknown};
}

std::string metric_label(const std::string& path) {
  EvalPath pieces;
  if (starts_with(path, "eval.") && eval_path_split(path, pieces)) {
    const std::size_t dot = pieces.test.rfind('.');
    const std::string name = pieces.test.substr(0, dot), part = pieces.test.substr(dot + 1);
    return fmt::format("{}{}: {}", name, part == "all" ? "" : ", " + part, label_of(pieces.key));
  }
  return label_of(path);
}

bool metric_is_loss(const std::string& path) {
  const std::string key = path.substr(path.rfind('.') + 1);
  return key.find("loss") != std::string::npos || key.find("bits_per_byte") != std::string::npos;
}

std::vector<TaskPart> task_parts(const StudyRecords& study) {
  std::vector<TaskPart> parts;
  for (const RunRecords* run : study.main_runs()) {
    for (const EvalRecord& eval : run->evals) {
      if (eval.kind != "task") continue;
      TaskPart& part = part_for(parts, eval);
      for (const char* score : {"acc", "exact_match", "acc_norm"}) {
        const bool listed = std::find(part.scores.begin(), part.scores.end(), score) != part.scores.end();
        if (!listed && measure_in(eval.fields, score).known()) part.scores.emplace_back(score);
      }
      part.has_loss |= measure_in(eval.fields, "task_loss").known();
      part.has_bits |= measure_in(eval.fields, "knowledge_bits").known();
      if (part.chance != part.chance) part.chance = chance_in(eval.fields).value;
      part.items = std::max(part.items, eval.fields.get_int("items", 0));
    }
  }
  order_by_study(study, parts);
  return parts;
}

std::vector<TaskPart> loss_parts(const StudyRecords& study) {
  std::vector<TaskPart> parts;
  for (const RunRecords* run : study.main_runs()) {
    for (const EvalRecord& eval : run->evals) {
      if (eval.kind == "loss") part_for(parts, eval).has_loss = true;
    }
  }
  order_by_study(study, parts);
  return parts;
}

std::vector<Point> points_of(const std::vector<const RunRecords*>& runs) {
  std::vector<Point> points;
  for (const RunRecords* run : runs) {
    auto at = std::find_if(points.begin(), points.end(), [&](const Point& point) { return point.model == run->model; });
    if (at == points.end()) at = points.insert(points.end(), Point{.model = run->model, .runs = {}});
    at->runs.push_back(run);
  }
  return points;
}

i64 seeds_min(const std::vector<Point>& points) {
  i64 least = points.empty() ? 0 : static_cast<i64>(points.front().runs.size());
  for (const Point& point : points) least = std::min(least, static_cast<i64>(point.runs.size()));
  return least;
}

}  // namespace moebius::report
