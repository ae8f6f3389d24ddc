// The arithmetic task: word problems over a graph of quantities (after Ye, Xu, Li and Allen-Zhu, Physics of Language Models
// 2.1, arXiv 2407.20311).
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "data/arithmetic_graph.h"
#include "data/problems.h"

namespace moebius::data {

namespace {

// The operations counted are those of the unfolded structure, so that a small graph with shared quantities does not bring
// a larger one's structure into training.
bool split_by_structure(const std::string& structure, i64 grade_min) {
  return std::count(structure.begin(), structure.end(), '(') >= grade_min;
}

GradedProblem draw(Rng& rng, const ProblemRules& rules, const ArithmeticOptions& options, i64 grade) {
  const Problem problem = problem_draw(rng, rules, grade);
  const std::string structure = problem_structure(problem);
  GradedProblem graded;
  graded.question = problem_question(problem, rules);
  graded.steps = problem_steps(problem, graded.results);
  graded.answer = fmt::format("{}", problem.quantities[0].value);
  for (i64 v = 0; v < rules.modulus; ++v) graded.answers.push_back(fmt::format("{}", v));
  graded.identity = problem_graph(problem);
  graded.split_key = split_by_structure(structure, options.structure_grade_min) ? structure : graded.identity;
  graded.statements = problem_shortcuts(problem);
  graded.extra = Json::object({{"structure", structure}});
  return graded;
}

}  // namespace

void describe(ArithmeticOptions& options, OptionList& list) {
  describe(options.problems, list);
  list.add("modulus", &options.modulus, "all numbers are taken modulo this", {.min = 3, .max = 1000});
  list.add("decoys", &options.decoys,
           "chains of statements with the shape of the needed ones, about other people (look-ups have at least 2)",
           {.min = 0, .max = 16});
  list.add("structure-grade-min", &options.structure_grade_min,
           "from this grade on, test problems have new structures; below, only new names and numbers", {.min = 0});
  list.add("operators", &options.operators, "operations: more, fewer, times, sum");
  list.add("wording", &options.wording, "length of the sentences", {.choices = {"compact", "full"}});
}

void check(const ArithmeticOptions& options) {
  const char* const where = "arithmetic task";
  const auto fail = [&](const std::string& what, const std::string& wanted, const std::string& got) {
    throw Error({.where = where, .what = what, .wanted = wanted, .got = got});
  };
  if (options.modulus < 3 || options.modulus > 1000)
    fail("the modulus is out of range", "3 to 1000", fmt::format("{}", options.modulus));
  if (options.decoys < 0 || options.decoys > 16)
    fail("decoys are out of range", "0 to 16", fmt::format("{}", options.decoys));
  if (options.operators.empty()) fail("no operator is given", "more, fewer, times, sum", "");
  if (options.wording != "compact" && options.wording != "full")
    fail("unknown wording", "compact or full", options.wording);
  check_problem_options(options.problems, where, 0, problem_operations_max(options.decoys));
  for (const std::string& name : options.operators) operator_parse(name);
}

GeneratedTask make_arithmetic(const ArithmeticOptions& options) {
  check(options);
  ProblemRules rules;
  rules.modulus = options.modulus;
  rules.decoys = options.decoys;
  rules.full = options.wording == "full";
  for (const std::string& name : options.operators) rules.operators.push_back(operator_parse(name));
  ProblemFamily family;
  family.name = "arithmetic";
  family.skill = "addition";
  family.grade_unit = "operations";
  family.stream = RngStream::arithmetic;
  family.modulus = options.modulus;
  family.draw = [&](Rng& rng, i64 grade) { return draw(rng, rules, options, grade); };
  return make_problems(family, options);
}

}  // namespace moebius::data
