// Losses of given texts: the gold answer of an item, or a whole text.
#include <iterator>
#include <numbers>

#include "eval/held_out.h"
#include "eval/task_kinds.h"

namespace moebius::eval {

namespace {

class LossTask final : public Task {
 public:
  LossTask(const TaskSpec& spec, bool acc) : Task(spec), acc_(acc) {}
  const char* kind() const override { return acc_ ? "loglikelihood" : "loss"; }
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
      if (acc_) scores[i].add("acc", results[n].greedy);
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

  bool acc_;
};

// The harness's loglikelihood_rolling: disjoint windows, the first after the prefix token. Perplexities are ratios over
// all items: metrics.h.
class RollingTask final : public Task {
 public:
  using Task::Task;
  const char* kind() const override { return "rolling"; }
  bool wants(const EvalItem& item) const override { return !item.text.empty(); }

  std::vector<LoglikRequest> requests(const TaskContext& context, const std::vector<EvalItem>& items) const override {
    const std::vector<std::size_t> wanted = wanted_items(*this, items);
    const i64 window = context.limits.positions_max > 0 ? context.limits.positions_max : context.engine->positions_max;
    std::vector<std::vector<LoglikRequest>> of_item(wanted.size());
    for_items(items, wanted, [&](std::size_t n, std::size_t i) {
      of_item[n] =
          rolling_windows(context.tokenizer->encode(items[i].text), {prefix_token(*context.tokenizer)}, window);
      for (LoglikRequest& request : of_item[n]) request.group = static_cast<i64>(i);
    });
    std::vector<LoglikRequest> requests;
    for (auto& some : of_item) std::move(some.begin(), some.end(), std::back_inserter(requests));
    return requests;
  }

  void run(const TaskContext&, const std::vector<EvalItem>& items, std::span<const LoglikRequest> requests,
           std::span<const Loglik> results, std::vector<ItemScores>& scores) const override {
    for (std::size_t r = 0; r < requests.size(); ++r) {
      RollingSums& sums = scores[static_cast<std::size_t>(requests[r].group)].rolling;
      sums.nats -= results[r].sum;
      sums.tokens += static_cast<double>(results[r].logprob_tokens.size());
    }
    for (const std::size_t i : wanted_items(*this, items)) {
      RollingSums& sums = scores[i].rolling;
      sums.words = static_cast<double>(words(items[i].text));
      sums.bytes = static_cast<double>(items[i].text.size());
      scores[i].record.set("text_logprob", -sums.nats);
      scores[i].record.set("text_tokens", static_cast<i64>(sums.tokens));
      scores[i].record.set("text_words", static_cast<i64>(sums.words));
      scores[i].record.set("text_bytes", static_cast<i64>(sums.bytes));
      scores[i].record.set("bits_per_byte", sums.nats / std::numbers::ln2 / sums.bytes);
    }
  }
};

}  // namespace

std::unique_ptr<Task> make_loss_task(const TaskSpec& spec, bool acc) { return std::make_unique<LossTask>(spec, acc); }
std::unique_ptr<Task> make_rolling_task(const TaskSpec& spec) { return std::make_unique<RollingTask>(spec); }

}  // namespace moebius::eval
