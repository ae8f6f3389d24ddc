// Packing of requests into passes. Within a group the inputs are sorted; an input that is the beginning of the next one
// needs no rows of its own. A segment whose rows have one target each goes through score (fused head); one with several
// targets a row (choices of one token) through logits.
#include "eval/score.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "eval/text_rules.h"
#include "infer/sampler.h"

namespace moebius::eval {

i32 prefix_token(const data::Tokenizer& tokenizer) {
  if (tokenizer.bos_id() >= 0) return tokenizer.bos_id();
  if (tokenizer.eos_id() >= 0) return tokenizer.eos_id();
  throw Error({.what = "the tokenizer has no token for begin or end of text",
               .fix = "name one as eos_token in tokenizer_config.json"});
}

namespace {

void split(std::vector<i32> context, std::vector<i32> whole, LoglikRequest& request, const std::string& continuation) {
  if (whole.size() <= context.size()) {
    throw Error({.what = "a continuation has no tokens of its own", .got = "'" + continuation + "'"});
  }
  request.continuation.assign(whole.begin() + static_cast<std::ptrdiff_t>(context.size()), whole.end());
  request.context = std::move(context);
}

}  // namespace

void encode_pair(const data::Tokenizer& tokenizer, const std::string& context, const std::string& continuation,
                 LoglikRequest& request) {
  if (context.empty()) {
    const i32 prefix = prefix_token(tokenizer);
    std::vector<i32> whole = tokenizer.encode(continuation);
    if (whole.empty() || whole[0] != prefix) whole.insert(whole.begin(), prefix);
    split({prefix}, std::move(whole), request, continuation);
    return;
  }
  const auto spaces = static_cast<std::size_t>(trailing_space_bytes(context));
  const std::string head = context.substr(0, context.size() - spaces);
  const std::string whole = context + continuation;
  if (head.empty()) {  // white space alone: the harness scores it all after nothing; we give it the prefix token
    encode_pair(tokenizer, "", whole, request);
    return;
  }
  split(tokenizer.encode(head), tokenizer.encode(whole), request, continuation);
}

void encode_prompt_answer(const data::Tokenizer& tokenizer, const std::string& prompt, const std::string& answer,
                          LoglikRequest& request) {
  if (prompt.empty()) {
    encode_pair(tokenizer, prompt, answer, request);
    return;
  }
  split(tokenizer.encode(prompt), tokenizer.encode(prompt + answer), request, answer);
}

namespace {

// A request's input after truncation: tokens whose rows are fed, and where its targets begin.
struct Input {
  std::vector<i32> tokens;
  i64 scored = 0;     // targets: the last `scored` rows
  std::vector<i32> targets;
  bool truncated = false;
  i64 segment = 0;
};

// One run of rows through the network, shared by the requests whose inputs begin it.
struct SharedSegment {
  i64 longest = 0;                                // request with the whole input
  std::vector<std::pair<i64, i32>> row_targets;   // (row, target), sorted, unique
  bool several = false;                           // some row has more than one target
  std::vector<float> logprob;                     // for row_targets
  std::vector<u8> greedy;
};

Input make_input(const LoglikRequest& request, i64 positions_max) {
  CHECK(!request.context.empty() && !request.continuation.empty(), "context and continuation have tokens");
  Input input;
  std::vector<i32> all = request.context;
  all.insert(all.end(), request.continuation.begin(), request.continuation.end());
  const i64 keep = std::min(static_cast<i64>(all.size()), positions_max + 1);
  input.truncated = keep < static_cast<i64>(all.size());
  all.erase(all.begin(), all.end() - keep);
  input.scored = std::min(static_cast<i64>(request.continuation.size()), keep - 1);
  input.targets.assign(all.end() - input.scored, all.end());
  all.pop_back();
  input.tokens = std::move(all);
  return input;
}

bool begins(const std::vector<i32>& head, const std::vector<i32>& whole) {
  return head.size() <= whole.size() && std::equal(head.begin(), head.end(), whole.begin());
}

std::vector<SharedSegment> share(const std::vector<LoglikRequest>& requests, std::vector<Input>& inputs) {
  std::vector<i64> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  auto input = [&](i64 i) -> Input& { return inputs[static_cast<std::size_t>(i)]; };
  auto group = [&](i64 i) { return requests[static_cast<std::size_t>(i)].group; };
  std::stable_sort(order.begin(), order.end(), [&](i64 a, i64 b) {
    if (group(a) != group(b)) return group(a) < group(b);
    return input(a).tokens < input(b).tokens;
  });
  std::vector<SharedSegment> segments;
  for (std::size_t i = order.size(); i-- > 0;) {
    const i64 r = order[i];
    const bool joins = i + 1 < order.size() && group(r) == group(order[i + 1]) &&
                       begins(input(r).tokens, input(order[i + 1]).tokens);
    if (!joins) {
      segments.emplace_back();
      segments.back().longest = r;
    }
    input(r).segment = static_cast<i64>(segments.size()) - 1;
    const i64 first = static_cast<i64>(input(r).tokens.size()) - input(r).scored;
    for (i64 t = 0; t < input(r).scored; ++t) {
      segments.back().row_targets.emplace_back(first + t, input(r).targets[static_cast<std::size_t>(t)]);
    }
  }
  for (SharedSegment& s : segments) {
    std::sort(s.row_targets.begin(), s.row_targets.end());
    s.row_targets.erase(std::unique(s.row_targets.begin(), s.row_targets.end()), s.row_targets.end());
    for (std::size_t i = 1; i < s.row_targets.size(); ++i) s.several |= s.row_targets[i].first == s.row_targets[i - 1].first;
    s.logprob.resize(s.row_targets.size());
    s.greedy.resize(s.row_targets.size());
  }
  return segments;
}

// Runs packs of segments. Buffers are reused.
class Passes {
 public:
  Passes(const infer::Engine& engine, const std::vector<Input>& inputs, const ScoreLimits& limits)
      : engine_(engine), inputs_(inputs), limits_(limits) {}

  void add(SharedSegment& segment) {
    const auto& tokens = inputs_[static_cast<std::size_t>(segment.longest)].tokens;
    const i64 rows = static_cast<i64>(tokens.size());
    const bool full = static_cast<i64>(tokens_.size()) + rows > limits_.rows_max;
    const i64 outputs = outputs_ + static_cast<i64>(segment.row_targets.size());
    const bool logits_full = segment.several && outputs * engine_.vocab * 4 > limits_.logit_bytes_max;
    if (!members_.empty() && (full || logits_full || several_ != segment.several)) flush();
    several_ = segment.several;
    model::Segment s;
    s.row = static_cast<i64>(tokens_.size());
    s.rows = rows;
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    segments_.push_back(s);
    members_.push_back(&segment);
    outputs_ += static_cast<i64>(segment.row_targets.size());
  }

  void flush() {
    if (members_.empty()) return;
    interrupt_check("scoring was interrupted; nothing that was saved is lost");
    if (several_) {
      run_logits();
    } else {
      run_score();
    }
    tokens_.clear();
    segments_.clear();
    members_.clear();
    outputs_ = 0;
  }

 private:
  void run_score() {
    target_.assign(tokens_.size(), -1);
    logprob_.assign(tokens_.size(), 0);
    argmax_.assign(tokens_.size(), -1);
    for (std::size_t m = 0; m < members_.size(); ++m) {
      for (const auto& [row, target] : members_[m]->row_targets) target_[static_cast<std::size_t>(segments_[m].row + row)] = target;
    }
    engine_.score({tokens_, segments_}, target_, logprob_, argmax_);
    for (std::size_t m = 0; m < members_.size(); ++m) {
      for (std::size_t i = 0; i < members_[m]->row_targets.size(); ++i) {
        const auto row = static_cast<std::size_t>(segments_[m].row + members_[m]->row_targets[i].first);
        members_[m]->logprob[i] = logprob_[row];
        members_[m]->greedy[i] = argmax_[row] == target_[row];
      }
    }
  }

  void run_logits() {
    rows_.clear();
    for (std::size_t m = 0; m < members_.size(); ++m) {
      i64 last = -1;
      for (const auto& [row, target] : members_[m]->row_targets) {
        if (row != last) rows_.push_back(static_cast<i32>(segments_[m].row + row));
        last = row;
      }
    }
    logits_.resize(rows_.size() * static_cast<std::size_t>(engine_.vocab));
    engine_.logits({tokens_, segments_}, rows_, matrix_of(logits_.data(), static_cast<i64>(rows_.size()), engine_.vocab));
    std::size_t at = 0;
    for (SharedSegment* member : members_) {
      std::span<const float> logits;
      double total = 0;
      i32 likeliest = 0;
      i64 last = -1;
      for (std::size_t i = 0; i < member->row_targets.size(); ++i) {
        const auto& [row, target] = member->row_targets[i];
        if (row != last) {
          logits = {logits_.data() + at++ * static_cast<std::size_t>(engine_.vocab), static_cast<std::size_t>(engine_.vocab)};
          total = infer::log_sum_exp(logits);
          likeliest = infer::argmax_token(logits);
          last = row;
        }
        member->logprob[i] = static_cast<float>(logits[static_cast<std::size_t>(target)] - total);
        member->greedy[i] = likeliest == target;
      }
    }
  }

  const infer::Engine& engine_;
  const std::vector<Input>& inputs_;
  const ScoreLimits& limits_;
  bool several_ = false;
  i64 outputs_ = 0;
  std::vector<SharedSegment*> members_;
  std::vector<i32> tokens_, target_, argmax_, rows_;
  std::vector<float> logprob_, logits_;
  std::vector<model::Segment> segments_;
};

}  // namespace

std::vector<Loglik> score_requests(const infer::Engine& engine, const std::vector<LoglikRequest>& requests,
                                   const ScoreLimits& limits, const std::function<void(i64)>& on_done) {
  const i64 positions_max = limits.positions_max > 0 ? limits.positions_max : engine.positions_max;
  std::vector<Input> inputs;
  inputs.reserve(requests.size());
  i64 longest = 0;
  for (const LoglikRequest& request : requests) {
    inputs.push_back(make_input(request, positions_max));
    longest = std::max(longest, static_cast<i64>(inputs.back().tokens.size()));
  }
  std::vector<SharedSegment> segments = share(requests, inputs);
  ScoreLimits resolved = limits;
  resolved.rows_max = std::max(limits.rows_max, longest);
  engine.reserve(resolved.rows_max);
  Passes passes(engine, inputs, resolved);
  // Those of one kind after the other, so that passes are full.
  i64 done = 0;
  for (const bool several : {false, true}) {
    for (SharedSegment& segment : segments) {
      if (segment.several != several) continue;
      passes.add(segment);
      if (on_done) on_done(++done * static_cast<i64>(requests.size()) / static_cast<i64>(segments.size()));
    }
    passes.flush();
  }
  std::vector<Loglik> results(requests.size());
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const Input& input = inputs[r];
    const SharedSegment& segment = segments[static_cast<std::size_t>(input.segment)];
    Loglik& result = results[r];
    result.truncated = input.truncated;
    const i64 first = static_cast<i64>(input.tokens.size()) - input.scored;
    for (i64 t = 0; t < input.scored; ++t) {
      const std::pair<i64, i32> key(first + t, input.targets[static_cast<std::size_t>(t)]);
      const auto at = std::lower_bound(segment.row_targets.begin(), segment.row_targets.end(), key) - segment.row_targets.begin();
      const float logprob = segment.logprob[static_cast<std::size_t>(at)];
      result.logprob_tokens.push_back(logprob);
      result.sum += logprob;
      result.greedy &= segment.greedy[static_cast<std::size_t>(at)] != 0;
    }
  }
  return results;
}

}  // namespace moebius::eval
