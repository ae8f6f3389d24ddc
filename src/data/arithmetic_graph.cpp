// Graphs of quantities: drawing, wording, solution and keys.
#include "data/arithmetic_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/error.h"
#include "base/options.h"

namespace moebius::data {

namespace {

constexpr std::array<const char*, 40> kNames = {"Ann",  "Bob",  "Cal", "Deb", "Ed",  "Flo", "Gus", "Hal", "Ike", "Jim",
                                                "Kim",  "Lou",  "Meg", "Ned", "Pam", "Pat", "Ray", "Ron", "Roy", "Sal",
                                                "Sid",  "Sue",  "Ted", "Tim", "Val", "Vic", "Wes", "Zoe", "Abe", "Joy",
                                                "Amos", "Walt", "Ben", "Dan", "Eve", "Fay", "Gil", "Ivy", "Ken", "Liz"};
constexpr std::array<const char*, 16> kThings = {"apples", "balls", "books", "boxes", "cards", "coins",
                                                 "cups",   "eggs",  "hats",  "keys",  "maps",  "nuts",
                                                 "pens",   "pots",  "rings", "shoes"};
constexpr std::array<const char*, 5> kOperatorNames = {"stated", "more", "fewer", "times", "sum"};
// How often an operand is a quantity that another one needs too, when there is one.
constexpr double kShareOperand = 0.2;
// How often a quantity is derived rather than stated while there is a choice.
constexpr double kDerive = 0.6;

const char* name_of(const Quantity& quantity) { return kNames[static_cast<std::size_t>(quantity.name)]; }

const Quantity& at(const Problem& problem, i64 i) { return problem.quantities[static_cast<std::size_t>(i)]; }

// Picks an operand of `user`: a new quantity, or sometimes one that is not defined yet. Only undefined quantities are
// picked, so there are no cycles: a quantity is defined after all that use it.
i64 pick_operand(Rng& rng, Problem& problem, std::vector<i64>& open, i64 not_this) {
  if (!open.empty() && rng.next_uniform() < kShareOperand) {
    const i64 shared = open[rng.next_below(open.size())];
    if (shared != not_this) return shared;
  }
  problem.quantities.push_back({});
  const i64 made = static_cast<i64>(problem.quantities.size()) - 1;
  open.push_back(made);
  return made;
}

// A stated value may be 0; more, fewer and times need a number that changes something.
i64 draw_constant(Rng& rng, const ProblemRules& rules, Operator op) {
  const i64 least = op == Operator::stated ? 0 : op == Operator::times ? 2 : 1;
  return least + static_cast<i64>(rng.next_below(static_cast<u64>(rules.modulus - least)));
}

void define_operation(Rng& rng, const ProblemRules& rules, Problem& problem, std::vector<i64>& open, i64 index) {
  Quantity quantity;
  quantity.op = rules.operators[rng.next_below(rules.operators.size())];
  quantity.a = pick_operand(rng, problem, open, -1);
  if (quantity.op == Operator::sum) {
    quantity.b = pick_operand(rng, problem, open, quantity.a);
  } else {
    quantity.constant = draw_constant(rng, rules, quantity.op);
  }
  problem.quantities[static_cast<std::size_t>(index)] = quantity;
}

// Values from the stated quantities up; `order` is a topological order, operands first.
void evaluate(const ProblemRules& rules, Problem& problem, const std::vector<i64>& order) {
  for (const i64 i : order) {
    Quantity& q = problem.quantities[static_cast<std::size_t>(i)];
    i64 value = q.constant;
    if (q.op == Operator::more) value = at(problem, q.a).value + q.constant;
    if (q.op == Operator::fewer) value = at(problem, q.a).value - q.constant + rules.modulus;
    if (q.op == Operator::times) value = at(problem, q.a).value * q.constant;
    if (q.op == Operator::sum) value = at(problem, q.a).value + at(problem, q.b).value;
    q.value = value % rules.modulus;
  }
}

void visit(const Problem& problem, i64 i, std::vector<bool>& seen, std::vector<i64>& order) {
  if (i < 0 || seen[static_cast<std::size_t>(i)]) return;
  seen[static_cast<std::size_t>(i)] = true;
  visit(problem, at(problem, i).a, seen, order);
  visit(problem, at(problem, i).b, seen, order);
  order.push_back(i);
}

// Operands first; what the question needs before the decoys.
std::vector<i64> topological(const Problem& problem) {
  std::vector<bool> seen(problem.quantities.size(), false);
  std::vector<i64> order;
  for (i64 i = 0; i < static_cast<i64>(problem.quantities.size()); ++i) visit(problem, i, seen, order);
  return order;
}

// Copies of what the question needs, with other numbers.
void add_decoys(Rng& rng, const ProblemRules& rules, Problem& problem) {
  const i64 count = problem.operations == 0 ? std::max<i64>(2, rules.decoys) : rules.decoys;
  for (i64 d = 1; d <= count; ++d) {
    const i64 shift = d * problem.needed;
    for (i64 i = 0; i < problem.needed; ++i) {
      Quantity quantity = at(problem, i);
      if (quantity.a >= 0) quantity.a += shift;
      if (quantity.b >= 0) quantity.b += shift;
      if (quantity.op != Operator::sum) quantity.constant = draw_constant(rng, rules, quantity.op);
      problem.quantities.push_back(quantity);
    }
  }
}

std::string statement(const Problem& problem, const ProblemRules& rules, i64 i) {
  const Quantity& q = at(problem, i);
  const std::string thing = rules.full ? fmt::format(" {}", kThings[static_cast<std::size_t>(problem.thing)]) : "";
  switch (q.op) {
    case Operator::stated: return fmt::format("{} has {}{}.", name_of(q), q.constant, thing);
    case Operator::more:
      return fmt::format("{} has {} more{} than {}.", name_of(q), q.constant, thing, name_of(at(problem, q.a)));
    case Operator::fewer:
      return fmt::format("{} has {} fewer{} than {}.", name_of(q), q.constant, thing, name_of(at(problem, q.a)));
    case Operator::times:
      return fmt::format("{} has {} times as many{} as {}.", name_of(q), q.constant, thing, name_of(at(problem, q.a)));
    case Operator::sum: break;
  }
  return fmt::format("{} has as many{} as {} and {}.", name_of(q), thing, name_of(at(problem, q.a)),
                     name_of(at(problem, q.b)));
}

std::string tree(const Problem& problem, i64 i) {
  const Quantity& q = at(problem, i);
  if (q.op == Operator::stated) return "L";
  std::string a = tree(problem, q.a);
  if (q.op != Operator::sum) {
    const char* letter = q.op == Operator::more ? "m" : q.op == Operator::fewer ? "f" : "t";
    return fmt::format("{}({})", letter, a);
  }
  std::string b = tree(problem, q.b);
  if (b < a) std::swap(a, b);
  return fmt::format("s({},{})", a, b);
}

}  // namespace

Operator operator_parse(const std::string& name) {
  for (std::size_t i = 1; i < kOperatorNames.size(); ++i) {
    if (name == kOperatorNames[i]) return static_cast<Operator>(i);
  }
  const std::vector<std::string> known(kOperatorNames.begin() + 1, kOperatorNames.end());
  throw Error({.where = "arithmetic task",
               .what = fmt::format("there is no operator '{}'", name),
               .wanted = "more, fewer, times or sum",
               .fix = nearest_advice(name, known)});
}

const std::vector<std::string>& problem_names() {
  static const std::vector<std::string> names(kNames.begin(), kNames.end());
  return names;
}

i64 problem_operations_max(i64 decoys) {
  return std::min<i64>((static_cast<i64>(kNames.size()) / (1 + decoys) - 1) / 2, 31);
}

Problem problem_draw(Rng& rng, const ProblemRules& rules, i64 operations) {
  Problem problem;
  problem.operations = operations;
  problem.quantities.push_back({});
  std::vector<i64> open = {0};  // not yet defined
  i64 left = operations;
  while (!open.empty()) {
    const auto pick = static_cast<std::size_t>(rng.next_below(open.size()));
    const i64 index = open[pick];
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(pick));
    // The last open quantity must be derived while operations are left; otherwise there would be no place for them.
    const bool derive = left > 0 && (open.empty() || rng.next_uniform() < kDerive);
    if (derive) {
      define_operation(rng, rules, problem, open, index);
      --left;
    } else {
      Quantity& stated = problem.quantities[static_cast<std::size_t>(index)];
      stated.constant = draw_constant(rng, rules, Operator::stated);
    }
  }
  problem.needed = static_cast<i64>(problem.quantities.size());
  add_decoys(rng, rules, problem);
  const i64 count = static_cast<i64>(problem.quantities.size());
  CHECK(count <= static_cast<i64>(kNames.size()), "every quantity has a name of its own");
  std::array<i64, kNames.size()> names;
  rng_shuffle(rng, names.data(), static_cast<i64>(names.size()));
  for (i64 i = 0; i < count; ++i)
    problem.quantities[static_cast<std::size_t>(i)].name = names[static_cast<std::size_t>(i)];
  problem.said.resize(static_cast<std::size_t>(count));
  rng_shuffle(rng, problem.said.data(), count);
  problem.thing = static_cast<i64>(rng.next_below(kThings.size()));
  evaluate(rules, problem, topological(problem));
  return problem;
}

std::string problem_question(const Problem& problem, const ProblemRules& rules) {
  // A leading space: byte-level tokenizers then write the first name as they write it everywhere else.
  std::string text = " ";
  for (const i64 i : problem.said) text += statement(problem, rules, i) + " ";
  const char* name = name_of(at(problem, 0));
  if (!rules.full) return text + fmt::format("How many has {}?", name);
  return text + fmt::format("How many {} does {} have?", kThings[static_cast<std::size_t>(problem.thing)], name);
}

std::string problem_steps(const Problem& problem, std::vector<std::pair<i64, i64>>& results) {
  std::string text;
  const auto add = [&](const Quantity& q, const std::string& work) {
    text += fmt::format(" {} = {}", name_of(q), work);
    const auto begin = static_cast<i64>(text.size());
    text += fmt::format("{}", q.value);
    results.emplace_back(begin, static_cast<i64>(text.size()));
    text += ".";
  };
  if (problem.operations == 0) {
    add(at(problem, 0), "");
    return text;
  }
  for (const i64 i : topological(problem)) {
    if (i >= problem.needed) break;  // decoys come last
    const Quantity& q = at(problem, i);
    if (q.op == Operator::stated) continue;
    const Quantity& a = at(problem, q.a);
    const char sign = q.op == Operator::fewer ? '-' : q.op == Operator::times ? '*' : '+';
    if (q.op == Operator::sum) {
      const Quantity& b = at(problem, q.b);
      add(q, fmt::format("{} + {} = {} + {} = ", name_of(a), name_of(b), a.value, b.value));
    } else {
      add(q, fmt::format("{} {} {} = {} {} {} = ", name_of(a), sign, q.constant, a.value, sign, q.constant));
    }
  }
  return text;
}

std::vector<ShortcutStatement> problem_shortcuts(const Problem& problem) {
  std::vector<ShortcutStatement> statements;
  for (const i64 i : problem.said) {
    const Quantity& q = at(problem, i);
    const bool adds = q.op == Operator::stated || q.op == Operator::more;
    statements.push_back({kOperatorNames[static_cast<std::size_t>(q.op)],
                          adds                      ? q.constant
                          : q.op == Operator::fewer ? -q.constant
                                                    : 0,
                          i < problem.needed});
  }
  return statements;
}

std::string problem_structure(const Problem& problem) { return tree(problem, 0); }

std::string problem_graph(const Problem& problem) {
  const i64 count = problem.operations == 0 ? static_cast<i64>(problem.quantities.size()) : problem.needed;
  std::vector<std::string> parts;
  for (i64 i = 0; i < count; ++i) {
    const Quantity& q = at(problem, i);
    i64 a = q.a < 0 ? -1 : at(problem, q.a).name;
    i64 b = q.b < 0 ? -1 : at(problem, q.b).name;
    if (b >= 0 && b < a) std::swap(a, b);
    parts.push_back(fmt::format("{} {} {} {} {}", q.name, static_cast<int>(q.op), a, b, q.constant));
  }
  std::sort(parts.begin(), parts.end());
  return fmt::format("{}? {}", at(problem, 0).name, fmt::join(parts, "; "));
}

}  // namespace moebius::data
