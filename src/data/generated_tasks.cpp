// Item files of generated tasks.
#include "data/generated_tasks.h"

#include "base/file.h"

namespace moebius::data {

Json TaskItem::to_json() const {
  Json json = Json::object({{"id", id}, {"task", task}, {"grade", grade}, {"skill", skill}, {"prompt", prompt}});
  if (!choices.empty()) {
    json.set("choices", Json(choices));
    json.set("answer_index", answer_index);
  }
  json.set("answer", answer);
  if (!answer_after.empty()) json.set("answer_after", answer_after);
  if (!solution.empty()) json.set("solution", solution);
  if (!step_results.empty()) {
    Json ranges = Json::array();
    for (const auto& [begin, end] : step_results) ranges.push_back(Json(Json::Array{Json(begin), Json(end)}));
    json.set("step_results", ranges);
  }
  if (tokens_max > 0) json.set("tokens_max", tokens_max);
  if (bits_values > 0) json.set("bits_values", bits_values);
  if (extra.is_object()) json.set("extra", extra);
  return json;
}

namespace {

i64& seed_of(FactsOptions& options) { return options.seed; }
template <typename Options>
i64& seed_of(Options& options) {
  return options.problems.seed;
}

template <typename Options>
GeneratedFamily family_of(const char* name, const char* summary, GeneratedTask (*make)(const Options&)) {
  const auto options = std::make_shared<Options>();
  return {name,
          summary,
          options,
          &seed_of(*options),
          [options](OptionList& list) { describe(*options, list); },
          [options] { data::check(*options); },
          [options, make] { return make(*options); }};
}

}  // namespace

std::vector<GeneratedFamily> generated_families() {
  return {family_of("facts", "attributes of invented people: memorisation", make_facts),
          family_of("expressions", "nested operations modulo a prime: composition", make_expressions),
          family_of("look-ups", "hops from name to name: look-up", make_look_ups),
          family_of("arithmetic", "word problems: look-up and addition", make_arithmetic)};
}

void write_generated_task(const GeneratedTask& task, const std::string& folder, bool with_text) {
  folder_make(folder);
  for (const TaskItems& items : task.tasks) {
    std::string lines;
    for (const TaskItem& item : items.items) lines += item.to_json().dump() + "\n";
    file_write_atomic(path_join(folder, items.task + ".jsonl"), lines);
    file_write_atomic(path_join(folder, items.task + ".meta.json"), items.meta.dump(2) + "\n");
  }
  if (!with_text) return;
  AtomicFile file(path_join(folder, task.name + ".train.jsonl"));
  std::string lines;
  for (const std::string& document : task.documents) {
    lines += Json::object({{"text", document}}).dump() + "\n";
    if (lines.size() > 1 << 20) {
      file.write(lines.data(), static_cast<i64>(lines.size()));
      lines.clear();
    }
  }
  file.write(lines.data(), static_cast<i64>(lines.size()));
  file.commit();
}

}  // namespace moebius::data
