// Log-likelihoods of continuations, in batches. A request is (context, continuation) in tokens; requests of one group
// (the choices of one item) share the rows of their common prefix, and groups are packed into full passes.
// In: an engine and requests. Out: one Loglik per request, independent of the other groups. Encoding and truncation are
// lm-evaluation-harness's (docs/eval.md). Not for cutting held-out text into windows: held_out.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "infer/engine.h"

namespace moebius::eval {

struct LoglikRequest {
  std::vector<i32> context;       // at least one token
  std::vector<i32> continuation;  // empty: there is nothing to score, and the result has no tokens
  i64 group = 0;
  bool encoded_alone = false;  // the continuation was encoded without its context
};

struct Loglik {
  double sum = 0;                     // nats
  bool greedy = true;                 // every token of the continuation is the most likely one
  std::vector<float> logprob_tokens;  // of the scored tokens of the continuation: its last ones when it is too long
  bool truncated = false;             // tokens of the context (or more) were cut on the left
};

// The harness's rule: white space at the end of the context moves to the continuation; the continuation's tokens are
// those of the whole text after as many as the context alone has; an empty context is the prefix token (bos, else eos).
// Where a token spans the join and none is left, the continuation is encoded alone (the harness aborts there).
void encode_pair(const data::Tokenizer& tokenizer, const std::string& context, const std::string& continuation,
                 LoglikRequest& request);
// The rule of the as-published task loss: the tokens of prompt + answer after as many as the prompt alone has; no white
// space moves.
void encode_prompt_answer(const data::Tokenizer& tokenizer, const std::string& prompt, const std::string& answer,
                          LoglikRequest& request);
// bos, else eos. Throws Error when the tokenizer has neither.
i32 prefix_token(const data::Tokenizer& tokenizer);

struct ScoreLimits {
  i64 positions_max = 0;  // longest input; 0: the engine's
  i64 rows_max = 4096;    // of one pass (more when one input is longer)
};

// `on_done` receives the number of requests done; may be empty.
std::vector<Loglik> score_requests(const infer::Engine& engine, const std::vector<LoglikRequest>& requests,
                                   const ScoreLimits& limits, const std::function<void(i64)>& on_done = {});

// Throws Error that names `where` (an item or a document) when a sum of log-probabilities is NaN or infinite: such a
// score must not decide a choice or enter a mean.
void check_finite(double logprob_sum, const std::string& where);

}  // namespace moebius::eval
