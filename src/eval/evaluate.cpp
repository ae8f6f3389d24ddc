// Runs tasks and held-out sources and writes their records.
#include "eval/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "data/byte_stream.h"
#include "eval/metrics.h"
#include "records/item_scores.h"

namespace moebius::eval {

void describe(EvalOptions& options, OptionList& list) {
  list.add("tasks", &options.tasks, "names of tasks, or paths of .toml or item files, separated by commas");
  list.add("task-folders", &options.task_folders, "folders that are searched for task names");
  list.add("shots", &options.shots, "examples before each question; -1: the task's", {.min = -1, .max = 1000});
  list.add("limit", &options.limit, "rows of each task (items of each grade); 0: all", {.min = 0});
  list.add("loss-sources", &options.loss_sources, "held-out text: NAME=PATH of a token shard or a text file");
  list.add("loss-field", &options.loss_field, "JSON field with the text, for sources that are JSON lines");
  list.add("loss-tokens", &options.loss_tokens, "tokens of each held-out source; 0: all", {.unit = "tokens", .min = 0});
  list.add("loss-window", &options.loss_window, "length of a window of held-out text; 0: the model's positions",
           {.unit = "tokens", .min = 0});
  list.add("loss-prefix", &options.loss_prefix, "also score the first token of a held-out document, after end-of-text");
  list.add("loss-form", &options.loss_form,
           "between prompt and gold answer: nothing (as-published) or the task's delimiter; empty: the task's choice",
           {.choices = {"", "as-published", "with-separator"}});
  list.add("measures", &options.measures,
           "limit each task to these measures: choice, generate, loss, loglikelihood, rolling; empty: all");
  list.add("positions-max", &options.positions_max, "longest input; 0: the model's", {.unit = "tokens", .min = 0});
  list.add("rows-max", &options.rows_max, "tokens of one pass through the network", {.unit = "tokens", .min = 16});
  list.add("sequences-max", &options.sequences_max, "number of prompts for which text is generated at a time",
           {.min = 1, .max = 4096});
}

Evaluator::Evaluator(const data::Tokenizer& tokenizer, EvalOptions options)
    : tokenizer_(tokenizer), options_(std::move(options)) {
  for (const std::string& measure : options_.measures) {
    index_of_word(measure, kMeasures, "measure", "--measures");
  }
  bool measured = options_.tasks.empty();
  for (const std::string& word : options_.tasks) {
    Loaded loaded;
    loaded.spec = find_task(word, options_.task_folders);
    std::erase_if(loaded.spec.measures, [&](const std::string& measure) {
      const std::vector<std::string>& kept = options_.measures;
      return !kept.empty() && std::find(kept.begin(), kept.end(), measure) == kept.end();
    });
    measured |= !loaded.spec.measures.empty();
    loaded.items = make_items(loaded.spec, {options_.shots, options_.limit});
    tasks_.push_back(std::move(loaded));
  }
  if (!measured) {
    throw Error({.where = "--measures",
                 .what = "none of the tasks has one of these measures",
                 .wanted = fmt::format("{}", fmt::join(kMeasures, ", ")),
                 .got = fmt::format("{}", fmt::join(options_.measures, ", ")),
                 .fix = "moebius eval --list lists the measures of each task"});
  }
  std::vector<LossSource> sources;
  for (const std::string& text : options_.loss_sources) {
    sources.push_back(parse_loss_source(text, options_.loss_field));
  }
  sources.insert(sources.end(), options_.sources.begin(), options_.sources.end());
  std::vector<std::string> paths;
  for (const LossSource& source : sources) paths.push_back(source.path);
  data::refuse_repeated_pipes(paths);
  for (const LossSource& source : sources) {
    sources_.push_back(read_loss_documents(source, tokenizer_, options_.loss_tokens));
  }
  check_names();
}

// Records and item files go by name, so a name must not appear twice.
void Evaluator::check_names() const {
  std::set<std::string> names;
  const auto check = [&](const char* option, const std::string& name) {
    if (names.insert(name).second) return;
    throw Error({.where = option,
                 .what = fmt::format("the name '{}' appears twice", name),
                 .fix = "evaluate one of them in another call, or rename it"});
  };
  for (const Loaded& loaded : tasks_) check("--tasks", loaded.spec.name);
  names.clear();
  for (const LossDocuments& source : sources_) check("--loss-sources", source.name);
}

Json Evaluator::counts() const {
  Json out = Json::object();
  for (const LossDocuments& source : sources_) {
    i64 tokens = 0;
    for (const auto& document : source.documents) tokens += static_cast<i64>(document.size());
    out.set(source.name, Json::object({{"documents", static_cast<i64>(source.documents.size())}, {"tokens", tokens}}));
  }
  for (const Loaded& loaded : tasks_) {
    out.set(loaded.spec.name,
            Json::object({{"items", static_cast<i64>(loaded.items.size())}, {"path", loaded.spec.path}}));
  }
  return out;
}

void Evaluator::write_items(const Loaded& loaded, const std::vector<ItemScores>& scores, i64 step) const {
  folder_make(options_.items_folder);
  AtomicFile file(path_join(options_.items_folder, records::items_file_name(loaded.spec.name, false)));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const EvalItem& item = loaded.items[i];
    Json line = Json::object({{"step", step}, {"task", loaded.spec.name}, {"index", item.index}});
    if (!item.id.empty()) line.set("id", item.id);
    if (!item.grade.empty()) line.set("grade", item.grade);
    line.set("prompt", item.prompt);
    for (const auto& [key, value] : scores[i].record.as_object()) line.set(key, value);
    const std::string text = line.dump() + "\n";
    file.write(text.data(), static_cast<i64>(text.size()));
  }
  file.commit();
}

void Evaluator::write_documents(const std::string& source, const LossResult& result, i64 step) const {
  folder_make(options_.items_folder);
  AtomicFile file(path_join(options_.items_folder, records::items_file_name(source, true)));
  for (const LossResult::Document& one : result.by_document) {
    const std::string text = Json::object({{"step", step},
                                           {"source", source},
                                           {"index", one.index},
                                           {"tokens", one.tokens},
                                           {"bytes", one.bytes},
                                           {"loss_sum", one.nats}})
                                 .dump() +
                             "\n";
    file.write(text.data(), static_cast<i64>(text.size()));
  }
  file.commit();
}

std::vector<Json> Evaluator::run_task(const Loaded& loaded, const TaskContext& context, i64 step, i64 tokens) const {
  std::vector<ItemScores> scores(loaded.items.size());
  run_tasks(make_tasks(loaded.spec), loaded.spec.name, context, loaded.items, scores);
  if (!options_.items_folder.empty()) write_items(loaded, scores, step);
  std::vector<Json> records;
  for (const Json& summary : summarise(loaded.spec, loaded.items, scores)) {
    Json record = Json::object({{"step", step},
                                {"tokens", tokens},
                                {"name", loaded.spec.name},
                                {"kind", "task"},
                                {"skill", records::enum_name(loaded.spec.skill)}});
    const auto& variants = loaded.spec.variants;  // none for item files
    const bool prompts = std::any_of(variants.begin(), variants.end(), [](const Variant& v) { return v.has_prompt(); });
    record.set("shots", !prompts ? 0 : options_.shots >= 0 ? options_.shots : loaded.spec.few_shot.shots);
    for (const auto& [key, value] : summary.as_object()) record.set(key, value);
    const Generation& generation = loaded.spec.generation;
    if (loaded.spec.has("generate") && generation.temperature > 0) {
      record.set("repeats", generation.repeats);
      record.set("temperature", generation.temperature);
      record.set("top_p", generation.top_p);
      record.set("top_k", generation.top_k);
      record.set("seed", generation.seed);
    }
    if (loaded.spec.has("loss") || loaded.spec.has("loglikelihood"))
      record.set("loss_form", context.loss_form.empty() ? loaded.spec.loss_form : context.loss_form);
    if (loaded.spec.meta.is_object() && loaded.spec.meta.contains("prompts_in_training")) {
      record.set("prompts_in_training", loaded.spec.meta.at("prompts_in_training"));
    }
    if (!loaded.spec.seen_source.empty()) record.set("seen_source", loaded.spec.seen_source);
    records.push_back(std::move(record));
  }
  return records;
}

namespace {

Json loss_measures() {
  std::vector<records::Measure> measures = records::known_measures();
  std::erase_if(measures, [](const records::Measure& m) { return m.name != "loss" && m.name != "bits_per_byte"; });
  return records::measures_to_json(measures);
}

}  // namespace

std::vector<Json> Evaluator::run(const infer::Engine& engine, i64 step, i64 tokens) const {
  if (tokenizer_.vocab_size() > engine.vocab) {
    throw Error({.where = "tokenizer",
                 .what = "the tokenizer has more tokens than the model's vocabulary",
                 .wanted = fmt::format("at most {} tokens", engine.vocab),
                 .got = fmt::format("{}", tokenizer_.vocab_size()),
                 .fix = "use the tokenizer.json of the checkpoint"});
  }
  TaskContext context;
  context.engine = &engine;
  context.tokenizer = &tokenizer_;
  context.limits.positions_max =
      options_.positions_max > 0 ? std::min(options_.positions_max, engine.positions_max) : engine.positions_max;
  context.limits.rows_max = options_.rows_max;
  context.sequences_max = options_.sequences_max;
  context.loss_form = options_.loss_form;
  std::vector<Json> records;
  for (const LossDocuments& source : sources_) {
    const LossResult r =
        held_out_loss(engine, tokenizer_, source, {options_.loss_window, options_.loss_prefix}, context.limits);
    if (!options_.items_folder.empty()) write_documents(source.name, r, step);
    records.push_back(Json::object({{"step", step},
                                    {"tokens", tokens},
                                    {"name", source.name},
                                    {"kind", "loss"},
                                    {"source", source.name},
                                    {"loss", r.loss},
                                    {"loss_se", r.loss_se},
                                    {"bits_per_byte", r.bits_per_byte},
                                    {"bits_per_byte_se", r.bits_per_byte_se},
                                    {"tokens_scored", r.tokens},
                                    {"bytes_scored", r.bytes},
                                    {"documents", r.documents},
                                    {"measures", loss_measures()}}));
  }
  for (const Loaded& loaded : tasks_) {
    for (Json& record : run_task(loaded, context, step, tokens)) records.push_back(std::move(record));
  }
  return records;
}

namespace {

// "0.2500 +- 0.0125"; without an error where there is none, "unknown" for a value that is not a number.
std::string value_and_error(const Json& record, const std::string& key) {
  const Json* value = record.find(key);
  if (value == nullptr || !value->is_number() || !std::isfinite(value->as_double())) return "unknown";
  const double error = record.get_double(key + "_se", kUnknown);
  const std::string text = fmt::format("{:.4f}", value->as_double());
  return std::isfinite(error) ? fmt::format("{} +- {:.4f}", text, error) : text;
}

}  // namespace

std::string format_records(const std::vector<Json>& records) {
  std::string out;
  for (const Json& record : records) {
    if (record.get_string("kind", "") == "loss") {
      out += fmt::format("{:<24} loss {} nats/token, {} bits/byte, {} tokens\n", record.get_string("name", ""),
                         value_and_error(record, "loss"), value_and_error(record, "bits_per_byte"),
                         record.get_int("tokens_scored", 0));
      continue;
    }
    out += fmt::format("{:<24} {:<8} {} items, {} shots, chance {:.3f}", record.get_string("name", ""),
                       record.get_string("grade", ""), record.get_int("items", 0), record.get_int("shots", 0),
                       record.get_double("chance", 0));
    for (const auto& [key, value] : record.as_object()) {
      if (!record.contains(key + "_se")) continue;
      out += fmt::format("; {} {}", key, value_and_error(record, key));
    }
    if (const i64 skipped = record.get_int("items_skipped", 0); skipped > 0) {
      out += fmt::format("; {} items skipped", skipped);
    }
    if (record.contains("seen_source")) {
      out += fmt::format("; the answers are in {}", record.get_string("seen_source", ""));
    }
    out += "\n";
  }
  return out;
}

}  // namespace moebius::eval
