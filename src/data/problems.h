// Graded problems with written solutions: what the families arithmetic, expressions and look-ups share. A family draws one
// problem of a grade; here are the split into training and test, the training text, the items and the baselines of
// shortcut solvers (shortcuts.h).
// in: a family and options -> out: documents and items; the same for any number of threads.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "data/generated_tasks.h"
#include "data/shortcuts.h"

namespace moebius::data {

inline constexpr i64 kGradeMax = 64;

struct GradedProblem {
  std::string question;  // " Ann has 4. Bob has 3 more than Ann. How many has Bob?"; starts with a space
  std::string steps;     // " Bob = Ann + 3 = 4 + 3 = 7."; each step starts with a space
  std::vector<std::pair<i64, i64>> results;  // of each step: first byte of its result in `steps`, and the byte after it
  std::string answer;
  std::vector<std::string> answers;           // what can be the answer: the choices of the form without steps
  std::string split_key;                      // problems with one key are all in training or all in the test
  std::string identity;                       // two problems with one identity are the same problem
  bool training_only = false;                 // never an item
  Json extra;                                 // into the item; an object
  std::vector<ShortcutStatement> statements;  // what solvers may know of it beyond its words; may be empty
};

struct ProblemFamily {
  std::string name;        // of the item file; NAME-direct for the form without steps
  std::string skill;       // "composition"
  std::string grade_unit;  // "operations"
  RngStream stream = RngStream::test;
  i64 modulus = 0;       // of the numbers; 0: answers are no numbers
  bool repeats = false;  // training problems may repeat
  std::function<GradedProblem(Rng&, i64 grade)> draw;
};

void describe(ProblemOptions& options, OptionList& list);
// Throws Error for values out of range. Grades are within [grade_min, grade_max].
void check_problem_options(const ProblemOptions& options, const std::string& where, i64 grade_min, i64 grade_max);

// `resolved`: all options of the family, for the meta files.
GeneratedTask make_problems(const ProblemFamily& family, const ProblemOptions& options, const Json& resolved);

// `options` has ProblemOptions in `problems`, and a describe() of its own.
template <typename Options>
GeneratedTask make_problems(const ProblemFamily& family, Options options) {
  OptionList list;
  describe(options, list);
  return make_problems(family, options.problems, list.to_json());
}

}  // namespace moebius::data
