// Runs out of study folders and run folders: study.json and runs/NAME/records.jsonl as docs/formats.md says.
#include "fit/runs.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/record.h"

namespace moebius::fit {

namespace {

struct RunFiles {
  std::string name, folder;
  Json planned = Json::object();  // its object in study.json
};

// The last records of one run, and of its evaluations the final one of the loss that was asked for.
struct RunDigest {
  Json run, train_end, eval;
};

RunDigest digest_read(const std::string& folder, const std::string& eval_wanted) {
  RunDigest digest;
  const std::string path = path_join(folder, "records.jsonl");
  if (!file_exists(path)) return digest;
  for (const Json& record : records_read(path)) {
    const std::string type = record.get_string("type", "");
    if (type == "run") digest.run = record;
    if (type == "train_end") digest.train_end = record;
    if (type != "eval" || record.get_string("kind", "") != "loss") continue;
    if (record.get_string("name", "") + "." + record.get_string("source", "all") != eval_wanted) continue;
    if (digest.eval.is_null() || record.get_double("tokens", 0) >= digest.eval.get_double("tokens", 0)) digest.eval = record;
  }
  return digest;
}

const Json* find_in(const Json& run, const Json& planned, const char* key) {
  const Json* value = run.is_object() ? run.find(key) : nullptr;
  if (value == nullptr || value->is_null()) value = planned.find(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

double number_in(const Json& run, const Json& planned, const char* key) {
  const Json* value = find_in(run, planned, key);
  return value == nullptr ? kMissing : value->as_double();
}

void point_check(const LawPoint& p, const std::string& where) {
  for (const char* column : {"parameters_total", "parameters_active", "tokens", "flops", "granularity", "loss"}) {
    const double value = point_number(p, column);
    if (std::isnan(value) || (std::isfinite(value) && value > 0)) continue;
    throw Error({.where = where, .what = fmt::format("{} is no finite number above 0", column), .got = fmt::format("{}", value)});
  }
}

// False when the run did not reach its end.
bool run_add(Runs& runs, const RunFiles& files, const std::string& eval_wanted) {
  const RunDigest digest = digest_read(files.folder, eval_wanted);
  if (digest.train_end.is_null()) return false;
  const std::string where = path_join(files.folder, "records.jsonl");
  LawPoint p;
  p.parameters_total = number_in(digest.run, files.planned, "parameters_total");
  p.parameters_active = number_in(digest.run, files.planned, "parameters_active");
  p.tokens = digest.train_end.get_double("tokens", number_in(digest.run, files.planned, "tokens_total"));
  p.flops = p.tokens * number_in(digest.run, files.planned, "flops_per_token_megatron");
  if (const Json* config = find_in(digest.run, files.planned, "config"); config != nullptr && config->is_object()) {
    p.experts = config->get_double("experts", 1);
    p.top_k = config->get_double("top_k", kMissing);
    const double shared = config->get_double("shared_experts", 0);
    p.granularity = 4 * config->get_double("d_model", kMissing) / config->get_double("expert_width", kMissing);
    if (p.experts > 1 && shared > 0) {
      runs.notes.push_back(fmt::format("run '{}': its shared experts are counted neither in experts nor in top_k", files.name));
    }
    if (p.experts <= 1) p.granularity = kMissing;
  }
  if (eval_wanted.empty()) {
    p.loss = digest.train_end.get_double("loss_final", kMissing);
  } else if (!digest.eval.is_null()) {
    p.loss = digest.eval.get_double("loss", kMissing);
  }
  if (!std::isfinite(p.loss)) {
    throw Error({.where = where,
                 .what = fmt::format("the run has no {}", eval_wanted.empty() ? "loss_final" : "loss '" + eval_wanted + "'"),
                 .wanted = "a finite loss of the end of the training",
                 .fix = "name another one: --column loss=NAME.SOURCE of an evaluation, e.g. heldout.all"});
  }
  point_check(p, where);
  runs.points.push_back(p);
  runs.names.push_back(files.name);
  return true;
}

std::string folder_name(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder.substr(folder.rfind('/') + 1);
}

std::vector<RunFiles> runs_of_study(const std::string& folder) {
  const std::string path = path_join(folder, "study.json");
  std::vector<RunFiles> files;
  const Json study = Json::parse_file(path);
  const Json* runs = study.is_object() ? study.find("runs") : nullptr;
  if (runs == nullptr || !runs->is_array()) {
    throw Error({.where = path, .what = "'runs' is missing", .wanted = "an array of runs", .fix = "docs/formats.md says what study.json holds"});
  }
  for (const Json& entry : runs->as_array()) {
    RunFiles run;
    run.planned = entry;
    run.name = entry.get_string("name", "");
    if (run.name.empty() || run.name == "." || run.name == ".." || run.name.find('/') != std::string::npos) {
      throw Error({.where = path, .what = fmt::format("'{}' is no name for a run", run.name), .wanted = "a folder's name"});
    }
    if (entry.get_string("role", "main") != "main") continue;
    run.folder = path_join(path_join(folder, "runs"), run.name);
    files.push_back(std::move(run));
  }
  return files;
}

}  // namespace

void runs_add_study(Runs& runs, const std::string& folder, const ColumnMap& columns) {
  std::string eval_wanted;
  for (const auto& [ours, theirs] : columns) {
    if (ours == "loss") eval_wanted = theirs;
  }
  std::vector<RunFiles> files;
  if (file_exists(path_join(folder, "study.json"))) {
    files = runs_of_study(folder);
  } else if (file_exists(path_join(folder, "records.jsonl"))) {
    files.push_back({folder_name(folder), folder, Json::object()});
  } else {
    throw Error({.where = folder,
                 .what = "neither study.json nor records.jsonl is here",
                 .wanted = "the folder of a study or of one run, or a CSV file",
                 .fix = "give the folder that 'moebius study' or 'moebius train --out' wrote"});
  }
  if (runs.measures_leverage) {
    throw Error({.where = folder, .what = "other data measure the efficiency leverage, a study a loss", .wanted = "one of the two"});
  }
  runs.measures_loss = true;
  i64 unfinished = 0, added = 0;
  for (const RunFiles& file : files) (run_add(runs, file, eval_wanted) ? added : unfinished) += 1;
  if (added > 0) {
    runs.notes.push_back(fmt::format(
        "{}: N as the records count it (embedding and head included, router left out of the active ones); flops as Megatron-LM counts; "
        "granularity 4 d_model/expert_width; loss: {}",
        folder, eval_wanted.empty() ? "mean of the last 5 % of the training" : eval_wanted));
  }
  if (unfinished > 0) runs.notes.push_back(fmt::format("{}: {} runs are not finished and were left out", folder, unfinished));
}

}  // namespace moebius::fit
