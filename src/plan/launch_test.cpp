// The files of a launch: what they say is the planned shape.
#include "plan/launch.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_folder.h"
#include "plan/budget.h"

namespace moebius::plan {
namespace {

Launch launch_of(fit::Law law, i64 kv_heads = 0) {
  Budget budget;
  budget.compute = 1e20;
  budget.geometry.base.vocab = 50304;
  budget.geometry.base.attention.kv_heads = kv_heads;
  const auto plans = plan_budget(budget, {published_law_fit(fit::published_default(law))});
  const Choice& choice = plans.front().shapes.front();
  return make_launch(choice, choose_rate(rate_rules(rate_input(choice))), 4096, "a test");
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Launch, StepsCoverTheTokens) {
  for (const fit::Law law : {fit::Law::joint, fit::Law::chinchilla, fit::Law::flame}) {
    const Launch launch = launch_of(law);
    const double batch = static_cast<double>(launch.batch_sequences * launch.sequence);
    EXPECT_EQ(launch.batch_sequences % 8, 0);
    EXPECT_GE(static_cast<double>(launch.steps) * batch, launch.choice.tokens);
    EXPECT_LT(static_cast<double>(launch.steps - 1) * batch, launch.choice.tokens);
    EXPECT_GE(launch.warmup_steps, 1);
    EXPECT_LT(launch.warmup_steps, launch.steps);
  }
}

TEST(Launch, MegatronSaysTheShape) {
  const Launch launch = launch_of(fit::Law::joint);
  const model::ModelConfig& config = launch.choice.config;
  const std::string script = megatron_script(launch);
  for (const auto& [flag, value] : {std::pair{"--num-layers", config.layers},
                                    {"--hidden-size", config.d_model},
                                    {"--num-attention-heads", config.attention.heads},
                                    {"--num-experts", config.experts.experts},
                                    {"--moe-router-topk", config.experts.top_k},
                                    {"--moe-ffn-hidden-size", config.experts.width},
                                    {"--global-batch-size", launch.batch_sequences},
                                    {"--train-iters", launch.steps}}) {
    EXPECT_TRUE(has(script, std::string(flag) + " " + std::to_string(value) + "\n")) << flag;
  }
  EXPECT_TRUE(has(script, "--moe-router-pre-softmax"));  // top-1: Megatron refuses anything else
  EXPECT_TRUE(has(script, "--moe-grouped-gemm"));
  EXPECT_TRUE(has(script, "--moe-aux-loss-coeff 0.01\n"));
  EXPECT_TRUE(has(script, "--moe-z-loss-coeff 0.001\n"));
  EXPECT_FALSE(has(script, "--group-query-attention"));
  EXPECT_TRUE(has(megatron_script(launch_of(fit::Law::chinchilla, 1)), "--num-query-groups 1\n"));
}

TEST(Launch, MegatronSharedExpertsAndDenseLayers) {
  const Launch launch = launch_of(fit::Law::flame);
  const model::ExpertConfig& experts = launch.choice.config.experts;
  const std::string script = megatron_script(launch);
  EXPECT_TRUE(has(script, "--moe-shared-expert-intermediate-size " + std::to_string(2 * experts.width) + "\n"));
  EXPECT_TRUE(has(script, "--ffn-hidden-size " + std::to_string(experts.dense_width) + "\n"));
  EXPECT_TRUE(
      has(script, "--moe-layer-freq \"([0]*1+[1]*" + std::to_string(launch.choice.config.layers - 1) + ")\"\n"));
  EXPECT_FALSE(has(script, "--moe-router-pre-softmax"));
}

TEST(Launch, DenseHasNoExpertFlags) {
  const std::string script = megatron_script(launch_of(fit::Law::chinchilla));
  EXPECT_FALSE(has(script, "--num-experts"));
  EXPECT_FALSE(has(script, "--moe"));
  EXPECT_TRUE(has(script, "--swiglu"));
}

TEST(Launch, TorchtitanSaysTheShapeOrNothing) {
  const Launch launch = launch_of(fit::Law::flame);
  const model::ModelConfig& config = launch.choice.config;
  const std::string module = torchtitan_module(launch);
  EXPECT_TRUE(has(module, "VOCAB, DIM, LAYERS = 50304, " + std::to_string(config.d_model) + ", " +
                              std::to_string(config.layers) + "\n"));
  EXPECT_TRUE(has(module, "EXPERTS, TOP_K, EXPERT_WIDTH = 64, 6, " + std::to_string(config.experts.width) + "\n"));
  EXPECT_TRUE(has(module, "def plan() -> Trainer.Config:"));
  EXPECT_EQ(torchtitan_module(launch_of(fit::Law::fine_grained)), "");  // GELU
}

TEST(Launch, StudyIsToml) {
  const Launch launch = launch_of(fit::Law::joint);
  const Json study = toml_parse(study_file(launch), "study.toml");
  EXPECT_EQ(study.at("model").at("d_model").as_int(), launch.choice.config.d_model);
  EXPECT_EQ(study.at("tokens").as_int(), launch.steps * launch.batch_sequences * launch.sequence);
  ASSERT_EQ(study.at("models").count(), 3);
  EXPECT_EQ(study.at("models")[0].at("experts").as_int(), launch.choice.form.experts);
  EXPECT_EQ(study.at("models")[1].at("experts").as_int(), launch.choice.form.experts / 2);
  EXPECT_DOUBLE_EQ(study.at("data").at("text")[0].at("share").as_double() +
                       study.at("data").at("facts").at("share").as_double() +
                       study.at("data").at("arithmetic").at("share").as_double(),
                   1.0);
}

TEST(Launch, WritesFiles) {
  const std::string folder = test_folder();
  EXPECT_EQ(write_launch(launch_of(fit::Law::joint), folder, Json::object({{"a", 1}})).size(), 4u);
  EXPECT_EQ(write_launch(launch_of(fit::Law::fine_grained), folder, Json::object()).size(), 3u);
  EXPECT_TRUE(file_exists(path_join(folder, "megatron.sh")));
}

}  // namespace
}  // namespace moebius::plan
