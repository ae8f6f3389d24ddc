// Items, requests and results of all kinds of task.
#include "eval/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "eval/task_kinds.h"

namespace moebius::eval {

void ItemScores::add(const std::string& name, double value) {
  scores.emplace_back(name, value);
  record.set(name, value);
}

i64 best_choice(const std::vector<double>& sums) { return std::max_element(sums.begin(), sums.end()) - sums.begin(); }

i64 best_choice_normalised(const std::vector<double>& sums, const std::vector<std::string>& choices) {
  std::vector<double> scaled;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const i64 count = characters(choices[i]);  // an empty choice has none and must not win
    scaled.push_back(count > 0 ? sums[i] / static_cast<double>(count) : -std::numeric_limits<double>::infinity());
  }
  return best_choice(scaled);
}

double exact_match(const TaskSpec& spec, const std::string& extracted, const std::vector<std::string>& answers) {
  const std::string got = normalised(spec.normalisation, extracted);
  for (const std::string& answer : answers) {
    if (normalised(spec.normalisation, answer) == got) return 1;
  }
  return 0;
}

void for_items(const std::vector<EvalItem>& items, const std::vector<std::size_t>& wanted,
               const std::function<void(std::size_t, std::size_t)>& work) {
  parallel_for(std::ssize(wanted), [&](i64 task, int) {
    const auto n = static_cast<std::size_t>(task);
    const std::size_t i = wanted[n];
    try {
      work(n, i);
    } catch (const Error& e) {
      ErrorParts parts = e.parts();
      parts.where = items[i].where + (parts.where.empty() ? "" : ": " + parts.where);
      throw Error(parts);
    }
  });
}

bool scorable(std::span<const LoglikRequest> requests, std::span<const Loglik> results, ItemScores& out) {
  for (std::size_t r = 0; r < requests.size(); ++r) {
    if (requests[r].continuation.empty()) {
      out.record.set("skipped", fmt::format("continuation {} of {} has no tokens", r + 1, requests.size()));
      return false;
    }
    if (requests[r].encoded_alone) out.record.set("encoded_alone", true);
    if (results[r].truncated) out.record.set("truncated", true);
  }
  return true;
}

std::vector<std::size_t> wanted_items(const Task& task, const std::vector<EvalItem>& items) {
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].skipped.empty() && task.wants(items[i])) wanted.push_back(i);
  }
  return wanted;
}

namespace {

// One line that names the first skipped item; the item records list all.
void warn_of_skipped(const std::string& task, const std::vector<EvalItem>& items,
                     const std::vector<ItemScores>& scores) {
  i64 count = 0;
  std::string first;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!scores[i].record.contains("skipped")) continue;
    if (count++ == 0) first = fmt::format("{}: {}", items[i].where, scores[i].record.at("skipped").as_string());
  }
  if (count > 0)
    log_warning(fmt::format("{}: {} of {} items skipped; the first: {}", task, count, items.size(), first));
}

}  // namespace

void run_tasks(const std::vector<std::unique_ptr<Task>>& tasks, const std::string& name, const TaskContext& context,
               const std::vector<EvalItem>& items, std::vector<ItemScores>& scores) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].skipped.empty()) scores[i].record.set("skipped", items[i].skipped);
  }
  std::vector<LoglikRequest> all;
  std::vector<std::size_t> ends;
  for (const auto& task : tasks) {
    std::vector<LoglikRequest> more = task->requests(context, items);
    all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    ends.push_back(all.size());
  }
  std::vector<Loglik> results;
  if (!all.empty()) {
    Progress progress(name + ": log-likelihoods", static_cast<i64>(all.size()));
    results = score_requests(*context.engine, all, context.limits, [&](i64 done) { progress.update(done); });
    progress.finish();
  }
  for (std::size_t r = 0; r < results.size(); ++r) {
    check_finite(results[r].sum, items[static_cast<std::size_t>(all[r].group)].where);
  }
  std::size_t begin = 0;
  for (std::size_t t = 0; t < tasks.size(); begin = ends[t++]) {
    const std::size_t count = ends[t] - begin;
    tasks[t]->run(context, items, std::span<const LoglikRequest>(all).subspan(begin, count),
                  std::span<const Loglik>(results).subspan(begin, count), scores);
  }
  warn_of_skipped(name, items, scores);
}

std::vector<std::unique_ptr<Task>> make_tasks(const TaskSpec& spec) {
  std::vector<std::unique_ptr<Task>> tasks;
  if (spec.has("choice")) tasks.push_back(make_choice_task(spec));
  if (spec.has("generate")) tasks.push_back(make_generation_task(spec));
  if (spec.has("loss") || spec.has("loglikelihood")) tasks.push_back(make_loss_task(spec, spec.has("loglikelihood")));
  if (spec.has("rolling")) tasks.push_back(make_rolling_task(spec));
  return tasks;
}

}  // namespace moebius::eval
