// Writing when due; allocation happens only there.
#include "train/run_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"

namespace moebius::train {

namespace {

std::string records_path(const TrainOptions& options) { return path_join(options.out, "records.jsonl"); }

double per_second(double amount, i64 ns) { return ns > 0 ? amount * 1e9 / static_cast<double>(ns) : 0; }

// For each record whether it was written before `state` was saved.
std::vector<bool> records_before(const std::string& path, const TrainState& state) {
  std::vector<bool> before;
  for (const Json& record : records::read(path)) {
    const std::string type = record.get_string("type", "");
    const i64 at = record.get_int("step", 0);
    const bool repeated = state.evaluation_pending && type == "eval" && at == state.step;
    before.push_back(at <= state.step && !repeated && (type != "train_end" || state.finished));
  }
  return before;
}

}  // namespace

void check_records(const std::string& path, const TrainState& state, bool accepted) {
  const bool there = file_exists(path);
  i64 count = 0;
  if (there) {
    const std::vector<bool> before = records_before(path, state);
    count = std::count(before.begin(), before.end(), true);
  }
  if (count >= state.records && (there || state.step == 0)) return;
  const std::string lost = there ? fmt::format("the run's records up to step {} are incomplete", state.step)
                                 : fmt::format("the run's records up to step {} are missing", state.step);
  if (accepted) {
    log_warning(fmt::format("{}: {}; the report will lack them", path, lost));
    return;
  }
  throw Error({.where = path,
               .what = lost,
               .wanted = state.records > 0 ? fmt::format("{} records, as when the checkpoint was saved", state.records)
                                           : "the file that belongs to the checkpoint",
               .got = there ? fmt::format("{} records", count) : "no such file",
               .fix = "put the complete file back; or accept the loss with --records-lost (in a study: records-lost = "
                      "true under [train])"});
}

void forget_records(const std::string& path, const TrainState& state) {
  if (!file_exists(path)) return;
  const records::RecordWriter cut(path);  // cuts off a broken last line
  const std::vector<bool> keep = records_before(path, state);
  if (std::count(keep.begin(), keep.end(), false) > 0) records::filter(path, keep);
}

void inherit_records(const std::string& trunk, const TrainOptions& options, i64 step,
                     const std::function<bool(i64)>& evaluates) {
  const std::string from = path_join(trunk, "records.jsonl");
  if (!file_exists(from)) return;  // check_records() has seen it: the loss is accepted
  std::string lines;
  for (const Json& record : records::read(from)) {
    const std::string type = record.get_string("type", "");
    const i64 at = record.get_int("step", 0);
    const bool mine = (type == "step" && at % options.record_every == 0) ||
                      (type == "router" && options.router_every > 0 && at % options.router_every == 0) ||
                      (type == "eval" && evaluates(at));
    if (mine && at <= step) lines += record.dump() + "\n";
  }
  AppendFile(path_join(options.out, "records.jsonl")).append(lines);
}

RunLog::RunLog(const TrainOptions& options, const std::string& run, i64 step_start, i64 steps_total,
               const RunRoof& roof)
    : record_every_(options.record_every),
      router_every_(options.router_every),
      step_start_(step_start),
      steps_total_(steps_total),
      roof_of_run_(roof),
      roof_(roof.flops_per_s()),
      records_(records_path(options)),
      progress_(fmt::format("train {}", run), steps_total - step_start) {
  const std::string folder = path_join(options.out, "tensorboard");
  if (options.tensorboard) events_ = records::EventFile(folder, folder_exists(folder) ? step_start + 1 : -1);
}

void RunLog::step(const StepReport& report, const std::vector<LayerLoad>& loads, i64 tokens) {
  flops_sum_ += report.flops;
  work_.add(report);
  rows_sum_ += report.rows;
  ns_sum_ += report.step_ns;
  ++steps_;
  const bool last = report.step == steps_total_;
  if (report.step % record_every_ == 0 || last) write_step(report, tokens);
  if (!loads.empty() && router_every_ > 0 && (report.step % router_every_ == 0 || last)) {
    write_router(report, loads, tokens);
  }
  show(report);
}

void RunLog::write_step(const StepReport& report, i64 tokens) {
  const double roofline = ns_sum_ > 0 ? per_second(roof_of_run_.roofline_seconds(work_), ns_sum_) : 0;
  struct Column {
    const char *key, *group;  // group: of the scalar in TensorBoard; nullptr: not there
    Json value;
  };
  const Column columns[] = {{"step", nullptr, report.step},
                            {"tokens", nullptr, tokens},
                            {"loss", "train", report.loss},
                            {"loss_balance", "train", report.loss_balance},
                            {"loss_z", "train", report.loss_z},
                            {"grad_norm", "train", report.grad_norm},
                            {"learning_rate", "train", report.learning_rate},
                            {"tokens_per_s", "speed", per_second(static_cast<double>(rows_sum_), ns_sum_)},
                            {"step_ns", nullptr, ns_sum_ / steps_},
                            {"roof_share", "speed", per_second(flops_sum_, ns_sum_) / roof_},
                            {"roofline_ratio", "speed", roofline},
                            {"load_max_over_mean", "router", report.load_max_over_mean},
                            {"dead_experts", "router", report.dead_experts}};
  Json fields = Json::object();
  for (const auto& [key, group, value] : columns) {
    fields.set(key, value);
    if (group != nullptr) events_.scalar(fmt::format("{}/{}", group, key), report.step, value.as_double());
  }
  records_.write("step", fields);
  flops_sum_ = 0;
  work_ = {};
  rows_sum_ = ns_sum_ = steps_ = 0;
}

void RunLog::write_router(const StepReport& report, const std::vector<LayerLoad>& loads, i64 tokens) {
  Json layers = Json::array();
  for (const LayerLoad& load : loads) {
    i64 sum = 0;
    for (const i64 count : load.count_E) sum += count;
    Json shares = Json::array();
    for (const i64 count : load.count_E) shares.push_back(static_cast<double>(count) / static_cast<double>(sum));
    layers.push_back(Json::object({{"max_over_mean", load.max_over_mean},
                                   {"dead", load.dead},
                                   {"entropy", load.entropy},
                                   {"load", std::move(shares)}}));
  }
  records_.write("router", Json::object({{"step", report.step}, {"tokens", tokens}, {"layers", std::move(layers)}}));
}

void RunLog::show(const StepReport& report) {
  const double keep = report.step == step_start_ + 1 ? 0.0 : 0.9;
  const double flops = per_second(report.flops, report.step_ns);
  loss_shown_ = keep * loss_shown_ + (1 - keep) * report.loss;
  rate_shown_ = keep * rate_shown_ + (1 - keep) * per_second(static_cast<double>(report.rows), report.step_ns);
  share_shown_ = keep * share_shown_ + (1 - keep) * flops / roof_;
  const i64 now = clock_ns();
  if (now - shown_ns_ < 200'000'000) return;
  shown_ns_ = now;
  std::string text = fmt::format("step {}/{}  loss {:.4f}  {} tok/s  {:.1f} % of the roof", report.step, steps_total_,
                                 loss_shown_, format_count(rate_shown_), 100 * share_shown_);
  if (report.load_max_over_mean > 0) {
    text += fmt::format("  load {:.2f}x, {} dead", report.load_max_over_mean, report.dead_experts);
  }
  progress_.update(report.step - step_start_, text);
}

void RunLog::evaluation(i64 step, i64 tokens, const Json& fields) {
  Json record = Json::object({{"step", step}, {"tokens", tokens}});
  for (const auto& [key, value] : fields.as_object()) record.set(key, value);
  records_.write("eval", record);
  const std::string part = fields.get_string("source", fields.get_string("grade", "all"));
  const std::string name = fields.get_string("name", "eval");
  for (const auto& [key, value] : fields.as_object()) {
    if (!value.is_number() || key == "step" || key == "tokens") continue;
    events_.scalar(fmt::format("eval/{}/{}/{}", name, part, key), step, value.as_double());
  }
}

void RunLog::end(const Json& fields) {
  records_.write("train_end", fields);
  progress_.finish();
  sync();
}

void RunLog::sync() {
  records_.sync();
  events_.flush();
}

}  // namespace moebius::train
