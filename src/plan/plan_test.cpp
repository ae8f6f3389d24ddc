// The plan's numbers and the stage's output and errors.
#include "plan/plan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/stage.h"
#include "plan/run_plan.h"

namespace moebius::plan {
namespace {

Json planned(const std::vector<std::string>& words) {
  testing::internal::CaptureStdout();
  const int code = run_plan(words);
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_EQ(code, 0);
  return Json::parse(out, "plan --json");
}

TEST(Plan, FamilyMemberAsJson) {
  const Json json = planned({"optimal-sparsity-d512-E64-k2", "--json"});
  EXPECT_EQ(json.at("parameters_total").as_int(), 1729905152);
  EXPECT_EQ(json.at("parameters_active").as_int(), 169099776);
  EXPECT_DOUBLE_EQ(json.at("flops_per_token_6n").as_double(), 6.0 * 169099776);
  EXPECT_NEAR(json.at("flops_per_token_megatron").as_double(), 1.111228e9, 500);
  EXPECT_NEAR(json.at("tpp").as_double(), 72.26, 0.005);
  EXPECT_DOUBLE_EQ(json.at("sparsity").as_double(), 0.96875);
  EXPECT_EQ(json.at("label").as_string(), "optimal-sparsity-math-d512-E64-k2-1.7B-A170M");
  EXPECT_DOUBLE_EQ(json.at("checkpoint_bytes").as_double(), 2.0 * 1729905152);
}

TEST(Plan, TiedEmbeddingsAreCountedOnce) {
  model::ModelConfig config = model::preset_config("mixtral-8x7b");
  PlanOptions options;
  options.tokens = 1000000;
  const Json two = plan_to_json(make_plan(config, options)), one = plan_to_json(make_plan(config, options, true));
  const i64 embedding = 32000 * 4096;
  for (const char* key : {"parameters_total", "parameters_active", "parameters_active_router"}) {
    EXPECT_EQ(one.at(key).as_int(), two.at(key).as_int() - embedding) << key;
  }
  EXPECT_EQ(one.at("flops_6n").as_double(), two.at("flops_6n").as_double() - 6e6 * static_cast<double>(embedding));
  // The head is computed, and its weights read, as before; training keeps two matrices.
  for (const char* key : {"parameters_active_non_embedding", "flops_megatron", "flops_per_token_mfu",
                          "checkpoint_bytes", "checkpoint_training_bytes", "weight_bytes_per_decoded_token"}) {
    EXPECT_EQ(one.at(key), two.at(key)) << key;
  }
  for (const char* key : {"elements", "master_bytes", "gradient_bytes", "moments_bytes", "activation_bytes"}) {
    EXPECT_EQ(one.at("training_memory").at(key), two.at("training_memory").at(key)) << key;
  }
  EXPECT_GT(one.at("tpp").as_double(), two.at("tpp").as_double());
}

TEST(Plan, FlagsChangeAPreset) {
  const Json json = planned({"mixtral-8x7b", "--experts", "16", "--tokens", "1T", "--json"});
  EXPECT_EQ(json.at("config").at("experts").as_int(), 16);
  EXPECT_EQ(json.at("config").at("layers").as_int(), 32);
  EXPECT_EQ(json.at("tokens").as_int(), 1000000000000);
}

TEST(Plan, TextNamesTheNumbers) {
  testing::internal::CaptureStdout();
  run_plan({"olmoe-1b-7b"});
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_NE(text.find("6,919,161,856"), std::string::npos) << text;
}

TEST(Plan, MemoryIsTheTrainersOwn) {
  const std::vector<std::string> words = {"optimal-sparsity-d512-E64-k2", "--micro-batch-tokens", "8192", "--json"};
  const Json kept = planned(words).at("training_memory");
  std::vector<std::string> more = words;
  more.insert(more.end(), {"--recompute", "layer"});
  const Json again = planned(more).at("training_memory");
  EXPECT_LT(again.at("activation_bytes").as_int() * 2, kept.at("activation_bytes").as_int());
  EXPECT_EQ(again.at("master_bytes").as_int(), kept.at("master_bytes").as_int());
  EXPECT_GE(kept.at("master_bytes").as_int(), i64{4} * 1729905152);
  EXPECT_GT(kept.at("program_bytes").as_int(), 1 << 20);
  i64 sum = 0;
  for (const char* part : {"master", "copy", "gradient", "moments", "activation", "workspace", "program", "data"}) {
    sum += kept.at(std::string(part) + "_bytes").as_int();
  }
  EXPECT_EQ(sum, kept.at("total_bytes").as_int());
}

TEST(Plan, BudgetSaysWhatOtherRulesSay) {
  const Json json = planned({"--compute", "1e21", "--json"});
  i64 routed = 0;
  for (const Json& law : json.at("laws").as_array()) {
    if (law.at("law").as_string() != "routed") {
      EXPECT_TRUE(law.at("parameters_effective").is_null());
      continue;
    }
    ++routed;
    EXPECT_GT(law.at("parameters_effective").as_double(), law.at("optimum").at("parameters_active").as_double());
  }
  EXPECT_EQ(routed, 1);
  EXPECT_EQ(json.at("other_rules").as_array().size(), 3u);
  testing::internal::CaptureStdout();
  run_plan({"--compute", "1e21"});
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_NE(text.find("routed: equivalent to a dense model of"), std::string::npos) << text;
  EXPECT_NE(text.find("E/k 32 needs 0.68 times the FLOPs of E/k 8"), std::string::npos) << text;
}

TEST(Plan, Errors) {
  EXPECT_THROW(run_plan({"mixtrall-8x7b"}), Error);
  EXPECT_THROW(run_plan({"--expets", "8"}), Error);
  EXPECT_THROW(run_plan({"--heads", "5"}), Error);
}

}  // namespace
}  // namespace moebius::plan
