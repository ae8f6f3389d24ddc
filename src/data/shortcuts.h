// Shortcut solvers: guessers that answer a generated problem without the reasoning that it is meant to need. They run when
// items are made; the best of them, per grade, is `chance_best`, the baseline of every score of the task.
// To add a solver, add a row to the table in shortcuts.cpp.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/types.h"

namespace moebius::data {

// One statement of a problem, in the order of the text, as a solver sees it that ignores all names.
struct ShortcutStatement {
  std::string kind;      // statements of one kind are told apart by their numbers alone
  i64 contribution = 0;  // to the sum, before the modulus; statements without a number have 0
  bool needed = false;   // solvers know how many of each kind are needed, not which
};

// Letters and digits together, every other character by itself, without white space.
std::vector<std::string> words_of(const std::string& text);

// What solvers learn from the training text.
class ShortcutTraining {
 public:
  void add_answer(i64 grade, const std::string& answer);
  void add_text(const std::string& document);
  // The most frequent answer of the grade, or of all grades if the grade does not occur; empty without any.
  std::string answer_most_frequent(i64 grade) const;
  // The word that follows these two most often; empty if they never occur.
  const std::string* next_word(const std::string& before2, const std::string& before) const;

 private:
  using Counts = std::unordered_map<std::string, i64>;
  std::unordered_map<i64, Counts> answers_;
  Counts answers_all_;
  std::unordered_map<std::string, Counts> follows_;
};

struct ShortcutProblem {
  std::string prompt;                // as the model reads it
  std::string answer;                // the right one
  std::vector<std::string> answers;  // what can be the answer
  i64 grade = 0;
  i64 modulus = 0;  // 0: answers are no numbers
  std::vector<ShortcutStatement> statements;
};

struct ShortcutScore {
  std::string solver;
  double right = 0;  // share of the problems that it answers, expected over its guesses
};

// Every solver that can answer these problems. Empty without problems.
std::vector<ShortcutScore> run_shortcuts(const std::vector<ShortcutProblem>& problems,
                                         const ShortcutTraining& training);

}  // namespace moebius::data
