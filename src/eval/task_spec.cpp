// Reading of task files.
#include "eval/task_spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/options.h"
#include "eval/metrics.h"

namespace moebius::eval {

namespace {

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  std::string name = path_name(path);
  for (const char* ending : {".gz", ".toml", ".jsonl"}) {
    if (name.ends_with(ending)) name.resize(name.size() - std::string(ending).size());
  }
  return name;
}

// Reads a table key by key; finish() throws for keys that were never read.
class Table {
 public:
  Table(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw Error({.where = where_, .what = "not a table", .got = object.dump().substr(0, 60)});
  }
  const Json* find(const std::string& key) {
    known_.push_back(key);
    return object_.find(key);
  }
  template <typename T>
  void read(const std::string& key, T& into) {
    const Json* value = find(key);
    if (value == nullptr) return;
    try {
      get(*value, into);
    } catch (const Error& e) {
      throw Error({.where = where_,
                   .what = fmt::format("the key '{}' has the wrong type", key),
                   .wanted = e.parts().wanted,
                   .got = e.parts().got});
    }
  }
  void read_choice(const std::string& key, std::string& into, const std::vector<std::string>& allowed) {
    read(key, into);
    index_of_word(into, allowed, key, where_);
  }
  void finish() const {
    for (const auto& member : object_.as_object()) {
      if (std::find(known_.begin(), known_.end(), member.first) != known_.end()) continue;
      throw Error(
          {.where = where_,
           .what = fmt::format("unknown key '{}'", member.first),
           .fix = nearest_advice(member.first, known_, fmt::format("the keys here are: {}", fmt::join(known_, ", ")))});
    }
  }
  const std::string& where() const { return where_; }

 private:
  static void get(const Json& value, std::string& into) { into = value.as_string(); }
  static void get(const Json& value, i64& into) { into = value.as_int(); }
  static void get(const Json& value, bool& into) { into = value.as_bool(); }
  static void get(const Json& value, double& into) { into = value.as_double(); }
  // A single string counts as a list of one.
  static void get(const Json& value, std::vector<std::string>& into) {
    into.clear();
    if (value.is_string()) return into.push_back(value.as_string());
    for (const Json& item : value.as_array()) into.push_back(item.as_string());
  }
  const Json& object_;
  std::string where_;
  std::vector<std::string> known_;
};

// The entries of [[key]]; none when it is missing.
Json::Array read_tables(Table& table, const std::string& key) {
  const Json* list = table.find(key);
  if (list == nullptr) return {};
  if (list->is_array()) return list->as_array();
  throw Error({.where = table.where(),
               .what = fmt::format("the key '{}' has the wrong type", key),
               .wanted = fmt::format("tables that begin with [[{}]]", key),
               .got = list->dump().substr(0, 100)});
}

// A template of a list, or a list of templates.
void read_templates(Table& table, const std::string& key, Json& into) {
  const Json* value = table.find(key);
  if (value == nullptr) return;
  bool fits = value->is_string() || (value->is_array() && value->count() > 0);
  for (i64 i = 0; fits && value->is_array() && i < value->count(); ++i) fits = (*value)[i].is_string();
  if (!fits) {
    throw Error({.where = table.where(),
                 .what = fmt::format("the key '{}' has the wrong type", key),
                 .wanted = "the template of a list (\"{choices}\"), or a list of templates ([\"{a}\", \"{b}\"])",
                 .got = value->dump().substr(0, 100)});
  }
  into = *value;
}

void read_extraction(Table& table, Extraction& e) {
  std::string regex, pick = "first";
  table.read("regex", regex);
  table.read_choice("pick", pick, {"first", "last"});
  table.read("strip", e.strip);
  table.read("after", e.after);
  e.last = pick == "last";
  if (!regex.empty()) e.regex = std::make_shared<Pattern>(regex, table.where());
}

void read_choice_rules(const Json& json, const std::string& where, ChoiceRules& rules) {
  Table table(json, where + ", [choice_text]");
  rules = {};
  std::string find;
  table.read("find", find);
  if (!find.empty()) rules.find = std::make_shared<Pattern>(find, table.where());
  read_extraction(table, rules.extraction);
  std::vector<std::string> remove;
  table.read("remove", remove);
  for (const std::string& regex : remove) {
    rules.replacements.emplace_back(std::make_shared<Pattern>(regex, table.where()), "");
  }
  if (const Json* list = table.find("replace")) {
    for (i64 i = 0; i < std::max<i64>(1, list->count()); ++i) {
      const Json* pair = list->is_array() && list->count() > 0 ? &(*list)[i] : nullptr;
      if (pair == nullptr || !pair->is_array() || pair->count() != 2 || !(*pair)[0].is_string() ||
          !(*pair)[1].is_string()) {
        throw Error({.where = table.where(),
                     .what = "the key 'replace' has the wrong type",
                     .wanted = "a list of pairs: [['REGEX', 'TEXT'], ...]",
                     .got = list->dump().substr(0, 100)});
      }
      rules.replacements.emplace_back(std::make_shared<Pattern>((*pair)[0].as_string(), table.where()),
                                      (*pair)[1].as_string());
    }
  }
  table.finish();
}

// The keys that make a question and its answer from a row.
void read_templates(Table& table, Variant& v) {
  table.read("prompt", v.prompt);
  read_templates(table, "choices", v.choices);
  if (const Json* rules = table.find("choice_text")) read_choice_rules(*rules, table.where(), v.choice_rules);
  read_templates(table, "contexts", v.contexts);
  table.read("answer_index", v.answer_index);
  table.read("index_base", v.index_base);
  table.read("answers", v.answers);
  table.read("target", v.target);
  table.read("require", v.require);
}

void read_variant(Table& table, Variant& v) {
  read_templates(table, v);
  table.read("grade", v.grade);
  table.read("text", v.text);
  table.read("choices_drawn", v.choices_drawn);
}

// How rows become examples, when [few_shot] has templates of its own.
void read_example(Table& table, bool other_file, Variant& v) {
  const auto given = [&](std::initializer_list<const char*> keys) {
    return std::any_of(keys.begin(), keys.end(), [&](const char* key) { return table.find(key) != nullptr; });
  };
  Variant example = v;
  example.grade = example.text = "";
  const bool answer = given({"choices", "contexts", "answers", "target"});
  if (answer) {  // the task's answer is replaced as a whole
    example.choices = example.contexts = Json();
    example.choice_rules = {};
    example.answers.clear();
    example.target.clear();
  }
  // The rows of another file need not have the fields that the task's rows must have.
  const bool own = given({"prompt", "choice_text", "answer_index", "index_base", "require"}) || answer;
  if (own && other_file) example.require.clear();
  example.choices_drawn = 0;
  read_templates(table, example);
  if (!own) return;
  if (answer && example.choices.is_null() && example.contexts.is_null()) example.answer_index.clear();
  v.example = std::make_shared<const Variant>(std::move(example));
}

void read_few_shot(const Json& json, const std::string& folder, TaskSpec& task) {
  Table table(json, task.path + ", [few_shot]");
  FewShot& out = task.few_shot;
  table.read("shots", out.shots);
  table.read("file", out.file);
  if (!out.file.empty() && out.file[0] != '/') out.file = path_join(folder, out.file);
  table.read_choice("draw", out.draw, {"random", "first"});
  table.read("seed", out.seed);
  table.read("separator", out.separator);
  if (table.find("delimiter") != nullptr) table.read("delimiter", out.delimiter.emplace());
  for (Variant& v : task.variants) read_example(table, !out.file.empty(), v);
  table.finish();
  if (out.shots < 0 || out.seed < 0 || out.seed > 0xFFFFFFFFll) {
    throw Error({.where = table.where(),
                 .what = "shots or seed is out of range",
                 .wanted = "shots from 0 on, seed from 0 to 4294967295",
                 .got = fmt::format("shots {}, seed {}", out.shots, out.seed)});
  }
}

void read_generation(const Json& json, TaskSpec& task) {
  Table t(json, task.path + ", [generation]");
  Generation& g = task.generation;
  t.read("tokens_max", g.tokens_max);
  t.read("stops", g.stops);
  t.read("repeats", g.repeats);
  t.read("temperature", g.temperature);
  t.read("top_p", g.top_p);
  t.read("top-p", g.top_p);
  t.read("top_k", g.top_k);
  t.read("seed", g.seed);
  t.finish();
  const auto check = [&](bool fits, const char* key, const char* wanted, const auto& got) {
    if (fits) return;
    throw Error({.where = t.where(),
                 .what = fmt::format("{} is out of range", key),
                 .wanted = wanted,
                 .got = fmt::format("{}", got)});
  };
  check(g.tokens_max >= 1, "tokens_max", "1 or more", g.tokens_max);
  check(g.repeats >= 1 && g.repeats <= 10000, "repeats", "a whole number from 1 to 10000", g.repeats);
  check(g.temperature >= 0 && g.temperature <= 100, "temperature", "a number from 0 (greedy) to 100", g.temperature);
  check(g.top_p > 0 && g.top_p <= 1, "top_p", "a number above 0 and up to 1", g.top_p);
  check(g.top_k >= 0, "top_k", "0 (all tokens) or more", g.top_k);
  check(g.seed >= 0, "seed", "0 or more", g.seed);
  if (g.repeats > 1 && g.temperature == 0) {
    throw Error({.where = t.where(),
                 .what = "without a temperature, all repeats give the same text",
                 .got = fmt::format("repeats = {}, temperature = 0", g.repeats),
                 .fix = "add: temperature = 0.7, or remove repeats"});
  }
}

void read_scoring(Table& table, TaskSpec& task) {
  if (const Json* generation = table.find("generation")) read_generation(*generation, task);
  for (const Json& json : read_tables(table, "extract")) {
    Table t(json, task.path + ", [[extract]]");
    Extraction e;
    t.read("name", e.name);
    read_extraction(t, e);
    t.finish();
    task.extractions.push_back(std::move(e));
  }
  if (const Json* json = table.find("normalise")) {
    Table t(*json, task.path + ", [normalise]");
    std::vector<std::string> remove;
    t.read("remove", remove);
    t.read("ignore_case", task.normalisation.ignore_case);
    t.read("ignore_punctuation", task.normalisation.ignore_punctuation);
    t.finish();
    for (const std::string& regex : remove)
      task.normalisation.remove.push_back(std::make_shared<Pattern>(regex, t.where()));
  }
}

struct Fault {
  bool found;
  std::string what, fix;
};

void check_variant(const TaskSpec& task, const Variant& v) {
  const bool choices = v.has_choices(), contexts = !v.contexts.is_null();
  const bool questions = task.measures != std::vector<std::string>{"rolling"};
  const bool loss = task.has("loss") || task.has("loglikelihood");
  const Fault faults[] = {
      {questions && v.prompt.empty() && !contexts, "a prompt is missing",
       "add: prompt = \"Question: {question}\\nAnswer:\""},
      {task.has("choice") && !choices, "choices are missing",
       "add: choices = \"{choices}\", or take choice out of measures"},
      {choices && v.choices_drawn == 0 && v.answer_index.empty(), "the right choice is missing",
       "add: answer_index = \"{answer_index}\""},
      {v.choices_drawn > 0 && v.answers.empty(), "choices_drawn needs answers to draw from",
       "add: answers = \"{answer}\""},
      {task.has("generate") && v.answers.empty() && !choices, "the answers are missing", "add: answers = \"{answer}\""},
      {loss && v.target.empty() && v.answers.empty() && !choices, "the text whose loss is measured is missing",
       "add: target = \"{answer}\""},
      {contexts && v.target.empty(), "contexts need the continuation that they share", "add: target = \"{ending}\""},
      {contexts && (!v.prompt.empty() || !v.choices.is_null() || v.choices_drawn > 0),
       "contexts replace prompt and choices", "remove prompt, choices and choices_drawn"},
      {contexts && task.has("generate"), "contexts cannot be generated from", "take generate out of measures"},
      {v.choice_rules.find && !v.choices.is_string(), "'find' of [choice_text] needs choices that are one text",
       "write: choices = \"{field}\""},
      {task.has("rolling") && v.text.empty(), "the text of rolling perplexity is missing", "add: text = \"{text}\""},
      {!task.has("rolling") && !v.text.empty(), "only the measure rolling uses 'text'",
       "remove text, or add rolling to measures"},
      {v.index_base < 0 || v.index_base > 1000000, "index_base is out of range",
       "give the number of the first choice: 0 or 1"}};
  for (const Fault& fault : faults) {
    if (fault.found) throw Error({.where = task.path, .what = fault.what, .fix = fault.fix});
  }
}

void check_extractions(const TaskSpec& task) {
  std::vector<std::string> names;
  for (std::size_t i = 1; i < task.extractions.size(); ++i) {  // the first has no suffix
    const std::string& name = task.extractions[i].name;
    const bool reserved = name == "vote" || name == "any" || name.starts_with("vote_") || name.starts_with("any_");
    if (!name.empty() && !reserved && std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
      continue;
    }
    throw Error({.where = task.path + ", [[extract]]",
                 .what = fmt::format("extraction {} has no name of its own", i + 1),
                 .wanted = "a name that no other extraction has; vote and any are scores of repeats",
                 .got = name.empty() ? "none" : name});
  }
}

void check_task(const TaskSpec& task) {
  auto fail = [&](const std::string& what, const std::string& fix) {
    throw Error({.where = task.path, .what = what, .fix = fix});
  };
  const auto control = [](char c) { return static_cast<u8>(c) < 0x20 || c == '/'; };
  if (task.name.empty() || task.name[0] == '.' || std::any_of(task.name.begin(), task.name.end(), control)) {
    fail(fmt::format("the name '{}' cannot be the name of a file", task.name),
         "give a name without '/' and control characters that does not begin with a dot");
  }
  for (const std::string& stop : task.generation.stops) {
    if (stop.empty()) fail("a stop string is empty, so every generated text would be empty", "leave it out of stops");
  }
  if (task.files.empty()) fail("the task has no file of rows", "add: files = [\"rows.jsonl\"]");
  if (task.measures.empty()) fail("the task measures nothing", "add: measures = [\"choice\"]");
  if (task.has("loglikelihood") && (task.has("choice") || task.has("loss"))) {
    fail("loglikelihood measures the loss too, and its acc is not that of choice",
         "take loglikelihood, or choice and loss, out of measures");
  }
  check_extractions(task);
  for (const Variant& v : task.variants) {
    check_variant(task, v);
    if (v.example && v.example->target.empty() && v.example->answers.empty() && !v.example->has_choices()) {
      fail("the examples of [few_shot] have no answer", "add to [few_shot]: target = \"{answer}\"");
    }
  }
}

TaskSpec load_toml_task(const std::string& path) {
  const Json json = toml_parse_file(path);
  Table table(json, path);
  TaskSpec task;
  task.path = path;
  task.name = name_of(path);
  table.read("name", task.name);
  table.read("title", task.title);
  std::string skill = records::enum_name(task.skill);
  table.read("skill", skill);
  task.skill = records::enum_parse<records::Skill>(skill, "skill", path);
  table.read("measure", task.measure);
  check_task_measure(task, "", "");
  table.read("chance", task.chance);
  if (task.chance < 0 || task.chance >= 1) {
    throw Error({.where = path,
                 .what = "chance is out of range",
                 .wanted = "0 or more and below 1",
                 .got = fmt::format("{}", task.chance)});
  }
  table.read("seen_source", task.seen_source);
  table.read("files", task.files);
  for (std::string& file : task.files) {
    if (!file.starts_with('/')) file = path_join(folder_of(path), file);
  }
  table.read("measures", task.measures);
  for (const std::string& measure : task.measures) index_of_word(measure, kMeasures, "measure", path);
  table.read("description", task.description);
  table.read("delimiter", task.delimiter);
  table.read_choice("loss_form", task.loss_form, {"with-separator", "as-published"});
  table.read("shuffle_seed", task.shuffle_seed);
  Variant base;
  read_variant(table, base);
  for (const Json& entry : read_tables(table, "variant")) {
    Variant v = base;
    Table t(entry, path + ", [[variant]]");
    read_variant(t, v);
    t.finish();
    task.variants.push_back(std::move(v));
  }
  if (task.variants.empty()) task.variants.push_back(base);
  if (const Json* shots = table.find("few_shot")) read_few_shot(*shots, folder_of(path), task);
  read_scoring(table, task);
  table.finish();
  check_task(task);
  return task;
}

// A file of items: what is measured is decided item by item.
TaskSpec load_item_task(const std::string& path) {
  TaskSpec task;
  task.path = path;
  task.name = name_of(path);
  task.files = {path};
  task.item_file = true;
  task.measures = {"choice", "generate", "loss"};
  const std::string meta = path.substr(0, path.size() - path_name(path).size()) + task.name + ".meta.json";
  if (!file_exists(meta)) return task;
  task.meta = Json::parse_file(meta);
  if (!task.meta.is_object()) throw Error({.where = meta, .what = "not a JSON object"});
  task.skill =
      records::enum_parse<records::Skill>(task.meta.get_string("skill", records::enum_name(task.skill)), "skill", meta);
  task.measure = task.meta.get_string("measure", "");
  check_task_measure(task, task.meta.get_string("better", ""), task.meta.get_string("unit", ""));
  return task;
}

}  // namespace

std::string choice_text(const ChoiceRules& rules, const std::string& text, const std::string& where) {
  Extraction unstripped = rules.extraction;
  unstripped.strip = false;
  const std::optional<std::string> found = extract_or_none(unstripped, text);
  if (!found) {
    throw Error({.where = where, .what = "the rules of [choice_text] find nothing in a choice", .got = text});
  }
  std::string out = *found;
  for (const auto& [pattern, replacement] : rules.replacements) out = pattern->replaced_in(out, replacement);
  return rules.extraction.strip ? stripped(out) : out;
}

TaskSpec load_task(const std::string& path) {
  return path.ends_with(".toml") ? load_toml_task(path) : load_item_task(path);
}

std::vector<std::string> list_tasks(const std::string& folder) {
  std::vector<std::string> paths;
  const std::vector<std::string> names = folder_list(folder);
  auto listed = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  for (const std::string& name : names) {
    const bool items =
        (name.ends_with(".jsonl") || name.ends_with(".jsonl.gz")) && listed(name_of(name) + ".meta.json");
    if (name.ends_with(".toml") || items) paths.push_back(path_join(folder, name));
  }
  return paths;
}

TaskSpec find_task(const std::string& word, const std::vector<std::string>& folders) {
  if (word.ends_with(".toml") || word.ends_with(".jsonl") || word.ends_with(".jsonl.gz")) {
    if (!file_exists(word)) throw Error({.where = word, .what = "the task file does not exist"});
    return load_task(word);
  }
  std::vector<std::string> names;
  for (const std::string& folder : folders) {
    for (const std::string& path : list_tasks(folder)) {
      if (name_of(path) == word) return load_task(path);
      names.push_back(name_of(path));
    }
  }
  throw Error({.where = "--tasks",
               .what = fmt::format("unknown task '{}'", word),
               .wanted = fmt::format("a task in {}, or a path", fmt::join(folders, ", ")),
               .fix = nearest_advice(word, names, "moebius eval --list lists all tasks")});
}

}  // namespace moebius::eval
