// The run file's JSON, and training as it says.
// In, out: run_file.h.
#include "study/run_file.h"

#include <algorithm>

#include "base/children.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "kernels/isa.h"
#include "study/shape_time.h"
#include "train/train_run.h"

namespace moebius::study {

namespace {

// One list for writing and reading; it points into `file`.
struct Lists {
  OptionList top, train, model, evaluate;
  explicit Lists(RunFile& file) {
    top.add("name", &file.name, "name of the run");
    top.add("branch-steps", &file.branch_steps, "steps after which a trunk keeps its state");
    top.add("branch-from", &file.branch_from, "state of the trunk that a branch starts from");
    top.add("evaluation-steps", &file.evaluation_steps, "steps after which the run is evaluated");
    top.add("timed", &file.timed, "time a few steps and a part of the evaluation, train nothing");
    top.add("threads", &file.threads, "threads of the process", {.min = 1});
    top.add("isa", &file.isa, "instruction set of the kernels");
    top.add("log", &file.log, "lowest level of messages to print");
    top.add("shares-terminal", &file.shares_terminal, "other runs print on the same terminal");
    top.add("model-name", &file.config.name, "name of the model");
    top.add("items-folder", &file.evaluation.items_folder, "folder of item records");
    file.training.describe(train);
    file.config.describe(model);
    eval::describe(file.evaluation, evaluate);
  }
};

Json loss_sources_to_json(const std::vector<eval::LossSource>& sources) {
  Json list = Json::array();
  for (const eval::LossSource& source : sources) {
    list.push_back(Json::object({{"name", source.name}, {"path", source.path}, {"field", source.field}}));
  }
  return list;
}

std::vector<eval::LossSource> loss_sources_from_json(const Json& list) {
  std::vector<eval::LossSource> sources;
  for (const Json& item : list.as_array()) {
    eval::LossSource source;
    source.name = item.at("name").as_string();
    source.path = item.at("path").as_string();
    source.field = item.at("field").as_string();
    sources.push_back(std::move(source));
  }
  return sources;
}

train::TrainHooks hooks_of(const RunFile& file) {
  train::TrainHooks hooks;
  hooks.run = file.name;
  hooks.branch_steps = file.branch_steps;
  hooks.branch_from = file.branch_from;
  if (file.evaluation_steps.empty()) return hooks;
  const auto evaluator =
      std::make_shared<const eval::Evaluator>(data::Tokenizer::load(file.training.tokenizer), file.evaluation);
  hooks.evaluates = [steps = file.evaluation_steps](i64 step, i64) {
    return std::find(steps.begin(), steps.end(), step) != steps.end();
  };
  hooks.evaluate = [evaluator](model::Network& network, i64 step, i64 tokens) {
    return evaluator->run(infer::engine_of(network), step, tokens);
  };
  return hooks;
}

Json do_run(const std::string& path) {
  const RunFile file = RunFile::read(path);
  log_set_level(log_level_of(file.log));
  if (file.shares_terminal) progress_share_terminal(file.name);
  kernels::isa_select(file.isa);
  parallel_set_threads(static_cast<int>(file.threads));
  if (file.timed) return time_shape(file).to_json();
  const train::TrainResult result = train::train_run(file.training, file.config, hooks_of(file));
  if (!file.branch_from.empty())
    folder_remove_all(file.branch_from);  // the branch is done: its start is no longer needed
  return result.to_json();
}

}  // namespace

Json RunFile::to_json() const {
  RunFile copy = *this;
  const Lists lists(copy);
  Json json = lists.top.to_json();
  json.set("train", lists.train.to_json());
  json.set("sources", data::mixture_sources_to_json(training.sources));
  json.set("model", lists.model.to_json());
  json.set("evaluate", lists.evaluate.to_json());
  json.set("loss_sources", loss_sources_to_json(evaluation.sources));
  return json;
}

RunFile RunFile::read(const std::string& path) {
  RunFile file;
  Lists lists(file);
  Json top = Json::parse_file(path), plain = Json::object();
  for (const auto& [key, value] : top.as_object()) {
    if (!value.is_object() && key != "sources" && key != "loss_sources") plain.set(key, value);
  }
  lists.top.set_from_json(plain, path);
  lists.train.set_from_json(top.at("train"), path + ", train");
  lists.model.set_from_json(top.at("model"), path + ", model");
  lists.evaluate.set_from_json(top.at("evaluate"), path + ", evaluate");
  file.training.sources = data::mixture_sources_from_json(top.at("sources"), path);
  file.evaluation.sources = loss_sources_from_json(top.at("loss_sources"));
  file.config.resolve();
  return file;
}

int run_file_main(const std::string& path) {
  return child_main(path, [&path] { return do_run(path); });
}

}  // namespace moebius::study
