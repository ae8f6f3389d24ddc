// TaskSpec: an evaluation task as described by its TOML file (docs/how-to-add-a-task.md), or by a file of generated items
// and its meta file. In: a path. Out: everything that turns rows into items and texts into scores. Not for the rows:
// task_items.h.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/text_rules.h"
#include "records/measure.h"

namespace moebius::eval {

// Applied to the text of each choice, in this order.
struct ChoiceRules {
  std::shared_ptr<Pattern> find;  // `choices` is one text, and the choices are the matches in it; null: it is a list
  Extraction extraction;
  std::vector<std::pair<std::shared_ptr<Pattern>, std::string>> replacements;  // what is removed is replaced by nothing
};
// Throws Error when the extraction finds nothing.
std::string choice_text(const ChoiceRules& rules, const std::string& text, const std::string& where);

// One way to make an item from a row; a task may ask several questions about each row.
struct Variant {
  std::string grade;                 // of its items; a template
  std::string prompt;                // template
  Json choices;                      // template of a list, or list of templates; null: none
  ChoiceRules choice_rules;          // of `choices`
  Json contexts;                     // as choices: prompts that all continue with `target`; null: none
  std::string answer_index;          // template: number, boolean, letter, or the text of a choice
  i64 index_base = 0;                // the number of the first choice in answer_index
  std::vector<std::string> answers;  // templates; one that is a list gives several accepted answers
  std::string target;  // template: gold text of few-shot examples and task loss; empty: right choice or first answer
  std::string text;    // template: what rolling perplexity is computed on
  std::vector<std::string> require;  // fields that must not be empty, else the row is left out
  // Choices drawn from the other rows' values of the first answer; 0: none.
  i64 choices_drawn = 0;
  std::shared_ptr<const Variant> example;  // how a row becomes a few-shot example; null: in the same way
  bool has_prompt() const { return !prompt.empty() || !contexts.is_null(); }
  bool has_choices() const { return !choices.is_null() || !contexts.is_null() || choices_drawn > 0; }
};

struct FewShot {
  i64 shots = 0;
  std::string file;             // path; empty: the task's own files. The item itself is never among its examples
  std::string draw = "random";  // random: as in lm-evaluation-harness; first: the first ones
  i64 seed = 1234;
  std::string separator = "\n\n";
  std::optional<std::string> delimiter;  // between prompt and answer of an example; none: the task's
};

struct Generation {
  i64 tokens_max = 256;
  std::vector<std::string> stops;
  i64 repeats = 1;         // texts per item; more than one needs a temperature
  double temperature = 0;  // 0: greedy
  double top_p = 1;        // as in infer/sampler.h
  i64 top_k = 0;
  i64 seed = 1;
};

// What can be measured: the kinds of task.h.
inline const std::vector<std::string> kMeasures = {"choice", "generate", "loss", "loglikelihood", "rolling"};

struct TaskSpec {
  std::string name;
  std::string title;
  records::Skill skill = records::Skill::knowledge;
  std::string measure;                // the score that it is judged by; empty: acc with choices, else exact_match
  double chance = kUnknown;           // what guessing reaches; NaN: 1 / choices
  std::string seen_source;            // shipped training text that contains the answers; empty: none
  std::string path;                   // file of the task, for messages
  std::vector<std::string> files;     // of rows
  std::vector<std::string> measures;  // of kMeasures
  bool item_file = false;             // rows are items (docs/formats.md, "Evaluation items")
  std::vector<Variant> variants;
  std::string description;                   // text before everything else
  std::string delimiter = " ";               // between prompt and answer
  std::string loss_form = "with-separator";  // or as-published: nothing between prompt and answer
  i64 shuffle_seed = -1;                     // >= 0: rows in a random order, so that a limit takes a random sample
  FewShot few_shot;
  Generation generation;
  std::vector<Extraction> extractions;
  Normalisation normalisation;
  Json meta;  // item files: NAME.meta.json; null: there is none
  bool has(const std::string& kind) const {
    return std::find(measures.begin(), measures.end(), kind) != measures.end();
  }
};

// A .toml or an item file (.jsonl, .jsonl.gz). Throws Error; for an unknown key it names the nearest known one.
TaskSpec load_task(const std::string& path);
// `word` is a path, or the name of a task in one of the folders. Throws Error that names the nearest task.
TaskSpec find_task(const std::string& word, const std::vector<std::string>& folders);
// Paths of all tasks in a folder, sorted.
std::vector<std::string> list_tasks(const std::string& folder);

}  // namespace moebius::eval
