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
  if (tokens_max > 0) json.set("tokens_max", tokens_max);
  if (bits_values > 0) json.set("bits_values", bits_values);
  if (extra.is_object()) json.set("extra", extra);
  return json;
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
