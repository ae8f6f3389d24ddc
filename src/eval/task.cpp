// The three kinds of task.
#include "eval/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"

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

namespace {

// Runs work(n, i) for the n-th wanted item i in parallel, for encoding; an Error names the item.
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

// Notes how the item was scored. False when it cannot be: one of its continuations has no tokens at all.
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

class ChoiceTask final : public Task {
 public:
  using Task::Task;
  const char* kind() const override { return "choice"; }
  bool wants(const EvalItem& item) const override { return !item.choices.empty(); }

  std::vector<LoglikRequest> requests(const TaskContext& context, const std::vector<EvalItem>& items) const override {
    const std::vector<std::size_t> wanted = wanted_items(*this, items);
    std::vector<std::vector<LoglikRequest>> of_item(wanted.size());
    for_items(items, wanted, [&](std::size_t n, std::size_t i) {
      const EvalItem& item = items[i];
      for (const std::string& choice : item.choices) {
        LoglikRequest& request = of_item[n].emplace_back();
        encode_pair(*context.tokenizer, item.prompt, spec_.delimiter + choice, request);
        request.group = static_cast<i64>(i);
      }
    });
    std::vector<LoglikRequest> requests;
    for (auto& some : of_item) std::move(some.begin(), some.end(), std::back_inserter(requests));
    return requests;
  }

  void run(const TaskContext&, const std::vector<EvalItem>& items, std::span<const LoglikRequest> requests,
           std::span<const Loglik> results, std::vector<ItemScores>& scores) const override {
    for (const std::size_t i : wanted_items(*this, items)) {
      const EvalItem& item = items[i];
      ItemScores& out = scores[i];
      const std::size_t count = item.choices.size();
      if (scorable(requests.first(count), results.first(count), out)) score(item, results.first(count), out);
      requests = requests.subspan(count);
      results = results.subspan(count);
    }
  }

 private:
  static void score(const EvalItem& item, std::span<const Loglik> results, ItemScores& out) {
    std::vector<double> sums;
    for (const Loglik& result : results) sums.push_back(result.sum);
    const i64 best = best_choice(sums), best_norm = best_choice_normalised(sums, item.choices);
    const Loglik& gold = results[static_cast<std::size_t>(item.gold)];
    out.record.set("choices", item.choices);
    out.record.set("gold", item.gold);
    out.record.set("logprobs", sums);
    out.record.set("chosen", best);
    out.record.set("chosen_norm", best_norm);
    out.chance = 1.0 / static_cast<double>(results.size());
    out.add("acc", best == item.gold);
    out.add("acc_norm", best_norm == item.gold);
    if (item.bits_values > 0) {
      out.add("exact_match", gold.greedy);  // greedy decoding would generate the gold value
      out.bits_total = std::log2(static_cast<double>(item.bits_values));
      const double bits = out.bits_total + gold.sum / std::numbers::ln2;
      out.record.set("knowledge_bits_raw", bits);
      out.bits_known = std::max(0.0, bits);
      out.record.set("knowledge_bits", out.bits_known);
    }
  }
};

class GenerationTask final : public Task {
 public:
  using Task::Task;
  const char* kind() const override { return "generate"; }
  bool wants(const EvalItem& item) const override {
    return !item.answers.empty() && (!spec_.item_file || (item.tokens_max > 0 && item.choices.empty()));
  }

  void run(const TaskContext& context, const std::vector<EvalItem>& items, std::span<const LoglikRequest>,
           std::span<const Loglik>, std::vector<ItemScores>& scores) const override {
    const std::vector<std::size_t> wanted = wanted_items(*this, items);
    std::vector<infer::Prompt> prompts(wanted.size());
    const i64 positions =
        context.limits.positions_max > 0 ? context.limits.positions_max : context.engine->positions_max;
    for_items(items, wanted, [&](std::size_t n, std::size_t i) {
      const EvalItem& item = items[i];
      infer::Prompt& prompt = prompts[n];
      prompt.tokens = context.tokenizer->encode(item.prompt);
      if (prompt.tokens.empty()) prompt.tokens = {prefix_token(*context.tokenizer)};
      // The prompt is cut to leave room for the new tokens, but never to less than half of the positions.
      prompt.tokens_max = std::min(item.tokens_max > 0 ? item.tokens_max : spec_.generation.tokens_max,
                                   std::max<i64>(1, positions / 2));
      const i64 room = positions - prompt.tokens_max;
      if (static_cast<i64>(prompt.tokens.size()) > room)
        prompt.tokens.erase(prompt.tokens.begin(), prompt.tokens.end() - room);
      prompt.stops = spec_.generation.stops;
      prompt.sequence = i;
    });
    Progress progress(spec_.name + ": generation", static_cast<i64>(prompts.size()));
    infer::GenerateOptions options;
    options.end_of_text = context.tokenizer->eos_id();
    options.sequences_max = context.sequences_max;
    options.rows_max = std::max(context.limits.rows_max, context.sequences_max);
    options.token_bytes = [&](i32 token) {
      // The embedding of many models is larger than the vocabulary of their tokenizer: such ids have no text.
      const bool text = token < context.tokenizer->vocab_size() && !context.tokenizer->is_special(token);
      return text ? context.tokenizer->token_bytes(token) : std::string_view();
    };
    options.on_done = [&](i64 done) { progress.update(done); };
    const std::vector<infer::Generated> results = infer::generate(*context.engine, prompts, options);
    progress.finish();
    for (std::size_t n = 0; n < wanted.size(); ++n) {
      const std::size_t i = wanted[n];
      check_finite(results[n].logprob_sum, items[i].where);
      score(items[i], results[n], scores[i]);
    }
  }

 private:
  void score(const EvalItem& item, const infer::Generated& result, ItemScores& out) const {
    out.record.set("answers", item.answers);
    out.record.set("generated", result.text);
    out.record.set("generated_tokens", static_cast<i64>(result.tokens.size()));
    out.record.set("generated_logprob", result.logprob_sum);
    std::vector<Extraction> rules = spec_.extractions;
    if (rules.empty()) rules.emplace_back();
    if (spec_.item_file) {
      rules[0].after = item.answer_after;
      rules[0].strip = true;
    }
    for (std::size_t r = 0; r < rules.size(); ++r) {
      const std::string suffix = r == 0 ? "" : "_" + rules[r].name;
      const std::string extracted = extract(rules[r], result.text);
      out.record.set("extracted" + suffix, extracted);
      out.add("exact_match" + suffix, exact_match(spec_, extracted, item.answers));
    }
  }
};

class LossTask final : public Task {
 public:
  using Task::Task;
  const char* kind() const override { return "loss"; }
  bool wants(const EvalItem& item) const override { return !item.target.empty(); }

  std::vector<LoglikRequest> requests(const TaskContext& context, const std::vector<EvalItem>& items) const override {
    const std::vector<std::size_t> wanted = wanted_items(*this, items);
    const bool as_published = (context.loss_form.empty() ? spec_.loss_form : context.loss_form) == "as-published";
    std::vector<LoglikRequest> requests(wanted.size());
    for_items(items, wanted, [&](std::size_t n, std::size_t i) {
      const EvalItem& item = items[i];
      LoglikRequest& request = requests[n];
      if (as_published) {
        encode_prompt_answer(*context.tokenizer, item.prompt, item.target, request);
      } else {
        encode_pair(*context.tokenizer, item.prompt, spec_.delimiter + item.target, request);
      }
      request.group = static_cast<i64>(i);
    });
    return requests;
  }

  void run(const TaskContext& context, const std::vector<EvalItem>& items, std::span<const LoglikRequest> requests,
           std::span<const Loglik> results, std::vector<ItemScores>& scores) const override {
    const std::vector<std::size_t> wanted = wanted_items(*this, items);
    for (std::size_t n = 0; n < wanted.size(); ++n) {
      const std::size_t i = wanted[n];
      if (!scorable(requests.subspan(n, 1), results.subspan(n, 1), scores[i])) continue;
      score(context, items[i], requests[n], results[n], scores[i]);
    }
  }

 private:
  static void score(const TaskContext& context, const EvalItem& item, const LoglikRequest& request,
                    const Loglik& result, ItemScores& out) {
    const auto tokens = static_cast<double>(result.logprob_tokens.size());
    out.record.set("target", item.target);
    out.record.set("target_logprob", result.sum);
    out.record.set("target_tokens", static_cast<i64>(tokens));
    // When the answer itself was cut, the bytes count by the share of its tokens that were scored.
    double bytes = static_cast<double>(item.target.size());
    if (result.logprob_tokens.size() < request.continuation.size())
      bytes *= tokens / static_cast<double>(request.continuation.size());
    out.add("task_loss", -result.sum / tokens);
    out.add("task_bits_per_byte", -result.sum / std::numbers::ln2 / bytes);
    if (!item.answer_after.empty()) answer_loss(context, item, request, result, out);
    if (!item.step_results.empty()) step_loss(context, item, request, result, out);
  }

  // The loss of the tokens that state the results of the steps: the part of a worked solution that must be computed.
  static void step_loss(const TaskContext& context, const EvalItem& item, const LoglikRequest& request,
                        const Loglik& result, ItemScores& out) {
    if (result.logprob_tokens.size() != request.continuation.size()) return;
    double sum = 0;
    i64 tokens = 0;
    auto end = static_cast<i64>(item.target.size());  // of the token, in bytes of the target
    auto at = item.step_results.rbegin();
    for (std::size_t t = request.continuation.size(); t-- > 0;) {
      const i64 begin = end - static_cast<i64>(context.tokenizer->token_bytes(request.continuation[t]).size());
      while (at != item.step_results.rend() && at->first >= end) ++at;
      if (at == item.step_results.rend()) break;
      if (at->second > begin) {
        sum += result.logprob_tokens[t];
        ++tokens;
      }
      end = begin;
    }
    if (tokens > 0) out.add("step_loss", -sum / static_cast<double>(tokens));
  }

  // The loss of the tokens of the answer itself, after the last mark in a worked solution.
  static void answer_loss(const TaskContext& context, const EvalItem& item, const LoglikRequest& request,
                          const Loglik& result, ItemScores& out) {
    const std::size_t mark = item.target.rfind(item.answer_after);
    if (mark == std::string::npos || result.logprob_tokens.size() != request.continuation.size()) return;
    auto bytes = static_cast<i64>(item.target.size() - mark - item.answer_after.size());
    double sum = 0;
    i64 tokens = 0;
    for (std::size_t t = request.continuation.size(); t-- > 0 && bytes > 0; ++tokens) {
      bytes -= static_cast<i64>(context.tokenizer->token_bytes(request.continuation[t]).size());
      sum += result.logprob_tokens[t];
    }
    if (tokens > 0) out.add("answer_loss", -sum / static_cast<double>(tokens));
  }
};

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
  if (spec.choice) tasks.push_back(std::make_unique<ChoiceTask>(spec));
  if (spec.generate) tasks.push_back(std::make_unique<GenerationTask>(spec));
  if (spec.loss) tasks.push_back(std::make_unique<LossTask>(spec));
  return tasks;
}

}  // namespace moebius::eval
