// Task: the seam between kinds of evaluation. A task runs the engine on its items and gives every item scores.
// choice: multiple choice by log-likelihood (acc, acc_norm; knowledge bits of generated items). generate: exact match of
// generated text. loss, loglikelihood: the gold answer's loss per token and per byte, and whether it is the greedy text.
// rolling: perplexity of whole texts. Scoring is lm-evaluation-harness's: docs/eval.md. Not for means over items: metrics.h.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/tokenizer.h"
#include "eval/score.h"
#include "eval/task_items.h"
#include "infer/generate.h"

namespace moebius::eval {

// Of a text that was scored token by token.
struct RollingSums {
  double nats = 0, tokens = 0, words = 0, bytes = 0;
};

// The scores of one item. `scores` become means over items; `record` becomes the item's line in items/TASK.jsonl.
struct ItemScores {
  std::vector<std::pair<std::string, double>> scores;
  Json record = Json::object();
  double chance = 0;      // of guessing right; 0 for generated answers
  double bits_known = 0;  // knowledge bits of this item, of bits_total (0: the item does not count)
  double bits_total = 0;
  RollingSums rolling;  // without tokens: none
  void add(const std::string& name, double value);
};

struct TaskContext {
  const infer::Engine* engine = nullptr;
  const data::Tokenizer* tokenizer = nullptr;
  ScoreLimits limits;
  i64 sequences_max = 64;  // generated at a time
  std::string loss_form;   // empty: the task's
};

class Task {
 public:
  explicit Task(const TaskSpec& spec) : spec_(spec) {}
  virtual ~Task() = default;
  virtual const char* kind() const = 0;
  // Whether this kind scores the item.
  virtual bool wants(const EvalItem& item) const = 0;
  // The log-likelihoods that this kind needs, in the order of the items; a request's group is its item's index. A request
  // without continuation tokens cannot be scored: run() skips its item.
  virtual std::vector<LoglikRequest> requests(const TaskContext&, const std::vector<EvalItem>&) const { return {}; }
  // `requests` are those of requests(), results[r] belongs to requests[r]. scores[i] belongs to items[i]; other items stay
  // untouched.
  virtual void run(const TaskContext& context, const std::vector<EvalItem>& items,
                   std::span<const LoglikRequest> requests, std::span<const Loglik> results,
                   std::vector<ItemScores>& scores) const = 0;

 protected:
  const TaskSpec& spec_;
};

// The kinds that `spec` measures; it must outlive them.
std::vector<std::unique_ptr<Task>> make_tasks(const TaskSpec& spec);

// Runs all kinds over the items. Their log-likelihoods are scored together, so that the choices and the gold answer of an
// item share the rows of its prompt. Throws Error, naming the item, for a log-probability that is not finite.
void run_tasks(const std::vector<std::unique_ptr<Task>>& tasks, const std::string& name, const TaskContext& context,
               const std::vector<EvalItem>& items, std::vector<ItemScores>& scores);

// lm-evaluation-harness's two decisions over choices: largest sum, largest sum per character; first maximum wins.
i64 best_choice(const std::vector<double>& sums);
i64 best_choice_normalised(const std::vector<double>& sums, const std::vector<std::string>& choices);

// 1 when any of `answers` equals the extracted text after both were normalised.
double exact_match(const TaskSpec& spec, const std::string& extracted, const std::vector<std::string>& answers);

// The text that occurs most often, of equally frequent ones the first (the harness's majority vote). At least one text.
std::string most_frequent(const std::vector<std::string>& texts);

}  // namespace moebius::eval
