// A network with random weights, stepped and evaluated.
// In, out: shape_time.h.
#include "study/shape_time.h"

#include <algorithm>

#include "base/progress.h"
#include "base/rng.h"
#include "train/memory_plan.h"
#include "train/schedule.h"
#include "train/trainer.h"

namespace moebius::study {

namespace {

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

}  // namespace

Json ShapeTime::to_json() const {
  return Json::object(
      {{"token_seconds", token_seconds}, {"evaluation_seconds", evaluation_seconds}, {"start_seconds", start_seconds}});
}

ShapeTime ShapeTime::from_json(const Json& json) {
  return {json.at("token_seconds").as_double(), json.at("evaluation_seconds").as_double(),
          json.at("start_seconds").as_double()};
}

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

}  // namespace moebius::study
