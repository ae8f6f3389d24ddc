// Agreement with PyTorch: goldens that tests/peers/transformers_mixtral.py wrote. `theirs_*` are models that transformers
// made and saved, `ours_*` are models that WriteOurs made and transformers loaded; the logits are always transformers'.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "model/checkpoint.h"
#include "model/hf_names.h"
#include "model/test_network.h"

namespace moebius::model {
namespace {

using testing_network::TestBatch;

constexpr double kTolerance = 1e-4;  // both sides compute in f32, in different orders
constexpr i64 kLength = 12;

std::string golden_folder(const std::string& name) {
  return path_join(MOEBIUS_SOURCE_DIR, "tests/golden/mixtral_tiny/" + name);
}

// Two sequences of 12; the script has the same numbers.
TestBatch golden_batch(i64 vocab) {
  TestBatch batch;
  for (i64 s = 0; s < 2; ++s) {
    batch.segments.push_back({.row = s * kLength, .rows = kLength});
    for (i64 i = 0; i < kLength; ++i) {
      const i64 n = kLength * s + i;
      batch.token_T.push_back(static_cast<i32>((7 * n * n + 3 * i + s) % vocab));
    }
  }
  for (i64 r = 0; r < 2 * kLength; ++r) {
    batch.target_T.push_back(r % kLength + 1 < kLength ? batch.token_T[static_cast<std::size_t>(r + 1)] : -1);
  }
  return batch;
}

std::vector<float> all_logits(Network& network) {
  const i64 vocab = network.config().vocab;
  const TestBatch batch = golden_batch(vocab);
  std::vector<i32> rows;
  for (i32 r = 0; r < 2 * kLength; ++r) rows.push_back(r);
  std::vector<float> logits(static_cast<std::size_t>(2 * kLength * vocab));
  network.logits_pass(batch.input(), rows, matrix_of(logits.data(), 2 * kLength, vocab));
  return logits;
}

class Logits : public testing::TestWithParam<const char*> {};

TEST_P(Logits, EqualTransformers) {
  const std::string folder = golden_folder(GetParam());
  const auto network = load_model(folder, DType::f32, false);
  const std::vector<float> got = all_logits(*network);
  const Json golden = Json::parse_file(path_join(folder, "golden.json"));
  const Json& wanted = golden.at("logits");
  ASSERT_EQ(wanted.count(), static_cast<i64>(got.size()));
  double largest = 0, error = 0;
  for (i64 i = 0; i < wanted.count(); ++i) {
    largest = std::max(largest, std::fabs(wanted[i].as_double()));
    error = std::max(error, std::fabs(wanted[i].as_double() - static_cast<double>(got[static_cast<std::size_t>(i)])));
  }
  EXPECT_GT(largest, 0.1);
  EXPECT_LT(error / largest, kTolerance);
  RecordProperty("relative_error", fmt::format("{:.2e}", error / largest));
}

INSTANTIATE_TEST_SUITE_P(Models, Logits,
                         testing::Values("theirs_mixtral", "theirs_fused", "theirs_mistral", "ours_mixtral",
                                         "ours_mistral", "ours_qwen3_moe", "ours_olmoe"),
                         [](const auto& info) { return std::string(info.param); });

// One tensor of PyTorch's gradient, in the order of the stored matrix, from ours.
std::vector<float> gradient_named(const Network& network, const std::string& name) {
  const Weights& weights = network.weights();
  std::vector<float> all;
  for (const StoredPlace& place : stored_places(network.config(), weights.parameters, HfClass::mixtral)) {
    if (place.name != name && place.other_name != name) continue;
    const Parameter& p = weights.parameters[static_cast<std::size_t>(place.parameter)];
    std::vector<float> rows(static_cast<std::size_t>(place.rows * p.shape.k));
    weights_get_gradient_rows(weights, p, place.copy, place.row, place.rows, rows.data());
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

void expect_gradients(const Json& golden, const Network& network) {
  for (const auto& [name, wanted] : golden.at("tensors").as_object()) {
    const std::vector<float> got = gradient_named(network, name);
    ASSERT_FALSE(got.empty()) << name;
    double norm = 0;
    for (const float g : got) norm += static_cast<double>(g) * static_cast<double>(g);
    const double wanted_norm = wanted.at("norm").as_double(), largest = wanted.at("max").as_double();
    EXPECT_NEAR(std::sqrt(norm), wanted_norm, kTolerance * wanted_norm) << name;
    for (i64 i = 0; i < wanted.at("at").count(); ++i) {
      const std::size_t at = static_cast<std::size_t>(wanted.at("at")[i].as_int());
      ASSERT_LT(at, got.size()) << name;
      EXPECT_NEAR(got[at], wanted.at("values")[i].as_double(), kTolerance * largest) << name << " element " << at;
    }
  }
}

// Loss and gradients of the Mixtral, cross-entropy alone and with the routers' losses.
TEST(Gradients, EqualPyTorch) {
  const std::string folder = golden_folder("theirs_mixtral");
  const Json golden = Json::parse_file(path_join(folder, "golden.json"));
  const TestBatch batch = golden_batch(32);
  const float mean = 1.0f / static_cast<float>(2 * (kLength - 1));
  for (const bool auxiliary : {false, true}) {
    const auto loaded = load_model(folder, DType::f32, true);
    ModelConfig config = loaded->config();
    config.losses.balance_coefficient = golden.at("balance").as_double();
    config.losses.z_coefficient = golden.at("z").as_double();
    Network network(config, DType::f32, true);
    std::copy_n(loaded->weights().master.f32(), loaded->weights().elements, network.weights().master.f32());
    const PassResult& result = network.train_pass(batch.input(), batch.target_T, mean, auxiliary ? 1.0f : 0.0f, {});
    const Json& wanted = golden.at(auxiliary ? "auxiliary" : "plain");
    double total = result.loss_sum / static_cast<double>(result.targets);
    EXPECT_NEAR(total, wanted.at("loss").as_double(), kTolerance * total);
    for (const LayerRouting& layer : result.layers) {
      if (auxiliary) total += config.losses.balance_coefficient * layer.balance + config.losses.z_coefficient * layer.z;
    }
    EXPECT_NEAR(total, wanted.at("total").as_double(), kTolerance * total);
    expect_gradients(wanted, network);
  }
}

ModelConfig ours(const std::string& name) {
  ModelConfig config;
  config.name = name;
  config.vocab = 32;
  config.d_model = 16;
  config.layers = 2;
  config.sequence_max = 64;
  config.init_std = 0.2;
  config.attention = {.heads = 4, .kv_heads = 2, .head_dim = 6, .rope_base = 3000};
  config.experts = {.experts = 4, .top_k = 2, .width = 12};
  if (name == "ours_mistral") {
    config.experts.experts = 0;
    config.attention.window = 5;
  }
  if (name == "ours_qwen3_moe") {
    config.attention.qk_norm = true;
    config.experts.dense_layers_first = 1;
    config.experts.dense_width = 20;
    config.router.renormalise = false;
  }
  if (name == "ours_olmoe") {
    config.attention.qk_norm = config.attention.qk_norm_whole = true;
    config.attention.head_dim = 4;
    config.router.renormalise = false;
  }
  config.resolve();
  return config;
}

// Not a test: writes what the script reads, under the folder of temporary files.
TEST(Models, DISABLED_WriteOurs) {
  for (const char* name : {"ours_mixtral", "ours_mistral", "ours_qwen3_moe", "ours_olmoe"}) {
    const auto network = testing_network::make_network(ours(name), DType::f32);
    const std::string folder = path_join(testing::TempDir(), std::string("mixtral_tiny/") + name);
    save_model(*network, folder);
    file_write_atomic(path_join(folder, "logits.json"), Json::object({{"logits", all_logits(*network)}}).dump());
  }
}

}  // namespace
}  // namespace moebius::model
