// Generated tasks: training text and evaluation items that are split by construction. Facts measure memorisation
// (biographies of invented people, after Allen-Zhu and Li, Physics of Language Models 3.1 to 3.3). Expressions measure
// composition (nested operations modulo a prime, after the mental arithmetic of Physics of Language Models 4.1), look-ups
// binding (hops from name to name), arithmetic both together (word problems over a graph of quantities, after Ye et al.,
// Physics of Language Models 2.1).
// in: options with a seed -> out: documents (text) and items; the same for any number of threads. docs/generated-tasks.md.
// Not for scoring: that is eval/.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/options.h"
#include "base/types.h"

namespace moebius::data {

// One evaluation item: one line of the item file (docs/formats.md, "Evaluation items").
struct TaskItem {
  std::string id;
  std::string task;   // name of the item file
  std::string grade;  // "x32" (exposures) or "2" (operations)
  std::string skill;  // what the task measures: memorisation, composition, look-up, addition
  std::string prompt;
  std::vector<std::string> choices;  // with their leading space; may be empty for generative items
  i64 answer_index = -1;
  std::string answer;        // as it must be generated, without leading space
  std::string answer_after;  // generative items: the answer follows the last occurrence of this
  std::string solution;      // gold continuation of the prompt (with leading space): task loss
  // Where the solution states the result of a step: first byte, and the byte after it. step_loss is the loss of these tokens.
  std::vector<std::pair<i64, i64>> step_results;
  i64 tokens_max = 0;   // generative items: bytes of the gold solution, an upper bound of its tokens
  i64 bits_values = 0;  // number of equally likely values for knowledge bits; 0: does not count
  Json extra;           // object: person, attribute, exposures, half; or graph key

  Json to_json() const;
};

// Items of one task and what is known about guessing.
struct TaskItems {
  std::string task;
  std::vector<TaskItem> items;
  Json meta;  // NAME.meta.json: skill, method, grades with items, chance and baselines, options
};

struct GeneratedTask {
  std::string name;                    // facts, arithmetic
  std::vector<std::string> documents;  // training text, one document each, in a fixed order
  std::vector<TaskItems> tasks;
  Json summary;  // counts for reports and --json
};

struct FactsOptions {
  i64 seed = 1;
  i64 people = 1330;
  i64 attributes = 5;                         // of major, city, employer, university, year, in this order
  std::vector<i64> exposures = {8, 32, 128};  // tiers: number of records per person in the training text
  double zipf = 0;                            // > 0: exposures of the r-th person = max(exposures) / r^zipf, >= 1
  std::string form = "compact";               // compact (records), biography (sentences), both (half of each)
  i64 question_every = 4;  // half of the people with questions in training: one question per attribute and N exposures
  i64 items_max = 600;     // items of each grade; 0: all
  i64 values_max = 0;      // cap on the values of an attribute; 0: whole list
};

// Of graded problems, whatever their family.
struct ProblemOptions {
  i64 seed = 1;
  std::vector<i64> grades;       // training
  std::vector<double> weights;   // share of problems of each grade
  std::vector<i64> grades_test;  // may go beyond the training grades
  i64 problems = 50000;
  i64 items = 500;            // of each grade
  double direct_share = 0.2;  // share of problems answered without steps
  double test_share = 0.2;    // share of keys kept for the test
};

struct ArithmeticOptions {
  // Grade: operations.
  ProblemOptions problems = {.grades = {0, 1, 2, 3, 4}, .weights = {4, 4, 2, 1, 1}, .grades_test = {0, 1, 2, 3, 4, 6}};
  i64 modulus = 10;
  i64 decoys = 1;  // chains of the same shape that the solution does not need; grade 0 has at least two
  i64 structure_grade_min =
      3;  // from this grade on, the key is the structure alone; below, it includes names and numbers
  std::vector<std::string> operators = {"more", "fewer", "sum"};  // also: times
  std::string wording = "compact";                                // compact, full
};

struct ExpressionsOptions {
  // Grade: operations. Grade 1 is a table that every model has to learn, so it is in training alone.
  ProblemOptions problems = {
      .grades = {1, 2, 3, 4, 5, 6}, .weights = {1, 2, 2, 2, 1, 1}, .grades_test = {2, 3, 4, 5, 6, 8}};
  i64 modulus = 7;  // a prime
  std::vector<std::string> operators = {"+", "-", "*"};
};

struct LookUpsOptions {
  // Grade: hops.
  ProblemOptions problems = {.grades = {1, 2, 3}, .weights = {2, 1, 1}, .grades_test = {1, 2, 3, 4}};
  i64 names = 6;  // of a problem
};

void describe(FactsOptions& options, OptionList& list);
void describe(ArithmeticOptions& options, OptionList& list);
void describe(ExpressionsOptions& options, OptionList& list);
void describe(LookUpsOptions& options, OptionList& list);

// Throws Error for options that cannot be combined or are out of range. The makers check, too.
void check(const FactsOptions& options);
void check(const ArithmeticOptions& options);
void check(const ExpressionsOptions& options);
void check(const LookUpsOptions& options);

GeneratedTask make_facts(const FactsOptions& options);
GeneratedTask make_arithmetic(const ArithmeticOptions& options);
GeneratedTask make_expressions(const ExpressionsOptions& options);
GeneratedTask make_look_ups(const LookUpsOptions& options);

// A family of tasks with its options, as study files and `moebius data tasks` see it. Copies share the options.
struct GeneratedFamily {
  std::string name;     // of the table in a study file, and of the shard
  std::string summary;  // for the help
  std::shared_ptr<void> options;
  i64* seed = nullptr;  // in the options
  std::function<void(OptionList&)> describe;
  std::function<void()> check;
  std::function<GeneratedTask()> make;
};
// All families, each with new default options. The one place where a family is added.
std::vector<GeneratedFamily> generated_families();

// Writes FOLDER/TASK.jsonl and FOLDER/TASK.meta.json for each item file, and (with_text) FOLDER/NAME.train.jsonl with the
// documents as {"text": ...}.
void write_generated_task(const GeneratedTask& task, const std::string& folder, bool with_text);

// For tests: every full name the generator can make is first + " " + middle + " " + last of these lists.
const std::vector<std::string>& facts_first_names();
const std::vector<std::string>& facts_middle_names();
const std::vector<std::string>& facts_last_names();

}  // namespace moebius::data
