// Packing of requests into passes. Within a group the inputs are sorted: one that is the beginning of the next needs no
// rows of its own, and what all have in common is one segment behind which the others continue. A group that does not fit
// goes through several passes, each with the common beginning; a row's result does not depend on its pass.
#include "eval/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "eval/text_rules.h"

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
  i64 scored = 0;  // targets: the last `scored` rows
  std::vector<i32> targets;
  bool truncated = false;
  i64 branch = 0;
};

// A distinct input, shared by the requests whose inputs begin it.
struct Branch {
  i64 longest = 0;                               // request with the whole input
  std::vector<std::pair<i64, i32>> row_targets;  // (row, target), sorted, unique
  std::vector<float> logprob;                    // for row_targets
  std::vector<u8> greedy;
};

// The branches of one group and how many rows all of them have in common; 0 when there is but one branch.
struct Tree {
  i64 first = 0, count = 0;  // branches
  i64 common = 0;
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

std::vector<Branch> make_branches(const std::vector<LoglikRequest>& requests, std::vector<Input>& inputs) {
  std::vector<i64> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  auto input = [&](i64 i) -> Input& { return inputs[static_cast<std::size_t>(i)]; };
  auto group = [&](i64 i) { return requests[static_cast<std::size_t>(i)].group; };
  // Falling, so that an input follows those that it begins.
  std::stable_sort(order.begin(), order.end(), [&](i64 a, i64 b) {
    if (group(a) != group(b)) return group(a) < group(b);
    return input(b).tokens < input(a).tokens;
  });
  std::vector<Branch> branches;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const i64 r = order[i];
    const bool joins = i > 0 && group(r) == group(order[i - 1]) && begins(input(r).tokens, input(order[i - 1]).tokens);
    if (!joins) {
      branches.emplace_back();
      branches.back().longest = r;
    }
    input(r).branch = static_cast<i64>(branches.size()) - 1;
    const i64 first = static_cast<i64>(input(r).tokens.size()) - input(r).scored;
    for (i64 t = 0; t < input(r).scored; ++t) {
      branches.back().row_targets.emplace_back(first + t, input(r).targets[static_cast<std::size_t>(t)]);
    }
  }
  for (Branch& b : branches) {
    std::sort(b.row_targets.begin(), b.row_targets.end());
    b.row_targets.erase(std::unique(b.row_targets.begin(), b.row_targets.end()), b.row_targets.end());
    b.logprob.resize(b.row_targets.size());
    b.greedy.resize(b.row_targets.size());
  }
  return branches;
}

// Branches are sorted within a group, so what its first and its last have in common is common to all.
std::vector<Tree> make_trees(const std::vector<LoglikRequest>& requests, const std::vector<Input>& inputs,
                             const std::vector<Branch>& branches) {
  std::vector<Tree> trees;
  i64 group = 0;
  for (std::size_t b = 0; b < branches.size(); ++b) {
    const i64 now = requests[static_cast<std::size_t>(branches[b].longest)].group;
    if (b == 0 || now != group) trees.push_back({static_cast<i64>(b), 0, 0});
    group = now;
    ++trees.back().count;
  }
  for (Tree& tree : trees) {
    if (tree.count < 2) continue;
    auto tokens = [&](i64 b) -> const std::vector<i32>& {
      return inputs[static_cast<std::size_t>(branches[static_cast<std::size_t>(b)].longest)].tokens;
    };
    const auto &a = tokens(tree.first), &z = tokens(tree.first + tree.count - 1);
    tree.common = std::mismatch(a.begin(), a.end(), z.begin(), z.end()).first - a.begin();
  }
  return trees;
}

// Runs packs of trees. Buffers are reused.
class Passes {
 public:
  Passes(const infer::Engine& engine, const std::vector<Input>& inputs, i64 rows_max)
      : engine_(engine), inputs_(inputs), rows_max_(rows_max) {}

  void add(const Tree& tree, std::vector<Branch>& branches) {
    i64 rows = tree.common;
    for (i64 b = tree.first; b < tree.first + tree.count; ++b)
      rows += rows_of(branches[static_cast<std::size_t>(b)]) - tree.common;
    if (!fits(rows)) flush();
    i64 beginning = -1;
    for (i64 b = tree.first; b < tree.first + tree.count; ++b) {
      Branch& branch = branches[static_cast<std::size_t>(b)];
      if (!fits(rows_of(branch) - tree.common)) flush();
      if (tokens_.empty()) beginning = -1;
      if (beginning < 0 && tree.common > 0) beginning = add_segment(branch, 0, tree.common, 0);
      const i64 row = add_segment(branch, tree.common, rows_of(branch), beginning);
      for (std::size_t t = 0; t < branch.row_targets.size(); ++t) {
        const i64 at = branch.row_targets[t].first;
        wanted_.push_back({at < tree.common ? beginning + at : row + at - tree.common, &branch, t});
      }
    }
  }

  void flush() {
    if (tokens_.empty()) return;
    interrupt_check("scoring was interrupted; nothing that was saved is lost");
    std::stable_sort(wanted_.begin(), wanted_.end(), [](const Wanted& a, const Wanted& b) { return a.row < b.row; });
    targets_.clear();
    for (const Wanted& w : wanted_)
      targets_.push_back({static_cast<i32>(w.row), w.branch->row_targets[w.index].second});
    logprob_.resize(wanted_.size());
    argmax_.resize(wanted_.size());
    const i64 start = clock_ns();
    engine_.score({tokens_, segments_}, targets_, logprob_, argmax_);
    pass_ns_ += clock_ns() - start;
    rows_ += static_cast<i64>(tokens_.size());
    ++passes_;
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      wanted_[i].branch->logprob[wanted_[i].index] = logprob_[i];
      wanted_[i].branch->greedy[wanted_[i].index] = argmax_[i] == targets_[i].token;
    }
    tokens_.clear();
    segments_.clear();
    wanted_.clear();
  }

  void report(std::size_t requests) const {
    const double seconds = std::max(1e-9, static_cast<double>(pass_ns_) * 1e-9);
    log_debug(
        fmt::format("scored {} requests: {} rows in {} passes, {:.0f} % full, {:.0f} rows/s", requests, rows_, passes_,
                    100.0 * static_cast<double>(rows_) / static_cast<double>(std::max<i64>(1, passes_) * rows_max_),
                    static_cast<double>(rows_) / seconds));
  }

 private:
  // One of a branch's row_targets, and the row of the pass where it is found.
  struct Wanted {
    i64 row = 0;
    Branch* branch = nullptr;
    std::size_t index = 0;
  };

  const std::vector<i32>& tokens_of(const Branch& b) const {
    return inputs_[static_cast<std::size_t>(b.longest)].tokens;
  }
  i64 rows_of(const Branch& b) const { return static_cast<i64>(tokens_of(b).size()); }
  bool fits(i64 rows) const { return tokens_.empty() || static_cast<i64>(tokens_.size()) + rows <= rows_max_; }

  // Rows [begin, end) of a branch, behind `begin` rows at `beginning`; returns the first row.
  i64 add_segment(const Branch& branch, i64 begin, i64 end, i64 beginning) {
    model::Segment s;
    s.row = static_cast<i64>(tokens_.size());
    s.rows = end - begin;
    s.position = begin;
    s.prefix_row = begin > 0 ? beginning : 0;
    s.prefix_rows = begin;
    const auto from = tokens_of(branch).begin();
    tokens_.insert(tokens_.end(), from + begin, from + end);
    segments_.push_back(s);
    return s.row;
  }

  const infer::Engine& engine_;
  const std::vector<Input>& inputs_;
  i64 rows_max_;
  std::vector<i32> tokens_, argmax_;
  std::vector<float> logprob_;
  std::vector<model::Segment> segments_;
  std::vector<Wanted> wanted_;
  std::vector<kernels::HeadTarget> targets_;
  i64 passes_ = 0, rows_ = 0, pass_ns_ = 0;
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
  std::vector<Branch> branches = make_branches(requests, inputs);
  const std::vector<Tree> trees = make_trees(requests, inputs, branches);
  const i64 rows_max = std::max(limits.rows_max, longest);
  engine.reserve(rows_max);
  Passes passes(engine, inputs, rows_max);
  i64 done = 0;
  for (const Tree& tree : trees) {
    passes.add(tree, branches);
    if (on_done) on_done(++done * static_cast<i64>(requests.size()) / static_cast<i64>(trees.size()));
  }
  passes.flush();
  passes.report(requests.size());
  std::vector<Loglik> results(requests.size());
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const Input& input = inputs[r];
    const Branch& branch = branches[static_cast<std::size_t>(input.branch)];
    Loglik& result = results[r];
    result.truncated = input.truncated;
    const i64 first = static_cast<i64>(input.tokens.size()) - input.scored;
    for (i64 t = 0; t < input.scored; ++t) {
      const std::pair<i64, i32> key(first + t, input.targets[static_cast<std::size_t>(t)]);
      const auto at =
          std::lower_bound(branch.row_targets.begin(), branch.row_targets.end(), key) - branch.row_targets.begin();
      const float logprob = branch.logprob[static_cast<std::size_t>(at)];
      result.logprob_tokens.push_back(logprob);
      result.sum += logprob;
      result.greedy &= branch.greedy[static_cast<std::size_t>(at)] != 0;
    }
  }
  return results;
}

void check_finite(double logprob_sum, const std::string& where) {
  if (std::isfinite(logprob_sum)) return;
  throw Error({.where = where,
               .what = "the model's log-probability is not a finite number",
               .got = std::isnan(logprob_sum) ? "NaN" : "infinity",
               .fix = "try --precision f32; if the error remains, use another checkpoint"});
}

}  // namespace moebius::eval
