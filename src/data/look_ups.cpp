// The look-ups task: a cycle of names in shuffled statements ("Ann Bob." leads from Ann to Bob); the question follows it
// for a number of hops.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "data/arithmetic_graph.h"
#include "data/problems.h"

namespace moebius::data {

namespace {

GradedProblem draw(Rng& rng, const LookUpsOptions& options, i64 grade) {
  const std::vector<std::string>& all = problem_names();
  std::vector<i64> order(all.size()), said(static_cast<std::size_t>(options.names));
  rng_shuffle(rng, order.data(), static_cast<i64>(order.size()));
  rng_shuffle(rng, said.data(), options.names);
  // The first `names` of the order are the cycle: each leads to the next.
  const auto name = [&](i64 i) {
    return all[static_cast<std::size_t>(order[static_cast<std::size_t>(i % options.names)])];
  };
  GradedProblem problem;
  for (const i64 i : said) problem.question += fmt::format(" {} {}.", name(i), name(i + 1));
  const auto start = static_cast<i64>(rng.next_below(static_cast<u64>(options.names)));
  problem.question += fmt::format(" {} from {}?", grade, name(start));
  for (i64 hop = 1; hop <= grade; ++hop) {
    const auto begin = static_cast<i64>(problem.steps.size()) + 1;
    problem.steps += " " + name(start + hop);
    problem.results.emplace_back(begin, static_cast<i64>(problem.steps.size()));
  }
  problem.steps += ".";
  problem.answer = name(start + grade);
  for (i64 i = 0; i < options.names; ++i) problem.answers.push_back(name(i));
  std::sort(problem.answers.begin(), problem.answers.end());
  for (i64 i = 0; i <= options.names; ++i) problem.identity += name(start + i) + " ";
  problem.identity += fmt::format("{}", grade);
  problem.split_key = problem.identity;
  problem.extra = Json::object();
  return problem;
}

}  // namespace

void describe(LookUpsOptions& options, OptionList& list) {
  describe(options.problems, list);
  list.add("names", &options.names, "names in a problem", {.min = 3, .max = 32});
}

void check(const LookUpsOptions& options) {
  const char* const where = "look-ups task";
  if (options.names < 3 || options.names > 32) {
    throw Error({.where = where,
                 .what = "the number of names is out of range",
                 .wanted = "3 to 32",
                 .got = fmt::format("{}", options.names)});
  }
  check_problem_options(options.problems, where, 1, options.names - 1);  // after `names` hops one is back
}

GeneratedTask make_look_ups(const LookUpsOptions& options) {
  check(options);
  ProblemFamily family;
  family.name = "look-ups";
  family.skill = "look-up";
  family.grade_unit = "hops";
  family.stream = RngStream::look_ups;
  family.draw = [&](Rng& rng, i64 grade) { return draw(rng, options, grade); };
  return make_problems(family, options);
}

}  // namespace moebius::data
