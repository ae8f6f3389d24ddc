// Tests against lm-evaluation-harness: the same tiny checkpoint, the same items, the same decisions; the numbers are from
// tests/peers/lm_eval_scores.py and lm_eval_kinds.py. And over the real network: one item's score does not depend on the
// others, generation gives its own log-probabilities, sampled texts do not depend on the batch.
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/parallel.h"
#include "base/test_folder.h"
#include "data/reader.h"
#include "eval/evaluate.h"
#include "eval/metrics.h"
#include "infer/engine.h"
#include "model/checkpoint.h"

namespace moebius::eval {
namespace {

const std::string kGolden = std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/lm_eval/";

model::Network& network() {
  static const auto loaded = model::load_model(kGolden + "model", DType::f32, false);
  return *loaded;
}

data::Tokenizer tokenizer() { return data::Tokenizer::load(kGolden + "model"); }

const Json& golden() {
  static const Json json = Json::parse_file(kGolden + "scores.json");
  return json;
}

const Json& golden_kinds() {
  static const Json json = Json::parse_file(kGolden + "kinds.json");
  return json;
}

std::vector<Json> run(const std::string& name, EvalOptions options, std::vector<Json>* records = nullptr) {
  options.tasks = {kGolden + name + ".toml"};
  options.items_folder = test_path("oracle_items");
  const auto out = Evaluator(tokenizer(), options).run(infer::engine_of(network()), 0, 0);
  if (records) *records = out;
  return data::read_rows(options.items_folder + "/" + name + ".jsonl");
}

TEST(Oracle, MultipleChoiceEqualsTheHarnessItemByItem) {
  for (const char* name : {"mini_arc", "mini_hellaswag"}) {
    std::vector<Json> records;
    const auto lines = run(name, {}, &records);
    const Json& expected = golden().at(name);
    ASSERT_EQ(static_cast<i64>(lines.size()), expected.at("items").count());
    i64 truncated = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const Json& item = expected.at("items")[static_cast<i64>(i)];
      const Json& ours = lines[i].at("logprobs");
      ASSERT_EQ(ours.count(), item.at("logprobs").count());
      for (i64 c = 0; c < ours.count(); ++c) {
        EXPECT_NEAR(ours[c].as_double(), item.at("logprobs")[c].as_double(), 1e-3)
            << name << " item " << i << " choice " << c;
      }
      EXPECT_EQ(lines[i].at("acc").as_double(), item.at("acc").as_double()) << name << " item " << i;
      EXPECT_EQ(lines[i].at("acc_norm").as_double(), item.at("acc_norm").as_double()) << name << " item " << i;
      truncated += lines[i].get_bool("truncated", false);
    }
    for (const char* metric : {"acc", "acc_norm"}) {
      EXPECT_NEAR(records[0].at(metric).as_double(), expected.at(metric).as_double(), 1e-12);
      EXPECT_NEAR(records[0].at(std::string(metric) + "_se").as_double(),
                  expected.at(std::string(metric) + "_se").as_double(), 1e-12);
    }
    if (std::string(name) == "mini_arc") {
      EXPECT_GT(truncated, 0);  // truncation is covered
    }
  }
}

TEST(Oracle, GenerationEqualsTheHarnessItemByItem) {
  EvalOptions options;
  options.sequences_max = 7;
  const auto lines = run("mini_gsm", options);
  const Json& items = golden().at("mini_gsm").at("items");
  ASSERT_EQ(static_cast<i64>(lines.size()), items.count());
  double right = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const Json& item = items[static_cast<i64>(i)];
    EXPECT_EQ(lines[i].at("generated").as_string(), item.at("generated").as_string()) << i;
    EXPECT_EQ(lines[i].at("extracted").as_string(), item.at("extracted_strict").as_string()) << i;
    EXPECT_EQ(lines[i].at("extracted_flexible").as_string(), item.at("extracted_flexible").as_string()) << i;
    EXPECT_EQ(lines[i].at("exact_match").as_double(), item.at("exact_match_strict").as_double()) << i;
    EXPECT_EQ(lines[i].at("exact_match_flexible").as_double(), item.at("exact_match_flexible").as_double()) << i;
    right += item.at("exact_match_flexible").as_double();
  }
  EXPECT_GT(right, 0);
  EXPECT_LT(right, static_cast<double>(lines.size()));
}

TEST(Oracle, RollingLogLikelihoodEqualsTheHarness) {
  const std::string text = file_read(kGolden + "rolling.txt");
  LossDocuments source{"rolling", {tokenizer().encode(text)}};
  const LossResult result = held_out_loss(infer::engine_of(network()), tokenizer(), source, {.prefix = true}, {});
  const Json& expected = golden().at("rolling");
  EXPECT_EQ(result.tokens, expected.at("tokens").as_int());
  EXPECT_EQ(result.bytes, expected.at("bytes").as_int());
  EXPECT_NEAR(-result.loss * static_cast<double>(result.tokens), expected.at("logprob").as_double(), 5e-2);
}

TEST(Oracle, LoglikelihoodEqualsTheHarnessItemByItem) {
  for (const char* name : {"mini_loglikelihood", "mini_greedy", "mini_shots"}) {
    std::vector<Json> records;
    const auto lines = run(name, {}, &records);
    const Json& expected = golden_kinds().at(name);
    ASSERT_EQ(static_cast<i64>(lines.size()), expected.at("items").count());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const Json& item = expected.at("items")[static_cast<i64>(i)];
      EXPECT_EQ(lines[i].at("prompt"), item.at("arguments")[0][0]) << name << " item " << i;
      EXPECT_EQ(lines[i].at("target"), item.at("arguments")[0][1]) << name << " item " << i;
      EXPECT_NEAR(lines[i].at("target_logprob").as_double(), item.at("logprobs")[0].as_double(), 1e-3)
          << name << " item " << i;
      EXPECT_EQ(lines[i].at("acc").as_double(), item.at("acc").as_double()) << name << " item " << i;
    }
    EXPECT_NEAR(records[0].at("acc").as_double(), expected.at("acc").as_double(), 1e-12);
    EXPECT_NEAR(records[0].at("acc_se").as_double(), expected.at("acc_stderr").as_double(), 1e-12);
    EXPECT_EQ(records[0].at("chance").as_double(), 0);
    EXPECT_TRUE(records[0].contains("task_loss") && records[0].contains("task_bits_per_byte"));
  }
  // Both outcomes occur.
  EXPECT_GT(golden_kinds().at("mini_greedy").at("acc").as_double(), 0.2);
  EXPECT_LT(golden_kinds().at("mini_greedy").at("acc").as_double(), 1);
}

TEST(Oracle, SeveralContextsForOneEndingEqualTheHarness) {
  std::vector<Json> records;
  const auto lines = run("mini_winogrande", {}, &records);
  const Json& expected = golden_kinds().at("mini_winogrande");
  ASSERT_EQ(static_cast<i64>(lines.size()), expected.at("items").count());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const Json& item = expected.at("items")[static_cast<i64>(i)];
    for (i64 c = 0; c < 2; ++c) {
      EXPECT_EQ(lines[i].at("contexts")[c], item.at("arguments")[c][0]) << i;
      EXPECT_NEAR(lines[i].at("logprobs")[c].as_double(), item.at("logprobs")[c].as_double(), 1e-3) << i;
    }
    EXPECT_EQ(lines[i].at("acc").as_double(), item.at("acc").as_double()) << i;
  }
  EXPECT_NEAR(records[0].at("acc").as_double(), expected.at("acc").as_double(), 1e-12);
  EXPECT_NEAR(records[0].at("acc_se").as_double(), expected.at("acc_stderr").as_double(), 1e-12);
}

TEST(Oracle, RollingPerplexitiesEqualTheHarness) {
  std::vector<Json> records;
  const auto lines = run("mini_pages", {}, &records);
  const Json& expected = golden_kinds().at("mini_pages");
  double nats = 0, tokens = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_NEAR(lines[i].at("text_logprob").as_double(),
                expected.at("items")[static_cast<i64>(i)].at("logprobs")[0].as_double(), 5e-2);
    nats -= lines[i].at("text_logprob").as_double();
    tokens += lines[i].at("text_tokens").as_double();
  }
  for (const char* name : {"word_perplexity", "byte_perplexity", "bits_per_byte"}) {
    EXPECT_NEAR(records[0].at(name).as_double() / expected.at(name).as_double(), 1, 1e-3) << name;
    EXPECT_GT(records[0].at(std::string(name) + "_se").as_double(), 0) << name;
  }
  EXPECT_NEAR(records[0].at("token_perplexity").as_double(), std::exp(nats / tokens), 1e-6 * std::exp(nats / tokens));
  EXPECT_EQ(records[0].at("items").as_int(), 4);
}

TEST(Oracle, MajorityVotesAreTheHarnesses) {
  ASSERT_GE(golden_kinds().at("votes").count(), 50);
  for (const Json& one : golden_kinds().at("votes").as_array()) {
    std::vector<std::string> texts;
    for (const Json& text : one.at("texts").as_array()) texts.push_back(text.as_string());
    EXPECT_EQ(most_frequent(texts), one.at("vote").as_string()) << one.dump();
  }
}

// The network's sampled texts, whatever the batch size, the limit and the number of threads.
TEST(Network, RepeatsAreTheSameForAnyBatchSize) {
  const auto texts = [&](i64 repeats, i64 limit, i64 sequences, i64 rows, int threads, const std::string& more) {
    const std::string path = test_path("sampled.toml");
    file_write_atomic(path,
                      "files = [\"" + kGolden +
                          "gsm.jsonl\"]\nmeasures = [\"generate\"]\nprompt = \"{question}\"\nanswers = \"{answer}\"\n"
                          "[generation]\ntokens_max = 12\ntemperature = 0.8\ntop-p = 0.9\nrepeats = " +
                          std::to_string(repeats) + "\n" + more);
    EvalOptions options;
    options.tasks = {path};
    options.limit = limit;
    options.sequences_max = sequences;
    options.rows_max = rows;
    options.items_folder = test_path("sampled_items");
    parallel_set_threads(threads);
    Evaluator(tokenizer(), options).run(infer::engine_of(network()), 0, 0);
    parallel_set_threads(0);
    return data::read_rows(options.items_folder + "/sampled.jsonl");
  };
  const auto all = texts(4, 0, 64, 4096, 2, "");
  EXPECT_NE(all[0].at("generated")[0], all[0].at("generated")[1]);
  EXPECT_NE(all[0].at("generated"), all[1].at("generated"));
  const auto few = texts(4, 3, 1, 64, 1, ""), two = texts(2, 5, 3, 100, 2, "");
  ASSERT_EQ(few.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(few[i].dump(), all[i].dump()) << i;
    for (i64 r = 0; r < 2; ++r) EXPECT_EQ(two[i].at("generated")[r], all[i].at("generated")[r]) << i;
  }
  EXPECT_NE(texts(4, 3, 64, 4096, 2, "seed = 2\n")[0].at("generated"), all[0].at("generated"));
  EXPECT_NE(texts(4, 3, 64, 4096, 2, "top_k = 1\n")[0].at("generated"), all[0].at("generated"));
}

TEST(Network, AnItemsScoreDoesNotDependOnTheOthers) {
  for (const char* name : {"mini_arc", "mini_gsm"}) {
    const auto many = run(name, {});
    EvalOptions few_options;
    few_options.limit = 4;
    few_options.sequences_max = 1;
    few_options.rows_max = 256;
    const auto few = run(name, few_options);
    ASSERT_EQ(few.size(), 4u);
    for (std::size_t i = 0; i < few.size(); ++i) EXPECT_EQ(few[i].dump(), many[i].dump()) << name << i;
  }
}

TEST(Network, TheScorerAgreesWithTheGenerator) {
  const auto lines = run("mini_gsm", {});
  const infer::Engine engine = infer::engine_of(network());
  const auto tok = tokenizer();
  infer::Prompt prompt;
  prompt.tokens = tok.encode(lines[0].at("prompt").as_string());
  prompt.tokens.resize(20);
  prompt.tokens_max = 30;
  infer::GenerateOptions options;
  options.sampler.temperature = 1;
  const auto generated = infer::generate(engine, {prompt}, options)[0];
  ASSERT_EQ(generated.tokens.size(), 30u);
  const auto scored = score_requests(engine, {LoglikRequest{prompt.tokens, generated.tokens, 0}}, {})[0];
  EXPECT_NEAR(scored.sum, generated.logprob_sum, 1e-3);
}

}  // namespace
}  // namespace moebius::eval
