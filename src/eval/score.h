// Log-likelihoods of continuations, many at once. A request is (context, continuation) in tokens; requests of one group
// (the choices of one item) share the rows of their common beginning, and groups are packed into full passes.
// In: an engine and requests. Out: one Loglik a request, independent of the other groups. Encoding and truncation are
// lm-evaluation-harness's (facts in docs/eval.md). Not for held-out text: held_out.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "infer/engine.h"

namespace moebius::eval {

struct LoglikRequest {
  std::vector<i32> context;       // at least one token
  std::vector<i32> continuation;  // at least one token
  i64 group = 0;
};

struct Loglik {
  double sum = 0;                     // nats
  bool greedy = true;                 // every token of the continuation is the likeliest
  std::vector<float> logprob_tokens;  // of the scored tokens of the continuation, its last ones when it is too long
  bool truncated = false;             // the context (or more) was cut from the left
};

// The harness's rule: white space at the end of the context moves to the continuation; the continuation's tokens are
// those of the whole beyond the count of the context's; an empty context is the prefix token (bos, else eos).
void encode_pair(const data::Tokenizer& tokenizer, const std::string& context, const std::string& continuation,
                 LoglikRequest& request);
// Task loss's rule: count the tokens of the prompt alone, score the rest of prompt + answer; no white space moves.
void encode_prompt_answer(const data::Tokenizer& tokenizer, const std::string& prompt, const std::string& answer,
                          LoglikRequest& request);
// bos, else eos; throws Error when the tokenizer has neither.
i32 prefix_token(const data::Tokenizer& tokenizer);

struct ScoreLimits {
  i64 positions_max = 0;  // longest input; 0: the engine's
  i64 rows_max = 4096;    // of one pass (more when one input is longer)
};

// `on_done` is told how many requests are done; may be empty.
std::vector<Loglik> score_requests(const infer::Engine& engine, const std::vector<LoglikRequest>& requests,
                                   const ScoreLimits& limits, const std::function<void(i64)>& on_done = {});

// Throws Error that names `where` (an item or a document) when a sum of log-probabilities is NaN or infinite: such a score
// must not become a choice or a mean.
void check_finite(double logprob_sum, const std::string& where);

}  // namespace moebius::eval
