// Twenty steps in f32 against PyTorch's AdamW on transformers' Mixtral, from a checkpoint that transformers wrote.
// Numbers: tests/golden/pytorch_adamw, made by tests/peers/pytorch_adamw.py.
#include <gtest/gtest.h>

#include "data/test_batch.h"
#include "train/test_support.h"

namespace moebius::train {
namespace {

std::string golden(const std::string& name) {
  return path_join(std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/pytorch_adamw", name);
}

// The golden batches, one after the other.
class GoldenSource : public data::BatchSource {
 public:
  GoldenSource(const Json& batches, i64 sequences, i64 length)
      : batches_(batches), sequences_(sequences), length_(length) {}

  void next(data::Batch& batch) override {
    data::batch_shape(batch, sequences_, length_);
    const Json& stored = batches_[next_++];
    batch.spans.clear();
    for (i64 i = 0; i < batch.rows(); ++i) {
      batch.tokens[static_cast<std::size_t>(i)] = static_cast<i32>(stored.at("tokens")[i].as_int());
      batch.targets[static_cast<std::size_t>(i)] = static_cast<i32>(stored.at("targets")[i].as_int());
    }
    for (const Json& span : stored.at("spans").as_array()) {
      batch.spans.push_back({.begin = span[0].as_int(), .count = span[1].as_int(), .source = 0, .position = 0});
    }
    data::batch_fill_positions(batch);
    data::batch_check(batch, 64);
  }
  Json state() const override { return Json(next_); }
  void restore(const Json& state) override { next_ = state.as_int(); }
  std::vector<data::SourceCounters> counters() const override { return {}; }
  i64 tokens_padding() const override { return 0; }
  i64 sequences() const override { return sequences_; }
  i64 length() const override { return length_; }

 private:
  const Json& batches_;
  i64 sequences_, length_, next_ = 0;
};

TEST(TrainPytorch, EqualLossesForTwentySteps) {
  const Json file = Json::parse_file(golden("run.json"));
  const Json& hyper = file.at("hyper");
  for (const char* name : {"whole", "packed"}) {
    const Json& run = file.at("runs").at(name);
    TrainOptions options = testing::tiny_options(testing::fresh_folder(std::string("pytorch_") + name), 20);
    options.precision = "f32";
    options.sequence = file.at("length").as_int();
    options.batch_tokens = file.at("sequences").as_int() * options.sequence;
    options.micro_batch_tokens = options.batch_tokens;
    options.init_from = golden("start");
    OptimizerOptions& optimizer = options.optimizer;
    optimizer.schedule = "constant";
    optimizer.warmup_steps = 0;
    optimizer.learning_rate = hyper.at("learning_rate").as_double();
    optimizer.weight_decay = hyper.at("weight_decay").as_double();
    optimizer.beta1 = hyper.at("beta1").as_double();
    optimizer.beta2 = hyper.at("beta2").as_double();
    optimizer.epsilon = hyper.at("epsilon").as_double();
    optimizer.clip = hyper.at("clip").as_double();
    model::ModelConfig config =
        model::config_from_hugging_face(Json::parse_file(golden("start/config.json")), "golden");
    config.losses.balance_coefficient = hyper.at("balance_coefficient").as_double();
    config.losses.z_coefficient = hyper.at("z_coefficient").as_double();
    GoldenSource source(run.at("batches"), file.at("sequences").as_int(), options.sequence);
    train_run(options, config, source, Json(name), testing::fixed_roof());
    const auto steps = records::read(path_join(options.out, "records.jsonl"), "step");
    ASSERT_EQ(steps.size(), 20u);
    for (i64 i = 0; i < 20; ++i) {
      const Json& ours = steps[static_cast<std::size_t>(i)];
      const Json& theirs = run.at("steps")[i];
      EXPECT_NEAR(ours.at("loss").as_double(), theirs.at("loss").as_double(), 1e-4) << name << " step " << i + 1;
      EXPECT_NEAR(ours.at("loss_balance").as_double(), theirs.at("balance").as_double(), 1e-4) << name << " " << i + 1;
      EXPECT_NEAR(ours.at("loss_z").as_double(), theirs.at("z").as_double(), 1e-4) << name << " step " << i + 1;
      EXPECT_NEAR(ours.at("grad_norm").as_double() / theirs.at("grad_norm").as_double(), 1, 1e-3)
          << name << " " << i + 1;
    }
  }
}

}  // namespace
}  // namespace moebius::train
