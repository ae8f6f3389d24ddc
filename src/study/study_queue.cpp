// The order of a study's runs.
#include "study/study_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "base/error.h"
#include "base/memory.h"
#include "base/units.h"
#include "train/memory_plan.h"

namespace moebius::study {

namespace {

constexpr double kShortStepFlops = 2e10;

}  // namespace

i64 choose_jobs(const StudyPlan& plan, i64 wanted, i64 threads) {
  double flops_most = 0;
  i64 bytes_most = 1;
  for (const PlannedRun& run : plan.runs) {
    const train::TrainOptions options = train_options(plan.spec, run);
    flops_most = std::max(flops_most, run.counts.flops_per_token_megatron * static_cast<double>(options.batch_tokens));
    if (wanted != 1) bytes_most = std::max(bytes_most, train::plan_memory(run.config, options).memory.total());
  }
  // With this many, each finds what it needs below 70 % of what the others leave, so its micro-batch is that of a run alone.
  const i64 fit = std::max(i64{1}, memory_available() / 10 * 7 / bytes_most);
  const i64 useful = std::min(threads, static_cast<i64>(plan.runs.size()));
  if (wanted == 0) return flops_most > kShortStepFlops ? 1 : std::min(useful, fit);
  if (wanted > fit) {
    throw Error({.where = "jobs",
                 .what = fmt::format("{} runs side by side do not fit into memory", wanted),
                 .wanted = fmt::format("at most {}", fit),
                 .got = fmt::format("up to {} per run", format_bytes(static_cast<double>(bytes_most)))});
  }
  return std::min(useful, wanted);
}

RunQueue::RunQueue(const StudyPlan& plan) : plan_(plan), waiting_(plan.runs.size()) {
  std::iota(waiting_.begin(), waiting_.end(), 0);
  open_ = static_cast<i64>(waiting_.size());
  std::map<i64, i64> place;  // of a seed
  for (const i64 seed : plan.spec.seeds) place.emplace(seed, static_cast<i64>(place.size()));
  std::vector<std::tuple<bool, i64, double>> keys;
  for (const PlannedRun& run : plan.runs) {
    const bool trial = run.role == records::RunRole::sweep;
    trials_open_ += trial;
    keys.emplace_back(!trial, trial ? 0 : place[run.seed],
                      -roofline_seconds_per_token(plan, run) * static_cast<double>(run.tokens_own()));
  }
  std::stable_sort(waiting_.begin(), waiting_.end(),
                   [&](i64 a, i64 b) { return keys[static_cast<std::size_t>(a)] < keys[static_cast<std::size_t>(b)]; });
}

bool RunQueue::may_begin(const PlannedRun& run) const {
  if (run.role != records::RunRole::sweep && !trials_ended()) return false;
  return run.branch_of.empty() || ended_.count(run.branch_of) > 0;
}

i64 RunQueue::next() {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](i64 run) { return may_begin(plan_.runs[static_cast<std::size_t>(run)]); });
  if (found == waiting_.end()) return -1;
  const i64 run = *found;
  waiting_.erase(found);
  return run;
}

void RunQueue::ended(i64 index) {
  const PlannedRun& run = plan_.runs[static_cast<std::size_t>(index)];
  ended_.insert(run.name);
  --open_;
  trials_open_ -= run.role == records::RunRole::sweep;
}

}  // namespace moebius::study
