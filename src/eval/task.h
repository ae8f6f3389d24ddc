// Task: the seam between kinds of evaluation. A task asks the engine about each of its items and gives every item scores.
// choice: multiple choice by log-likelihood (acc, acc_norm; knowledge bits of generated items). generation: exact match of
// generated text. loss: the gold answer's loss per token and per byte. Scoring is lm-evaluation-harness's: docs/eval.md.
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

// What one item got. `scores` become means over items; `record` becomes the item's line in items/TASK.jsonl.
struct ItemScores {
  std::vector<std::pair<std::string, double>> scores;
  Json record = Json::object();
  double chance = 0;      // of guessing right; 0 where nothing is guessed
  double bits_known = 0;  // knowledge bits of this item, and how many there are to know (0: does not count)
  double bits_there = 0;
  void add(const std::string& name, double value);
};

struct TaskContext {
  const infer::Engine* engine = nullptr;
  const data::Tokenizer* tokenizer = nullptr;
  ScoreLimits limits;
  i64 sequences_max = 64;  // generated at once
  std::string loss_form;   // empty: the task's
};

class Task {
 public:
  explicit Task(const TaskSpec& spec) : spec_(spec) {}
  virtual ~Task() = default;
  virtual const char* kind() const = 0;
  // Which items this kind has something to ask of.
  virtual bool wants(const EvalItem& item) const = 0;
  // Log-likelihoods that this kind needs, item by item; a request's group is its item's index.
  virtual std::vector<LoglikRequest> requests(const TaskContext&, const std::vector<EvalItem>&) const { return {}; }
  // `asked` are this kind's requests, results[r] belongs to asked[r]. scores[i] belongs to items[i]; items that are not
  // wanted stay untouched.
  virtual void run(const TaskContext& context, const std::vector<EvalItem>& items, std::span<const LoglikRequest> asked,
                   std::span<const Loglik> results, std::vector<ItemScores>& scores) const = 0;

 protected:
  const TaskSpec& spec_;
};

// The kinds that `spec` asks for; it must outlive them.
std::vector<std::unique_ptr<Task>> make_tasks(const TaskSpec& spec);

// Runs all kinds over the items. Their log-likelihoods are scored together, so that the choices and the gold answer of an
// item share the rows of its prompt.
void run_tasks(const std::vector<std::unique_ptr<Task>>& tasks, const std::string& name, const TaskContext& context,
               const std::vector<EvalItem>& items, std::vector<ItemScores>& scores);

// lm-evaluation-harness's two decisions over choices: largest sum, largest sum per character; first maximum wins.
i64 best_choice(const std::vector<double>& sums);
i64 best_choice_normalised(const std::vector<double>& sums, const std::vector<std::string>& choices);

// 1 when any of `answers` equals the extracted text after both were normalised.
double exact_match(const TaskSpec& spec, const std::string& extracted, const std::vector<std::string>& answers);

}  // namespace moebius::eval
