// One word problem of the arithmetic task as a graph of quantities: how it is drawn, worded, solved and identified by
// keys. Statements are in random order. Decoys are chains of the same shape and kinds as what the question needs, about
// other people, so that the needed statements can be told apart by their names alone. Not for the split: problems.h.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/types.h"
#include "data/shortcuts.h"

namespace moebius::data {

enum class Operator { stated, more, fewer, times, sum };

// Names of operators as options say them; throws Error naming the nearest for an unknown one.
Operator operator_parse(const std::string& name);

struct Quantity {
  Operator op = Operator::stated;
  i64 a = -1, b = -1;  // operands: quantities; b for sums alone
  i64 constant = 0;    // stated value, or the number of more / fewer / times
  i64 value = 0;
  i64 name = 0;  // index into the names
};

struct Problem {
  std::vector<Quantity> quantities;  // [0] is asked for; operands come after their users; then decoys
  i64 needed = 0;                    // quantities before the decoys
  std::vector<i64> said;             // order of statements
  i64 operations = 0;
  i64 thing = 0;  // wording full: what is counted
};

struct ProblemRules {
  i64 modulus = 10;
  i64 decoys = 1;
  std::vector<Operator> operators;
  bool full = false;  // wording
};

// Names of people, for other tasks too.
const std::vector<std::string>& problem_names();
// The largest number of operations for which names suffice.
i64 problem_operations_max(i64 decoys);
Problem problem_draw(Rng& rng, const ProblemRules& rules, i64 operations);

// "Ann has 4. Bob has 3 more than Ann. How many has Bob?"
std::string problem_question(const Problem& problem, const ProblemRules& rules);
// " Bob = Ann + 3 = 4 + 3 = 7." step by step in topological order, each with a leading space. `results`: first byte of
// each step's result, and the byte after it.
std::string problem_steps(const Problem& problem, std::vector<std::pair<i64, i64>>& results);
// The statements in the order of the text, without names.
std::vector<ShortcutStatement> problem_shortcuts(const Problem& problem);

// What the solution computes, without names and numbers: "s(L,m(L))". Sums are sorted and shared quantities unfolded,
// so equal structures have equal keys (some that differ only in sharing too, which makes the split stricter).
std::string problem_structure(const Problem& problem);
// The graph with names and numbers, in no order: what is needed, and for look-ups (no operation) the rest as well.
std::string problem_graph(const Problem& problem);

}  // namespace moebius::data
