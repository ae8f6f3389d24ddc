// Multiple choice by log-likelihood: the choices differ in the continuation or in the context.
#include <cmath>
#include <iterator>
#include <numbers>

#include "eval/task_kinds.h"

namespace moebius::eval {

namespace {

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
      for (std::size_t c = 0; c < item.choices.size(); ++c) {
        const bool endings = item.contexts.empty();  // the choices differ in the continuation
        LoglikRequest& request = of_item[n].emplace_back();
        encode_pair(*context.tokenizer, endings ? item.prompt : item.contexts[c],
                    spec_.delimiter + (endings ? item.choices[c] : item.target), request);
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
    const i64 best = best_choice(sums);
    const Loglik& gold = results[static_cast<std::size_t>(item.gold)];
    if (item.contexts.empty()) {
      out.record.set("choices", item.choices);
    } else {
      out.record.set("contexts", item.contexts);
    }
    out.record.set("gold", item.gold);
    out.record.set("logprobs", sums);
    out.record.set("chosen", best);
    const bool endings = item.contexts.empty();  // otherwise all continuations are the same text
    const i64 best_norm = endings ? best_choice_normalised(sums, item.choices) : -1;
    if (endings) out.record.set("chosen_norm", best_norm);
    out.chance = 1.0 / static_cast<double>(results.size());
    out.add("acc", best == item.gold);
    if (endings) out.add("acc_norm", best_norm == item.gold);
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

}  // namespace

std::unique_ptr<Task> make_choice_task(const TaskSpec& spec) { return std::make_unique<ChoiceTask>(spec); }

}  // namespace moebius::eval
