// Runs out of study folders and run folders, as points that the laws are fitted to.
#include "fit/runs.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/units.h"
#include "records/run_records.h"

namespace moebius::fit {

namespace {

void point_check(const LawPoint& p, const std::string& where) {
  for (const char* column : {"parameters_total", "parameters_active", "tokens", "flops", "granularity", "loss"}) {
    const double value = point_number(p, column);
    if (std::isnan(value) || (std::isfinite(value) && value > 0)) continue;
    throw Error({.where = where,
                 .what = fmt::format("{} is not a finite number above 0", column),
                 .got = fmt::format("{}", value)});
  }
}

double loss_of(const records::RunRecords& run, const std::string& eval_wanted) {
  if (eval_wanted.empty()) return run.train_end.get_double("loss_final", kMissing);
  const records::EvalRecord* eval = run.eval_final(eval_wanted);
  return eval == nullptr || eval->kind != "loss" ? kMissing : eval->fields.get_double("loss", kMissing);
}

// A run that reached its end.
void run_add(Runs& runs, const records::RunRecords& run, const std::string& eval_wanted) {
  LawPoint p;
  p.parameters_total = run.number("parameters_total");
  p.parameters_active = run.number("parameters_active");
  p.tokens = run.train_end.get_double("tokens", run.number("tokens_total"));
  p.flops = p.tokens * run.number("flops_per_token_megatron");
  if (const Json* config = run.find("config"); config != nullptr && config->is_object()) {
    p.experts = config->get_double("experts", 1);
    p.top_k = config->get_double("top_k", kMissing);
    p.granularity = 4 * config->get_double("d_model", kMissing) / config->get_double("expert_width", kMissing);
    p.experts_shared = config->get_double("shared_experts", 0);
    if (p.experts <= 1) p.granularity = kMissing;
    p.parameters_embedding =
        2 * config->get_double("vocab", kMissing) * config->get_double("d_model", kMissing);  // the head is never tied
  }
  p.loss = loss_of(run, eval_wanted);
  if (!std::isfinite(p.loss)) {
    throw Error(
        {.where = run.path,
         .what = fmt::format("the run has no {}", eval_wanted.empty() ? "loss_final" : "loss '" + eval_wanted + "'"),
         .wanted = "a finite loss at the end of training",
         .fix = "name another one: --column loss=NAME.SOURCE of an evaluation, e.g. heldout.all"});
  }
  point_check(p, run.path);
  runs.points.push_back(p);
  runs.names.push_back(run.name);
}

}  // namespace

void runs_add_study(Runs& runs, const std::string& folder, const ColumnMap& columns) {
  const std::string eval_wanted = columns.contains("loss") ? columns.at("loss") : "";
  std::vector<records::RunRecords> found;
  if (records::is_study_folder(folder)) {
    found = records::study_read(folder).runs;
  } else if (records::is_run_folder(folder)) {
    found.push_back(records::run_read(folder));
  } else {
    throw Error({.where = folder,
                 .what = "the folder has neither study.json nor records.jsonl",
                 .wanted = "the folder of a study or of one run, or a CSV file",
                 .fix = "give the folder that 'moebius study' or 'moebius train --out' wrote"});
  }
  if (runs.measures_leverage) {
    throw Error({.where = folder,
                 .what = "other data measure the efficiency leverage, a study a loss",
                 .wanted = "one of the two"});
  }
  runs.measures_loss = true;
  i64 unfinished = 0, added = 0;
  for (const records::RunRecords& run : found) {
    if (run.status == records::RunStatus::broken) throw Error(run.problem);
    if (run.status == records::RunStatus::done) run_add(runs, run, eval_wanted);
    (run.status == records::RunStatus::done ? added : unfinished) += 1;
  }
  if (added > 0) {
    runs.notes.push_back(fmt::format(
        "{}: N as in the records (with embedding and head; active parameters without the router); FLOPs by Megatron-LM's formula; "
        "granularity 4 d_model/expert_width; loss: {}",
        folder, eval_wanted.empty() ? "mean of the last 5 % of the training" : eval_wanted));
  }
  if (unfinished > 0) {
    const char *one = "run is not finished and was left out", *many = "runs are not finished and were left out";
    runs.notes.push_back(fmt::format("{}: {}", folder, format_plural(unfinished, one, many)));
  }
}

}  // namespace moebius::fit
