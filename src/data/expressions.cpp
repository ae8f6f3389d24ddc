// The expressions task: nested operations modulo a prime, solved innermost first and from left to right.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/options.h"
#include "data/problems.h"

namespace moebius::data {

namespace {

constexpr i64 kOperationsMax = 32;

struct Node {
  char op = 0;  // 0: a number
  i64 value = 0;
  i64 left = -1, right = -1;
};

struct Expression {
  std::vector<Node> nodes;
  i64 root = -1;
};

// The operations are split between both sides at random, so that every shape occurs.
i64 draw_node(Rng& rng, const ExpressionsOptions& options, i64 operations, Expression& out) {
  Node node;
  if (operations == 0) {
    node.value = static_cast<i64>(rng.next_below(static_cast<u64>(options.modulus)));
  } else {
    node.op = options.operators[rng.next_below(options.operators.size())][0];
    const auto left = static_cast<i64>(rng.next_below(static_cast<u64>(operations)));
    node.left = draw_node(rng, options, left, out);
    node.right = draw_node(rng, options, operations - 1 - left, out);
    const i64 a = out.nodes[static_cast<std::size_t>(node.left)].value;
    const i64 b = out.nodes[static_cast<std::size_t>(node.right)].value;
    const i64 value = node.op == '+' ? a + b : node.op == '-' ? a - b + options.modulus : a * b;
    node.value = value % options.modulus;
  }
  out.nodes.push_back(node);
  return static_cast<i64>(out.nodes.size()) - 1;
}

// Words with spaces between them, so that tokenizers see every number, operator and parenthesis as one token.
std::string text_of(const Expression& e, i64 i) {
  const Node& node = e.nodes[static_cast<std::size_t>(i)];
  if (node.op == 0) return fmt::format("{}", node.value);
  const auto side = [&](i64 child) {
    const std::string text = text_of(e, child);
    return e.nodes[static_cast<std::size_t>(child)].op == 0 ? text : fmt::format("( {} )", text);
  };
  return fmt::format("{} {} {}", side(node.left), node.op, side(node.right));
}

GradedProblem draw(Rng& rng, const ExpressionsOptions& options, i64 grade) {
  Expression e;
  e.root = draw_node(rng, options, grade, e);
  GradedProblem problem;
  problem.identity = text_of(e, e.root);
  problem.split_key = problem.identity;
  problem.training_only = grade == 1;
  problem.question = fmt::format(" {} ?", problem.identity);
  for (const Node& node : e.nodes) {  // operands come before their operation
    if (node.op == 0) continue;
    problem.steps += fmt::format(" {} {} {} = ", e.nodes[static_cast<std::size_t>(node.left)].value, node.op,
                                 e.nodes[static_cast<std::size_t>(node.right)].value);
    const auto begin = static_cast<i64>(problem.steps.size());
    problem.steps += fmt::format("{}", node.value);
    problem.results.emplace_back(begin, static_cast<i64>(problem.steps.size()));
    problem.steps += ".";
  }
  problem.answer = fmt::format("{}", e.nodes[static_cast<std::size_t>(e.root)].value);
  for (i64 v = 0; v < options.modulus; ++v) problem.answers.push_back(fmt::format("{}", v));
  problem.extra = Json::object();
  return problem;
}

bool is_prime(i64 n) {
  for (i64 d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return n > 1;
}

}  // namespace

void check(const ExpressionsOptions& options) {
  const char* const where = "expressions task";
  // With a composite modulus, products are 0 more often and tell less about their factors.
  if (options.modulus < 3 || options.modulus > 997 || !is_prime(options.modulus)) {
    throw Error({.where = where,
                 .what = "the modulus is not a prime in the range",
                 .wanted = "a prime from 3 to 997",
                 .got = fmt::format("{}", options.modulus)});
  }
  const std::vector<std::string> known = {"+", "-", "*"};
  if (options.operators.empty()) {
    throw Error({.where = where, .what = "no operator is given", .wanted = "+, - or *"});
  }
  for (const std::string& name : options.operators) index_of_word(name, known, "operator", where);
  check_problem_options(options.problems, where, 1, kOperationsMax);
  const auto& test = options.problems.grades_test;
  if (std::find(test.begin(), test.end(), 1) != test.end()) {
    throw Error({.where = where,
                 .what = "grade 1 cannot be a test grade: single operations are a table that is all in training",
                 .wanted = "grades-test of 2 and more"});
  }
}

void describe(ExpressionsOptions& options, OptionList& list) {
  describe(options.problems, list);
  list.add("modulus", &options.modulus, "all numbers are taken modulo this prime", {.min = 3, .max = 997});
  list.add("operators", &options.operators, "operations: +, -, *");
}

GeneratedTask make_expressions(const ExpressionsOptions& options) {
  check(options);
  ProblemFamily family;
  family.name = "expressions";
  family.skill = "composition";
  family.grade_unit = "operations";
  family.stream = RngStream::expressions;
  family.modulus = options.modulus;
  family.repeats = true;  // there are only 147 problems of one operation modulo 7
  family.draw = [&](Rng& rng, i64 grade) { return draw(rng, options, grade); };
  return make_problems(family, options);
}

}  // namespace moebius::data
