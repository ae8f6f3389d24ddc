// Reading a study's TOML file, table by table; each table has one list of keys.
#include "study/study_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/options.h"
#include "base/units.h"
#include "eval/task_spec.h"
#include "study/study_ties.h"

namespace moebius::study {

namespace {

constexpr double kSeedMax = 4e15;  // sums of two are exact, and seeds of `train`

// Takes `table` apart: what the list knows is set, sub-tables named in `tables` are left to their readers.
void read_table(const Json& table, OptionList& list, const std::vector<std::string>& tables, const std::string& where) {
  Json plain = Json::object();
  for (const auto& [key, value] : table.as_object()) {
    if (std::find(tables.begin(), tables.end(), key) == tables.end()) plain.set(key, value);
  }
  list.set_from_json(plain, where);
}

const Json& table_or_throw(const Json& root, const std::string& key, const std::string& where) {
  const Json* table = root.find(key);
  if (table == nullptr || !table->is_object()) {
    throw Error({.where = where,
                 .what = table == nullptr ? fmt::format("the table [{}] is missing", key)
                                          : fmt::format("'{}' is not a table", key),
                 .wanted = fmt::format("[{}] and its keys", key)});
  }
  return *table;
}

// The list `key`, if there is one; all of its items are of one kind.
void read_list(const Json& root, const char* key, bool (Json::*is_kind)() const, const char* wanted,
               const std::string& where, Json& list) {
  const Json* value = root.find(key);
  if (value == nullptr) return;
  const bool fits = value->is_array() && std::all_of(value->as_array().begin(), value->as_array().end(),
                                                     [&](const Json& item) { return (item.*is_kind)(); });
  if (!fits) {
    throw Error({.where = where,
                 .what = fmt::format("'{}' has a wrong type", key),
                 .wanted = wanted,
                 .got = value->dump().substr(0, 100)});
  }
  list = *value;
}

StudyText read_text(const Json& table, const std::string& where) {
  StudyText text;
  OptionList list;
  list.add("name", &text.name, "name of the source");
  list.add("input", &text.input, "files");
  list.add("field", &text.field, "JSON field");
  list.add("format", &text.format, "format of the files; auto: by content",
           {.choices = {"auto", "text", "jsonl", "json"}});
  list.add("share", &text.share, "share of the training tokens", {.min = 0, .max = 1});
  list.add("held-out-bytes", &text.held_out_bytes, "held-out text that is scored", {.min = 0});
  read_table(table, list, {}, where);
  if (text.name.empty() || text.input.empty() || text.share <= 0) {
    throw Error({.where = where, .what = "a text source requires name, input and a positive share"});
  }
  if (text.name[0] == '.' || text.name.find('/') != std::string::npos) {
    throw Error({.where = where,
                 .what = "the name of a text source cannot be the name of its files",
                 .wanted = "a name without '/' that does not begin with a dot",
                 .got = text.name});
  }
  return text;
}

StudyData read_data(const Json& table, const std::string& where) {
  StudyData data;
  OptionList list;
  list.add("sequence", &data.sequence, "tokens per sequence", {.min = 8, .max = 65536});
  list.add("vocab", &data.vocab, "tokens of the vocabulary trained for the study", {.min = 300, .max = 1e6});
  list.add("seed", &data.seed, "seed of the data's order", {.min = 0, .max = kSeedMax});
  list.add("tokenizer-bytes-each", &data.tokenizer_bytes_each, "text of each source for the tokenizer", {.min = 1000});
  list.add("attend-across-documents", &data.attend_across_documents, "attention crosses documents");
  std::vector<std::string> tables = {"text"};
  const std::vector<data::GeneratedFamily> families = data::generated_families();
  for (const data::GeneratedFamily& family : families) tables.push_back(family.name);
  read_table(table, list, tables, where + ", [data]");
  if (const Json* texts = table.find("text")) {
    std::set<std::string> names;
    for (const Json& text : texts->as_array()) {
      data.text.push_back(read_text(text, where + ", [[data.text]]"));
      const std::string& name = data.text.back().name;
      const Json* table_of_name = table.find(name);
      if (!names.insert(name).second || (table_of_name != nullptr && table_of_name->is_object())) {
        throw Error({.where = where + ", [data]",
                     .what = fmt::format("two sources are named '{}'", name),
                     .fix = "give each source its own name"});
      }
    }
  }
  for (const data::GeneratedFamily& family : families) {
    const Json* options = table.find(family.name);
    if (options == nullptr) continue;
    StudyTask task = {family, 0};
    OptionList of_task;
    of_task.add("share", &task.share, "share of the training tokens", {.min = 0, .max = 1});
    family.describe(of_task);
    read_table(*options, of_task, {}, fmt::format("{}, [data.{}]", where, family.name));
    if (task.share <= 0) continue;
    try {
      task.family.check();
    } catch (const Error& e) {
      ErrorParts parts = e.parts();
      parts.where = fmt::format("{}, [data.{}]", where, family.name);
      throw Error(std::move(parts));
    }
    data.tasks.push_back(std::move(task));
  }
  return data;
}

StudyLearningRate read_learning_rate(const Json& table, const std::string& where) {
  StudyLearningRate rate;
  OptionList list;
  list.add("value", &rate.value, "one learning rate for all", {.min = 0, .max = 1});
  list.add("source", &rate.source, "where the value comes from");
  list.add("sweep", &rate.sweep, "learning rates to try", {.min = 1e-8, .max = 1});
  list.add("sweep-tokens", &rate.sweep_tokens, "tokens of a trial", {.min = 0});
  read_table(table, list, {}, where);
  if ((rate.value > 0) == !rate.sweep.empty()) {
    throw Error({.where = where, .what = "the learning rate requires either a value or a sweep"});
  }
  if (rate.value > 0 && rate.source.empty()) {
    throw Error({.where = where, .what = "a fixed learning rate requires its source (where it comes from)"});
  }
  return rate;
}

StudyEvaluate read_evaluate(const Json& table, const std::string& where) {
  StudyEvaluate evaluate;
  OptionList list;
  list.add("tasks", &evaluate.tasks, "evaluation tasks in addition to the generated ones");
  list.add("items-max", &evaluate.items_max, "items of each task and grade; 0: all", {.min = 0});
  list.add("at", &evaluate.at, "fractions of the budget", {.min = 0, .max = 1});
  list.add("batch-tokens", &evaluate.batch_tokens, "tokens scored at once", {.min = 64});
  read_table(table, list, {}, where);
  // Now, because otherwise an unknown task would end the study at its first evaluation.
  for (const std::string& task : evaluate.tasks) {
    try {
      eval::find_task(task, {study_task_folder()});
    } catch (const Error& e) {
      ErrorParts parts = e.parts();
      if (parts.where == "--tasks") parts.where = where;
      throw Error(std::move(parts));
    }
  }
  return evaluate;
}

StudyBranches read_branches(const Json& table, const std::string& where) {
  StudyBranches branches;
  OptionList list;
  list.add("at", &branches.at, "shares of the tokens at which a decay starts", {.min = 0, .max = 1});
  read_table(table, list, {}, where);
  std::sort(branches.at.begin(), branches.at.end());
  const bool twice = std::adjacent_find(branches.at.begin(), branches.at.end()) != branches.at.end();
  if (branches.at.empty() || branches.at.front() <= 0 || twice) {
    throw Error({.where = where,
                 .what = "the list of branches is empty, or a share is 0 or given twice",
                 .wanted = "shares of the tokens above 0, each once: at = [0.25, 0.5, 1.0]"});
  }
  return branches;
}

// A short name: "E32-k2", with width and depth in front where the point has them. Other keys are part of it if they vary
// in the grid or if there is nothing else: "E32-k2-expert-width64".
std::string grid_name(const Json& point, const std::set<std::string>& varied = {}) {
  std::string name;
  const auto add = [&](const std::string& part) { name += (name.empty() ? "" : "-") + part; };
  const auto part = [&](const char* key, const char* letter) {
    if (const Json* value = point.find(key)) add(letter + fmt::format("{}", value->as_int()));
  };
  part("d-model", "d");
  part("layers", "L");
  if (point.get_int("experts", 2) <= 1) {
    add("dense");
  } else {
    part("experts", "E");
    part("top-k", "k");
  }
  const bool bare = name.empty();
  for (const auto& [key, value] : point.as_object()) {
    if (key == "d-model" || key == "layers" || key == "experts" || key == "top-k") continue;
    if (bare || varied.contains(key)) add(key + (value.is_string() ? value.as_string() : value.dump()));
  }
  return name.empty() ? "model" : name;
}

// The cross product of the lists; dense points do not vary top-k, and k never exceeds E. With k = 1 a renormalised gate
// would be the constant 1 and leave the router without a gradient from the task: such points keep the probability.
std::vector<StudyModel> expand_grid(const Json& shared, const Json& grid, const std::string& where) {
  std::vector<Json> points = {Json::object()};
  std::set<std::string> varied;
  for (const auto& [key, given] : grid.as_object()) {
    const Json values = is_tie(key, given) ? Json(Json::Array{given}) : given;
    if (!values.is_array() || values.count() == 0) {
      throw Error(
          {.where = where,
           .what = fmt::format("'{}' of the grid is {}", key, values.is_array() ? "an empty list" : "not a list"),
           .wanted = "a list of one or more values: [2, 4]"});
    }
    std::string hyphened = key;
    std::replace(hyphened.begin(), hyphened.end(), '_', '-');
    if (values.count() > 1) varied.insert(hyphened);
    std::vector<Json> longer;
    for (const Json& point : points) {
      for (const Json& value : values.as_array()) {
        Json copy = point;
        copy.set(hyphened, value);
        longer.push_back(std::move(copy));
      }
    }
    points = std::move(longer);
  }
  std::vector<StudyModel> models;
  for (Json& point : points) {
    resolve_ties(shared, point, fmt::format("{}, {}", where, point.dump()));
    if (point.get_int("top-k", 1) > std::max<i64>(point.get_int("experts", 1 << 20), 1) &&
        point.get_int("experts", 2) > 1) {
      continue;
    }
    const std::string name = grid_name(point, varied);
    const bool known = std::any_of(models.begin(), models.end(), [&](const StudyModel& m) { return m.name == name; });
    if (known) continue;
    if (point.get_int("top-k", 0) == 1 && !point.contains("renormalise")) point.set("renormalise", false);
    models.push_back({name, point});
  }
  return models;
}

// `shared`: the table [model] of the study; its expressions are computed for each model, and leave it.
// Of one model: { facts-share = 0.4 }.
std::map<std::string, double> read_shares(const Json& table, const std::string& where) {
  std::map<std::string, double> shares;
  for (const auto& [key, value] : table.as_object()) {
    const bool is_share = key.ends_with("-share") || key.ends_with("_share");
    if (!is_share || !value.is_number() || value.as_double() < 0 || value.as_double() > 1) {
      throw Error({.where = where,
                   .what = fmt::format("'{}' is not the share of a source", key),
                   .wanted = "NAME-share = a number from 0 to 1, with the name of a source of [data]",
                   .got = value.dump().substr(0, 100)});
    }
    shares[key.substr(0, key.size() - 6)] = value.as_double();
  }
  return shares;
}

// The shares of models name sources of the study, and leave each model some data.
void check_shares(const StudySpec& spec) {
  std::map<std::string, double> of_study;
  for (const StudyText& text : spec.data.text) of_study[text.name] = text.share;
  for (const StudyTask& task : spec.data.tasks) of_study[task.family.name] = task.share;
  std::vector<std::string> names;
  for (const auto& [name, share] : of_study) names.push_back(name);
  for (const StudyModel& model : spec.models) {
    const std::string where = fmt::format("{}, model '{}', data", spec.path, model.name);
    std::map<std::string, double> shares = of_study;
    for (const auto& [name, share] : model.shares) {
      index_of_word(name, names, "source with a share in [data]", where);
      shares[name] = share;
    }
    if (std::all_of(shares.begin(), shares.end(), [](const auto& one) { return one.second <= 0; })) {
      throw Error({.where = where, .what = "all shares are 0", .wanted = "a positive share of one source"});
    }
  }
}

std::vector<StudyModel> read_models(const Json& root, Json& shared, const std::string& where) {
  std::vector<StudyModel> models;
  if (const Json* grids = root.find("grid")) {
    const Json::Array list = grids->is_array() ? grids->as_array() : Json::Array{*grids};
    for (const Json& grid : list) {
      for (StudyModel& model : expand_grid(shared, grid, where + ", [grid]")) models.push_back(std::move(model));
    }
  }
  if (const Json* runs = root.find("models")) {
    for (const Json& table : runs->as_array()) {
      StudyModel model;
      for (const auto& [key, value] : table.as_object()) {
        if (key == "name") {
          model.name = table.at(key).as_string();  // at(): an error names the key
        } else if (key == "essential") {
          model.essential = table.at(key).as_bool();
        } else if (key == "train") {
          model.train = table_or_throw(table, key, where + ", [[models]]");
        } else if (key == "data") {
          model.shares = read_shares(table_or_throw(table, key, where + ", [[models]]"), where + ", [[models]], data");
        } else {
          model.overrides.set(key, value);
        }
      }
      resolve_ties(shared, model.overrides, fmt::format("{}, model '{}'", where, model.name));
      if (model.name.empty()) model.name = grid_name(model.overrides);
      models.push_back(std::move(model));
    }
  }
  Json ties = Json::object();
  move_ties(shared, ties);
  for (StudyModel& model : models) {
    for (const auto& [key, text] : ties.as_object()) {
      std::string underscored = key;
      std::replace(underscored.begin(), underscored.end(), '-', '_');
      if (!model.overrides.contains(key) && !model.overrides.contains(underscored)) model.overrides.set(key, text);
    }
    resolve_ties(shared, model.overrides, fmt::format("{}, model '{}'", where, model.name));
  }
  for (std::size_t i = 0; i < models.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (models[i].name == models[j].name) {
        throw Error({.where = where,
                     .what = fmt::format("two models are named '{}'", models[i].name),
                     .fix = "use [[models]], and give each its own name"});
      }
    }
  }
  if (models.empty())
    throw Error({.where = where, .what = "no model is given", .wanted = "[grid] lists or [[models]] tables"});
  return models;
}

std::string find_file(const std::string& name_or_path) {
  if (file_exists(name_or_path)) return name_or_path;
  const std::string shipped = path_join(study_source_folder(), "studies/" + name_or_path + ".toml");
  if (file_exists(shipped)) return shipped;
  const auto names = study_names();
  throw Error({.where = "moebius study",
               .what = fmt::format("unknown study '{}'", name_or_path),
               .wanted = fmt::format("a TOML file, or one of: {}", fmt::join(names, ", ")),
               .fix = nearest_advice(name_or_path, names)});
}

}  // namespace

Json StudyData::to_json() const {
  Json texts = Json::array();
  for (const StudyText& source : text) {
    texts.push_back(Json::object({{"name", source.name},
                                  {"input", source.input},
                                  {"field", source.field},
                                  {"share", source.share},
                                  {"held_out_bytes", source.held_out_bytes}}));
    if (source.format != "auto") texts.as_array().back().set("format", source.format);
  }
  Json generated = Json::object();
  for (const StudyTask& task : tasks) {
    OptionList list;
    task.family.describe(list);
    generated.set(task.family.name, Json::object({{"share", task.share}, {"options", list.to_json()}}));
  }
  return Json::object({{"sequence", sequence},
                       {"vocab", vocab},
                       {"seed", seed},
                       {"tokenizer_bytes_each", tokenizer_bytes_each},
                       {"attend_across_documents", attend_across_documents},
                       {"text", texts},
                       {"tasks", generated}});
}

std::string study_source_folder() { return MOEBIUS_SOURCE_DIR; }

std::string study_task_folder() { return path_join(study_source_folder(), "corpora/eval"); }

std::vector<std::string> study_names() {
  std::vector<std::string> names;
  for (const std::string& file : folder_list(path_join(study_source_folder(), "studies"))) {
    if (file.size() > 5 && file.substr(file.size() - 5) == ".toml") names.push_back(file.substr(0, file.size() - 5));
  }
  return names;
}

namespace {

void check_seeds(const StudySpec& spec) {
  if (spec.seeds.size() > 1 && !spec.varies("init") && !spec.varies("order") && !spec.tasks_by_seed()) {
    throw Error({.where = spec.path,
                 .what = "the seeds do not differ in anything, so their runs would be equal",
                 .wanted = "vary with init or order, or with tasks and a generated task in [data]",
                 .got = fmt::format("{} seeds, vary = [{}]", spec.seeds.size(), fmt::join(spec.vary, ", "))});
  }
  const auto check = [&](const std::string& what, const std::string& key, i64 seed) {
    if (seed >= 0) return;
    throw Error({.where = spec.path,
                 .what = fmt::format("the seed of {} would be negative", what),
                 .wanted = fmt::format("{} + (seed - first seed) of at least 0", key),
                 .got = fmt::format("{}", seed),
                 .fix = "begin the list of seeds with the smallest"});
  };
  for (const i64 seed : spec.seeds) {
    check("the data's order", "[data] seed", spec.seed_data(seed));
    for (const StudyTask& task : spec.data.tasks) {
      check(task.family.name, fmt::format("[data.{}] seed", task.family.name), spec.seed_task(task, seed));
    }
  }
}

void read_study(const Json& root, StudySpec& spec) {
  const std::string& where = spec.path;
  OptionList list;
  list.add("name", &spec.name, "name of the study");
  list.add("title", &spec.title, "title of the report");
  list.add("question", &spec.question, "one or two sentences");
  list.add("tokens", &spec.tokens, "training tokens of each run", {.unit = "TOKENS", .min = 1, .max = 1e13});
  list.add("seeds", &spec.seeds, "seeds of the runs", {.min = 0, .max = kSeedMax});
  list.add("vary", &spec.vary, "what differs between seeds", {.choices = {"init", "order", "tasks"}});
  list.add("minutes", &spec.minutes, "time limit; seeds, tokens and models are reduced to fit; 0: no limit",
           {.min = 0, .max = 1e7});
  read_table(
      root, list,
      {"model", "grid", "models", "data", "train", "learning-rate", "evaluate", "branches", "hypotheses", "notes"},
      where);
  if (spec.name.empty() || spec.tokens <= 0) throw Error({.where = where, .what = "name or tokens is missing"});
  if (const Json* seeds = root.find("seeds"); seeds != nullptr && !seeds->is_array()) {
    throw Error({.where = where,
                 .what = "'seeds' is not a list",
                 .wanted = "the seeds themselves: seeds = [1, 2, 3]",
                 .got = seeds->dump()});
  }
  if (spec.seeds.empty()) throw Error({.where = where, .what = "the list of seeds is empty", .wanted = "seeds = [1]"});
  if (spec.name[0] == '.' || spec.name.find('/') != std::string::npos) {
    throw Error({.where = where,
                 .what = "the name of the study cannot be the name of its folder",
                 .wanted = "a name without '/' that does not begin with a dot",
                 .got = spec.name});
  }
  spec.model = table_or_throw(root, "model", where);
  spec.models = read_models(root, spec.model, where);
  spec.data = read_data(table_or_throw(root, "data", where), where);
  if (root.contains("train")) spec.train = table_or_throw(root, "train", where);
  spec.learning_rate = read_learning_rate(table_or_throw(root, "learning-rate", where), where + ", [learning-rate]");
  if (root.contains("evaluate")) {
    spec.evaluate = read_evaluate(table_or_throw(root, "evaluate", where), where + ", [evaluate]");
  }
  if (root.contains("branches")) {
    spec.branches = read_branches(table_or_throw(root, "branches", where), where + ", [branches]");
  }
  check_seeds(spec);
  check_shares(spec);
  read_list(root, "hypotheses", &Json::is_object, "[[hypotheses]] tables", where, spec.hypotheses);
  read_list(root, "notes", &Json::is_string, "a list of texts", where, spec.notes);
  if (spec.data.text.empty() && spec.data.tasks.empty()) {
    throw Error({.where = where,
                 .what = "the study has no data",
                 .wanted = "[[data.text]], or a generated task with a share, for example [data.facts]"});
  }
}

}  // namespace

StudySpec study_load(const std::string& name_or_path) {
  StudySpec spec;
  spec.path = find_file(name_or_path);
  const Json root = toml_parse_file(spec.path);
  // Of a value of the wrong type, only this function knows the file.
  error_within(spec.path, [&] { read_study(root, spec); });
  return spec;
}

}  // namespace moebius::study
