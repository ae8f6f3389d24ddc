// Looking up metric paths in the records of a run.
#include "records/metric.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/error.h"

namespace moebius::records {

namespace {

std::string label_of(const std::string& key) {
  static const std::map<std::string, std::string> labels = {
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
      {"step_loss", "loss of the steps' results, nats per token"},
      {"task_bits_per_byte", "task loss, bits per answer byte"},
      {"knowledge_bits", "knowledge, bits"},
      {"knowledge_share", "knowledge, share of all bits"},
      {"loss", "loss, nats per token"},
      {"bits_per_byte", "bits per byte"},
  };
  const auto found = labels.find(key);
  if (found != labels.end()) return found->second;
  std::string text = key;
  std::ranges::replace(text, '_', ' ');
  return text;
}

Measured load_measure(const RunRecords& run, const std::string& key) {
  if (run.dense()) return {};
  for (auto step = run.steps.rbegin(); step != run.steps.rend(); ++step) {
    const double value = key == "max_over_mean" ? step->load_max_over_mean : step->dead_experts;
    if (value == value) return {value, kUnknown};
  }
  return {};
}

// Without "ln ".
Measured plain_metric(const RunRecords& run, const std::string& path) {
  if (const auto pieces = eval_path(path)) {
    const EvalRecord* eval = run.eval_final(pieces->test);
    return eval == nullptr ? Measured{} : measured_in(eval->fields, pieces->key);
  }
  if (path.starts_with("train.")) return measured_in(run.train_end, path.substr(6));
  if (path.starts_with("load.")) return load_measure(run, path.substr(5));
  if (path.starts_with("config.")) return {run.config_number(path.substr(7)), kUnknown};
  if (path == "flops_train") return {run.number("flops_per_token_megatron") * run.number("tokens_total"), kUnknown};
  return {run.number(path), kUnknown};
}

}  // namespace

bool metric_is_log(const std::string& path) { return path.starts_with("ln "); }

std::string metric_plain(const std::string& path) { return metric_is_log(path) ? path.substr(3) : path; }

std::optional<EvalPath> eval_path(const std::string& path) {
  const std::size_t key_begin = path.rfind('.');
  if (!path.starts_with("eval.") || key_begin < 5) return std::nullopt;
  const EvalPath pieces{path.substr(5, key_begin - 5), path.substr(key_begin + 1)};
  const std::size_t dot = pieces.test.find('.');
  const bool complete = dot != std::string::npos && dot > 0 && dot + 1 < pieces.test.size() && !pieces.key.empty();
  return complete ? std::optional(pieces) : std::nullopt;
}

Measured measured_in(const Json& fields, const std::string& key) {
  const auto number = [&](const std::string& wanted) {
    const Json* value = fields.find(wanted);
    return value != nullptr && value->is_number() ? value->as_double() : kUnknown;
  };
  return {number(key), number(key + "_se")};
}

void metric_check(const std::string& whole, const std::string& where) {
  const std::string path = metric_plain(whole);
  if (path.find(' ') != 0 && !path.empty() && (!path.starts_with("eval.") || eval_path(path))) return;
  throw Error(
      {.where = where,
       .what = fmt::format("'{}' is not a metric path", whole),
       .wanted = "for example eval.facts.all.acc, ln eval.facts.all.task_loss, train.loss_final or parameters_total",
       .fix = "docs/report.md lists the metric paths"});
}

Measured chance_in(const Json& fields) {
  const Measured best = measured_in(fields, "chance_best");
  return best.known() ? best : measured_in(fields, "chance");
}

Measured chance_of(const RunRecords& run, const std::string& part_path) {
  const Measured best = metric_of(run, part_path + "chance_best");
  return best.known() ? best : metric_of(run, part_path + "chance");
}

Measured metric_of(const RunRecords& run, const std::string& path) {
  const Measured plain = plain_metric(run, metric_plain(path));
  if (!metric_is_log(path)) return plain;
  return plain.value > 0 ? Measured{std::log(plain.value), plain.se / plain.value} : Measured{};
}

std::string metric_label(const std::string& path) {
  if (metric_is_log(path)) return fmt::format("ln({})", metric_label(metric_plain(path)));
  const auto pieces = eval_path(path);
  if (!pieces) return label_of(path);
  const std::size_t dot = pieces->test.rfind('.');
  const std::string name = pieces->test.substr(0, dot), part = pieces->test.substr(dot + 1);
  return fmt::format("{}{}: {}", name, part == "all" || part == name ? "" : ", " + part, label_of(pieces->key));
}

const Measure* measure_at(const RunRecords& run, const std::string& path) {
  const auto pieces = eval_path(metric_plain(path));
  const EvalRecord* eval = pieces ? run.eval_final(pieces->test) : nullptr;
  return eval == nullptr ? nullptr : eval->measure(pieces->key);
}

}  // namespace moebius::records
