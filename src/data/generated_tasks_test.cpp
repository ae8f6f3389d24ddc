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

TEST(GeneratedTasks, SameForAnyNumberOfThreadsAndOtherForOtherSeeds) {
  for (const GeneratedFamily& family : generated_families()) {
    OptionList list;
    family.describe(list);
    const char* const size = family.name == "facts" ? "people" : "problems";
    list.set_from_text(size, family.name == "facts" ? "100" : "3000", "test");
    list.set_from_text(family.name == "facts" ? "items-max" : "items", "100", "test");
    parallel_set_threads(1);
    const std::string one = digest(family.make());
    parallel_set_threads(3);
    EXPECT_TRUE(digest(family.make()) == one) << family.name;
    *family.seed = 2;
    EXPECT_FALSE(digest(family.make()) == one) << family.name;
  }
  parallel_set_threads(0);
}

TEST(GeneratedTasks, FilesReadBack) {
  ArithmeticOptions options;
  options.problems.problems = 100;
  options.problems.items = 5;
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
  EXPECT_EQ(Json::parse_file(path_join(folder, "arithmetic.meta.json")).at("options").at("modulus").as_int(), 10);
  std::istringstream text(file_read(path_join(folder, "arithmetic.train.jsonl")));
  std::getline(text, line);
  EXPECT_EQ(Json::parse(line, "train").at("text").as_string(), task.documents[0]);
}

}  // namespace
}  // namespace moebius::data
