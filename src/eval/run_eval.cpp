// moebius eval: loads a checkpoint, scores it on tasks and held-out text, writes records.
#include "eval/run_eval.h"

#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "records/record.h"
#include "base/stage.h"
#include "eval/evaluate.h"
#include "kernels/isa.h"
#include "model/checkpoint.h"
#include "model/trace.h"

namespace moebius::eval {

namespace {

struct Words {
  EvalOptions eval;
  std::string tokenizer;
  std::string out;
  std::string precision = "bf16";
  std::string trace;
  bool list = false;
  std::string checkpoint;
  StageCommon common;
  Json options;
};

const StageHelp kHelp = {
    .name = "eval",
    .summary = "score a checkpoint on held-out text and tasks",
    .usage =
        "moebius eval CHECKPOINT --tasks NAME,... [--shots N] [--limit N] [--loss-sources NAME=PATH,...] [--out FOLDER]",
    .reads =
        "CHECKPOINT/ or the folder of a run (config.json, model.safetensors, tokenizer.json; state.json for the step), task files and their rows, "
        "token shards or text files of --loss-sources",
    .writes = "OUT/records.jsonl (records of type eval, appended), OUT/items/TASK.jsonl (one line per item)",
    .json_keys =
        "checkpoint, step, tokens, records (array of eval records, docs/formats.md); with --list: tasks (array of name, "
        "title, skill, measures, shots, path)",
    .examples =
        "  moebius eval --list\n"
        "  moebius eval runs/first/checkpoint --tasks basic-arithmetic,arc-easy --limit 500 --out runs/first\n"
        "  moebius eval runs/first/checkpoint --loss-sources wikitext2=corpora/wikitext2_valid.txt.gz\n"
        "  moebius eval runs/first/checkpoint --tasks gsm8k --shots 4 --loss-form as-published --measures loss"};

Words read_words(const std::vector<std::string>& words) {
  Words given;
  OptionList list;
  describe(given.eval, list);
  list.add("tokenizer", &given.tokenizer, "tokenizer.json, or a folder with one; empty: the checkpoint's",
           {.unit = "PATH"});
  list.add("out", &given.out, "folder for records and items; empty: scores are only printed", {.unit = "FOLDER"});
  list.add(
      "precision", &given.precision,
      "of weights and products; bf16 shifts the log-probability of a choice, typically by 0.01 nats, seldom by 0.4 "
      "or more, so use f32 where the scores of single items matter",
      {.choices = {"bf16", "f32"}});
  list.add("trace", &given.trace, "write shape, checksum and time of every operation, one JSON object per line (slow)",
           {.unit = "FILE"});
  list.add("list", &given.list, "list all tasks");
  std::vector<std::string> positional;
  given.common = stage_parse(kHelp, list, words, &positional, 1);
  if (!positional.empty()) given.checkpoint = positional[0];
  // When the program runs in another folder, the shipped tasks are in the source tree.
  if (given.eval.task_folders == EvalOptions{}.task_folders && !folder_exists(given.eval.task_folders[0])) {
    given.eval.task_folders = {std::string(MOEBIUS_SOURCE_DIR) + "/corpora/eval"};
  }
  given.options = list.to_json();
  if (given.list) return given;
  if (given.checkpoint.empty()) {
    throw Error({.where = "moebius eval",
                 .what = "the checkpoint is missing",
                 .fix = "moebius eval CHECKPOINT_FOLDER --tasks NAME; moebius eval --list lists the tasks"});
  }
  if (given.eval.tasks.empty() && given.eval.loss_sources.empty()) {
    throw Error({.where = "moebius eval",
                 .what = "neither tasks nor held-out text are given",
                 .fix = "add --tasks NAME,... or --loss-sources NAME=PATH; moebius eval --list lists the tasks"});
  }
  return given;
}

int list_all(const Words& given) {
  Json tasks = Json::array();
  std::string text;
  for (const std::string& folder : given.eval.task_folders) {
    for (const std::string& path : list_tasks(folder)) {
      const TaskSpec task = load_task(path);
      Json measures = Json::array();
      std::string names;
      for (const auto& one : make_tasks(task)) {
        measures.push_back(one->kind());
        names += (names.empty() ? "" : ", ") + std::string(one->kind());
      }
      tasks.push_back(Json::object({{"name", task.name},
                                    {"title", task.title},
                                    {"skill", records::enum_name(task.skill)},
                                    {"measures", measures},
                                    {"shots", task.few_shot.shots},
                                    {"path", path}}));
      text += fmt::format("{:<26} {:<13} {:<16} {} shots  {}\n", task.name, records::enum_name(task.skill), names,
                          task.few_shot.shots, task.title);
    }
  }
  if (tasks.count() == 0) {
    throw Error({.where = fmt::format("{}", fmt::join(given.eval.task_folders, ", ")),
                 .what = "no task found",
                 .fix = "name the folder of the task files with --task-folders FOLDER"});
  }
  stage_print(given.common, Json::object({{"tasks", tasks}}), text);
  return 0;
}

// Step and tokens of a checkpoint of `moebius train`; 0 for others.
std::pair<i64, i64> position_of(const std::string& checkpoint) {
  const std::string path = path_join(checkpoint, "state.json");
  if (!file_exists(path)) return {0, 0};
  const Json state = Json::parse_file(path);
  for (const char* key : {"step", "tokens"}) {
    const Json* value = state.is_object() ? state.find(key) : nullptr;
    if (state.is_object() && (value == nullptr || value->is_int())) continue;
    throw Error({.where = path,
                 .what = fmt::format("'{}' is missing or has the wrong type", key),
                 .wanted = "the state.json of moebius train",
                 .fix = "the file is damaged: to evaluate the weights alone, copy the other files into a new folder"});
  }
  return {state.get_int("step", 0), state.get_int("tokens", 0)};
}

// The file or folder of the tokenizer; checks that the checkpoint is a model's folder first.
std::string tokenizer_path(const Words& given) {
  if (!folder_exists(given.checkpoint)) {
    throw Error({.where = given.checkpoint,
                 .what = file_exists(given.checkpoint) ? "is a file" : "there is no such folder",
                 .wanted = "the folder of a model, with config.json, model.safetensors and tokenizer.json"});
  }
  if (!given.tokenizer.empty()) return given.tokenizer;
  if (file_exists(path_join(given.checkpoint, "tokenizer.json"))) return given.checkpoint;
  const bool other = file_exists(path_join(given.checkpoint, "tokenizer.model"));
  throw Error({.where = given.checkpoint,
               .what = "the folder contains no tokenizer.json",
               .got = other ? "tokenizer.model, a SentencePiece model, which is not read" : "",
               .fix = "give the tokenizer.json that the model was trained with: --tokenizer PATH"});
}

}  // namespace

int run_eval(const std::vector<std::string>& words) {
  Words given = read_words(words);
  if (given.list) return list_all(given);
  kernels::isa_select(given.common.isa);
  given.checkpoint = checkpoint_of(given.checkpoint, "config.json");
  const auto [step, tokens] = position_of(given.checkpoint);
  if (!given.out.empty()) given.eval.items_folder = path_join(given.out, "items");
  const data::Tokenizer tokenizer = data::Tokenizer::load(tokenizer_path(given));
  const Evaluator evaluator(tokenizer, given.eval);
  if (given.common.dry_run) {
    const Json result = Json::object({{"checkpoint", given.checkpoint},
                                      {"step", step},
                                      {"tokens", tokens},
                                      {"options", given.options},
                                      {"counts", evaluator.counts()}});
    stage_print(given.common, result, result.dump(2) + "\n");
    return 0;
  }
  const auto network = model::load_model(given.checkpoint, given.precision == "f32" ? DType::f32 : DType::bf16, false);
  std::optional<model::Trace> trace;
  if (!given.trace.empty()) trace.emplace(given.trace);
  const std::vector<Json> records = evaluator.run(infer::engine_of(*network), step, tokens);
  if (!given.out.empty()) {
    folder_make(given.out);
    records::RecordWriter writer(path_join(given.out, "records.jsonl"));
    for (const Json& record : records) writer.write("eval", record);
    writer.sync();
  }
  stage_print(
      given.common,
      Json::object({{"checkpoint", given.checkpoint}, {"step", step}, {"tokens", tokens}, {"records", Json(records)}}),
      format_records(records));
  return 0;
}

}  // namespace moebius::eval
