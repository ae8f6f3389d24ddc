// The arithmetic task: problems of each grade, the split by key, training text, items and what guessing reaches.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data/arithmetic_graph.h"
#include "data/generated_tasks.h"

namespace moebius::data {

namespace {

constexpr i64 kChunk = 4096;       // candidates drawn at once
constexpr i64 kChunksInVain = 32;  // without one new problem: then there are no more
constexpr i64 kGradeMax = 64;

u64 seeded_hash(u64 seed, const std::string& text) {
  u64 hash = hash_text(text, kHashStart ^ (seed * 0x9e3779b97f4a7c15ull));
  hash ^= hash >> 33;  // the low bits decide the split: mix the high ones in
  hash *= 0xff51afd7ed558ccdull;
  return hash ^ hash >> 33;
}

struct Accepted {
  Problem problem;
  std::string structure;
  u64 graph = 0;
};

struct Generator {
  ArithmeticOptions options;
  ProblemRules rules;

  // Whether a key is kept for the test. The operations counted are those of the unfolded structure, so that a small
  // graph with shared quantities does not bring a larger one's structure into training.
  bool is_test(const std::string& structure, const std::string& graph) const {
    const i64 operations = std::count(structure.begin(), structure.end(), '(');
    const std::string& key = operations >= options.structure_grade_min ? structure : graph;
    const u64 hash = seeded_hash(static_cast<u64>(options.seed) + 1, key);
    return static_cast<double>(hash >> 11) * 0x1p-53 < options.test_share;
  }

  std::vector<Accepted> draw(i64 grade, bool test, i64 count) const;
};

// Candidates are drawn in parallel, each from its own random step, and taken in their order: so the result does not
// depend on the number of threads.
std::vector<Accepted> Generator::draw(i64 grade, bool test, i64 count) const {
  std::vector<Accepted> taken;
  std::unordered_set<u64> graphs;
  struct Candidate {
    Accepted accepted;
    bool fits = false;
  };
  std::vector<Candidate> chunk(kChunk);
  i64 in_vain = 0;
  for (i64 first = 0; static_cast<i64>(taken.size()) < count; first += kChunk) {
    if (in_vain == kChunksInVain) {
      throw Error(
          {.where = fmt::format("arithmetic task, grade {}", grade),
           .what = fmt::format("there are not enough different {} problems", test ? "test" : "training"),
           .wanted = fmt::format("{}", count),
           .got = fmt::format("{}", taken.size()),
           .fix = "ask for fewer problems, more operators, a larger modulus, another test-share or another seed"});
    }
    parallel_for(parallel_chunks(kChunk, 256), [&](i64 task, int) {
      for (i64 i = task * 256; i < (task + 1) * 256; ++i) {
        Candidate& candidate = chunk[static_cast<std::size_t>(i)];
        const u64 step =
            static_cast<u64>(test ? 1 : 0) << 62 | static_cast<u64>(grade) << 48 | static_cast<u64>(first + i);
        Rng rng(static_cast<u64>(options.seed), RngStream::arithmetic, step);
        candidate.accepted.problem = problem_draw(rng, rules, grade);
        candidate.accepted.structure = problem_structure(candidate.accepted.problem);
        const std::string graph = problem_graph(candidate.accepted.problem);
        candidate.accepted.graph = seeded_hash(0, graph);
        candidate.fits = is_test(candidate.accepted.structure, graph) == test;
      }
    });
    const std::size_t before = taken.size();
    for (Candidate& candidate : chunk) {
      if (static_cast<i64>(taken.size()) == count) break;
      if (candidate.fits && graphs.insert(candidate.accepted.graph).second)
        taken.push_back(std::move(candidate.accepted));
    }
    in_vain = taken.size() == before ? in_vain + 1 : 0;
  }
  return taken;
}

void check_options(const ArithmeticOptions& o) {
  const auto fail = [](const std::string& what, const std::string& wanted, const std::string& got) {
    throw Error({.where = "arithmetic task", .what = what, .wanted = wanted, .got = got});
  };
  if (o.modulus < 3 || o.modulus > 1000) fail("the modulus is out of range", "3 to 1000", fmt::format("{}", o.modulus));
  if (o.distractors < 0 || o.distractors > 16)
    fail("distractors are out of range", "0 to 16", fmt::format("{}", o.distractors));
  if (o.grades.empty() || o.grades.size() != o.weights.size()) {
    fail("grades and weights differ in number", fmt::format("{} weights", o.grades.size()),
         fmt::format("{}", o.weights.size()));
  }
  const i64 most = std::min(kGradeMax, problem_operations_max(o.distractors));
  for (const auto* list : {&o.grades, &o.grades_test}) {
    for (const i64 g : *list) {
      if (g < 0 || g > most)
        fail("a grade is out of range", fmt::format("0 to {} operations", most), fmt::format("{}", g));
    }
    if (std::set<i64>(list->begin(), list->end()).size() != list->size())
      fail("a grade is given twice", "each once", "");
  }
  double sum = 0;
  for (const double w : o.weights) {
    if (!(w >= 0)) fail("a weight is negative", "0 or more", fmt::format("{}", w));
    sum += w;
  }
  if (!(sum > 0)) fail("all weights are 0", "at least one above 0", "");
  if (o.problems < 1 || o.items < 1) fail("problems or items are below 1", "1 or more", "");
  if (!(o.test_share > 0 && o.test_share < 1))
    fail("test-share is out of range", "between 0 and 1", fmt::format("{}", o.test_share));
  if (!(o.direct_share >= 0 && o.direct_share <= 1))
    fail("direct-share is out of range", "0 to 1", fmt::format("{}", o.direct_share));
  if (o.operators.empty()) fail("no operator is given", "more, fewer, times, sum", "");
  if (o.wording != "compact" && o.wording != "full") fail("unknown wording", "compact or full", o.wording);
}

struct GradeStatistics {
  std::vector<i64> answers;  // how often each value is the answer in training
  std::set<std::string> structures;
};

std::string prompt_worked(const Problem& p, const ProblemRules& rules) {
  return problem_question(p, rules) + " Steps:";
}
std::string prompt_direct(const Problem& p, const ProblemRules& rules) {
  return problem_question(p, rules) + " Answer:";
}

TaskItem make_item(const Generator& generator, const Accepted& accepted, i64 grade, i64 number, bool direct) {
  const Problem& problem = accepted.problem;
  const i64 value = problem.quantities[0].value;
  TaskItem item;
  item.task = direct ? "arithmetic-direct" : "arithmetic";
  item.id = fmt::format("{}-{}-{}", item.task, grade, number);
  item.grade = fmt::format("{}", grade);
  item.skill = "reasoning";
  item.answer = fmt::format("{}", value);
  if (direct) {
    item.prompt = prompt_direct(problem, generator.rules);
    for (i64 v = 0; v < generator.rules.modulus; ++v) item.choices.push_back(fmt::format(" {}", v));
    item.answer_index = value;
  } else {
    item.prompt = prompt_worked(problem, generator.rules);
    item.solution = problem_steps(problem, generator.rules) + " Answer:";
    item.answer_after = "Answer:";
    item.tokens_max = static_cast<i64>(item.solution.size() + item.answer.size()) + 2;
  }
  item.extra = Json::object({{"structure", accepted.structure}, {"graph", fmt::format("{:016x}", accepted.graph)}});
  return item;
}

// What is reached without reasoning: the most frequent answer of the training text, the last number of the problem,
// any of its numbers.
Json grade_meta(const Generator& generator, const std::vector<Accepted>& items, const GradeStatistics& training) {
  const i64 mode = std::max_element(training.answers.begin(), training.answers.end()) - training.answers.begin();
  double most_frequent = 0, copy_last = 0, copy_any = 0;
  std::set<std::string> structures;
  for (const Accepted& accepted : items) {
    structures.insert(accepted.structure);
    const i64 value = accepted.problem.quantities[0].value;
    const std::vector<i64> numbers = problem_numbers(accepted.problem);
    most_frequent += value == mode;
    copy_last += !numbers.empty() && numbers.back() == value;
    if (!numbers.empty()) {
      copy_any +=
          static_cast<double>(std::count(numbers.begin(), numbers.end(), value)) / static_cast<double>(numbers.size());
    }
  }
  const double count = static_cast<double>(items.size());
  const double chance = 1.0 / static_cast<double>(generator.rules.modulus);
  return Json::object({{"items", static_cast<i64>(items.size())},
                       {"chance", chance},
                       {"baselines", Json::object({{"most_frequent", most_frequent / count},
                                                   {"copy_last_number", copy_last / count},
                                                   {"copy_any_number", copy_any / count}})},
                       {"chance_best", std::max({chance, most_frequent / count, copy_last / count, copy_any / count})},
                       {"structures_training", static_cast<i64>(training.structures.size())},
                       {"structures_test", static_cast<i64>(structures.size())}});
}

// Problems of each training grade: shares by weight, the rest to the first grades.
std::vector<i64> problems_per_grade(const ArithmeticOptions& options) {
  double sum = 0;
  for (const double w : options.weights) sum += w;
  std::vector<i64> counts;
  i64 given = 0;
  for (const double w : options.weights) {
    counts.push_back(static_cast<i64>(static_cast<double>(options.problems) * w / sum));
    given += counts.back();
  }
  for (std::size_t g = 0; given < options.problems; g = (g + 1) % counts.size()) {
    if (options.weights[g] <= 0) continue;
    ++counts[g];
    ++given;
  }
  return counts;
}

std::vector<GradeStatistics> make_training(const Generator& generator, GeneratedTask& task) {
  const ArithmeticOptions& options = generator.options;
  const std::vector<i64> counts = problems_per_grade(options);
  std::vector<GradeStatistics> statistics(kGradeMax + 1);
  for (GradeStatistics& s : statistics) s.answers.assign(static_cast<std::size_t>(options.modulus), 0);
  GradeStatistics all = statistics[0];
  for (std::size_t g = 0; g < counts.size(); ++g) {
    if (counts[g] == 0) continue;
    const i64 grade = options.grades[g];
    const std::vector<Accepted> accepted = generator.draw(grade, false, counts[g]);
    GradeStatistics& own = statistics[static_cast<std::size_t>(grade)];
    for (std::size_t i = 0; i < accepted.size(); ++i) {
      const Problem& problem = accepted[i].problem;
      const std::string answer = fmt::format("{}", problem.quantities[0].value);
      // Evenly spread: the share reached after each problem is the wanted one.
      const auto whole = [&](std::size_t n) { return static_cast<i64>(static_cast<double>(n) * options.direct_share); };
      const bool direct = whole(i + 1) > whole(i);
      task.documents.push_back(direct ? prompt_direct(problem, generator.rules) + " " + answer + "."
                                      : prompt_worked(problem, generator.rules) +
                                            problem_steps(problem, generator.rules) + " Answer: " + answer + ".");
      ++own.answers[static_cast<std::size_t>(problem.quantities[0].value)];
      ++all.answers[static_cast<std::size_t>(problem.quantities[0].value)];
      own.structures.insert(accepted[i].structure);
    }
  }
  // Grades that are not in the training text are guessed from those that are.
  for (GradeStatistics& s : statistics) {
    if (s.structures.empty()) s.answers = all.answers;
  }
  return statistics;
}

}  // namespace

void describe(ArithmeticOptions& options, OptionList& list) {
  list.add("arithmetic-seed", &options.seed, "seed of the problems", {.min = 0});
  list.add("modulus", &options.modulus, "all numbers are taken modulo this", {.min = 3, .max = 1000});
  list.add("grades", &options.grades, "operations of training problems");
  list.add("grade-weights", &options.weights, "share of training problems of each grade");
  list.add("grades-test", &options.grades_test, "operations of test problems");
  list.add("problems", &options.problems, "training problems", {.min = 1});
  list.add("arithmetic-items", &options.items, "test problems of each grade", {.min = 1});
  list.add("distractors", &options.distractors, "statements that the question does not need (look-ups have at least 2)",
           {.min = 0, .max = 16});
  list.add("direct-share", &options.direct_share, "share of training problems answered without steps",
           {.min = 0, .max = 1});
  list.add("test-share", &options.test_share, "share of structures or problems reserved for the test",
           {.min = 0, .max = 1});
  list.add("structure-grade-min", &options.structure_grade_min,
           "from this grade on, test problems have new structures; below, only new names and numbers", {.min = 0});
  list.add("operators", &options.operators, "operations: more, fewer, times, sum");
  list.add("wording", &options.wording, "length of the sentences", {.choices = {"compact", "full"}});
}

GeneratedTask make_arithmetic(const ArithmeticOptions& options) {
  check_options(options);
  Generator generator;
  generator.options = options;
  generator.rules.modulus = options.modulus;
  generator.rules.distractors = options.distractors;
  generator.rules.full = options.wording == "full";
  for (const std::string& name : options.operators) generator.rules.operators.push_back(operator_parse(name));
  GeneratedTask task;
  task.name = "arithmetic";
  const std::vector<GradeStatistics> statistics = make_training(generator, task);
  TaskItems worked, direct;
  Json grades = Json::object();
  for (const i64 grade : options.grades_test) {
    const std::vector<Accepted> items = generator.draw(grade, true, options.items);
    for (std::size_t i = 0; i < items.size(); ++i) {
      worked.items.push_back(make_item(generator, items[i], grade, static_cast<i64>(i), false));
      direct.items.push_back(make_item(generator, items[i], grade, static_cast<i64>(i), true));
    }
    grades.set(fmt::format("{}", grade), grade_meta(generator, items, statistics[static_cast<std::size_t>(grade)]));
  }
  ArithmeticOptions resolved = options;
  OptionList list;
  describe(resolved, list);
  const auto finish = [&](TaskItems& items, const char* name, const char* method) {
    items.task = name;
    items.meta = Json::object({{"task", name},
                               {"skill", "reasoning"},
                               {"method", method},
                               {"prompts_in_training", false},
                               {"items", static_cast<i64>(items.items.size())},
                               {"grade_unit", "operations"},
                               {"modulus", options.modulus},
                               {"grades", grades},
                               {"options", list.to_json()}});
    task.tasks.push_back(std::move(items));
  };
  finish(worked, "arithmetic", "generate");
  finish(direct, "arithmetic-direct", "choice");
  i64 bytes = 0;
  for (const std::string& document : task.documents) bytes += static_cast<i64>(document.size());
  task.summary = Json::object({{"task", "arithmetic"},
                               {"documents", static_cast<i64>(task.documents.size())},
                               {"bytes", bytes},
                               {"items_of_each_grade", options.items}});
  return task;
}

}  // namespace moebius::data
