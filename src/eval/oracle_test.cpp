// Tests against lm-evaluation-harness: the same tiny checkpoint, the same items, the same decisions
// (tests/peers/lm_eval_scores.py made the numbers). And over the real network: one item's score does not depend on the
// others, generation gives its own log-probabilities.
#include <gtest/gtest.h>

#include "base/file.h"
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
