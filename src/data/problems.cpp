// Drawing, splitting and writing graded problems.
#include "data/problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"

namespace moebius::data {

namespace {

constexpr i64 kChunkMax = 4096;  // candidates drawn at once
constexpr i64 kTask = 128;       // of one task
constexpr i64 kVain = 131072;    // candidates without one new problem: then there are no more

u64 seeded_hash(u64 seed, const std::string& text) {
  u64 hash = hash_text(text, kHashStart ^ (seed * 0x9e3779b97f4a7c15ull));
  hash ^= hash >> 33;  // the low bits decide the split: mix the high ones in
  hash *= 0xff51afd7ed558ccdull;
  return hash ^ hash >> 33;
}

class Generator {
 public:
  Generator(const ProblemFamily& family, const ProblemOptions& options) : family_(family), options_(options) {}

  // Candidates are drawn in parallel, each from its own random step, and accepted in order, so that the result does not
  // depend on the number of threads.
  std::vector<GradedProblem> draw(i64 grade, bool test, i64 count) const {
    std::vector<GradedProblem> accepted;
    std::unordered_set<u64> identities;
    const i64 size = std::min(kChunkMax, (count / kTask + 1) * kTask);
    std::vector<GradedProblem> chunk(static_cast<std::size_t>(size));
    i64 in_vain = 0;
    for (i64 first = 0; static_cast<i64>(accepted.size()) < count; first += size) {
      if (in_vain >= kVain) too_few(grade, test, count, static_cast<i64>(accepted.size()));
      parallel_for(size / kTask, [&](i64 task, int) {
        for (i64 i = task * kTask; i < (task + 1) * kTask; ++i) {
          const u64 step =
              static_cast<u64>(test ? 1 : 0) << 62 | static_cast<u64>(grade) << 48 | static_cast<u64>(first + i);
          Rng rng(static_cast<u64>(options_.seed), family_.stream, step);
          chunk[static_cast<std::size_t>(i)] = family_.draw(rng, grade);
        }
      });
      const std::size_t before = accepted.size();
      for (GradedProblem& problem : chunk) {
        if (static_cast<i64>(accepted.size()) == count) break;
        if (is_test(problem) != test) continue;
        const bool is_new = identities.insert(seeded_hash(0, problem.identity)).second;
        if (is_new || (!test && family_.repeats)) accepted.push_back(std::move(problem));
      }
      in_vain = accepted.size() == before ? in_vain + size : 0;
    }
    return accepted;
  }

 private:
  bool is_test(const GradedProblem& problem) const {
    if (problem.training_only) return false;
    const u64 hash = seeded_hash(static_cast<u64>(options_.seed) + 1, problem.split_key);
    return static_cast<double>(hash >> 11) * 0x1p-53 < options_.test_share;
  }

  [[noreturn]] void too_few(i64 grade, bool test, i64 wanted, i64 got) const {
    throw Error(
        {.where = fmt::format("{} task, grade {}", family_.name, grade),
         .what = fmt::format("there are not enough different {} problems", test ? "test" : "training"),
         .wanted = fmt::format("{}", wanted),
         .got = fmt::format("{}", got),
         .fix = "request fewer problems, more operators, a larger modulus, another test-share or another seed"});
  }

  const ProblemFamily& family_;
  const ProblemOptions& options_;
};

std::string prompt_of(const GradedProblem& problem, bool direct) {
  return problem.question + (direct ? " Answer:" : " Steps:");
}

std::string solution_of(const GradedProblem& problem) { return problem.steps + " Answer:"; }

TaskItem make_item(const ProblemFamily& family, const GradedProblem& problem, i64 grade, i64 number, bool direct) {
  TaskItem item;
  item.task = direct ? family.name + "-direct" : family.name;
  item.id = fmt::format("{}-{}-{}", item.task, grade, number);
  item.grade = fmt::format("{}", grade);
  item.skill = family.skill;
  item.answer = problem.answer;
  item.prompt = prompt_of(problem, direct);
  if (direct) {
    for (const std::string& answer : problem.answers) {
      if (answer == problem.answer) item.answer_index = static_cast<i64>(item.choices.size());
      item.choices.push_back(" " + answer);
    }
  } else {
    item.solution = solution_of(problem);
    item.step_results = problem.results;
    item.answer_after = "Answer:";
    item.tokens_max = static_cast<i64>(item.solution.size() + item.answer.size()) + 2;
  }
  item.extra = problem.extra;
  return item;
}

// What is reached without the reasoning: one of the possible answers at random, and every shortcut solver.
Json grade_meta(const ProblemFamily& family, const std::vector<GradedProblem>& problems, i64 grade, bool direct,
                const ShortcutTraining& training, i64 keys_training) {
  std::vector<ShortcutProblem> views;
  double chance = 0;
  std::set<std::string> keys;
  for (const GradedProblem& problem : problems) {
    views.push_back(
        {prompt_of(problem, direct), problem.answer, problem.answers, grade, family.modulus, problem.statements});
    chance += 1.0 / static_cast<double>(problem.answers.size()) / static_cast<double>(problems.size());
    keys.insert(problem.split_key);
  }
  Json baselines = Json::object();
  double best = chance;
  std::string best_name = "chance";
  for (const ShortcutScore& score : run_shortcuts(views, training)) {
    baselines.set(score.solver, score.right);
    if (score.right <= best) continue;
    best = score.right;
    best_name = score.solver;
  }
  return Json::object({{"items", static_cast<i64>(problems.size())},
                       {"chance", chance},
                       {"baselines", baselines},
                       {"chance_best", best},
                       {"chance_best_by", best_name},
                       {"keys_training", keys_training},
                       {"keys_test", static_cast<i64>(keys.size())}});
}

// Problems of each training grade: shares by weight, the rest to the first grades.
std::vector<i64> problems_per_grade(const ProblemOptions& options) {
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

struct Training {
  ShortcutTraining shortcuts;
  std::vector<i64> keys = std::vector<i64>(kGradeMax + 1, 0);  // different split keys of each grade
};

Training make_training(const Generator& generator, const ProblemOptions& options, GeneratedTask& task) {
  const std::vector<i64> counts = problems_per_grade(options);
  Training training;
  for (std::size_t g = 0; g < counts.size(); ++g) {
    if (counts[g] == 0) continue;
    const i64 grade = options.grades[g];
    std::set<std::string> keys;
    i64 number = 0;
    for (const GradedProblem& problem : generator.draw(grade, false, counts[g])) {
      // Evenly spread: the share reached after each problem is the wanted one.
      const auto whole = [&](i64 n) { return static_cast<i64>(static_cast<double>(n) * options.direct_share); };
      const bool direct = whole(number + 1) > whole(number);
      ++number;
      task.documents.push_back(prompt_of(problem, direct) + (direct ? "" : solution_of(problem)) + " " +
                               problem.answer + ".");
      training.shortcuts.add_answer(grade, problem.answer);
      training.shortcuts.add_text(task.documents.back());
      keys.insert(problem.split_key);
    }
    training.keys[static_cast<std::size_t>(grade)] = static_cast<i64>(keys.size());
  }
  return training;
}

}  // namespace

void describe(ProblemOptions& options, OptionList& list) {
  list.add("seed", &options.seed, "seed of the problems", {.min = 0});
  list.add("grades", &options.grades, "grades of training problems");
  list.add("grade-weights", &options.weights, "share of training problems of each grade");
  list.add("grades-test", &options.grades_test, "grades of test problems");
  list.add("problems", &options.problems, "training problems", {.min = 1});
  list.add("items", &options.items, "test problems of each grade", {.min = 1});
  list.add("direct-share", &options.direct_share, "share of training problems answered without steps",
           {.min = 0, .max = 1});
  list.add("test-share", &options.test_share, "share of problems (or structures) reserved for the test",
           {.min = 0, .max = 1});
}

void check_problem_options(const ProblemOptions& o, const std::string& where, i64 grade_min, i64 grade_max) {
  const auto fail = [&](const std::string& what, const std::string& wanted, const std::string& got) {
    throw Error({.where = where, .what = what, .wanted = wanted, .got = got});
  };
  if (o.grades.empty() || o.grades.size() != o.weights.size()) {
    fail("grades and weights differ in number", fmt::format("{} weights", o.grades.size()),
         fmt::format("{}", o.weights.size()));
  }
  for (const auto* list : {&o.grades, &o.grades_test}) {
    for (const i64 g : *list) {
      if (g < grade_min || g > std::min(grade_max, kGradeMax))
        fail("a grade is out of range", fmt::format("{} to {}", grade_min, std::min(grade_max, kGradeMax)),
             fmt::format("{}", g));
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
}

GeneratedTask make_problems(const ProblemFamily& family, const ProblemOptions& options, const Json& resolved) {
  const Generator generator(family, options);
  GeneratedTask task;
  task.name = family.name;
  const Training training = make_training(generator, options, task);
  TaskItems forms[2];  // worked, direct
  Json grades[2] = {Json::object(), Json::object()};
  for (const i64 grade : options.grades_test) {
    const std::vector<GradedProblem> problems = generator.draw(grade, true, options.items);
    for (int direct = 0; direct < 2; ++direct) {
      for (const GradedProblem& problem : problems) {
        const i64 number = &problem - problems.data();
        forms[direct].items.push_back(make_item(family, problem, grade, number, direct == 1));
      }
      grades[direct].set(fmt::format("{}", grade), grade_meta(family, problems, grade, direct == 1, training.shortcuts,
                                                              training.keys[static_cast<std::size_t>(grade)]));
    }
  }
  for (int direct = 0; direct < 2; ++direct) {
    TaskItems& form = forms[direct];
    form.task = direct == 1 ? family.name + "-direct" : family.name;
    form.meta = Json::object({{"task", form.task},
                              {"skill", family.skill},
                              {"method", direct == 1 ? "choice" : "generate"},
                              {"prompts_in_training", false},
                              {"items", static_cast<i64>(form.items.size())},
                              {"grade_unit", family.grade_unit},
                              {"grades", grades[direct]},
                              {"options", resolved}});
    task.tasks.push_back(std::move(form));
  }
  i64 bytes = 0;
  for (const std::string& document : task.documents) bytes += static_cast<i64>(document.size());
  task.summary = Json::object({{"task", family.name},
                               {"documents", static_cast<i64>(task.documents.size())},
                               {"bytes", bytes},
                               {"items_of_each_grade", options.items}});
  return task;
}

}  // namespace moebius::data
