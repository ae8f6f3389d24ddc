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

void read_variant(Table& table, Variant& v) {
  table.read("grade", v.grade);
  table.read("prompt", v.prompt);
  if (const Json* choices = table.find("choices")) v.choices = *choices;
  table.read("choices_drawn", v.choices_drawn);
  table.read("answer_index", v.answer_index);
  table.read("answers", v.answers);
  table.read("target", v.target);
  table.read("require", v.require);
}

void read_few_shot(const Json& json, const std::string& where, const std::string& folder, FewShot& out) {
  Table table(json, where + ", [few_shot]");
  table.read("shots", out.shots);
  table.read("file", out.file);
  if (!out.file.empty() && out.file[0] != '/') out.file = path_join(folder, out.file);
  table.read_choice("draw", out.draw, {"random", "first"});
  table.read("seed", out.seed);
  table.read("separator", out.separator);
  table.finish();
  if (out.shots < 0 || out.seed < 0 || out.seed > 0xFFFFFFFFll) {
    throw Error({.where = table.where(),
                 .what = "shots or seed is out of range",
                 .wanted = "shots from 0 on, seed from 0 to 4294967295",
                 .got = fmt::format("shots {}, seed {}", out.shots, out.seed)});
  }
}

void read_scoring(Table& table, TaskSpec& task) {
  if (const Json* generation = table.find("generation")) {
    Table t(*generation, task.path + ", [generation]");
    t.read("tokens_max", task.generation.tokens_max);
    t.read("stops", task.generation.stops);
    t.finish();
    if (task.generation.tokens_max < 1) {
      throw Error({.where = t.where(),
                   .what = "tokens_max is out of range",
                   .wanted = "1 or more",
                   .got = fmt::format("{}", task.generation.tokens_max)});
    }
  }
  if (const Json* list = table.find("extract")) {
    for (const Json& json : list->as_array()) {
      Table t(json, task.path + ", [[extract]]");
      Extraction e;
      std::string regex, pick = "first";
      t.read("name", e.name);
      t.read("regex", regex);
      t.read_choice("pick", pick, {"first", "last"});
      t.read("strip", e.strip);
      t.read("after", e.after);
      t.finish();
      e.last = pick == "last";
      if (!regex.empty()) e.regex = std::make_shared<Pattern>(regex, t.where());
      task.extractions.push_back(std::move(e));
    }
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
  if (!task.choice && !task.generate && !task.loss) fail("the task measures nothing", "add: measures = [\"choice\"]");
  for (const Variant& v : task.variants) {
    const bool choices = !v.choices.is_null() || v.choices_drawn > 0;
    if (v.prompt.empty()) fail("a prompt is missing", "add: prompt = \"Question: {question}\\nAnswer:\"");
    if (task.choice && !choices)
      fail("choices are missing", "add: choices = \"{choices}\", or take choice out of measures");
    if (choices && v.choices_drawn == 0 && v.answer_index.empty())
      fail("the right choice is missing", "add: answer_index = \"{answer_index}\"");
    if (v.choices_drawn > 0 && v.answers.empty())
      fail("choices_drawn needs answers to draw from", "add: answers = \"{answer}\"");
    if (task.generate && v.answers.empty() && !choices) fail("the answers are missing", "add: answers = \"{answer}\"");
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
  std::vector<std::string> measures;
  table.read("measures", measures);
  for (const std::string& m : measures) {
    index_of_word(m, kMeasures, "measure", path);
    task.choice |= m == "choice";
    task.generate |= m == "generate";
    task.loss |= m == "loss";
  }
  table.read("description", task.description);
  table.read("delimiter", task.delimiter);
  table.read_choice("loss_form", task.loss_form, {"with-separator", "as-published"});
  table.read("shuffle_seed", task.shuffle_seed);
  Variant base;
  read_variant(table, base);
  if (const Json* list = table.find("variant")) {
    for (const Json& entry : list->as_array()) {
      Variant v = base;
      Table t(entry, path + ", [[variant]]");
      read_variant(t, v);
      t.finish();
      task.variants.push_back(std::move(v));
    }
  } else {
    task.variants.push_back(base);
  }
  if (const Json* shots = table.find("few_shot")) read_few_shot(*shots, path, folder_of(path), task.few_shot);
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
  task.choice = task.generate = task.loss = true;
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
