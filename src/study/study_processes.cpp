// Run files from the plan; timing in processes of their own, whose memory is free again when the runs begin.
// In, out: study_processes.h.
#include "study/study_processes.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/children.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "kernels/isa.h"

namespace moebius::study {

namespace {

// A pass reads the keys and values of all live sequences: more of them than fit the last cache are slower, fewer leave
// the parts of a pass with few rows.
constexpr i64 kSequencesGenerated = 64;

eval::EvalOptions eval_options(const StudySpec& spec, i64 seed, const StudyFiles& files,
                               const std::string& items_folder) {
  eval::EvalOptions options;
  for (const std::string& item : files.items) options.tasks.push_back(files.item_path(item, seed));
  for (const std::string& task : spec.evaluate.tasks) options.tasks.push_back(task);
  options.task_folders = {study_task_folder()};
  for (const StudyShard& shard : files.shards) {
    if (!shard.held_out) continue;
    options.sources.emplace_back().name = shard.name;
    options.sources.back().path = files.held_out_path(shard.name);
  }
  options.loss_window = spec.data.sequence;  // what the models are trained on; they may have many more positions
  options.limit = spec.evaluate.items_max;
  options.rows_max = spec.evaluate.batch_tokens;
  options.sequences_max = kSequencesGenerated;
  options.items_folder = items_folder;
  return options;
}

// What does not depend on the data.
RunFile shape_file_of(const StudyPlan& plan, const PlannedRun& run, int threads) {
  RunFile file;
  file.name = run.name;
  file.training = train_options(plan.spec, run);
  file.config = run.config;
  file.threads = plan.threads_of_run(threads);
  file.isa = kernels::isa_name(kernels::isa_current());
  file.log = log_level_name();
  file.shares_terminal = plan.jobs > 1;
  return file;
}

// A run file in memory: it has a path while this object lives, for this process and those that it starts.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& text) : fd_(::memfd_create("run.json", 0)) {
    const ssize_t bytes = static_cast<ssize_t>(text.size());
    if (fd_ < 0 || ::write(fd_, text.data(), text.size()) != bytes) throw_system_error("run file", "write", errno);
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  int fd_;
};

}  // namespace

std::string branch_folder(const std::string& folder, const PlannedRun& run) {
  return path_join(folder, fmt::format("runs/{}/branch-{}", run.branch_of, run.branch_step));
}

RunFile run_file_of(const StudyPlan& plan, const PlannedRun& run, const StudyFiles& files, const std::string& folder,
                    int threads) {
  RunFile file = shape_file_of(plan, run, threads);
  file.training.out = path_join(folder, "runs/" + run.name);
  file.training.tokenizer = files.tokenizer();
  file.training.sources = files.mixture(run.seed, run.shares);
  file.branch_steps = run.branch_steps;
  if (!run.branch_of.empty()) file.branch_from = branch_folder(folder, run);
  file.evaluation_steps = evaluation_steps(plan, run);
  file.evaluation = eval_options(plan.spec, run.seed, files, path_join(file.training.out, "items"));
  return file;
}

ShapeTimes time_shapes(const StudyPlan& plan, const StudyFiles* files, const std::string& program) {
  const std::vector<std::string> models = shapes_to_time(plan);
  std::map<i64, MemoryFile> run_files;
  Children children(program);
  ShapeTimes times;
  std::size_t next = 0;
  while (next < models.size() || children.running() > 0) {
    if (next < models.size() && children.running() < plan.jobs) {
      const PlannedRun& run = *std::find_if(plan.runs.begin(), plan.runs.end(), [&](const PlannedRun& r) {
        return r.role != records::RunRole::sweep && r.config.name == models[next];
      });
      RunFile file = shape_file_of(plan, run, parallel_threads());
      if (files != nullptr) {
        file.training.tokenizer = files->tokenizer();
        file.evaluation = eval_options(plan.spec, run.seed, *files, "");
        file.evaluation_steps = {0};
      }
      file.timed = true;
      const i64 id = static_cast<i64>(next);
      const std::string path = run_files.try_emplace(id, file.to_json().dump()).first->second.path();
      children.start(id, "timing " + models[next], {"study", kRunFileWord, path});
      ++next;
      continue;
    }
    const Children::Ended ended = children.wait();
    times[models[static_cast<std::size_t>(ended.id)]] =
        records::fields_from_json<ShapeTime>(ended.value, models[static_cast<std::size_t>(ended.id)]);
  }
  return times;
}

}  // namespace moebius::study
