// Generated tasks: no test item is in the training text (read back from the text itself, not from the generator's
// own keys), right answers, determinism, and names that the shipped corpus does not know.
#include "data/generated_tasks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/test_folder.h"
#include "data/byte_stream.h"

namespace moebius::data {
namespace {

const TaskItems& task_named(const GeneratedTask& task, const std::string& name) {
  for (const TaskItems& items : task.tasks) {
    if (items.task == name) return items;
  }
  throw Error({.what = "no such task"});
}

std::string digest(const GeneratedTask& task) {
  std::string all;
  for (const std::string& d : task.documents) all += d + "\n";
  for (const TaskItems& items : task.tasks) {
    for (const TaskItem& item : items.items) all += item.to_json().dump() + "\n";
    all += items.meta.dump();
  }
  return all;
}

// --- facts ---

// A record or biography belongs to the person whose full name it begins with: the first three words.
std::string full_name(const std::string& text) {
  std::istringstream words(text);
  std::string a, b, c;
  words >> a >> b >> c;
  if (!c.empty() && c.back() == ':') c.pop_back();
  return a + " " + b + " " + c;
}

TEST(Facts, NoQuestionOfTheTestHalfStandsInTraining) {
  const GeneratedTask task = make_facts({});
  std::unordered_set<std::string> asked;
  for (const std::string& d : task.documents) {
    const std::size_t mark = d.find('?');
    if (mark != std::string::npos) asked.insert(d.substr(0, mark + 1));
  }
  for (const TaskItem& item : task_named(task, "facts").items) EXPECT_FALSE(asked.contains(item.prompt)) << item.prompt;
  // The same look-up finds what was trained, so it would find a leak.
  for (const TaskItem& item : task_named(task, "facts-trained").items) EXPECT_TRUE(asked.contains(item.prompt));
  // As many people on either side, up to one for each tier.
  std::set<i64> tested, trained;
  FactsOptions all;
  all.items_max = 0;
  const GeneratedTask whole = make_facts(all);
  for (const TaskItem& item : task_named(whole, "facts").items) tested.insert(item.extra.at("person").as_int());
  for (const TaskItem& item : task_named(whole, "facts-trained").items)
    trained.insert(item.extra.at("person").as_int());
  EXPECT_EQ(tested.size() + trained.size(), 1330u);
  EXPECT_LE(trained.size() - tested.size(), 3u);
  for (const i64 p : tested) EXPECT_FALSE(trained.contains(p));
}

TEST(Facts, NoRecallPromptStandsInTraining) {
  for (const char* form : {"compact", "biography", "both"}) {
    FactsOptions options;
    options.form = form;
    options.people = 300;
    options.items_max = 0;
    const GeneratedTask task = make_facts(options);
    std::unordered_map<std::string, std::vector<const std::string*>> by_person;
    for (const std::string& d : task.documents) {
      if (d.find(':') != std::string::npos) by_person[full_name(d)].push_back(&d);
    }
    i64 checked = 0;
    for (const TaskItem& item : task_named(task, "facts-recall").items) {
      if (item.prompt.find(':') == std::string::npos) continue;  // sentence prompts: below
      const std::string name = full_name(item.prompt);
      const std::string phrase = " " + item.prompt.substr(item.prompt.find(':') + 2) + " ";
      for (const std::string* d : by_person[name]) {
        EXPECT_EQ(d->find(phrase), std::string::npos) << item.prompt;
        ++checked;
      }
    }
    std::string all;
    for (const std::string& d : task.documents) all += d + "\n";
    if (std::string(form) == "biography") {
      for (std::size_t i = 0; i < task_named(task, "facts-recall").items.size(); i += 50) {
        const TaskItem& item = task_named(task, "facts-recall").items[i];
        EXPECT_EQ(all.find(item.prompt), std::string::npos) << item.prompt;
      }
    } else {
      EXPECT_GT(checked, 10000);
    }
  }
}

TEST(Facts, RecordsSayTheValuesThatItemsAsk) {
  FactsOptions options;
  options.people = 60;
  options.items_max = 0;
  for (const char* form : {"compact", "biography"}) {
    options.form = form;
    const GeneratedTask task = make_facts(options);
    std::map<std::string, std::vector<std::string>> by_person;
    for (const std::string& d : task.documents) {
      if (d.find('?') == std::string::npos && std::string(form) == "compact") by_person[full_name(d)].push_back(d);
    }
    for (const TaskItem& item : task_named(task, "facts-recall").items) {
      ASSERT_EQ(item.choices[static_cast<std::size_t>(item.answer_index)], " " + item.answer);
      EXPECT_EQ(static_cast<i64>(item.choices.size()), item.bits_values);
      if (by_person.empty()) continue;
      const auto& records = by_person[full_name(item.prompt)];
      EXPECT_EQ(static_cast<i64>(records.size()), item.extra.at("exposures").as_int());
      for (const std::string& record : records) EXPECT_NE(record.find(" " + item.answer), std::string::npos);
    }
  }
}

TEST(Facts, TiersZipfAndWrongOptions) {
  FactsOptions options;
  options.people = 90;
  const GeneratedTask task = make_facts(options);
  for (const char* name : {"facts", "facts-trained", "facts-recall"}) {
    const Json& grades = task_named(task, name).meta.at("grades");
    for (const char* grade : {"x8", "x32", "x128"}) {
      EXPECT_GT(grades.at(grade).at("items").as_int(), 0);
      const double chance = grades.at(grade).at("chance").as_double();
      EXPECT_GT(chance, 0.02);
      EXPECT_LT(chance, 0.2);
    }
  }
  options.zipf = 1;
  EXPECT_TRUE(task_named(make_facts(options), "facts-recall").meta.at("grades").contains("x1"));
  for (const auto& change : std::vector<void (*)(FactsOptions&)>{
           [](FactsOptions& o) { o.people = 600000; }, [](FactsOptions& o) { o.exposures = {}; },
           [](FactsOptions& o) { o.form = "verse"; }, [](FactsOptions& o) { o.attributes = 6; },
           [](FactsOptions& o) { o.values_max = 1; }}) {
    FactsOptions wrong;
    change(wrong);
    EXPECT_THROW(make_facts(wrong), Error);
  }
}

// Every name that can be made, for any seed, against every word triple of the shipped text.
TEST(Facts, NoFullNameOccursInTheShippedCorpus) {
  const auto as_set = [](const std::vector<std::string>& v) {
    return std::unordered_set<std::string>(v.begin(), v.end());
  };
  const auto first = as_set(facts_first_names()), middle = as_set(facts_middle_names()),
             last = as_set(facts_last_names());
  EXPECT_EQ(first.size() * middle.size() * last.size(), 524288u);  // no name occurs twice in its list
  for (const std::string& m : middle) EXPECT_FALSE(first.contains(m) || last.contains(m)) << m;
  const std::string folder = std::string(MOEBIUS_SOURCE_DIR) + "/corpora";
  i64 files = 0, words = 0, firsts = 0;
  for (const std::string& name : folder_list(folder)) {
    if (!name.ends_with(".gz")) continue;
    ++files;
    std::string before, before2, word;
    for (const char c : read_unpacked(path_join(folder, name))) {
      if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
        word += c;
        continue;
      }
      if (word.empty()) continue;
      ++words;
      if (first.contains(word)) ++firsts;
      const bool hit = middle.contains(before) && first.contains(before2) && last.contains(word);
      EXPECT_FALSE(hit) << before2 << " " << before << " " << word << " in " << name;
      before2.swap(before);
      before.swap(word);
      word.clear();
    }
  }
  EXPECT_GE(files, 4);
  EXPECT_GT(words, 4000000);
  EXPECT_GT(firsts, 1000);
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

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

Parsed parse(const std::string& text) {
  Parsed parsed;
  std::size_t at = 0;
  while (text.compare(at, 8, "How many") != 0) {
    const std::size_t dot = text.find(". ", at);
    if (dot == std::string::npos) throw Error({.what = "no question in: " + text});
    const auto w = words_of(text.substr(at, dot - at));
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
  parsed.asked = words_of(text.substr(at, mark - at)).back();
  const std::string tail = text.substr(mark + 2);
  const std::size_t colon = tail.find(':');
  parsed.mode = tail.substr(0, colon + 1);
  parsed.rest = tail.substr(colon + 1);
  return parsed;
}

TEST(Arithmetic, NoTestProblemAndNoTestStructureStandsInTraining) {
  const ArithmeticOptions options;
  const GeneratedTask task = make_arithmetic(options);
  EXPECT_EQ(static_cast<i64>(task.documents.size()), options.problems);
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
  EXPECT_EQ(new_structures, 2 * 3 * options.items);  // grades 3, 4 and 6, worked and at once
}

TEST(Arithmetic, StepsAndAnswersAreRight) {
  ArithmeticOptions options;
  options.modulus = 23;
  options.operators = {"more", "fewer", "times", "sum"};
  options.grades = {0, 1, 2, 3, 4, 6, 8};
  options.weights = {1, 1, 1, 1, 1, 1, 1};
  options.grades_test = options.grades;
  options.problems = 7000;
  options.items = 100;
  const GeneratedTask task = make_arithmetic(options);
  for (const TaskItem& item : task_named(task, "arithmetic").items) {
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
      const auto w = words_of(steps.substr(at, dot - at));
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

TEST(Arithmetic, BaselinesAreMeasured) {
  const GeneratedTask task = make_arithmetic({});
  const Json& grades = task_named(task, "arithmetic").meta.at("grades");
  for (const char* grade : {"0", "1", "2", "3", "4", "6"}) {
    const Json& meta = grades.at(grade);
    EXPECT_EQ(meta.at("items").as_int(), 500);
    EXPECT_DOUBLE_EQ(meta.at("chance").as_double(), 0.1);
    // Guessing one value for all can hardly beat chance by more than five standard errors of 500 items.
    EXPECT_LT(meta.at("baselines").at("most_frequent").as_double(), 0.1 + 5 * 0.0134);
    EXPECT_GE(meta.at("chance_best").as_double(), 0.1);
  }
  // A look-up among three stated numbers: copying any of them is right in more than a third.
  EXPECT_GT(grades.at("0").at("baselines").at("copy_any_number").as_double(), 0.33);
  EXPECT_LT(grades.at("0").at("baselines").at("copy_any_number").as_double(), 0.5);
}

TEST(Arithmetic, WrongOptionsAndTooFewProblems) {
  for (const auto& change : std::vector<void (*)(ArithmeticOptions&)>{
           [](ArithmeticOptions& o) { o.weights = {1}; }, [](ArithmeticOptions& o) { o.operators = {"less"}; },
           [](ArithmeticOptions& o) { o.grades_test = {40}; }, [](ArithmeticOptions& o) { o.modulus = 2; },
           [](ArithmeticOptions& o) { o.test_share = 1; },
           [](ArithmeticOptions& o) {
             o.grades = {0, 1, 2, 3, 3};
           }}) {
    ArithmeticOptions wrong;
    change(wrong);
    EXPECT_THROW(make_arithmetic(wrong), Error);
  }
  ArithmeticOptions many;
  many.modulus = 3;
  many.grades = {1};
  many.weights = {1};
  many.grades_test = {1};
  many.operators = {"more"};
  many.problems = 10000;  // 32 * 31 names, 3 * 2 numbers, four fifths of them for training
  try {
    make_arithmetic(many);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("not enough different"), std::string::npos);
  }
}

TEST(GeneratedTasks, SameForAnyNumberOfThreadsAndOtherForOtherSeeds) {
  FactsOptions facts;
  facts.people = 100;
  ArithmeticOptions arithmetic;
  arithmetic.problems = 3000;
  arithmetic.items = 100;
  parallel_set_threads(1);
  const std::string a = digest(make_facts(facts)), b = digest(make_arithmetic(arithmetic));
  parallel_set_threads(3);
  EXPECT_TRUE(digest(make_facts(facts)) == a);
  EXPECT_TRUE(digest(make_arithmetic(arithmetic)) == b);
  facts.seed = arithmetic.seed = 2;
  EXPECT_FALSE(digest(make_facts(facts)) == a);
  EXPECT_FALSE(digest(make_arithmetic(arithmetic)) == b);
}

TEST(GeneratedTasks, FilesReadBack) {
  ArithmeticOptions options;
  options.problems = 100;
  options.items = 5;
  const std::string folder = test_folder();
  const GeneratedTask task = make_arithmetic(options);
  write_generated_task(task, folder, true);
  std::istringstream lines(file_read(path_join(folder, "arithmetic.jsonl")));
  std::string line;
  std::size_t count = 0;
  while (std::getline(lines, line)) {
    const Json item = Json::parse(line, "arithmetic.jsonl");
    EXPECT_EQ(item.at("prompt").as_string(), task.tasks[0].items[count].prompt);
    EXPECT_EQ(item.at("answer").as_string(), task.tasks[0].items[count].answer);
    ++count;
  }
  EXPECT_EQ(count, task.tasks[0].items.size());
  EXPECT_EQ(Json::parse_file(path_join(folder, "arithmetic.meta.json")).at("modulus").as_int(), 10);
  std::istringstream text(file_read(path_join(folder, "arithmetic.train.jsonl")));
  std::getline(text, line);
  EXPECT_EQ(Json::parse(line, "train").at("text").as_string(), task.documents[0]);
}

}  // namespace
}  // namespace moebius::data
