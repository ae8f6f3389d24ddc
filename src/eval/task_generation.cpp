// Generated text, greedy or sampled, and the answers that are extracted from it.
#include <algorithm>
#include <iterator>

#include "base/progress.h"
#include "eval/task_kinds.h"

namespace moebius::eval {

std::string most_frequent(const std::vector<std::string>& texts) {
  std::size_t best = 0;
  i64 most = 0;
  for (std::size_t t = 0; t < texts.size(); ++t) {
    const i64 count = std::count(texts.begin(), texts.end(), texts[t]);
    if (count > most) best = t, most = count;
  }
  return texts.at(best);
}

namespace {

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
    const std::vector<infer::Prompt> prompts = prompts_of(context, items, wanted);
    Progress progress(spec_.name + ": generation", static_cast<i64>(prompts.size()));
    const std::vector<infer::Generated> results =
        infer::generate(*context.engine, prompts, options_of(context, [&](i64 done) { progress.update(done); }));
    progress.finish();
    const auto repeats = static_cast<std::size_t>(spec_.generation.repeats);
    for (std::size_t n = 0; n < wanted.size(); ++n) {
      const std::size_t i = wanted[n];
      const auto texts = std::span(results).subspan(n * repeats, repeats);
      for (const infer::Generated& result : texts) check_finite(result.logprob_sum, items[i].where);
      score(items[i], texts, scores[i]);
    }
  }

 private:
  // The repeats of an item follow each other.
  std::vector<infer::Prompt> prompts_of(const TaskContext& context, const std::vector<EvalItem>& items,
                                        const std::vector<std::size_t>& wanted) const {
    const auto repeats = static_cast<std::size_t>(spec_.generation.repeats);
    std::vector<infer::Prompt> prompts(wanted.size() * repeats);
    const i64 positions =
        context.limits.positions_max > 0 ? context.limits.positions_max : context.engine->positions_max;
    for_items(items, wanted, [&](std::size_t n, std::size_t i) {
      const EvalItem& item = items[i];
      infer::Prompt prompt;
      prompt.tokens = context.tokenizer->encode(item.prompt);
      if (prompt.tokens.empty()) prompt.tokens = {prefix_token(*context.tokenizer)};
      // The prompt is cut to leave room for the new tokens, but never to less than half of the positions.
      prompt.tokens_max = std::min(item.tokens_max > 0 ? item.tokens_max : spec_.generation.tokens_max,
                                   std::max<i64>(1, positions / 2));
      const i64 room = positions - prompt.tokens_max;
      if (static_cast<i64>(prompt.tokens.size()) > room)
        prompt.tokens.erase(prompt.tokens.begin(), prompt.tokens.end() - room);
      prompt.stops = spec_.generation.stops;
      for (std::size_t r = 0; r < repeats; ++r) {
        // Random numbers depend on the row, the variant and the repeat: neither --limit nor the number of repeats
        // changes the first ones.
        const auto variants = std::max<u64>(1, spec_.variants.size());
        prompt.sequence =
            (static_cast<u64>(r) << 40) + static_cast<u64>(item.index) * variants + static_cast<u64>(item.variant);
        prompts[n * repeats + r] = prompt;
      }
    });
    return prompts;
  }

  infer::GenerateOptions options_of(const TaskContext& context, std::function<void(i64)> on_done) const {
    infer::GenerateOptions options;
    options.sampler = {.temperature = spec_.generation.temperature,
                       .top_k = spec_.generation.top_k,
                       .top_p = spec_.generation.top_p,
                       .seed = spec_.generation.seed};
    options.end_of_text = context.tokenizer->eos_id();
    options.sequences_max = context.sequences_max;
    options.rows_max = std::max(context.limits.rows_max, context.sequences_max);
    options.token_bytes = [tokenizer = context.tokenizer](i32 token) {
      // The embedding of many models is larger than the vocabulary of their tokenizer: such ids have no text.
      const bool text = token < tokenizer->vocab_size() && !tokenizer->is_special(token);
      return text ? tokenizer->token_bytes(token) : std::string_view();
    };
    options.on_done = std::move(on_done);
    return options;
  }

  // A value for each repeat; without repeats the value itself.
  template <typename F>
  static Json each(std::span<const infer::Generated> results, const F& value) {
    if (results.size() == 1) return value(results[0]);
    Json all = Json::array();
    for (const infer::Generated& result : results) all.push_back(value(result));
    return all;
  }

  void score(const EvalItem& item, std::span<const infer::Generated> results, ItemScores& out) const {
    out.record.set("answers", item.answers);
    out.record.set("generated", each(results, [](const auto& r) { return Json(r.text); }));
    out.record.set("generated_tokens", each(results, [](const auto& r) { return Json(std::ssize(r.tokens)); }));
    out.record.set("generated_logprob", each(results, [](const auto& r) { return Json(r.logprob_sum); }));
    std::vector<Extraction> rules = spec_.extractions;
    if (rules.empty()) rules.emplace_back();
    if (spec_.item_file) {
      rules[0].after = item.answer_after;
      rules[0].strip = true;
    }
    for (std::size_t r = 0; r < rules.size(); ++r) {
      const std::string suffix = r == 0 ? "" : "_" + rules[r].name;
      std::vector<std::string> extracted;
      double right = 0;
      for (const infer::Generated& result : results) {
        extracted.push_back(extract(rules[r], result.text));
        right += exact_match(spec_, extracted.back(), item.answers);
      }
      out.record.set("extracted" + suffix, extracted.size() == 1 ? Json(extracted[0]) : Json(extracted));
      out.add("exact_match" + suffix, right / static_cast<double>(results.size()));
      if (results.size() == 1) continue;
      out.add("exact_match_vote" + suffix, exact_match(spec_, most_frequent(extracted), item.answers));
      out.add("exact_match_any" + suffix, right > 0);
    }
  }
};

}  // namespace

std::unique_ptr<Task> make_generation_task(const TaskSpec& spec) { return std::make_unique<GenerationTask>(spec); }

}  // namespace moebius::eval
