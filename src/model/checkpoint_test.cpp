// A model's folder: what was saved is loaded to the bit; foreign and damaged folders are refused.
#include "model/checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "model/test_network.h"
#include "tensor/safetensors.h"

namespace moebius::model {
namespace {

using testing_network::make_network;
using testing_network::Variant;
using testing_network::variants;

std::string fresh_folder(const std::string& name) {
  const std::string folder = test_path(name);
  folder_remove_all(folder);
  return folder;
}

class SaveLoad : public testing::TestWithParam<Variant> {};

TEST_P(SaveLoad, Identity) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto network = make_network(GetParam().config, compute);
    const std::string folder = fresh_folder(GetParam().name);
    save_model(*network, folder);
    const auto loaded = load_model(folder, compute, true), inference = load_model(folder, compute, false);
    EXPECT_EQ(loaded->config().to_json(), network->config().to_json());
    const Weights &a = network->weights(), &b = loaded->weights(), &c = inference->weights();
    if (compute == DType::f32) {
      EXPECT_EQ(std::memcmp(a.master.data(), b.master.data(), static_cast<std::size_t>(a.elements) * 4), 0);
      EXPECT_EQ(std::memcmp(a.master.data(), c.master.data(), static_cast<std::size_t>(a.elements) * 4), 0);
    } else {
      EXPECT_EQ(std::memcmp(a.copy.data(), b.copy.data(), static_cast<std::size_t>(a.elements) * 2), 0);
      EXPECT_EQ(std::memcmp(a.copy.data(), c.copy.data(), static_cast<std::size_t>(a.elements) * 2), 0);
    }
    ASSERT_EQ(loaded->selection_bias().size(), network->selection_bias().size());
    EXPECT_TRUE(std::equal(loaded->selection_bias().begin(), loaded->selection_bias().end(),
                           network->selection_bias().begin()));
    const std::string again = fresh_folder("again");
    save_model(*inference, again);
    for (const char* file : {"model.safetensors", "config.json"}) {
      EXPECT_EQ(file_read(path_join(folder, file)), file_read(path_join(again, file)));
    }
  }
}

// The file contains every parameter that is counted.
TEST_P(SaveLoad, FileHoldsTheCount) {
  const auto network = make_network(GetParam().config, DType::bf16);
  const std::string folder = fresh_folder("count");
  save_model(*network, folder);
  const SafetensorsReader reader(folder);
  i64 elements = 0;
  for (const auto& [name, tensor] : reader.tensors()) elements += tensor.elements();
  EXPECT_EQ(elements, count_model(network->config(), 128).parameters_total);
}

INSTANTIATE_TEST_SUITE_P(Variants, SaveLoad, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(info.param.name); });

void expect_refused(const std::string& folder, const std::string& says) {
  try {
    load_model(folder, DType::f32, false);
    ADD_FAILURE() << "loaded " << folder;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
  }
}

TEST(Checkpoint, RefusesForeignFolders) {
  expect_refused(test_path("nowhere"), "no such file or folder");
  const auto network = make_network(testing_network::small_config(), DType::f32);
  const std::string folder = fresh_folder("foreign");
  save_model(*network, folder);
  const std::string weights = path_join(folder, "model.safetensors"), config = path_join(folder, "config.json");
  const std::string good_weights = file_read(weights), good_config = file_read(config);

  file_write_atomic(weights, good_weights.substr(0, good_weights.size() - 10));
  expect_refused(folder, "model.safetensors");
  file_write_atomic(weights, good_weights);

  ModelConfig wider = testing_network::small_config();
  wider.experts.width = 24;
  wider.resolve();
  file_write_atomic(config, config_to_hugging_face(wider).dump());
  expect_refused(folder, "another shape than config.json requires");
  ModelConfig deeper = testing_network::small_config();
  deeper.layers = 3;
  deeper.resolve();
  file_write_atomic(config, config_to_hugging_face(deeper).dump());
  expect_refused(folder, "is missing");
  ModelConfig shallower = testing_network::small_config();
  shallower.layers = 1;
  shallower.resolve();
  file_write_atomic(config, config_to_hugging_face(shallower).dump());
  expect_refused(folder, "does not belong to the network");
  file_write_atomic(config, "{");
  expect_refused(folder, "config.json");
  file_write_atomic(config, good_config);
  EXPECT_NE(load_model(folder, DType::f32, false), nullptr);
}

// A checkpoint in which one weight is NaN or infinite, in every format and kind of parameter: the error names the tensor.
TEST(Checkpoint, RefusesNanAndInfiniteWeights) {
  ModelConfig config = testing_network::small_config();
  config.experts.shared_experts = 1;
  config.router.score = RouterScore::sigmoid;
  config.router.bias_rate = 0.01;
  config.resolve();
  const auto network = make_network(config, DType::f32);
  const std::string folder = fresh_folder("nan"), weights = path_join(folder, "model.safetensors");
  for (const DType compute : {DType::f32, DType::bf16}) {
    save_model(*make_network(config, compute), folder);
    const std::string good = file_read(weights);
    std::vector<std::pair<std::string, std::size_t>> places;  // tensor, offset of its last element
    {
      const SafetensorsReader reader(folder);
      const auto* begin = reader.tensors().begin()->second.data;
      for (const auto& [name, tensor] : reader.tensors()) begin = std::min(begin, tensor.data);
      i64 bytes = 0;
      for (const auto& [name, tensor] : reader.tensors()) bytes += tensor.bytes;
      const std::size_t header = good.size() - static_cast<std::size_t>(bytes);
      for (const auto& [name, tensor] : reader.tensors()) {
        const i64 end = tensor.data - begin + tensor.bytes;
        places.emplace_back(name, header + static_cast<std::size_t>(end - dtype_bytes(tensor.dtype)));
      }
    }
    for (const auto& [name, at] : places) {
      std::string bad = good;
      const bool f32 = compute == DType::f32 || name.ends_with("e_score_correction_bias");
      const std::string nan = f32 ? std::string("\x01\x00\x80\x7f", 4) : std::string("\xc0\x7f", 2);
      bad.replace(at, nan.size(), nan);
      file_write_atomic(weights, bad);
      expect_refused(folder, "'" + name + "' contains a weight that is NaN");
      const std::string inf = f32 ? std::string("\x00\x00\x80\xff", 4) : std::string("\x80\xff", 2);
      bad.replace(at, inf.size(), inf);
      file_write_atomic(weights, bad);
      expect_refused(folder, "'" + name + "' contains a weight that is infinite");
    }
    file_write_atomic(weights, good);
    EXPECT_NE(load_model(folder, DType::f32, false), nullptr);
  }
}

// GPTQ checkpoints of old tools say nothing in config.json.
TEST(Checkpoint, QuantisedTensorsAreNamed) {
  const std::string folder = fresh_folder("gptq");
  save_model(*make_network(testing_network::small_config(), DType::f32), folder);
  for (const char* suffix : {"qweight", "weight_packed", "weight_scale_inv", "weight.absmax"}) {
    SafetensorsWriter writer(path_join(folder, "model.safetensors"));
    writer.declare(std::string("model.layers.0.self_attn.q_proj.") + suffix, DType::i32, {1});
    writer.write("abcd", 4);
    writer.commit();
    expect_refused(folder, "quantised");
  }
}

}  // namespace
}  // namespace moebius::model
