// Graded problems: no test problem is in the training text (read back from the text itself, not from the generator's own
// keys), right answers and steps, and what shortcut solvers reach.
#include "data/problems.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <unordered_set>

#include "base/error.h"

namespace moebius::data {
namespace {

const TaskItems& items_named(const GeneratedTask& task, const std::string& name) {
  for (const TaskItems& items : task.tasks) {
    if (items.task == name) return items;
  }
  throw Error({.what = "no such task"});
}

// --- arithmetic ---

// A problem read back from its words.
struct Parsed {
  struct Said {
    char op = 'L';  // L stated, m more, f fewer, t times, s sum
    i64 number = 0;
    std::string a, b;
  };
  std::map<std::string, Said> said;
  std::string asked;
  std::string mode;  // "Steps:" or "Answer:"
  std::string rest;  // after the mode

  std::string structure(const std::string& name) const {
    const Said& s = said.at(name);
    if (s.op == 'L') return "L";
    std::vector<std::string> parts = {structure(s.a)};
    if (s.op == 's') parts.push_back(structure(s.b));
    std::sort(parts.begin(), parts.end());
    std::string text(1, s.op);
    for (const std::string& part : parts) text += "[" + part + "]";
    return text;
  }
  i64 value(const std::string& name, i64 modulus) const {
    const Said& s = said.at(name);
    i64 v = s.number;
    if (s.op == 'm') v = value(s.a, modulus) + s.number;
    if (s.op == 'f') v = value(s.a, modulus) - s.number;
    if (s.op == 't') v = value(s.a, modulus) * s.number;
    if (s.op == 's') v = value(s.a, modulus) + value(s.b, modulus);
    return ((v % modulus) + modulus) % modulus;
  }
  void needed(const std::string& name, std::set<std::string>& names) const {
    names.insert(name);
    const Said& s = said.at(name);
    if (!s.a.empty()) needed(s.a, names);
    if (!s.b.empty()) needed(s.b, names);
  }
  // What is needed, with names and numbers; everything for a look-up.
  std::string graph() const {
    std::set<std::string> names;
    needed(asked, names);
    if (said.at(asked).op == 'L') {
      for (const auto& [name, s] : said) names.insert(name);
    }
    std::string text = asked + "?";
    for (const std::string& name : names) {
      const Said& s = said.at(name);
      text += " " + name + "=" + s.op + std::to_string(s.number) + std::min(s.a, s.b) + "," + std::max(s.a, s.b);
    }
    return text;
  }
};

std::vector<std::string> split_words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

Parsed parse(const std::string& text) {
  Parsed parsed;
  std::size_t at = 0;
  while (text.compare(at, 8, "How many") != 0) {
    const std::size_t dot = text.find(". ", at);
    if (dot == std::string::npos) throw Error({.what = "no question in: " + text});
    const auto w = split_words(text.substr(at, dot - at));
    Parsed::Said s;
    if (w.size() == 3)
      s = {'L', std::stoll(w[2]), "", ""};
    else if (w[3] == "more")
      s = {'m', std::stoll(w[2]), w[5], ""};
    else if (w[3] == "fewer")
      s = {'f', std::stoll(w[2]), w[5], ""};
    else if (w[3] == "times")
      s = {'t', std::stoll(w[2]), w[7], ""};
    else
      s = {'s', 0, w[5], w[7]};
    parsed.said[w[0]] = s;
    at = dot + 2;
  }
  const std::size_t mark = text.find('?', at);
  parsed.asked = split_words(text.substr(at, mark - at)).back();
  const std::string tail = text.substr(mark + 2);
  const std::size_t colon = tail.find(':');
  parsed.mode = tail.substr(0, colon + 1);
  parsed.rest = tail.substr(colon + 1);
  return parsed;
}

TEST(Arithmetic, NoTestProblemAndNoTestStructureStandsInTraining) {
  const ArithmeticOptions options;
  const GeneratedTask task = make_arithmetic(options);
  EXPECT_EQ(static_cast<i64>(task.documents.size()), options.problems.problems);
  std::unordered_set<std::string> prompts, graphs, structures, texts;
  for (const std::string& d : task.documents) {
    const Parsed p = parse(d);
    prompts.insert(d.substr(0, d.find('?')));
    EXPECT_TRUE(graphs.insert(p.graph()).second) << "twice: " << d;
    structures.insert(p.structure(p.asked));
  }
  i64 new_structures = 0;
  for (const TaskItems& items : task.tasks) {
    for (const TaskItem& item : items.items) {
      const Parsed p = parse(item.prompt);
      EXPECT_FALSE(prompts.contains(item.prompt.substr(0, item.prompt.find('?')))) << item.prompt;
      EXPECT_FALSE(graphs.contains(p.graph())) << item.prompt;
      if (std::stoll(item.grade) >= options.structure_grade_min) {
        EXPECT_FALSE(structures.contains(p.structure(p.asked))) << item.prompt;
        ++new_structures;
      }
    }
  }
  EXPECT_EQ(new_structures, 2 * 3 * options.problems.items);  // grades 3, 4 and 6, worked and at once
}

TEST(Arithmetic, StepsAndAnswersAreRight) {
  ArithmeticOptions options;
  options.modulus = 23;
  options.operators = {"more", "fewer", "times", "sum"};
  options.problems.grades = {0, 1, 2, 3, 4, 6, 8};
  options.problems.weights = {1, 1, 1, 1, 1, 1, 1};
  options.problems.grades_test = options.problems.grades;
  options.problems.problems = 7000;
  options.problems.items = 100;
  const GeneratedTask task = make_arithmetic(options);
  for (const TaskItem& item : items_named(task, "arithmetic").items) {
    const Parsed p = parse(item.prompt);
    EXPECT_EQ(std::to_string(p.value(p.asked, 23)), item.answer) << item.prompt;
    const i64 operations = std::stoll(item.grade);
    const std::string& steps = item.solution;
    EXPECT_EQ(std::count(steps.begin(), steps.end(), '.'), std::max<i64>(1, operations)) << steps;
    EXPECT_TRUE(steps.ends_with(" Answer:"));
    // Each step defines one needed quantity, says its right value, and uses only what was stated or computed before.
    std::set<std::string> known;
    for (const auto& [name, s] : p.said) {
      if (s.op == 'L') known.insert(name);
    }
    for (std::size_t at = 1; operations > 0 && steps.compare(at, 7, "Answer:") != 0;) {
      const std::size_t dot = steps.find('.', at);
      const auto w = split_words(steps.substr(at, dot - at));
      ASSERT_EQ(w.size(), 11u) << steps;
      EXPECT_EQ(std::stoll(w[10]), p.value(w[0], 23));
      EXPECT_EQ(std::stoll(w[6]), p.value(w[2], 23));
      EXPECT_TRUE(known.contains(w[2])) << steps;
      if (!std::isdigit(w[4][0])) {
        EXPECT_TRUE(known.contains(w[4])) << steps;
      }
      known.insert(w[0]);
      at = dot + 2;
    }
  }
  for (const std::string& d : task.documents) {
    const Parsed p = parse(d);
    const std::string ending = p.mode == "Answer:" ? " " : "Answer: ";
    EXPECT_TRUE(p.rest.ends_with(ending + std::to_string(p.value(p.asked, 23)) + ".")) << d;
  }
}

// A guesser written for this test: it adds what statements of each kind say, for every choice of as many statements of
// each kind as the solution needs, whoever they are about.
double guess_without_names(const TaskItem& item, i64 modulus) {
  const Parsed p = parse(item.prompt);
  std::set<std::string> names;
  p.needed(p.asked, names);
  std::map<char, i64> needed;
  for (const std::string& name : names) ++needed[p.said.at(name).op];
  std::vector<Parsed::Said> said;
  for (const auto& [name, s] : p.said) said.push_back(s);
  i64 ways = 0, right = 0;
  for (u64 set = 0; set < u64{1} << said.size(); ++set) {
    std::map<char, i64> taken;
    i64 sum = 0;
    for (std::size_t i = 0; i < said.size(); ++i) {
      if ((set >> i & 1) == 0) continue;
      ++taken[said[i].op];
      sum += said[i].op == 'f' ? -said[i].number : said[i].op == 'L' || said[i].op == 'm' ? said[i].number : 0;
    }
    if (taken != needed) continue;
    ++ways;
    right += std::to_string(((sum % modulus) + modulus) % modulus) == item.answer;
  }
  return static_cast<double>(right) / static_cast<double>(ways);
}

TEST(Arithmetic, NamesMustBeFollowed) {
  ArithmeticOptions options;
  options.problems.items = 200;
  const GeneratedTask task = make_arithmetic(options);
  const TaskItems& items = items_named(task, "arithmetic");
  const Json& grades = items.meta.at("grades");
  for (const i64 grade : {0, 1, 2}) {
    double mean = 0;
    for (const TaskItem& item : items.items) {
      if (item.grade == std::to_string(grade)) mean += guess_without_names(item, 10) / 200;
    }
    EXPECT_NEAR(grades.at(std::to_string(grade)).at("baselines").at("by_kind").as_double(), mean, 1e-9) << grade;
    EXPECT_LT(mean, grade == 0 ? 0.5 : 0.36) << grade;  // 1/3 and 1/4 by choice of the statements, 1/10 by chance
  }
  // Every decoy has the shape of what is needed: as many statements of each kind that are not needed.
  for (const TaskItem& item : items.items) {
    const Parsed p = parse(item.prompt);
    std::set<std::string> names;
    p.needed(p.asked, names);
    std::map<char, i64> kinds;
    for (const auto& [name, s] : p.said) kinds[s.op] += names.contains(name) ? 1 : -1;
    for (const auto& [kind, surplus] : kinds) EXPECT_EQ(surplus, item.grade == "0" ? -1 : 0) << kind << item.prompt;
  }
}

TEST(Arithmetic, WrongOptionsAndTooFewProblems) {
  for (const auto& change : std::vector<void (*)(ArithmeticOptions&)>{
           [](ArithmeticOptions& o) { o.problems.weights = {1}; }, [](ArithmeticOptions& o) { o.operators = {"less"}; },
           [](ArithmeticOptions& o) { o.problems.grades_test = {40}; }, [](ArithmeticOptions& o) { o.modulus = 2; },
           [](ArithmeticOptions& o) { o.problems.test_share = 1; },
           [](ArithmeticOptions& o) {
             o.problems.grades = {0, 1, 2, 3, 3};
           }}) {
    ArithmeticOptions wrong;
    change(wrong);
    EXPECT_THROW(make_arithmetic(wrong), Error);
  }
  ArithmeticOptions many;
  many.modulus = 3;
  many.problems.grades = {1};
  many.problems.weights = {1};
  many.problems.grades_test = {1};
  many.operators = {"more"};
  many.problems.problems = 10000;  // 32 * 31 names, 3 * 2 numbers, four fifths of them for training
  try {
    make_arithmetic(many);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("not enough different"), std::string::npos);
  }
}

// --- expressions and look-ups ---

// Reads " ( 3 + 5 ) * 0 ?" with full parentheses.
i64 evaluate(std::istream& in, i64 modulus) {
  const auto operand = [&](const std::string& word) {
    if (word != "(") return static_cast<i64>(std::stoll(word));
    const i64 value = evaluate(in, modulus);
    std::string closing;
    in >> closing;
    EXPECT_EQ(closing, ")");
    return value;
  };
  std::string word, op;
  in >> word;
  const i64 a = operand(word);
  in >> op >> word;
  const i64 b = operand(word);
  const i64 value = op == "+" ? a + b : op == "-" ? a - b : a * b;
  return ((value % modulus) + modulus) % modulus;
}

TEST(Expressions, AnswersStepsAndResultsAreRight) {
  ExpressionsOptions options;
  options.modulus = 11;
  options.problems.items = 100;
  options.problems.problems = 5000;
  const GeneratedTask task = make_expressions(options);
  for (const TaskItem& item : items_named(task, "expressions").items) {
    std::istringstream in(item.prompt);
    EXPECT_EQ(std::to_string(evaluate(in, 11)), item.answer) << item.prompt;
    const i64 operations = std::stoll(item.grade);
    EXPECT_EQ(std::count(item.solution.begin(), item.solution.end(), '='), operations) << item.solution;
    ASSERT_EQ(static_cast<i64>(item.step_results.size()), operations);
    std::istringstream steps(item.solution);
    std::string a, op, b, equals, result;
    for (const auto& [begin, end] : item.step_results) {
      steps >> a >> op >> b >> equals >> result;
      std::istringstream one(a + " " + op + " " + b);
      const std::string value = std::to_string(evaluate(one, 11));
      EXPECT_EQ(result, value + ".") << item.solution;
      EXPECT_EQ(item.solution.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), value);
    }
    EXPECT_EQ(result, item.answer + ".");
  }
}

TEST(Expressions, NoTestProblemStandsInTraining) {
  for (const i64 seed : {1, 2}) {
    ExpressionsOptions options;
    options.problems.seed = seed;
    options.problems.problems = 20000;
    const GeneratedTask task = make_expressions(options);
    std::unordered_set<std::string> asked;
    for (const std::string& d : task.documents) asked.insert(d.substr(0, d.find('?') + 1));
    for (const TaskItems& items : task.tasks) {
      std::set<std::string> prompts;
      for (const TaskItem& item : items.items) {
        EXPECT_FALSE(asked.contains(item.prompt.substr(0, item.prompt.find('?') + 1))) << item.prompt;
        EXPECT_TRUE(prompts.insert(item.prompt).second) << item.prompt;
      }
    }
    EXPECT_GE(asked.size(), 10000u);
    EXPECT_TRUE(asked.contains(" 3 * 5 ?"));  // the whole table of single operations
  }
}

TEST(LookUps, AnswersFollowTheHops) {
  LookUpsOptions options;
  options.problems.items = 100;
  options.problems.problems = 5000;
  const GeneratedTask task = make_look_ups(options);
  std::unordered_set<std::string> asked;
  for (const std::string& d : task.documents) asked.insert(d.substr(0, d.find('?') + 1));
  for (const TaskItem& item : items_named(task, "look-ups").items) {
    EXPECT_FALSE(asked.contains(item.prompt.substr(0, item.prompt.find('?') + 1)));
    std::map<std::string, std::string> next;
    std::vector<std::string> words;
    std::istringstream in(item.prompt);
    for (std::string word; in >> word;) words.push_back(word.substr(0, word.find_last_not_of(".?") + 1));
    std::size_t i = 0;
    for (; !std::isdigit(static_cast<unsigned char>(words[i][0])); i += 2) next[words[i]] = words[i + 1];
    EXPECT_EQ(words[i], item.grade);
    std::string at = words[i + 2], steps;
    for (i64 hop = 0; hop < std::stoll(item.grade); ++hop) {
      at = next.at(at);
      steps += " " + at;
    }
    EXPECT_EQ(at, item.answer);
    EXPECT_EQ(item.solution, steps + ". Answer:");
  }
}

// --- shortcuts ---

TEST(Shortcuts, GradesAreAnOrderOfDifficulty) {
  for (const GeneratedFamily& family : generated_families()) {
    if (family.name == "facts") continue;  // its grades are numbers of exposures
    OptionList list;
    family.describe(list);
    list.set_from_text("problems", "5000", "test");
    for (const TaskItems& items : family.make().tasks) {
      double before = 1;
      for (const auto& [grade, meta] : items.meta.at("grades").as_object()) {
        const double best = meta.at("chance_best").as_double(), n = meta.at("items").as_double();
        EXPECT_GE(best, meta.at("chance").as_double());
        for (const auto& [solver, right] : meta.at("baselines").as_object())
          EXPECT_LE(right.as_double(), best) << solver;
        EXPECT_LT(best, 0.8) << items.task << " " << grade;
        // No harder for a solver than the grade before, but for the noise of the items.
        EXPECT_LE(best, before + 3 * std::sqrt(best * (1 - best) / n)) << items.task << " " << grade;
        before = best;
      }
    }
  }
}

TEST(Shortcuts, SolversDoWhatTheirNamesSay) {
  ShortcutTraining training;
  training.add_text(" 1 + 1 ? Answer: 2.");
  training.add_text(" 1 + 2 ? Answer: 2.");
  for (const char* answer : {"2", "2", "5"}) training.add_answer(1, answer);
  const auto right = [&](const std::string& solver, const std::string& prompt, const std::string& answer,
                         const std::vector<std::string>& answers, i64 modulus, i64 grade = 2) {
    for (const ShortcutScore& score : run_shortcuts({{prompt, answer, answers, grade, modulus, {}}}, training)) {
      if (score.solver == solver) return score.right;
    }
    return -1.0;
  };
  const std::vector<std::string> digits = {"0", "1", "2", "3", "4", "5", "6"};
  const std::string prompt = " 6 - ( 2 * ( 3 + 2 ) ) ? Answer:";
  EXPECT_EQ(right("answer_prior", prompt, "2", digits, 7), 1);
  EXPECT_EQ(right("copy_any", prompt, "2", digits, 7), 0.5);
  EXPECT_EQ(right("copy_first", prompt, "6", digits, 7), 1);
  EXPECT_EQ(right("copy_last", prompt, "2", digits, 7), 1);
  EXPECT_EQ(right("copy_most_frequent", prompt, "2", digits, 7), 1);
  EXPECT_EQ(right("bag_of_numbers", prompt, "6", digits, 7), 1);  // 6 + 2 + 3 + 2 = 13
  EXPECT_EQ(right("left_to_right", prompt, "0", digits, 7), 1);   // ((6 - 2) * 3) + 2 = 14
  EXPECT_EQ(right("right_to_left", prompt, "3", digits, 7), 1);   // 6 - 2 * (3 + 2) = -4
  EXPECT_EQ(right("precedence", prompt, "2", digits, 7), 1);      // 6 - 6 + 2
  EXPECT_EQ(right("zero_factor", " 0 * 3 ? Answer:", "0", digits, 7), 1);
  EXPECT_EQ(right("three_gram", prompt, "2", digits, 7), 1);
  EXPECT_EQ(right("by_kind", prompt, "2", digits, 7), -1);  // there are no statements
  const std::vector<std::string> names = {"Ann", "Bob", "Cal"};
  const std::string hops = " Bob Cal. Ann Bob. Cal Ann. 2 from Ann? Steps:";
  EXPECT_EQ(right("one_look_up", hops, "Bob", names, 0), 1);
  EXPECT_EQ(right("copy_other", hops, "Cal", names, 0), 0.5);
  EXPECT_EQ(right("one_look_up", hops, "Bob", names, 0, 1), -1);  // the solution, at grade 1
  EXPECT_EQ(right("bag_of_numbers", hops, "Bob", names, 0), -1);
}

}  // namespace
}  // namespace moebius::data
