// Packing of requests into passes. Within a group the inputs are sorted: one that is a prefix of another needs no rows of
// its own, and the prefix that all share is one segment that the others continue. A group that does not fit goes through
// several passes, each with the shared prefix; a row's result does not depend on its pass.
#include "eval/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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
  throw Error({.what = "the tokenizer has no begin-of-text or end-of-text token, which an empty prompt needs",
               .fix = "name one as eos_token in tokenizer_config.json"});
}

namespace {

// `continuation` is the text of the whole that follows the context's.
void split(const data::Tokenizer& tokenizer, std::vector<i32> context, const std::vector<i32>& whole,
           std::string_view continuation, LoglikRequest& request) {
  request.encoded_alone = whole.size() <= context.size() && !continuation.empty();
  if (request.encoded_alone) {
    request.continuation = tokenizer.encode(continuation);
  } else {
    request.continuation.assign(whole.begin() + static_cast<std::ptrdiff_t>(std::min(context.size(), whole.size())),
                                whole.end());
  }
  request.context = std::move(context);
}

}  // namespace

void encode_pair(const data::Tokenizer& tokenizer, const std::string& context, const std::string& continuation,
                 LoglikRequest& request) {
  if (context.empty()) {
    const i32 prefix = prefix_token(tokenizer);
    std::vector<i32> whole = tokenizer.encode(continuation);
    if (whole.empty() || whole[0] != prefix) whole.insert(whole.begin(), prefix);
    split(tokenizer, {prefix}, whole, continuation, request);
    return;
  }
  const auto spaces = static_cast<std::size_t>(trailing_space_bytes(context));
  const std::string head = context.substr(0, context.size() - spaces);
  const std::string whole = context + continuation;
  if (head.empty()) {  // white space alone: the harness scores the whole without a context; here the prefix token is one
    encode_pair(tokenizer, "", whole, request);
    return;
  }
  split(tokenizer, tokenizer.encode(head), tokenizer.encode(whole), std::string_view(whole).substr(head.size()),
        request);
}

void encode_prompt_answer(const data::Tokenizer& tokenizer, const std::string& prompt, const std::string& answer,
                          LoglikRequest& request) {
  if (prompt.empty()) {
    encode_pair(tokenizer, prompt, answer, request);
    return;
  }
  split(tokenizer, tokenizer.encode(prompt), tokenizer.encode(prompt + answer), answer, request);
}

namespace {

// A request's input after truncation: the tokens that are fed, and its targets.
struct Input {
  std::vector<i32> tokens;
  i64 scored = 0;  // targets: the last `scored` rows
  std::vector<i32> targets;
  bool truncated = false;
  std::size_t branch = 0;
};

// A distinct input, shared by the requests whose inputs are prefixes of it.
struct Branch {
  std::size_t longest = 0;                       // request with the whole input
  std::vector<std::pair<i64, i32>> row_targets;  // (row, target), sorted, unique
  std::vector<float> logprob;                    // for row_targets
  std::vector<u8> greedy;
};

// The branches of one group, and the number of rows that all of them share; 0 when there is only one branch.
struct Tree {
  std::size_t first = 0, end = 0;  // branches
  i64 shared = 0;
};

Input make_input(const LoglikRequest& request, i64 positions_max) {
  Input input;
  if (request.continuation.empty()) return input;
  CHECK(!request.context.empty(), "a context has tokens");
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

bool is_prefix(const std::vector<i32>& head, const std::vector<i32>& whole) {
  return head.size() <= whole.size() && std::equal(head.begin(), head.end(), whole.begin());
}

std::vector<Branch> make_branches(const std::vector<LoglikRequest>& requests, std::vector<Input>& inputs) {
  std::vector<std::size_t> order;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    if (inputs[r].scored > 0) order.push_back(r);
  }
  // Descending, so that an input follows those that it is a prefix of.
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (requests[a].group != requests[b].group) return requests[a].group < requests[b].group;
    return inputs[b].tokens < inputs[a].tokens;
  });
  std::vector<Branch> branches;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t r = order[i];
    const bool joins = i > 0 && requests[r].group == requests[order[i - 1]].group &&
                       is_prefix(inputs[r].tokens, inputs[order[i - 1]].tokens);
    if (!joins) branches.push_back({.longest = r, .row_targets = {}, .logprob = {}, .greedy = {}});
    inputs[r].branch = branches.size() - 1;
    i64 row = std::ssize(inputs[r].tokens) - inputs[r].scored;
    for (const i32 target : inputs[r].targets) branches.back().row_targets.emplace_back(row++, target);
  }
  for (Branch& b : branches) {
    std::sort(b.row_targets.begin(), b.row_targets.end());
    b.row_targets.erase(std::unique(b.row_targets.begin(), b.row_targets.end()), b.row_targets.end());
    b.logprob.resize(b.row_targets.size());
    b.greedy.resize(b.row_targets.size());
  }
  return branches;
}

// Branches are sorted within a group, so the prefix that its first and its last share is shared by all.
std::vector<Tree> make_trees(const std::vector<LoglikRequest>& requests, const std::vector<Input>& inputs,
                             const std::vector<Branch>& branches) {
  std::vector<Tree> trees;
  i64 group = 0;
  for (std::size_t b = 0; b < branches.size(); ++b) {
    const i64 its_group = requests[branches[b].longest].group;
    if (b == 0 || its_group != group) trees.push_back({.first = b});
    group = its_group;
    trees.back().end = b + 1;
  }
  for (Tree& tree : trees) {
    if (tree.end - tree.first < 2) continue;
    const auto &a = inputs[branches[tree.first].longest].tokens, &z = inputs[branches[tree.end - 1].longest].tokens;
    tree.shared = std::mismatch(a.begin(), a.end(), z.begin(), z.end()).first - a.begin();
  }
  return trees;
}

// Runs packs of trees. Buffers are reused.
class Passes {
 public:
  Passes(const infer::Engine& engine, const std::vector<Input>& inputs, i64 rows_max)
      : engine_(engine), inputs_(inputs), rows_max_(rows_max) {}

  void add(const Tree& tree, std::vector<Branch>& branches) {
    i64 rows = tree.shared;
    for (std::size_t b = tree.first; b < tree.end; ++b) rows += rows_of(branches[b]) - tree.shared;
    if (!fits(rows)) flush();
    i64 prefix = -1;
    for (std::size_t b = tree.first; b < tree.end; ++b) {
      Branch& branch = branches[b];
      if (!fits(rows_of(branch) - tree.shared)) flush();
      if (tokens_.empty()) prefix = -1;
      if (prefix < 0 && tree.shared > 0) prefix = add_segment(branch, 0, tree.shared, 0);
      const i64 row = add_segment(branch, tree.shared, rows_of(branch), prefix);
      for (std::size_t t = 0; t < branch.row_targets.size(); ++t) {
        const i64 at = branch.row_targets[t].first;
        wanted_.push_back({at < tree.shared ? prefix + at : row + at - tree.shared, &branch, t});
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
  // One of a branch's row_targets, and its row in the pass.
  struct Wanted {
    i64 row = 0;
    Branch* branch = nullptr;
    std::size_t index = 0;
  };

  const std::vector<i32>& tokens_of(const Branch& b) const { return inputs_[b.longest].tokens; }
  i64 rows_of(const Branch& b) const { return static_cast<i64>(tokens_of(b).size()); }
  bool fits(i64 rows) const { return tokens_.empty() || static_cast<i64>(tokens_.size()) + rows <= rows_max_; }

  // Rows [begin, end) of a branch, whose first `begin` rows are at `prefix`; returns the first row.
  i64 add_segment(const Branch& branch, i64 begin, i64 end, i64 prefix) {
    model::Segment s;
    s.row = static_cast<i64>(tokens_.size());
    s.rows = end - begin;
    s.position = begin;
    s.prefix_row = begin > 0 ? prefix : 0;
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
    if (input.scored == 0) continue;
    const Branch& branch = branches[input.branch];
    Loglik& result = results[r];
    result.truncated = input.truncated;
    i64 row = std::ssize(input.tokens) - input.scored;
    for (const i32 target : input.targets) {
      const auto found =
          std::lower_bound(branch.row_targets.begin(), branch.row_targets.end(), std::pair(row++, target));
      const auto at = static_cast<std::size_t>(found - branch.row_targets.begin());
      result.logprob_tokens.push_back(branch.logprob[at]);
      result.sum += branch.logprob[at];
      result.greedy &= branch.greedy[at] != 0;
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
