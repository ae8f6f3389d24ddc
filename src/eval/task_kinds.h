// The kinds of task.h, and what they share. In: a TaskSpec. Out: a Task each. Not for users of tasks: make_tasks().
#pragma once

#include <functional>

#include "eval/task.h"

namespace moebius::eval {

std::unique_ptr<Task> make_choice_task(const TaskSpec& spec);
std::unique_ptr<Task> make_generation_task(const TaskSpec& spec);
// Of the gold answer. `acc`: also whether greedy decoding would produce it (the measure loglikelihood).
std::unique_ptr<Task> make_loss_task(const TaskSpec& spec, bool acc);
std::unique_ptr<Task> make_rolling_task(const TaskSpec& spec);

// Indices of the items that are not skipped and that the task scores.
std::vector<std::size_t> wanted_items(const Task& task, const std::vector<EvalItem>& items);
// Runs work(n, i) for the n-th wanted item i in parallel, for encoding; an Error names the item.
void for_items(const std::vector<EvalItem>& items, const std::vector<std::size_t>& wanted,
               const std::function<void(std::size_t, std::size_t)>& work);
// Notes how the item was scored. False when it cannot be: one of its continuations has no tokens at all.
bool scorable(std::span<const LoglikRequest> requests, std::span<const Loglik> results, ItemScores& out);

}  // namespace moebius::eval
