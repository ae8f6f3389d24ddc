// Tests of log-likelihood scoring: encoding, truncation, sharing, packing.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "eval/fake_engine.h"
#include "eval/held_out.h"
#include "eval/score.h"

namespace moebius::eval {
namespace {

data::Tokenizer tiny_tokenizer() {
  return data::Tokenizer::load(std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/lm_eval/model/tokenizer.json");
}

// One request by itself, row by row.
Loglik plain_score(const LoglikRequest& request, i64 vocab, i64 positions_max) {
  std::vector<i32> all = request.context;
  all.insert(all.end(), request.continuation.begin(), request.continuation.end());
  if (static_cast<i64>(all.size()) > positions_max + 1) all.erase(all.begin(), all.end() - positions_max - 1);
  Loglik result;
  u64 h = 99;
  const std::size_t scored = std::min(request.continuation.size(), all.size() - 1);
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    h = fake_mix(h, static_cast<u64>(all[i]));
    if (i + 1 < all.size() - scored) continue;
    const auto logits = fake_logits(h, vocab);
    result.logprob_tokens.push_back(
        static_cast<float>(logits[static_cast<std::size_t>(all[i + 1])] - fake_log_sum_exp(logits)));
    result.sum += result.logprob_tokens.back();
    result.greedy &= infer::argmax_token(logits) == all[i + 1];
  }
  return result;
}

std::vector<LoglikRequest> random_requests(i64 groups, i64 vocab) {
  std::vector<LoglikRequest> requests;
  Rng rng(3, RngStream::test);
  auto tokens = [&](u64 count) {
    std::vector<i32> t;
    for (u64 i = 0; i < count; ++i) t.push_back(static_cast<i32>(rng.next_below(static_cast<u64>(vocab))));
    return t;
  };
  for (i64 g = 0; g < groups; ++g) {
    const std::vector<i32> context = tokens(1 + rng.next_below(30));
    const i64 choices = 1 + static_cast<i64>(rng.next_below(5));
    for (i64 c = 0; c < choices; ++c) requests.push_back({context, tokens(1 + rng.next_below(g % 2 ? 2 : 6)), g});
    if (g % 3 == 0) requests.push_back(requests.back());  // the same again
  }
  return requests;
}

TEST(Score, PackedAndSharedEqualsOneByOne) {
  constexpr i64 kVocab = 4;  // small, so that choices share prefixes
  const auto requests = random_requests(60, kVocab);
  for (const i64 rows_max : {16, 64, 4096}) {
    for (const i64 positions : {12, 100}) {
      const auto results = score_requests(fake_engine(kVocab, positions), requests, {.rows_max = rows_max});
      for (std::size_t r = 0; r < requests.size(); ++r) {
        const Loglik one = plain_score(requests[r], kVocab, positions);
        EXPECT_EQ(results[r].logprob_tokens, one.logprob_tokens) << r;
        EXPECT_EQ(results[r].sum, one.sum);
        EXPECT_EQ(results[r].greedy, one.greedy);
        EXPECT_EQ(results[r].truncated,
                  static_cast<i64>(requests[r].context.size() + requests[r].continuation.size()) > positions + 1);
      }
    }
  }
}

TEST(Score, BatchOfOneEqualsBatchOfMany) {
  const auto requests = random_requests(20, 50);
  const auto many = score_requests(fake_engine(50, 64), requests, {});
  for (std::size_t r = 0; r < requests.size(); ++r) {
    EXPECT_EQ(score_requests(fake_engine(50, 64), {requests[r]}, {})[0].logprob_tokens, many[r].logprob_tokens);
  }
}

TEST(Score, ChoicesOfOneTokenNeedTheContextOnce) {
  auto counts = std::make_shared<FakeCounts>();
  std::vector<LoglikRequest> requests;
  for (i32 c = 0; c < 40; ++c) requests.push_back({{1, 2, 3, 4, 5}, {c}, 0});
  score_requests(fake_engine(50, 64, counts), requests, {});
  EXPECT_EQ(counts->rows, 5);
  EXPECT_EQ(counts->passes, 1);
}

TEST(Score, ChoicesOfSeveralTokensNeedTheContextOnce) {
  auto counts = std::make_shared<FakeCounts>();
  std::vector<LoglikRequest> requests;
  // Rows: 1 2 3 4 5 once; then 8; 9 7; nothing for 6, and 9 itself is in 9 7.
  for (const auto& choice : std::vector<std::vector<i32>>{{8, 1}, {9, 7, 2}, {6}, {9, 3}})
    requests.push_back({{1, 2, 3, 4, 5}, choice, 0});
  const auto together = score_requests(fake_engine(50, 64, counts), requests, {});
  EXPECT_EQ(counts->rows, 5 + 1 + 2);
  EXPECT_EQ(counts->passes, 1);
  // In passes too small for the item, each with the context.
  *counts = {};
  const auto apart = score_requests(fake_engine(50, 64, counts), requests, {.rows_max = 7});
  EXPECT_EQ(counts->passes, 2);
  EXPECT_EQ(counts->rows, 5 + 2 + 5 + 1);
  for (std::size_t r = 0; r < requests.size(); ++r) EXPECT_EQ(together[r].logprob_tokens, apart[r].logprob_tokens);
}

TEST(Score, TruncationKeepsTheEnd) {
  const LoglikRequest request{{1, 2, 3, 4, 5, 6}, {7, 8}, 0};
  const auto cut = score_requests(fake_engine(50, 4), {request}, {})[0];
  // Inputs of at most 4 tokens: 4 5 6 7 predict 7 and 8.
  const auto expected = score_requests(fake_engine(50, 64), {LoglikRequest{{4, 5, 6}, {7, 8}, 0}}, {})[0];
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.logprob_tokens, expected.logprob_tokens);
}

TEST(Encode, TrailingSpaceMovesToTheContinuation) {
  const auto tokenizer = tiny_tokenizer();
  LoglikRequest a, b;
  encode_pair(tokenizer, "Question: why?\nAnswer: ", "because", a);
  encode_pair(tokenizer, "Question: why?\nAnswer:", " because", b);
  EXPECT_EQ(a.context, b.context);
  EXPECT_EQ(a.continuation, b.continuation);
  EXPECT_EQ(tokenizer.decode(a.continuation), " because");
  encode_pair(tokenizer, "Answer:\n\n", "x", a);  // any white space moves, as str.rstrip has it
  EXPECT_EQ(tokenizer.decode(a.context), "Answer:");
  EXPECT_EQ(tokenizer.decode(a.continuation), "\n\nx");
}

TEST(Encode, EmptyContextIsTheEndOfTextToken) {
  const auto tokenizer = tiny_tokenizer();
  LoglikRequest r;
  encode_pair(tokenizer, "", "hello", r);
  EXPECT_EQ(r.context, std::vector<i32>{tokenizer.eos_id()});
  EXPECT_EQ(tokenizer.decode(r.continuation), "hello");
  encode_pair(tokenizer, "", "<|endoftext|>hello", r);  // not twice
  EXPECT_EQ(r.context, std::vector<i32>{tokenizer.eos_id()});
  EXPECT_EQ(tokenizer.decode(r.continuation), "hello");
}

TEST(Encode, ContinuationIsWhatGoesBeyondTheCountOfTheContext) {
  // "th" is one token, so "t" + "h" has fewer tokens than its parts, and the harness's rule leaves nothing to score.
  const auto tokenizer = tiny_tokenizer();
  ASSERT_EQ(tokenizer.encode("th").size(), 1u);
  ASSERT_EQ(tokenizer.encode("t").size(), 1u);
  LoglikRequest r;
  encode_pair(tokenizer, "t", "h", r);
  EXPECT_TRUE(r.encoded_alone);
  EXPECT_EQ(r.continuation, tokenizer.encode("h"));
  encode_prompt_answer(tokenizer, "t", "h", r);
  EXPECT_TRUE(r.encoded_alone);
  encode_pair(tokenizer, "t", "", r);
  EXPECT_TRUE(r.continuation.empty());  // nothing to score in any form
  encode_pair(tokenizer, "t", "here", r);
  EXPECT_FALSE(r.encoded_alone);
  const auto whole = tokenizer.encode("there");
  EXPECT_EQ(r.continuation, std::vector<i32>(whole.begin() + 1, whole.end()));
}

TEST(Encode, TheTwoPromptFormsDifferByTheSeparator) {
  const auto tokenizer = tiny_tokenizer();
  LoglikRequest bare, with;
  encode_prompt_answer(tokenizer, "Answer:", "The cat", bare);
  encode_pair(tokenizer, "Answer:", " The cat", with);
  EXPECT_EQ(tokenizer.decode(bare.continuation), "The cat");
  EXPECT_EQ(tokenizer.decode(with.continuation), " The cat");
}

TEST(HeldOut, WindowsScoreEveryTokenButTheFirst) {
  const auto tokenizer = tiny_tokenizer();
  LossDocuments source{"text", {}};
  Rng rng(4, RngStream::test);
  i64 tokens = 0;
  for (const i64 length : {1, 2, 17, 64, 65, 200}) {
    std::vector<i32> document;
    for (i64 t = 0; t < length; ++t) document.push_back(static_cast<i32>(1 + rng.next_below(300)));
    tokens += length;
    source.documents.push_back(document);
  }
  const LossResult none = held_out_loss(fake_engine(400, 64), tokenizer, source, {}, {});
  EXPECT_EQ(none.tokens, tokens - 6);
  EXPECT_EQ(none.documents, 5);  // the one of a single token has nothing to score
  const LossResult prefix = held_out_loss(fake_engine(400, 64), tokenizer, source, {.prefix = true}, {});
  EXPECT_EQ(prefix.tokens, tokens);
  EXPECT_EQ(prefix.documents, 6);
  EXPECT_GT(prefix.loss_se, 0);
  i64 bytes = 0;
  for (const auto& d : source.documents) bytes += static_cast<i64>(tokenizer.decode(d).size());
  EXPECT_EQ(prefix.bytes, bytes);
  EXPECT_NEAR(prefix.bits_per_byte,
              prefix.loss * static_cast<double>(tokens) / std::log(2.0) / static_cast<double>(bytes), 1e-9);
}

}  // namespace
}  // namespace moebius::eval
