// The run file's JSON, training as it says, and timing: a network with random weights, stepped and evaluated.
// In, out: run_file.h.
#include "study/run_file.h"

#include <algorithm>

#include "base/children.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/rng.h"
#include "kernels/isa.h"
#include "train/memory_plan.h"
#include "train/schedule.h"
#include "train/train_run.h"
#include "train/trainer.h"

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

void visit_sources(records::Fields f, std::vector<eval::LossSource>& sources) {
  f.each("loss_sources", sources, [](records::Fields& one, eval::LossSource& source) {
    one("name", source.name)("path", source.path)("field", source.field);
  });
}

// After one step that touches the memory for the first time, at least two steps and this time.
constexpr double kTimedSeconds = 0.3;
constexpr i64 kTimedItems = 25;     // of each grade: full passes of generation
constexpr i64 kTimedTokens = 4096;  // of each held-out source

double seconds_since(i64 start_ns) { return static_cast<double>(clock_ns() - start_ns) * 1e-9; }

// Documents of random tokens: the cost of a step does not depend on what the tokens say.
data::MemorySource random_source(const RunFile& file) {
  Rng rng(1, RngStream::benchmark);
  std::vector<std::vector<i32>> documents(64);
  for (auto& document : documents) {
    document.resize(static_cast<std::size_t>(file.training.sequence / 4 + 1));
    for (i32& token : document) token = static_cast<i32>(rng.next_below(static_cast<u64>(file.config.vocab)));
  }
  return data::MemorySource(std::move(documents), file.training.batch_tokens / file.training.sequence,
                            file.training.sequence);
}

double time_steps(const RunFile& file, model::Network& network, i64 micro_batch_tokens) {
  train::AdamwState adamw = train::make_adamw(network.weights());
  const train::Schedule schedule = train::make_schedule(file.training.optimizer, train::steps_total(file.training));
  train::Trainer trainer(network, adamw, file.training.optimizer, schedule, micro_batch_tokens);
  data::MemorySource source = random_source(file);
  trainer.step(source, 1);
  const i64 start = clock_ns();
  i64 steps = 0;
  while (steps < 2 || seconds_since(start) < kTimedSeconds) trainer.step(source, ++steps + 1);
  return seconds_since(start) / static_cast<double>(steps * file.training.batch_tokens);
}

// Items of each task, or tokens of each source: what Evaluator::counts() says of one.
double size_of(const Json& counts, const std::string& name) {
  const Json& entry = counts.at(name);
  return static_cast<double>(entry.get_int("items", entry.get_int("tokens", 0)));
}

// Each task and source alone, since their costs differ. The items are not recorded.
double time_evaluation(const RunFile& file, model::Network& network) {
  const data::Tokenizer tokenizer = data::Tokenizer::load(file.training.tokenizer);
  const Json all = eval::Evaluator(tokenizer, file.evaluation).counts();
  eval::EvalOptions part = file.evaluation;
  part.items_folder.clear();
  part.limit = part.limit > 0 ? std::min(part.limit, kTimedItems) : kTimedItems;
  part.loss_tokens = kTimedTokens;
  double seconds = 0;
  const auto time_one = [&](const eval::EvalOptions& options) {
    const eval::Evaluator evaluator(tokenizer, options);
    const i64 start = clock_ns();
    evaluator.run(infer::engine_of(network), 0, 0);
    const double took = seconds_since(start);
    const Json counts = evaluator.counts();
    for (const auto& [name, entry] : counts.as_object()) {
      seconds += took * std::max(1.0, size_of(all, name) / std::max(1.0, size_of(counts, name)));
    }
  };
  for (const std::string& task : file.evaluation.tasks) {
    eval::EvalOptions one = part;
    one.tasks = {task};
    one.sources.clear();
    time_one(one);
  }
  for (const eval::LossSource& source : file.evaluation.sources) {
    eval::EvalOptions one = part;
    one.tasks.clear();
    one.sources = {source};
    time_one(one);
  }
  return seconds;
}

// Evaluations are timed on a few items of each task and a few tokens of each source, and scaled to all of them.
ShapeTime time_shape(const RunFile& file) {
  const i64 start = clock_ns();
  const train::MemoryPlan memory = train::plan_memory(file.config, file.training);
  model::Network network(file.config, file.training.compute(), true);
  network.set_recompute(memory.recompute);
  model::init_weights(network.weights(), 1);
  model::refresh_copy(network.weights());
  ShapeTime time;
  const i64 steps_start = clock_ns();
  time.token_seconds = time_steps(file, network, memory.micro_batch_tokens);
  const double in_steps = seconds_since(steps_start);
  const i64 evaluation_start = clock_ns();
  if (!file.evaluation_steps.empty()) time.evaluation_seconds = time_evaluation(file, network);
  time.start_seconds = seconds_since(start) - in_steps - seconds_since(evaluation_start);
  return time;
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
  if (file.timed) return records::fields_to_json(time_shape(file));
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
  visit_sources(records::Fields(&json), copy.evaluation.sources);
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
  visit_sources(records::Fields(top, path), file.evaluation.sources);
  file.config.resolve();
  return file;
}

int run_file_main(const std::string& path) {
  return child_main(path, [&path] { return do_run(path); });
}

}  // namespace moebius::study
